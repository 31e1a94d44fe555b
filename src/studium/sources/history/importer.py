"""Day files of a warehouse → imported days of the lake's own day tables.

Order of every batch: files → Delta commits → ledger, coverage, manifest. A crash costs reading a
batch again, whose days are then found equal.

A day that was built from raw logs stays if the build has no fewer rows than the import would
bring; the same rule decides when raw logs come later (``studium.lake.build``), so the order in
which both come does not matter.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from studium.clock import Interval, utcnow
from studium.engines import Relation, StagedFile
from studium.engines.duckdb import DuckDBEngine, connect, explain
from studium.errors import EngineError, SourceError
from studium.lake.build import stored_columns
from studium.lake.erasures import person_columns, read_erasures
from studium.lake.plan import imported_partition
from studium.lake.store import IMPORTED, Lake
from studium.lake.tables import Table
from studium.site import Site
from studium.sources.edx import rejects
from studium.sources.edx.lines import LineReader, Refused, schema
from studium.sources.edx.staging import copy_by_day
from studium.sources.history.folders import DayFolder
from studium.sources.history.rows import missing_columns, rows_sql
from studium.sources.history.warehouse import WarehouseTable
from studium.state.counters import next_build
from studium.state.coverage import mark_covered
from studium.state.ledger import record_partitions
from studium.state.manifest import FileRow, known_files, record_files

if TYPE_CHECKING:
    import duckdb

SOURCE = "history"
"""The manifest's name for files of a warehouse."""

_BATCH_BYTES = 64 << 20
_BATCH_DAYS = 400


class Fate(StrEnum):
    """What became of a day."""

    IMPORTED = "imported"
    UNCHANGED = "unchanged"
    REPLACED = "replaced an earlier import"
    RAW = "built from raw logs, stays so"
    FAILED = "failed"


@dataclass
class TableReport:
    """One table: ``lines`` = ``kept`` + ``duplicates`` + ``rejects`` + ``forgotten`` (of learners
    on the erasure list) over the files that were read; ``days`` by what became of them; ``errors``
    tell, by file, why it could not be read."""

    table: str
    target: str
    days: dict[date, Fate] = field(default_factory=dict)
    lines: int = 0
    kept: int = 0
    duplicates: int = 0
    rejects: int = 0
    forgotten: int = 0
    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def coverage_of(target: str) -> str:
    """The name under which the state remembers which days of a table were imported."""
    return f"{IMPORTED} {target}"


def check_target(source: WarehouseTable, target: Table | None) -> Table:
    """The day table for ``source``; SourceError if there is none that fits."""
    if target is None:
        raise SourceError(
            f"{source.name}: lens {source.lens} is not built in this version, so there is no table "
            f"{source.target} to import it into.",
            "Keep the files; a later version will take them.",
        )
    lacking = missing_columns(source, target)
    if target.kind != "day" or lacking:
        raise SourceError(
            f"{source.name} has no {', '.join(lacking) or 'days'} for table {target.name}.",
            "Keep the files, and report this as a bug.",
        )
    return target


