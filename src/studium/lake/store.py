"""The lake: Delta tables whose Parquet files are made elsewhere and committed here.

A table lives in ``<lake>/<name>/``. Its files are either all in the folder itself (a *whole*
table) or in ``day=YYYY-MM-DD/`` below it (a *day* table). Nobody sees a file before the
transaction that names it, so every change is: stage files, move them in, commit once.
"""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studium.engines import Relation, StagedFile
from studium.errors import LakeError
from studium.lake import types
from studium.lake.places import BucketPlace, FolderPlace, Place, checksum
from studium.s3 import Mirror

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction, CommitProperties, RemoveAction

IMPORTED = "imported"
"""The fingerprint of files that were not built here but came from an old warehouse."""

_NAME = re.compile(r"^(\d{8}-[0-9a-f]{6})-([0-9a-z]{8})-(?:.*-([0-9a-f]{8})\.parquet$)?")


@dataclass(frozen=True)
class LakeFile:
    """A committed file. ``path`` is relative to the table's folder."""

    path: str
    day: date | None
    rows: int
    size: int

    @property
    def build(self) -> str:
        """The build that wrote it, read from its name; empty for a foreign file."""
        found = _NAME.match(self.path.rsplit("/", 1)[-1])
        return found.group(1) if found else ""

    @property
    def fingerprint(self) -> str:
        """Of what wrote it, as far as its name tells: 8 characters."""
        found = _NAME.match(self.path.rsplit("/", 1)[-1])
        return found.group(2) if found else ""

    @property
    def checksum(self) -> str:
        """CRC-32 of its bytes in hexadecimal, from its name; empty if that does not tell."""
        found = _NAME.match(self.path.rsplit("/", 1)[-1])
        return (found.group(3) or "") if found else ""


