"""Ingest: tracking logs → ``events``, ``event_answers`` and ``rejects``, each line exactly once.

Order of every batch: files → Delta commits (events last) → manifest. A crash in between costs a
second reading of the same files, whose lines are then found in the lake (design §3.3).
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from studium.clock import Interval, today, utcnow
from studium.engines import Relation, StagedFile
from studium.engines.duckdb import connect, explain, relation_sql
from studium.errors import EngineError, SourceError
from studium.lake.compact import compact_days
from studium.lake.erasures import read_erasures
from studium.lake.store import Lake
from studium.s3 import is_s3
from studium.site import Site
from studium.sources.edx import answers, rejects, shred
from studium.sources.edx.course_keys import check_grammar
from studium.sources.edx.erasure import drop_forgotten
from studium.sources.edx.files import DateInName, SourceFile, find_files, look_back, select_files
from studium.sources.edx.lines import LineReader, Reading
from studium.sources.edx.merge import Fates, find_gone, slab_days
from studium.sources.edx.reshred import fingerprint
from studium.sources.edx.staging import Days, load_slab, write_days, write_slab
from studium.state.counters import next_build
from studium.state.coverage import mark_covered
from studium.state.manifest import FileRow, known_files, record_files

if TYPE_CHECKING:
    import duckdb

SOURCE = "edx"
EVENTS = "events"
ANSWERS = "event_answers"
BATCH_LINES = 4_000_000
_COMPACTED = (EVENTS, ANSWERS, rejects.TABLE)


@dataclass(frozen=True)
class FileReport:
    """One file that was read: ``lines`` = ``kept`` + ``duplicates`` + ``rejects`` + ``forgotten``
    (of learners whom ``studium forget`` erased); of those kept, ``new`` were not in the lake
    before. ``error`` tells why it could not be read to its end."""

    path: str
    lines: int
    kept: int
    new: int
    duplicates: int
    rejects: int
    error: str | None
    forgotten: int = 0


@dataclass(frozen=True)
class IngestReport:
    """What one ingest did. ``unchanged`` files were known and not read again."""

    interval: Interval
    files: tuple[FileReport, ...] = ()
    unchanged: int = 0
    outside: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def lines(self) -> int:
        return sum(file.lines for file in self.files)

    @property
    def rejects(self) -> int:
        return sum(file.rejects for file in self.files)

    @property
    def new(self) -> int:
        return sum(file.new for file in self.files)

    @property
    def failed(self) -> list[FileReport]:
        return [file for file in self.files if file.error]


@dataclass(frozen=True)
class Choice:
    """Which of the files that the sources name are to be read, and why not the others."""

    files: list[SourceFile]
    unchanged: int
    outside: int


def choose_files(site: Site, sources: Sequence[str], interval: Interval, lookback: int) -> Choice:
    """New and changed files for ``interval``, and those of the last ``lookback`` days anyway."""
    edx = site.settings.edx
    naming = DateInName(edx.date_pattern, edx.date_format, edx.window_days)
    found = find_files(sources, site.waits)
    _refuse_own_files(site, found)
    wanted = select_files(found, interval, naming)
    again = select_files(wanted, look_back(interval, lookback), naming) if lookback else []
    with site.state.read() as conn:
        known = known_files(conn, SOURCE)

    def is_new(file: SourceFile) -> bool:
        row = known.get(file.path)
        now = (file.size, file.mtime_ns, file.etag)
        return row is None or (row.size, row.mtime_ns, row.etag) != now

    forced = {file.path for file in again}
    files = [file for file in wanted if file.path in forced or is_new(file)]
    return Choice(files, len(wanted) - len(files), len(found) - len(wanted))


def _refuse_own_files(site: Site, found: Sequence[SourceFile]) -> None:
    lake = site.lake_dir
    places = (lake if isinstance(lake, Path) else lake.address, site.cache, site.scratch)
    own = tuple(f"{place}/" for place in places)
    for file in found:
        path = file.path if is_s3(file.path) else os.path.realpath(file.path)
        if path.startswith(own):
            raise SourceError(
                f"{file.path} is one of the site's own files, not a log.",
                "Name a folder that holds logs only, with --source or as edx.source.",
            )


def ingest(
    site: Site,
    lake: Lake,
    choice: Choice,
    interval: Interval,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> IngestReport:
    """Read the chosen files into the lake. Needs the site's writer lock."""
    check_grammar()
    shutil.rmtree(site.scratch, ignore_errors=True)
    report = IngestReport(interval, unchanged=choice.unchanged, outside=choice.outside)
    if choice.files:
        report = _Ingest(site, lake, choice, on_bytes).run(report)
    shutil.rmtree(site.scratch, ignore_errors=True)
    # A day that is not over yet is not covered, however well it was read.
    covered = Interval(interval.since, max(interval.since, min(interval.until, today())))
    if not report.failed:
        with site.state.begin() as conn:
            mark_covered(conn, SOURCE, covered)
    return report


