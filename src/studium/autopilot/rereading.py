"""Days of the lake against the raw files: the lines are read anew, into a lake of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from studium.autopilot.checks import table_cure
from studium.autopilot.verification import Verification, Wrong
from studium.clock import Interval
from studium.engines import Relation, StagedFile
from studium.engines.duckdb import connect, explain, relation_sql
from studium.errors import EngineError
from studium.lake.erasures import COLUMNS as ERASED
from studium.lake.erasures import TABLE as ERASURES
from studium.lake.retention import dropped_days
from studium.lake.store import Lake
from studium.s3 import is_s3
from studium.settings.model import LakeSettings, StateSettings
from studium.site import Site
from studium.sources.edx import answers, rejects, shred
from studium.sources.edx.files import DateInName, SourceFile, select_files
from studium.sources.edx.ingest import ANSWERS, EVENTS, SOURCE, Choice, ingest
from studium.sources.edx.positions import GONE, look_for
from studium.sources.edx.reshred import stale_days
from studium.state.manifest import FileRow, known_files

if TYPE_CHECKING:
    import duckdb

_OWN = ("event_id", "file_id", "line_no", "shredder")  # the key, and what may differ


@dataclass(frozen=True)
class _Log:
    """A raw file to read; ``changed`` since it was, so that only what is in both counts."""

    file: SourceFile
    lines: int
    changed: bool


def check_raw(site: Site, lake: Lake, report: Verification, folder: Path) -> None:
    """Read the raw files of the chosen days anew and compare ``events`` and ``event_answers``."""
    import duckdb

    days = _days(lake, report)
    if not days:
        return
    settings = site.settings.engine
    with closing(connect(settings.memory, settings.threads or None, folder / "spill")) as db:
        try:
            logs = _logs(site, lake, db, days, report)
            if logs:
                again = _read(site, lake, logs, days, folder, report)
                _compare(db, lake, again, days, logs, report)
        except duckdb.Error as error:
            raise EngineError(
                f"comparing with the raw files stopped: {explain(error)}.",
                "Verify fewer --days at a time, or make room where temporary files go (TMPDIR).",
            ) from error


def _days(lake: Lake, report: Verification) -> list[date]:
    """The chosen days that can be compared."""
    before = dropped_days(lake).get(EVENTS, date.min)
    old = set(stale_days(lake.snapshot(EVENTS)))
    left: dict[str, list[date]] = {}
    for day in report.days:
        why = ""
        if day < before:
            why = "retention dropped them"
        elif day in old:
            why = "shredded by an older version, which the next ingest does anew"
        elif report.damaged(EVENTS, [day]) or report.damaged(ANSWERS, [day]):
            why = "their files are damaged"
        elif report.damaged(ERASURES) or report.damaged(rejects.TABLE):
            why = "the lists of refused lines or of the forgotten are damaged"
        left.setdefault(why, []).append(day)
    days = left.pop("", [])
    for why, passed in left.items():
        report.notes.append(f"events: {len(passed):,} of the days not read anew: {why}.")
    return days


def _logs(
    site: Site, lake: Lake, db: duckdb.DuckDBPyConnection, days: Sequence[date],
    report: Verification,
) -> list[_Log]:  # fmt: skip
    """The files that lines of these days came from, and those that by their name may have some."""
    rows = relation_sql(lake.snapshot(EVENTS).relation(days))
    ids = {one for (one,) in db.execute(f"SELECT DISTINCT file_id FROM ({rows})").fetchall()}
    with site.state.read() as conn:
        known = known_files(conn, SOURCE)
    edx = site.settings.edx
    naming = DateInName(edx.date_pattern, edx.date_format, edx.window_days)
    every = [SourceFile(row.path, row.size, row.mtime_ns, row.etag) for row in known.values()]
    wanted = {
        file.path
        for day in days
        for file in select_files(every, Interval(day, day + timedelta(days=1)), naming)
    } | {path for path, row in known.items() if row.file_id in ids}
    unknown = ids - {row.file_id for row in known.values()}
    if unknown:
        report.notes.append(
            f"{len(unknown):,} raw files are not in the manifest: their lines are not read anew."
        )
    logs = []
    for path in sorted(wanted):
        log = _look(site, known[path], report)
        if log is not None:
            logs.append(log)
    return logs


def _look(site: Site, row: FileRow, report: Verification) -> _Log | None:
    place = look_for(row, site.waits)
    if place.trouble == GONE:
        report.notes.append(f"{place}: gone; its lines are not read anew.")
        return None
    if is_s3(row.path):
        changed = bool(place.trouble)
        if changed:  # another object under the name; there is no reading of what was
            report.notes.append(f"{place}: {place.trouble}; its lines are not read anew.")
            return None
        return _Log(SourceFile(row.path, row.size, None, row.etag), row.lines, False)
    status = os.stat(row.path)
    changed = (status.st_size, status.st_mtime_ns) != (row.size, row.mtime_ns)
    return _Log(SourceFile(row.path, status.st_size, status.st_mtime_ns), row.lines, changed)


def _read(
    site: Site, lake: Lake, logs: Sequence[_Log], days: Sequence[date], folder: Path,
    report: Verification,
) -> Lake:  # fmt: skip
    """Ingest the files into a new lake, which keeps the same learners out."""
    root = folder / "site"
    root.mkdir()
    settings = site.settings.model_copy(update={"state": StateSettings(), "lake": LakeSettings()})
    with Site(root, settings, {}) as scratch:
        made = Lake(root / "lake")
        erased = lake.snapshot(ERASURES)
        if erased.rows:
            (path,) = erased.paths(erased.files)
            copy = Path(shutil.copy(path, folder / "erasures.parquet"))
            made.commit(
                ERASURES, [StagedFile(copy, None, erased.rows, copy.stat().st_size)],
                columns=ERASED, by_day=False, build="00000001-000000", fingerprint=ERASURES,
            )  # fmt: skip
        choice = Choice([log.file for log in logs], 0, 0)
        done = ingest(scratch, made, choice, Interval(min(days), max(days) + timedelta(days=1)))
    report.raw_files += len(done.files)
    for file in done.failed:
        report.notes.append(f"{file.path}: {file.error}; read as far as it goes.")
    return made


def _compare(
    db: duckdb.DuckDBPyConnection,
    lake: Lake,
    again: Lake,
    days: Sequence[date],
    logs: Sequence[_Log],
    report: Verification,
) -> None:
    import pyarrow as pa

    read = pa.table(
        {
            "file_id": pa.array([log.file.file_id for log in logs], pa.int64()),
            "lines": pa.array([log.lines for log in logs], pa.int64()),
            "changed": pa.array([log.changed for log in logs], pa.bool_()),
        }
    )
    db.register("read", read)
    for side, source in (("here", lake), ("there", again)):
        for name, columns in ((EVENTS, shred.COLUMNS), (ANSWERS, answers.COLUMNS)):
            files = source.snapshot(name).relation(days).files
            rows = relation_sql(Relation(files, columns, by_day=True))
            db.execute(f"CREATE VIEW {name}_{side} AS {rows}")
    refused = relation_sql(
        Relation(lake.snapshot(rejects.TABLE).relation().files, rejects.COLUMNS, by_day=True)
    )
    db.execute(f"CREATE VIEW refused AS {refused}")
    ((count,),) = db.execute(
        f"SELECT count(*) FROM {EVENTS}_here SEMI JOIN read USING (file_id)"
    ).fetchall()
    report.events += count
    snapshot = lake.snapshot(EVENTS)
    restore = table_cure(snapshot)
    for found, sql, cure in (
        ("rows that the raw files do not have", _MISSING, restore),
        ("events of the raw files that are missing", _LOST, _READ_AGAIN),
        ("rows that differ from their lines", _events_differ(), restore),
    ):
        _report(db, report, EVENTS, found, sql, cure)
    _report(db, report, ANSWERS, "rows that differ from their lines", _answers_differ(), restore)
    ((unclear,),) = db.execute(f"SELECT coalesce(sum(n), 0) FROM ({_UNCLEAR})").fetchall()
    if unclear:
        report.notes.append(
            f"{unclear:,} events are not in their raw files any more, which have changed since."
        )


_READ_AGAIN = (
    "Run `studium run --lookback 100000`: it reads the logs again and adds what is missing."
)

_MISSING = f"""
SELECT day, count(*) AS n FROM {EVENTS}_here
SEMI JOIN (SELECT file_id FROM read WHERE NOT changed) USING (file_id)
ANTI JOIN {EVENTS}_there USING (event_id) GROUP BY day"""

_UNCLEAR = f"""
SELECT day, count(*) AS n FROM {EVENTS}_here
SEMI JOIN (SELECT file_id FROM read WHERE changed) USING (file_id)
ANTI JOIN {EVENTS}_there USING (event_id) GROUP BY day"""

# Not: lines that came later, and those that were refused when they were read (of days that were
# not plausible yet).
_LOST = f"""
SELECT day, count(*) AS n FROM {EVENTS}_there AS t
JOIN read ON read.file_id = t.file_id AND t.line_no <= read.lines AND NOT read.changed
ANTI JOIN {EVENTS}_here AS h ON h.event_id = t.event_id
ANTI JOIN refused ON refused.file_id = t.file_id AND refused.line_no = t.line_no
GROUP BY day"""


def _events_differ() -> str:
    return f"""
