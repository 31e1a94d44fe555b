"""The lake: Delta tables whose Parquet files are made elsewhere and committed here.

A table lives in ``<lake>/<name>/``. Its files are either all in the folder itself (a *whole*
table) or in ``day=YYYY-MM-DD/`` below it (a *day* table). Nobody sees a file before the
transaction that names it, so every change is: stage files, move them in, commit once.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from studium.engines import Relation, StagedFile
from studium.errors import LakeError
from studium.lake import types

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction, CommitProperties, RemoveAction

IMPORTED = "imported"
"""The fingerprint of files that were not built here but came from an old warehouse."""

_NAME = re.compile(r"^(\d{8}-[0-9a-f]{6})-([0-9a-z]{8})-")


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


@dataclass(frozen=True)
class Snapshot:
    """What a table holds at one Delta version. ``delta`` is -1 when there is no table yet."""

    name: str
    folder: Path
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
                if file.build > self._versions.get(file.day, ""):
                    self._versions[file.day] = file.build
        return self._versions

    def imported(self) -> frozenset[date]:
        """Days whose rows come from an old warehouse: the names of their files say so."""
        return frozenset(
            file.day for file in self.files if file.day is not None and file.fingerprint == IMPORTED
        )

    def by_partition(self) -> Mapping[date | None, list[LakeFile]]:
        grouped: dict[date | None, list[LakeFile]] = defaultdict(list)
        for file in self.files:
            grouped[file.day].append(file)
        return grouped

    def relation(self, days: Iterable[date] | None = None) -> Relation:
        """The table as an engine reads it, all of it or only the given days."""
        wanted = None if days is None else frozenset(days)
        return Relation(
            files=tuple(
                str(self.folder / file.path)
                for file in self.files
                if wanted is None or file.day in wanted
            ),
            columns=dict(self.columns),
            by_day=self.by_day,
        )


class Lake:
    """The Delta tables of one site. Writing needs the site's writer lock."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Tables that exist, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(
            entry.name for entry in self.root.iterdir() if (entry / "_delta_log").is_dir()
        )

    def next_number(self) -> int:
        """One more than the largest build number in the lake, so that a site whose state was lost
        does not draw numbers again. Reads every table's log: once a run, not once a build."""
        builds = [
            build for name in self.names() for build in self.snapshot(name).versions().values()
        ]
        return 1 + max((int(build.split("-", 1)[0]) for build in builds if build), default=0)

    def snapshot(self, name: str) -> Snapshot:
        """What the table holds now; an empty snapshot if it does not exist."""
        folder = self.root / name
        delta = self.delta(name)
        if delta is None:
            return Snapshot(name, folder, -1, {}, False, ())
        columns = types.from_delta(delta.schema())
        by_day = delta.metadata().partition_columns == ["day"]
        return Snapshot(name, folder, delta.version(), columns, by_day, _files(delta, by_day))

    def delta(self, name: str) -> DeltaTable | None:
        """The underlying Delta table, or ``None``."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError

        folder = self.root / name
        if not (folder / "_delta_log").is_dir():
            return None
        try:
            return DeltaTable(str(folder))
        except TableNotFoundError:
            return None
        except DeltaError as error:
            raise LakeError(
                f"the Delta log of table {name} in {folder} cannot be read: "
                f"{str(error).splitlines()[0]}.",
                "Run `studium doctor`.",
            ) from error

    def newest_build(self, name: str) -> str:
        """The build of the latest commit that changed rows, if only by taking some out; empty if
        the log does not tell any more."""
        delta = self.delta(name)
        history = [] if delta is None else delta.history()
        return next((str(commit["build"]) for commit in history if "build" in commit), "")

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
        folder = self.root / name
        self._ensure(name, columns, by_day)
        adds: list[AddAction | RemoveAction] = [
            _move_in(file, folder, f"{build}-{fingerprint[:8]}-{number}.parquet")
            for number, file in enumerate(staged)
        ]
        properties = _properties({"build": build, "fingerprint": fingerprint, **(note or {})})
        delta = self.delta(name)
        assert delta is not None  # _ensure made it
        schema = types.to_delta(columns, by_day)
        with _explained(name):
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
        return self.snapshot(name)

    def compact(self, name: str, staged: Sequence[StagedFile], old: Sequence[LakeFile]) -> None:
        """Swap ``old`` files for ``staged`` ones with the same rows; partition versions stay."""
        folder = self.root / name
        versions: dict[date | None, str] = {}
        stamps: dict[date | None, str] = {}  # the oldest: the files of a day may differ in it
        for file in old:
            versions[file.day] = max(versions.get(file.day, ""), file.build)
            stamps[file.day] = min(stamps.get(file.day, "~"), file.fingerprint or "00000000")
        suffix = f"{time.time_ns():x}"
        adds = [
            _move_in(
                file, folder, f"{versions[file.day]}-{stamps[file.day]}-{suffix}-{number}.parquet"
            )
            for number, file in enumerate(staged)
        ]
        delta = self.delta(name)
        assert delta is not None
        with _explained(name):
            delta.create_write_transaction(
                [*adds, *(_remove(file) for file in old)],
                mode="append",
                schema=delta.schema(),
                partition_by=["day"],
                commit_properties=_properties({"compaction": suffix}),
            )

    def _ensure(self, name: str, columns: Mapping[str, str], by_day: bool) -> None:
        """The table exists and has at least these columns (day tables only gain columns)."""
        from deltalake import DeltaTable

        delta = self.delta(name)
        if delta is None:
            folder = self.root / name
            folder.mkdir(parents=True, exist_ok=True)
            with _explained(name):
                DeltaTable.create(
                    str(folder),
                    schema=types.to_delta(columns, by_day),
                    partition_by=["day"] if by_day else None,
                )
            return
        if not by_day:
            return
        known = types.from_delta(delta.schema())
        for column, kind in columns.items():
            if column in known and known[column] != kind:
                raise LakeError(
                    f"column {column} of table {name} was {known[column]} and would become {kind}: "
                    f"old days cannot be read as both. Rename the column, or delete "
                    f"{self.root / name} and build the table anew with `studium build {name}`."
                )
        new = {column: kind for column, kind in columns.items() if column not in known}
        if new:
            with _explained(name):
                delta.alter.add_columns(types.fields(new))


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Delta's errors, a full disk among them, as errors to act on. The table is as it was."""
    from deltalake.exceptions import DeltaError

    try:
        yield
    except (DeltaError, OSError) as error:
        raise LakeError(
            f"table {name} could not be changed: {str(error).splitlines()[0]}.",
            "It is as it was. Check the disk and the rights on the lake, then run again.",
        ) from error


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


def _move_in(file: StagedFile, folder: Path, name: str) -> AddAction:
    from deltalake.transaction import AddAction

    place = f"day={file.day.isoformat()}" if file.day else ""
    target = folder / place / name
    target.parent.mkdir(parents=True, exist_ok=True)
    sync(file.path)
    try:
        os.replace(file.path, target)
    except OSError:  # another file system: copy under a name nobody reads, then rename
        partial = target.with_name(f".{target.name}")
        shutil.copyfile(file.path, partial)
        sync(partial)
        os.replace(partial, target)
        file.path.unlink()
    sync(target.parent)
    return AddAction(
        path=f"{place}/{name}" if place else name,
        size=target.stat().st_size,
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


def sync(path: Path) -> None:
    """Flush a file or folder to disk: a commit must not outlive its files in a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
