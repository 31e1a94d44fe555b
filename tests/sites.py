"""Small sites for tests: lines of a log, the main job in this process, and all that a site holds.

Days are numbered from ``FIRST``; ``END`` is the day after the last.
"""

import gzip
import json
import shutil
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from duckdb import DuckDBPyConnection

import studium
from studium.autopilot import steps
from studium.clock import Interval
from studium.engines import Engine, duckdb
from studium.lake.build import Built
from studium.lake.plan import Scope
from studium.lake.store import Lake
from studium.lake.tables import Table
from studium.lake.vacuum import vacuum_tables
from studium.results.publication import Published
from studium.site import Site
from studium.sources.edx import ingest
from studium.sources.edx.ingest import IngestReport
from studium.sources.edx.rejects import current_rejects, drop_superseded
from tests.engines import shared_engine

FIRST = date(2025, 9, 1)
DAYS = 8
END = FIRST + timedelta(days=DAYS)
COURSE = "course-v1:Orion+A1+2025"
OTHER = "course-v1:Orion+B2+2025"

# A day table, the tables that are made of it, and a map table.
FEW = ("enrollment_discards", "course_enrollment_daily", "course_enrollment_mode_daily")
# Every kind there is: also a day table that looks at its neighbours, and a published one.
KINDS = (*FEW, "course_activity", "video", "learner_timeline")

# Which of two equal events was read first depends on the order of reading.
_POSITIONS = ("file_id", "line_no")


def day(number: int) -> date:
    """Day ``number`` of the tests' history."""
    return FIRST + timedelta(days=number)


def enrollment(
    learner: int,
    on: int,
    kind: str = "activated",
    mode: str = "audit",
    course: str = COURSE,
    second: int = 0,
) -> str:
    """A line of a log: an enrollment event on day ``on``."""
    name = f"edx.course.enrollment.{kind}"
    payload = {"course_id": course, "user_id": learner, "mode": mode}
    return _line(name, learner, on, course, payload, 3600 * 10 + second)


def video(learner: int, on: int, position: float = 0.0, second: int = 0) -> str:
    """A line of a log: ``play_video``, whose payload is JSON in a text."""
    payload = json.dumps({"id": "v1", "code": "html5", "currentTime": position, "duration": 60})
    return _line("play_video", learner, on, COURSE, payload, 3600 * 12 + second, "browser")


def pause(learner: int, on: int, position: float, second: int = 0) -> str:
    """A line of a log: ``pause_video`` of the same video."""
    payload = json.dumps({"id": "v1", "code": "html5", "currentTime": position})
    return _line("pause_video", learner, on, COURSE, payload, 3600 * 12 + second, "browser")


def answer(learner: int, on: int, second: int = 0, text: str = "x") -> str:
    """A line of a log: ``problem_check`` with two parts."""
    kind = {"response_type": "multiplechoiceresponse", "input_type": "choicegroup"}
    part = {"question": "?", "answer": text, **kind}
    payload = {
        "problem_id": "block-v1:Orion+A1+2025+type@problem+block@p",
        "answers": {"p_2_1": "choice_0", "p_3_1": "choice_1"},
        "submission": {"p_2_1": {**part, "correct": True}, "p_3_1": {**part, "correct": False}},
        "success": "incorrect",
        "attempts": 1,
        "grade": 1,
        "max_grade": 2,
    }
    return _line("problem_check", learner, on, COURSE, payload, 3600 * 14 + second)


def _line(
    name: str, learner: int, on: int, course: str, payload: object, second: int, by: str = "server"
) -> str:
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return json.dumps(
        {
            "name": name,
            "event_type": name,
            "event_source": by,
            "time": f"{day(on)}T{clock}.000000+00:00",
            "username": f"learner{learner}",
            "context": {"course_id": course, "org_id": "Orion", "user_id": learner},
            "event": payload,
            "ip": "192.0.2.1",
            "agent": "tests",
            "host": "lms",
            "session": "s",
            "page": None,
            "referer": "",
        }
    )