class _Ingest:
    """One run over files; the state between its batches."""

    def __init__(
        self, site: Site, lake: Lake, choice: Choice, on_bytes: Callable[[int], None]
    ) -> None:
        self.site, self.lake = site, lake
        self.reader = LineReader(
            choice.files, site.settings.edx.max_line_bytes, on_bytes, waits=site.waits
        )
        self.days = Days(site.settings.site.start, today() + timedelta(days=1))
        self.paths = {file.file_id: file.path for file in choice.files}
        self.fates = Fates()
        self.erasures = read_erasures(lake)
        self.forgotten: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()
        self.reasons: Counter[str] = Counter()
        self.recorded: list[FileReport] = []
        with site.state.begin() as conn:
            self.reading = next_build(conn, lake.next_number())
        # The next lines of a log that is followed belong to the same reading of it.
        earlier = [file.earlier for file in choice.files if file.earlier]
        if earlier:
            self.reading = earlier[0].build

    def run(self, report: IngestReport) -> IngestReport:
        import duckdb

        engine = self.site.settings.engine
        db = connect(
            engine.memory,
            engine.threads,
            self.site.scratch / "spill",
            flush_rows=60_000,
            open_files=100,
        )
        try:
            while not self.reader.exhausted:
                self._batch(db)
            if self.reader.stopped is not None:
                raise self.reader.stopped
            for name in _COMPACTED:
                compact_days(
                    self.lake, name, self.site.settings.run.compact_after, db, self.site.scratch
                )
        except duckdb.Error as error:
            raise EngineError(
                f"reading logs stopped: {explain(error)}.",
                "Batches that were committed stay; make room on the disk or raise engine.memory, "
                "then run the command again.",
            ) from error
        finally:
            db.close()
        return IngestReport(
            report.interval,
            tuple(self.recorded),
            report.unchanged,
            report.outside,
            self.reasons,
        )

    def _batch(self, db: duckdb.DuckDBPyConnection) -> None:
        with self.site.state.begin() as conn:
            build = next_build(conn)
        folder = self.site.scratch / build
        refusals = rejects.RejectsFile(
            folder / "rejects.parquet", self.reading, self.paths, self.erasures
        )
        self.reader.refused = refusals
        new = self._events(db, refusals, folder / "events")
        refused_files = refusals.close()
        parts = self._answers(db, {file.day for file in new if file.day}, folder / "answers")
        note = {"reading": self.reading}
        for name, files, columns in (
            (rejects.TABLE, refused_files, rejects.COLUMNS),
            (ANSWERS, parts, answers.COLUMNS),
            (EVENTS, new, shred.COLUMNS),
        ):
            if files or not self.lake.snapshot(name).exists:
                self.lake.commit(
                    name,
                    files,
                    columns=columns,
                    by_day=True,
                    build=build,
                    fingerprint=fingerprint(),
                    note=note,
                )
        self.forgotten += refusals.forgotten
        self.refused += refusals.counts
        self.reasons += refusals.reasons
        self._record()
        self.lake.place.release()
        shutil.rmtree(folder, ignore_errors=True)

    def _events(
        self, db: duckdb.DuckDBPyConnection, refusals: rejects.RejectsFile, folder: Path
    ) -> list[StagedFile]:
        """Stage new events of up to ``BATCH_LINES`` lines; their answers go to table ``parts``."""
        kinds = ", ".join(f"{name} {kind}" for name, kind in answers.COLUMNS.items())
        db.execute(f"CREATE OR REPLACE TABLE parts (day DATE, {kinds})")
        lake = self.lake.snapshot(EVENTS)
        staged: list[StagedFile] = []
        lines = slabs = 0
        while lines < BATCH_LINES and not self.reader.exhausted:
            lines += load_slab(db, self.reader, refusals, self.days, BATCH_LINES - lines)
            self.forgotten += drop_forgotten(db, self.erasures)
            days = slab_days(db)
            before = [str(file.path) for file in staged if file.day in days]
            order = [reading.file.file_id for reading in self.reader.readings]
            fates = find_gone(db, [*lake.relation(days).files, *before], order)
            files = write_slab(db, folder, "gone", f"{slabs}")
            new = "SELECT * FROM slab ANTI JOIN gone USING (file_id, line_no) WHERE day IS NOT NULL"
            db.execute(f"INSERT INTO parts {answers.answers_sql(f'({new})')}").fetchall()
            if sum(file.rows for file in files) != fates.new.total():
                raise AssertionError(f"{fates} of these events, other rows in {files}")
            self.fates.add(fates)
            staged += files
            slabs += 1
        db.execute("DROP TABLE IF EXISTS slab; DROP TABLE IF EXISTS gone")
        return staged

    def _answers(
        self, db: duckdb.DuckDBPyConnection, days: set[date], folder: Path
    ) -> list[StagedFile]:
        if not days:
            return []
        known = self.lake.snapshot(ANSWERS).relation(days)
        if known.files:  # an earlier attempt may have got as far as the answers
            ids = relation_sql(Relation(known.files, {"event_id": "BLOB"}, by_day=True))
            db.execute(f"DELETE FROM parts WHERE event_id IN (SELECT event_id FROM ({ids}))")
        return write_days(db, "parts", answers.COLUMNS, folder)

    def _record(self) -> None:
        """Into the manifest: the files that have been read to their end by now."""
        done = [reading for reading in self.reader.readings if reading.done]
        fresh = done[len(self.recorded) :]
        reports = [self._report(reading) for reading in fresh]
        rows = [
            _with_earlier(
                reading.file.earlier,
                FileRow(
                    path=reading.file.path,
                    file_id=reading.file.file_id,
                    source=SOURCE,
                    size=reading.file.size,
                    mtime_ns=reading.file.mtime_ns,
                    etag=reading.file.etag,
                    lines=report.lines,
                    kept=report.kept,
                    duplicates=report.duplicates,
                    rejects=report.rejects,
                    forgotten=report.forgotten,
                    build=self.reading,
                    error=report.error,
                    read_at=utcnow(),
                ),
            )
            for reading, report in zip(fresh, reports, strict=True)
            # A file that could not even be opened is tried again next time.
            if (reading.lines or not reading.error) and not reading.again
        ]
        with self.site.state.begin() as conn:
            record_files(conn, rows)
        self.recorded += reports

    def _report(self, reading: Reading) -> FileReport:
        key = reading.file.file_id
        report = FileReport(
            path=reading.file.path,
            lines=reading.lines - (reading.file.earlier.lines if reading.file.earlier else 0),
            kept=self.fates.new[key] + self.fates.again[key],
            new=self.fates.new[key],
            duplicates=self.fates.duplicates[key],
            rejects=self.refused[key],
            error=reading.error,
            forgotten=self.forgotten[key],
        )
        known = report.kept + report.duplicates + report.rejects + report.forgotten
        if report.lines != known:
            raise AssertionError(f"lines were lost or made up: {report}")
        return report


def _with_earlier(earlier: FileRow | None, row: FileRow) -> FileRow:
    """The row of a log that is followed: all its lines so far."""
    if earlier is None:
        return row
    counts = ("lines", "kept", "duplicates", "rejects", "forgotten")
    sums = {name: getattr(earlier, name) + getattr(row, name) for name in counts}
    return replace(row, **sums)