@dataclass(frozen=True)
class Snapshot:
    """What a table holds at one Delta version. ``delta`` is -1 when there is no table yet."""

    name: str
    place: Place = field(repr=False, compare=False)
    delta: int
    columns: Mapping[str, str]
    by_day: bool
    files: tuple[LakeFile, ...]
    _versions: dict[date | None, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def exists(self) -> bool:
        return self.delta >= 0

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def versions(self) -> Mapping[date | None, str]:
        """Partition → version: the largest build id among its files. Empty ones are absent."""
        if not self._versions:
            for file in self.files:
                build = file.build
                if build > self._versions.get(file.day, ""):
                    self._versions[file.day] = build
        return self._versions

    def imported(self) -> frozenset[date]:
        """Days whose rows come from an old warehouse: the names of their files say so."""
        return frozenset(
            file.day
            for file in self.files
            if file.day is not None and IMPORTED in file.path and file.fingerprint == IMPORTED
        )

    def by_partition(self) -> Mapping[date | None, list[LakeFile]]:
        grouped: dict[date | None, list[LakeFile]] = defaultdict(list)
        for file in self.files:
            grouped[file.day].append(file)
        return grouped

    def paths(self, files: Iterable[LakeFile]) -> tuple[str, ...]:
        """Where an engine can read files of the table; from S3 they are fetched now."""
        return self.place.paths(self.name, [(file.path, file.size) for file in files])

    def relation(self, days: Iterable[date] | None = None) -> Relation:
        """The table as an engine reads it, all of it or only the given days."""
        wanted = None if days is None else frozenset(days)
        return Relation(
            files=self.paths([file for file in self.files if wanted is None or file.day in wanted]),
            columns=dict(self.columns),
            by_day=self.by_day,
        )


class Lake:
    """The Delta tables of one site, in a folder or in S3. Writing needs the site's writer lock."""

    def __init__(self, root: Path | Mirror) -> None:
        self.place: Place = FolderPlace(root) if isinstance(root, Path) else BucketPlace(root)
        self.root = self.place.folder
        self._opened: dict[str, DeltaTable] = {}
        self._seen: dict[str, tuple[object, Snapshot]] = {}

    def names(self) -> list[str]:
        """Tables that exist, sorted."""
        return self.place.names()

    def next_number(self) -> int:
        """One more than the largest build number in the lake, so that a site whose state was lost
        does not draw numbers again. Asks every table: once a run, not once a build."""
        builds = [build for name in self.names() for build in self._newest_builds(name)]
        return 1 + max((int(build.split("-", 1)[0]) for build in builds if build), default=0)

    def _newest_builds(self, name: str) -> Collection[str]:
        """Among them the newest build of a table. Builds come in order, so the last commit tells,
        unless it only compacted or cannot be read here."""
        build = self.place.last_build(name)
        return [build] if build else self.snapshot(name).versions().values()

    def snapshot(self, name: str) -> Snapshot:
        """What the table holds now; an empty snapshot if it does not exist."""
        newest = self.place.newest(name)  # before reading: what comes after it is seen next time
        before = self._seen.get(name)
        if before and before[0] == newest:
            return before[1]
        delta = self.delta(name)
        if delta is None:
            return Snapshot(name, self.place, -1, {}, False, ())
        snapshot = self._read(name, delta)
        if newest is not None:
            self._seen[name] = newest, snapshot
        return snapshot

    def snapshot_at(self, name: str, version: int) -> Snapshot:
        """What the table held at a Delta version; LakeError if its log does not tell any more.

        Files may have been vacuumed since, unless the version is pinned.
        """
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        uri, options = self.place.uri(name), self.place.options
        try:
            delta = DeltaTable(uri, version=version, storage_options=options)
        except (DeltaError, OSError) as error:
            raise LakeError(
                f"table {name} cannot be read at version {version}: {str(error).splitlines()[0]}.",
                "Leave the version out to read the newest.",
            ) from error
        return self._read(name, delta)

    def _read(self, name: str, delta: DeltaTable) -> Snapshot:
        columns = types.from_delta(delta.schema())
        by_day = delta.metadata().partition_columns == ["day"]
        return Snapshot(name, self.place, delta.version(), columns, by_day, _files(delta, by_day))

    def delta(self, name: str) -> DeltaTable | None:
        """The underlying Delta table, or ``None``."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError

        if not self.place.may_exist(name):
            return None
        delta = self._opened.get(name)
        try:
            if delta is not None:
                delta.update_incremental()
                return delta
            delta = DeltaTable(self.place.uri(name), storage_options=self.place.options)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise self.place.explain(name, error) from error
        if self.place.options is not None:  # from afar, the whole log is read once a command
            self._opened[name] = delta
        return delta

    def newest_build(self, name: str) -> str:
        """The build of the latest commit that changed rows, if only by taking some out; empty if
        the log does not tell any more."""
        return next(
            (str(commit["build"]) for commit in self.history(name) if "build" in commit), ""
        )

    def history(self, name: str) -> list[dict[str, Any]]:
        """The commits that the log still tells of, the latest first."""
        delta = self.delta(name)
        with self.explained(name):
            return [] if delta is None else delta.history()

    def commit(
        self,
        name: str,
        staged: Sequence[StagedFile],
        *,
        columns: Mapping[str, str],
        by_day: bool,
        build: str,
        fingerprint: str,
        replace: Sequence[LakeFile] = (),
        note: Mapping[str, str] | None = None,
    ) -> Snapshot:
        """Move ``staged`` in and, in one transaction, add them and drop the files in ``replace``.

        ``columns`` are those of the staged files; new ones are added to the table, in whose
        older files they read as NULL. A whole table is replaced as a whole, columns included.
        """
        delta = self._ensure(name, columns, by_day)
        adds: list[AddAction | RemoveAction] = [
            *self._bring_in(
                name,
                [
                    (file, f"{build}-{fingerprint[:8]}-{number}")
                    for number, file in enumerate(staged)
                ],
            )
        ]
        properties = _properties({"build": build, "fingerprint": fingerprint, **(note or {})})
        schema = types.to_delta(columns, by_day)
        with self.explained(name):
            if by_day:
                delta.create_write_transaction(
                    [*adds, *(_remove(file) for file in replace)],
                    mode="append",
                    schema=schema,
                    partition_by=["day"],
                    commit_properties=properties,
                )
            else:
                delta.create_write_transaction(
                    adds, mode="overwrite", schema=schema, commit_properties=properties
                )
            newest = self.place.newest(name)
            delta.update_incremental()
        snapshot = self._read(name, delta)
        if newest is not None:
            self._seen[name] = newest, snapshot
        return snapshot

    def compact(self, name: str, staged: Sequence[StagedFile], old: Sequence[LakeFile]) -> None:
        """Swap ``old`` files for ``staged`` ones with the same rows; partition versions stay."""
        versions: dict[date | None, str] = {}
        stamps: dict[date | None, str] = {}  # the oldest: the files of a day may differ in it
        for file in old:
            versions[file.day] = max(versions.get(file.day, ""), file.build)
            stamps[file.day] = min(stamps.get(file.day, "~"), file.fingerprint or "00000000")
        suffix = f"{time.time_ns():x}"
        adds = self._bring_in(
            name,
            [
                (file, f"{versions[file.day]}-{stamps[file.day]}-{suffix}-{number}")
                for number, file in enumerate(staged)
            ],
        )
        delta = self.delta(name)
        assert delta is not None
        with self.explained(name):
            delta.create_write_transaction(
                [*adds, *(_remove(file) for file in old)],
                mode="append",
                schema=delta.schema(),
                partition_by=["day"],
                commit_properties=_properties({"compaction": suffix}),
            )

    def _bring_in(self, name: str, staged: Sequence[tuple[StagedFile, str]]) -> list[AddAction]:
        files = [
            (file.path, _target(file, f"{called}-{checksum(file.path)}.parquet"))
            for file, called in staged
        ]
        adds = [_add(file, path) for (file, _), (_, path) in zip(staged, files, strict=True)]
        self.place.put(name, files)
        return adds

    def _ensure(self, name: str, columns: Mapping[str, str], by_day: bool) -> DeltaTable:
        """The table, which exists and has at least these columns (day tables only gain columns)."""
        from deltalake import DeltaTable

        delta = self.delta(name)
        if delta is None:
            self.place.begin(name)
            with self.explained(name):
                return DeltaTable.create(
                    self.place.uri(name),
                    schema=types.to_delta(columns, by_day),
                    partition_by=["day"] if by_day else None,
                    storage_options=self.place.options,
                )
        if not by_day:
            return delta
        known = types.from_delta(delta.schema())
        for column, kind in columns.items():
            if column in known and known[column] != kind:
                raise LakeError(
                    f"column {column} of table {name} was {known[column]} and would become {kind}: "
                    f"old days cannot be read as both. Rename the column, or delete "
                    f"{self.place.uri(name)} and build the table anew with `studium build {name}`."
                )
        new = {column: kind for column, kind in columns.items() if column not in known}
        if new:
            with self.explained(name):
                delta.alter.add_columns(types.fields(new))
        return delta

    @contextmanager
    def explained(self, name: str) -> Iterator[None]:
        """Delta's errors, a full disk among them, as errors to act on. The table is as it was."""
        from deltalake.exceptions import DeltaError

        try:
            yield
        except (DeltaError, OSError) as error:
            raise self.place.refused(name, error) from error


def _files(delta: DeltaTable, by_day: bool) -> tuple[LakeFile, ...]:
    import pyarrow as pa

    actions = pa.table(delta.get_add_actions(flatten=True))
    count = actions.num_rows
    if not count:
        return ()
    days = actions["partition.day"].to_pylist() if by_day else [None] * count
    rows = zip(
        actions["path"].to_pylist(),
        days,
        actions["num_records"].to_pylist(),
        actions["size_bytes"].to_pylist(),
        strict=True,
    )
    return tuple(sorted((LakeFile(*row) for row in rows), key=lambda file: file.path))


def _target(file: StagedFile, name: str) -> str:
    return f"day={file.day.isoformat()}/{name}" if file.day else name


def _add(file: StagedFile, path: str) -> AddAction:
    from deltalake.transaction import AddAction

    return AddAction(
        path=path,
        size=file.path.stat().st_size,
        partition_values={"day": file.day.isoformat()} if file.day else {},
        modification_time=int(time.time() * 1000),
        data_change=True,
        stats=json.dumps({"numRecords": file.rows}),
    )


def _remove(file: LakeFile) -> RemoveAction:
    from deltalake.transaction import RemoveAction

    return RemoveAction(
        path=file.path,
        data_change=True,
        deletion_timestamp=int(time.time() * 1000),
        size=file.size,
        partition_values={"day": file.day.isoformat()} if file.day else {},
    )


def _properties(metadata: dict[str, str]) -> CommitProperties:
    from deltalake.transaction import CommitProperties

    return CommitProperties(custom_metadata=metadata)