SELECT h.day, count(*) AS n FROM {EVENTS}_here AS h JOIN {EVENTS}_there AS t USING (event_id)
WHERE h.day <> t.day OR {_differ([name for name in shred.COLUMNS if name not in _OWN])}
GROUP BY h.day"""


def _answers_differ() -> str:
    """Of events that both have: those of others are told of above."""
    both = f"SELECT event_id FROM {EVENTS}_here SEMI JOIN {EVENTS}_there USING (event_id)"
    return f"""
SELECT coalesce(h.day, t.day) AS day, count(*) AS n
FROM (FROM {ANSWERS}_here SEMI JOIN ({both}) USING (event_id)) AS h
FULL JOIN (FROM {ANSWERS}_there SEMI JOIN ({both}) USING (event_id)) AS t
  ON h.event_id = t.event_id AND h.part_id = t.part_id
WHERE h.event_id IS NULL OR t.event_id IS NULL OR {_differ([*answers.COLUMNS])}
GROUP BY 1"""


def _differ(names: Sequence[str]) -> str:
    return " OR ".join(f'h."{name}" IS DISTINCT FROM t."{name}"' for name in names)


def _report(
    db: duckdb.DuckDBPyConnection, report: Verification, table: str, found: str, sql: str,
    cure: str,
) -> None:  # fmt: skip
    counts: Mapping[date, int] = dict(db.execute(sql).fetchall())
    for day, count in sorted(counts.items()):
        report.wrong.append(Wrong("raw", table, day, count, f"{found}: {count:,}", cure))
