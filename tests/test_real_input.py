"""Real logs and today's event shapes through ``studium run``: every line is accounted for.

The counts it is held against are those of ``zcat``, ``wc`` and plain Python; the rows those of the
reference (``tests/edx_reference.py``). The accounting of ingest by itself: ``test_accounting``.
"""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import studium
from studium.cli import main
from studium.clock import today
from studium.engines.duckdb import connect, relation_sql
from studium.errors import DONE
from studium.lake.store import Lake
from tests import edx_reference as reference
from tests.edx_reference import Row

Run = Callable[..., Any]
LOGS = {
    "tracking.log-20130609.gz": 6460,
    "user_activity_tracking.log": 207,
    "location_by_course_tracking.log": 74,
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command on a new site; what it prints as JSON."""
    monkeypatch.delenv("STUDIUM_SITE", raising=False)
    studium.init(tmp_path / "site").close()

    def run(*arguments: object) -> Any:
        words = ["studium", "--site", str(tmp_path / "site"), *map(str, arguments), "--json"]
        monkeypatch.setattr(sys, "argv", words)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        assert (stopped.value.code, captured.err) == (DONE, "")
        return json.loads(captured.out)

    return run


def text_of(path: Path) -> bytes:
    command = ["zcat" if path.suffix == ".gz" else "cat", str(path)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def check(site: Path, path: Path, told: dict[str, Any]) -> None:
    """What the lake has of a file's lines is what the reference makes of them, field by field."""
    lines = text_of(path).decode().splitlines()
    counted = subprocess.run(["wc", "-l"], input=text_of(path), capture_output=True, check=True)
    assert told["lines"] == len(lines) >= int(counted.stdout)
    expected = [reference.shred(line, date(2012, 1, 1), today()) for line in lines]
    events = Lake(site / "lake").snapshot("events").relation()
    from studium.sources.edx.files import file_id

    with closing(connect(threads=1)) as db:
        rows = db.sql(
            f"SELECT * FROM ({relation_sql(events)}) WHERE file_id = {file_id(str(path))}"
        )
        found: dict[int, Row] = {row["line_no"]: row for row in rows.to_arrow_table().to_pylist()}
    good = {number for number, row in enumerate(expected, 1) if not isinstance(row, str)}
    assert told["rejects"] == len(lines) - len(good)
    assert told["kept"] == len(found)
    assert told["duplicates"] == len(good) - len(found)
    assert found.keys() <= good
    for number, row in found.items():
        wanted = expected[number - 1]
        assert isinstance(wanted, dict)
        wrong = {k: (row[k], v) for k, v in wanted.items() if not reference.same(row[k], v)}
        assert wrong == {}, lines[number - 1]


@pytest.mark.parametrize(
    "name", [next(iter(LOGS)), *(pytest.param(one, marks=pytest.mark.long) for one in [*LOGS][1:])]
)
def test_a_real_log(shared: Path, run: Run, tmp_path: Path, name: str) -> None:
    # Copied, as one file at a time is looked at and a duplicate in another is none here.
    path = Path(shutil.copy(shared / "edx-logs" / name, tmp_path))
    report = run("run", "--source", path, "--since", "2012-01-01", "--until", "2016-01-01")
    (told,) = report["files"]
    assert told["lines"] == LOGS[name]
    check(tmp_path / "site", path, told)
    assert report["published"]
    again = run("run", "--source", path, "--since", "2012-01-01", "--until", "2016-01-01")
    assert (again["files"], again["built"], again["published"]) == ([], [], [])


def test_answers_of_a_real_log(shared: Path, run: Run, tmp_path: Path) -> None:
    """The course of specs/edx-activity-video-answers §8 that this log has, too."""
    path = shared / "edx-logs" / "user_activity_tracking.log"
    run("run", "answers", "--source", path, "--since", "2014-01-01", "--until", "2015-01-01")
    with closing(sqlite3.connect(tmp_path / "site" / "results.db")) as db:
        found = db.execute(
            "SELECT count(*), sum(first_response_count), sum(last_response_count), "
            "count(DISTINCT module_id), count(DISTINCT part_id) FROM answer_distribution "
            "WHERE course_id = 'course-v1:edX+DemoX+Test_2014'"
        ).fetchall()
        names = db.execute("SELECT DISTINCT problem_display_name FROM answer_distribution")
        shown = {name for (name,) in names}
    assert found == [(3, 2, 2, 2, 2)]
    # What is left out: an imageresponse, and a part without a type.
    assert not {"Pointing on a Picture", "Chemical Equations"} & shown
    assert "Mathematical Expressions" in shown


def test_the_events_that_open_edx_emits_today(shared: Path, run: Run, tmp_path: Path) -> None:
    documents = [
        json.loads(path.read_text("utf-8")) for path in sorted((shared / "edx-events").iterdir())
    ]
    path = tmp_path / "today.log"
    path.write_text("".join(f"{json.dumps(document)}\n" for document in documents), "utf-8")
    (told,) = run("run", "--source", path)["files"]
    assert told["lines"] == len(documents) > 80
    check(tmp_path / "site", path, told)