def import_days(
    site: Site,
    lake: Lake,
    target: Table,
    days: Sequence[DayFolder],
    again: bool = False,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> TableReport:
    """Import days of one warehouse table into ``target``. Needs the site's writer lock.

    Days whose files have not changed since they were imported are not read, unless ``again``.
    A day with a file that cannot be read to its end is not imported.
    """
    report = TableReport(days[0].table.name, target.name)
    known = set() if again else _known_days(site, lake, target, days)
    fresh = [day for day in days if day.day not in known]
    for day in days:
        report.days[day.day] = Fate.UNCHANGED
    if not fresh:
        return report
    settings = site.settings.engine
    shutil.rmtree(site.scratch / "history", ignore_errors=True)
    db = connect(settings.memory, settings.threads, site.scratch / "history" / "spill")
    engine = DuckDBEngine(settings.memory, settings.threads, site.scratch / "history" / "digest")
    with site.state.begin() as conn:
        reading = next_build(conn, lake.next_number())
    import duckdb

    try:
        for batch in _batches(fresh):
            _Batch(site, lake, target, batch, reading, report, db, engine).run(on_bytes)
    except duckdb.Error as error:
        raise EngineError(
            f"importing {report.table} stopped: {explain(error)}.",
            "Days that were committed stay; make room on the disk or raise engine.memory, then "
            "run the command again.",
        ) from error
    finally:
        db.close()
        engine.close()
        shutil.rmtree(site.scratch / "history", ignore_errors=True)
    return report


def _known_days(site: Site, lake: Lake, target: Table, days: Sequence[DayFolder]) -> set[date]:
    """Days of which exactly these files were read before, and the lake still has what they gave."""
    rows: dict[str, list[FileRow]] = {}
    with site.state.read() as conn:
        for path, row in known_files(conn, SOURCE).items():
            rows.setdefault(os.path.dirname(path), []).append(row)
    there = lake.snapshot(target.name).versions()
    known = set()
    for day in days:
        folders = {os.path.dirname(file.path) for file in day.files}
        read = [row for folder in folders for row in rows.get(folder, ())]
        same = {(row.path, row.size, row.mtime_ns) for row in read if not row.error} == {
            (file.path, file.size, file.mtime_ns) for file in day.files
        }
        if same and (day.day in there or not any(row.kept for row in read)):
            known.add(day.day)
    return known


def _batches(days: Sequence[DayFolder]) -> Iterator[list[DayFolder]]:
    batch: list[DayFolder] = []
    size = 0
    for day in days:
        batch.append(day)
        size += sum(file.size for file in day.files)
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_DAYS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Batch:
    """Some whole days of one table, from their files to the state."""

    def __init__(
        self,
        site: Site,
        lake: Lake,
        target: Table,
        days: Sequence[DayFolder],
        reading: str,
        report: TableReport,
        db: duckdb.DuckDBPyConnection,
        engine: DuckDBEngine,
    ) -> None:
        self.site, self.lake, self.target, self.days = site, lake, target, days
        self.reading, self.report, self.db, self.engine = reading, report, db, engine
        self.files = [file for day in days for file in day.files]
        self.paths = {file.file_id: file.path for file in self.files}
        self.duplicates: Counter[int] = Counter()
        self.forgotten: Counter[int] = Counter()
        self.erasures = read_erasures(lake)
        self.columns = stored_columns(target.columns)

    def run(self, on_bytes: Callable[[int], None]) -> None:
        with self.site.state.begin() as conn:
            build = next_build(conn)
        folder = self.site.scratch / "history" / build
        refusals = rejects.RejectsFile(
            folder / "rejects.parquet", self.reading, self.paths, self.erasures
        )
        reader = LineReader(self.files, self.site.settings.edx.max_line_bytes, on_bytes, refusals)
        self._check(reader)
        self._forget()
        damaged = {one.file.path: one.error for one in reader.readings if one.error}
        staged = self._stage(refusals, folder / "rows", set(damaged))
        self._commit(build, staged, refusals.close(), damaged)
        self._account(reader, refusals)
        self._record(reader, refusals, damaged)
        shutil.rmtree(folder, ignore_errors=True)

    def _check(self, reader: LineReader) -> None:
        """Table ``checked``: every line with its day, its values and the reason against it."""
        import pyarrow as pa

        batches = reader.batches(1 << 62)
        self.db.register("lines", pa.RecordBatchReader.from_batches(schema(), batches))
        places = [
            (file.file_id, day.day, place)
            for place, (file, day) in enumerate(
                (file, day) for day in self.days for file in day.files
            )
        ]
        columns = list(zip(*places, strict=True))
        self.db.register(
            "day_of_file",
            pa.table(
                [
                    pa.array(columns[0], pa.int64()),
                    pa.array(columns[1], pa.date32()),
                    pa.array(columns[2], pa.int64()),
                ],
                names=["file_id", "day", "place"],
            ),
        )
        source = self.days[0].table
        rows = rows_sql(
            source, self.target, "(SELECT * FROM lines JOIN day_of_file USING (file_id))"
        )
        self.db.execute(f"CREATE OR REPLACE TEMP TABLE checked AS {rows}")
        self.db.unregister("lines")

    def _forget(self) -> None:
        """Take the rows of learners on the erasure list out of ``checked``."""
        people = person_columns(self.columns)
        condition = self.erasures.condition(self.db, "SELECT * FROM checked", *people)
        found = self.db.execute(
            f"SELECT file_id, count(*) FROM checked WHERE {condition} GROUP BY 1"
        ).fetchall()
        self.forgotten.update({int(file): int(count) for file, count in found})
        self.db.execute(f"DELETE FROM checked WHERE {condition}")

    def _stage(
        self, refusals: rejects.RejectsFile, folder: Path, damaged: set[str]
    ) -> list[StagedFile]:
        """Files of the good rows by day; refused lines and second rows of a key are counted."""
        names = [name for name in self.columns if name != "day"]
        listed = ", ".join(f'"{name}"' for name in names)
        grain = ", ".join(f'"{name}"' for name in dict.fromkeys(("day", *self.target.grain)))
        self.db.execute(
            "CREATE OR REPLACE TEMP TABLE placed AS SELECT *, "
            f"row_number() OVER key AS nth, first_value(row({listed})) OVER key AS kept "
            "FROM (SELECT checked.*, place FROM checked JOIN day_of_file USING (file_id, day)) "
            "WHERE reason IS NULL "
            f"WINDOW key AS (PARTITION BY {grain} ORDER BY place, line_no)"
        )
        twin = f"nth > 1 AND row({listed}) IS NOT DISTINCT FROM kept"
        found = self.db.execute(
            f"SELECT file_id, count(*) FROM placed WHERE {twin} GROUP BY 1"
        ).fetchall()
        self.duplicates.update({int(file): int(count) for file, count in found})
        found_bad = self.db.execute(
            "SELECT file_id, line_no, reason, line FROM checked WHERE reason IS NOT NULL UNION ALL "
            "SELECT file_id, line_no, 'another row has the same key', line FROM placed "
            f"WHERE nth > 1 AND NOT ({twin}) ORDER BY 1, 2"
        )
        while rows := found_bad.fetchmany(1000):
            for file, line, reason, text in rows:
                raw = text.removesuffix("\n").encode()
                refusals.append(Refused(file, line, reason, raw))
                self.report.first.setdefault(reason, f"{self.paths[file]}:{line}")
        bad = [day.day for day in self.days if damaged & {file.path for file in day.files}]
        whole = " AND ".join(["nth = 1", *(f"day <> DATE '{day}'" for day in bad)])
        sql = f"SELECT day, {listed} FROM placed WHERE {whole} ORDER BY day"
        return copy_by_day(self.db, sql, folder)[0]

    def _commit(
        self,
        build: str,
        staged: Sequence[StagedFile],
        refused: Sequence[StagedFile],
        damaged: Mapping[str, str | None],
    ) -> None:
        before = self.lake.snapshot(self.target.name)
        fates = self._fates(staged, set(damaged))
        if refused:
            self.lake.commit(
                rejects.TABLE, refused, columns=rejects.COLUMNS, by_day=True, build=build,
                fingerprint=f"{IMPORTED}0", note={"reading": self.reading},
            )  # fmt: skip
        taken = {day for day, fate in fates.items() if fate in (Fate.IMPORTED, Fate.REPLACED)}
        old = [file for file in before.files if file.day in taken]
        new = [file for file in staged if file.day in taken]
        if new or old:
            self.lake.commit(
                self.target.name, new, columns=self.columns, by_day=True, build=build,
                fingerprint=IMPORTED, replace=old,
                note={"imported": self.report.table, "reading": self.reading},
            )  # fmt: skip
        self.report.rows += sum(file.rows for file in new)
        self.report.days.update(fates)

    def _fates(self, staged: Sequence[StagedFile], damaged: set[str]) -> dict[date, Fate]:
        before = self.lake.snapshot(self.target.name)
        imported = before.imported()
        rows: Counter[date] = Counter()
        for file in before.files:
            if file.day is not None:
                rows[file.day] += file.rows
        new_rows: Counter[date] = Counter()
        for new_file in staged:
            assert new_file.day is not None
            new_rows[new_file.day] += new_file.rows
        days = {day.day for day in self.days}
        old = self.engine.digest(before.relation(days)) if before.exists else {}
        paths = tuple(str(file.path) for file in staged)
        new = self.engine.digest(Relation(paths, self.columns, by_day=True)) if paths else {}
        fates = {}
        for day in self.days:
            on = day.day
            if damaged & {file.path for file in day.files}:
                fates[on] = Fate.FAILED
            elif rows[on] and on not in imported:
                fates[on] = Fate.RAW if rows[on] >= new_rows[on] else Fate.IMPORTED
            elif old.get(on) == new.get(on):
                fates[on] = Fate.UNCHANGED if on in imported else Fate.IMPORTED
            else:
                fates[on] = Fate.REPLACED if on in imported else Fate.IMPORTED
        return fates

    def _account(self, reader: LineReader, refusals: rejects.RejectsFile) -> None:
        report = self.report
        for one in reader.readings:
            key = one.file.file_id
            report.lines += one.lines
            report.rejects += refusals.counts[key]
            report.duplicates += self.duplicates[key]
            report.forgotten += self.forgotten[key] + refusals.forgotten[key]
            if one.error:
                report.errors[one.file.path] = one.error
        report.kept = report.lines - report.duplicates - report.rejects - report.forgotten
        report.reasons += refusals.reasons

    def _record(
        self,
        reader: LineReader,
        refusals: rejects.RejectsFile,
        damaged: Mapping[str, str | None],
    ) -> None:
        snapshot = self.lake.snapshot(self.target.name)
        days = [day.day for day in self.days if self.report.days[day.day] is not Fate.FAILED]
        ours = [imported_partition(snapshot, day) for day in days if day in snapshot.imported()]
        rows = [
            FileRow(
                path=one.file.path,
                file_id=one.file.file_id,
                source=SOURCE,
                size=one.file.size,
                mtime_ns=one.file.mtime_ns,
                etag=None,
                lines=one.lines,
                kept=one.lines - self.duplicates[key] - refusals.counts[key] - forgotten,
                duplicates=self.duplicates[key],
                rejects=refusals.counts[key],
                build=self.reading,
                error=one.error,
                read_at=utcnow(),
                forgotten=forgotten,
            )
            for one in reader.readings
            for key in (one.file.file_id,)
            for forgotten in (self.forgotten[key] + refusals.forgotten[key],)
            if one.lines or not one.error
        ]
        with self.site.state.begin() as conn:
            record_partitions(conn, ours)
            for day in days:
                one_day = Interval(day, date.fromordinal(day.toordinal() + 1))
                mark_covered(conn, coverage_of(self.target.name), one_day)
            record_files(conn, rows)