def write_log(
    folder: Path, on: int, lines: Sequence[str], part: str = "", zipped: bool = False
) -> Path:
    """A log file named for day ``on``; ``part`` tells several of a day apart."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"tracking.log-{day(on):%Y%m%d}{part}{'.gz' if zipped else ''}"
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text, 1) if zipped else text)
    return path


def write_history(folder: Path) -> None:
    """A week of a small course: learners come, change, leave; something is broken, much is late."""
    for on in range(5):
        lines = [enrollment(learner, on) for learner in range(10 * on + 1, 10 * on + 4)]
        lines.append(enrollment(10 * on + 1, on, "mode_changed", "verified", second=60))
        lines += [video(1, on), pause(1, on, 12.5, 40), answer(2, on), video(2, on)]
        if on:
            lines.append(enrollment(10 * on - 8, on, "deactivated"))
            lines.append(enrollment(10 * on - 9, on - 1, "deactivated", "verified", second=90))
            lines.append(pause(2, on, 30.0, -43_000))
        if on == 2:
            lines += ["{broken", "", lines[0]]
        write_log(folder, on, lines, zipped=on % 2 == 0)


def make_site(folder: Path, logs: Path | str, **settings: object) -> Path:
    """A site over ``logs``; ``settings`` are written with ``__`` for the dot."""
    given = {name.replace("__", "."): value for name, value in settings.items()}
    values = {"site.start": FIRST, "edx.source": [str(logs)], **given}
    studium.init(folder, values).close()
    return folder


@dataclass
class Done:
    """What one run of the main job did."""

    report: IngestReport | None = None
    built: list[Built] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)

    def work(self) -> dict[str, dict[date | None, str]]:
        """Table → partition → why it was built."""
        return {
            one.work.table.name: {on: why.value for on, why in one.work.reasons.items()}
            for one in self.built
        }


STEPS = ("ingest", "build", "publish")


def run_job(
    root: Path,
    tables: Sequence[Table] | None = None,
    since: date = FIRST,
    until: date = END,
    *,
    lookback: int = 0,
    asked: Collection[str] = (),
    only: Collection[str] = STEPS,
    **overrides: object,
) -> Done:
    """The main job, or the steps ``only``, as ``studium run`` does it."""
    given = {name.replace("__", "."): value for name, value in overrides.items()}
    window, done = Interval(since, until), Done()
    tables = few() if tables is None else tables
    with studium.open(root, {**given, "run.lookback": lookback}) as site, site.writer("test"):
        lake = Lake(site.lake_dir)
        if "ingest" in only:
            steps.lms_step(site, lake)
            done.report = steps.ingest_step(site, lake, window)
        if "build" in only:
            scope = Scope(window, lookback, frozenset(asked))
            done.built = steps.build_step(site, lake, tables, scope)
        if "publish" in only:
            done.published = steps.publish_step(site, lake, tables)
    return done


def few() -> list[Table]:
    """The tables in ``FEW`` with all that they read."""
    return steps.choose_tables(FEW)


def vacuum(root: Path) -> None:
    """``studium vacuum --keep-hours 0``."""
    with studium.open(root) as site, site.writer("vacuum"):
        lake = Lake(site.lake_dir)
        drop_superseded(site, lake)
        vacuum_tables(lake, 0, dry_run=False)
        shutil.rmtree(site.scratch, ignore_errors=True)


def open_lake(root: Path) -> Lake:
    """The lake of the site at ``root``, to read."""
    with studium.open(root) as site:
        return Lake(site.lake_dir)


def rows_of(root: Path, table: str) -> list[dict[str, Any]]:
    """A table's rows as an outside reader of Delta sees them, sorted, without positions."""
    return _rows(open_lake(root), table)


def _rows(lake: Lake, table: str) -> list[dict[str, Any]]:
    delta = lake.delta(table)
    found = [] if delta is None else delta.to_pyarrow_table().to_pylist()
    plain = [{k: v for k, v in row.items() if k not in _POSITIONS} for row in found]
    return sorted(plain, key=repr)


def published_rows(root: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All tables of the result store by name, and until when they reach, but not when made; empty
    if nothing was ever published."""
    with closing(sqlite3.connect(root / "results.db")) as db:
        names = [
            name
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not name.startswith("sqlite_")
        ]
        if not names:
            return {}
        names.remove("studium_published")
        found = {}
        for name in sorted(names):
            cursor = db.execute(f'SELECT * FROM "{name}" ORDER BY id')
            made = [column[0] for column in cursor.description].index("created")
            found[name] = [row[:made] + row[made + 1 :] for row in cursor]
        found["studium_published"] = db.execute(
            "SELECT table_name, data_until, row_count FROM studium_published ORDER BY 1"
        ).fetchall()
    return found


def contents(root: Path) -> dict[str, Any]:
    """All that a site holds: the lake, refused lines and the result store."""
    with studium.open(root) as site:
        lake = Lake(site.lake_dir)
        refused = current_rejects(site, lake).drop_columns(["day"]).to_pylist()
        # A table that has no rows yet need not be there.
        tables = {
            name: rows for name in lake.names() if name != "rejects" and (rows := _rows(lake, name))
        }
    return {"lake": tables, "rejects": refused, "published": published_rows(root)}


def broken_counts(site: Site) -> list[str]:
    """Files of the manifest whose lines are not all accounted for."""
    from studium.state.manifest import known_files

    with site.state.read() as conn:
        rows = known_files(conn, "edx").values()
    return [
        row.path
        for row in rows
        if row.lines != row.kept + row.duplicates + row.rejects + row.forgotten
    ]


class _Lent:
    """The session's engine, which a build may not close."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def close(self) -> None: ...


@contextmanager
def lent_engine() -> Iterator[None]:
    """Builds use one engine, as starting one takes longer than a small build."""
    engine = shared_engine("duckdb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "open_engine", lambda *_: _Lent(engine))
        yield


@contextmanager
def lent_database() -> Iterator[None]:
    """So do reading logs and publishing, if nothing else wants a database of its own."""
    with lent_engine(), pytest.MonkeyPatch.context() as patch:
        database = _shared_database()
        for module in (duckdb, ingest):
            patch.setattr(module, "connect", lambda *_, **__: database.cursor())
        yield


@cache
def _shared_database() -> DuckDBPyConnection:
    return duckdb.connect(threads=1)
