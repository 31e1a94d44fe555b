"""The learners lens in a site: what comes late counts, and whoever is forgotten is on no roster."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import studium
from studium.autopilot.forget import forget
from studium.autopilot.steps import choose_tables
from studium.cli import make_app
from studium.errors import UsageError
from studium.lake.store import Lake
from tests import sites
from tests.sites import COURSE, day, enrollment, rows_of, run_job

UNTIL = day(14)
PEOPLE = {1: "Ann Ås", 2: "Zebulon Quark", 3: "Cleo"}


@pytest.fixture(autouse=True, scope="module")
def _engine() -> Iterator[None]:
    with sites.lent_engine():
        yield


def lens() -> list[Any]:
    return choose_tables(["learners"])


def write_lms(folder: Path) -> None:
    folder.mkdir()
    users = "".join(f"{n},learner{n},learner{n}@example.org\n" for n in PEOPLE)
    (folder / "auth_user.csv").write_text(f"id,username,email\n{users}", "utf-8")
    rows = "".join(f"{n},{name},f\n" for n, name in PEOPLE.items())
    (folder / "auth_userprofile.csv").write_text(f"user_id,name,gender\n{rows}", "utf-8")


def make(folder: Path) -> Path:
    """A site over the logs and LMS tables beside it, wherever they are copied to."""
    return sites.make_site(folder, "../logs", lms__source="../lms")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with logs, LMS tables and a site that has run. Learner 1 was active in both weeks,
    2 in the first, 3 in none."""
    folder = tmp_path_factory.mktemp("learners")
    write_lms(folder / "lms")
    logs = folder / "logs"
    sites.write_log(logs, 0, [enrollment(n, 0) for n in PEOPLE])
    sites.write_log(logs, 2, [sites.video(1, 2), sites.video(2, 2)])
    sites.write_log(logs, 8, [sites.video(1, 8), sites.answer(1, 8)])
    run_job(make(folder / "site"), lens(), until=UNTIL)
    return folder


@pytest.fixture
def site(ran: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    shutil.copytree(ran, tmp_path, dirs_exist_ok=True)
    return tmp_path / "site"


def segments(site: Path) -> dict[int, str]:
    return {row["user_id"]: row["segments"] for row in rows_of(site, "course_learners")}


def published(site: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(site / "results.db")) as db:
        return db.execute(query).fetchall()


def test_weeks_are_refreshed_when_late_events_arrive(site: Path, tmp_path: Path) -> None:
    assert segments(site) == {1: "", 2: "disengaging", 3: "inactive"}
    # Nights later, in the file of another day.
    logs = tmp_path / "logs"
    sites.write_log(logs, 13, [sites.video(2, 9), sites.video(3, 3), sites.video(1, 9, 1.0)])
    done = run_job(site, lens(), until=UNTIL).work()
    assert set(done["module_engagement"]) == {day(3), day(9)}
    # 1 is not alone any more, and the only one who tried a problem.
    assert segments(site) == {1: "highly_engaged", 2: "", 3: "disengaging"}
    shown = published(site, "SELECT user_id, segments FROM module_engagement_roster")
    assert dict(shown) == segments(site)
    # And it is all as in a site that had them from the beginning.
    whole = make(tmp_path / "whole")
    run_job(whole, lens(), until=UNTIL)
    assert sites.contents(site) == sites.contents(whole)


def test_a_published_day_table_has_its_date_and_says_how_far_it_goes(site: Path) -> None:
    with closing(sqlite3.connect(site / "results.db")) as db:
        for name in ("module_engagement", "learner_timeline"):
            found = [row[1] for row in db.execute(f"PRAGMA table_info({name})")]
            assert "date" in found
            assert "day" not in found
    said = "SELECT data_until FROM studium_published WHERE table_name = 'module_engagement'"
    assert published(site, said) == [(f"{day(9)}",)]
    dates = published(site, "SELECT date, videos_viewed, problems_attempted FROM learner_timeline "
                            "WHERE username = 'learner1' ORDER BY date")  # fmt: skip
    assert dates == [(f"{day(2)}", 1, 0), (f"{day(8)}", 1, 1)]


def test_a_forgotten_learner_is_on_no_roster(site: Path) -> None:
    find = f"SELECT user_id FROM module_engagement_roster_terms WHERE course_id = '{COURSE}' " \
        "AND term = 'zebulon'"  # fmt: skip
    assert published(site, find) == [(2,)]
    with studium.open(site) as opened, opened.writer("forget"):
        (done,) = forget(opened, Lake(opened.lake_dir), "learner2", None)
    assert done.clean
    assert published(site, find) == []
    assert segments(site).keys() == {1, 3}
    left = [path for path in site.rglob("*") if path.is_file()
            for word in (b"ebulon", b"learner2") if word in path.read_bytes()]  # fmt: skip
    assert left == []
    for table in ("module_engagement", "learner_timeline", "module_engagement_roster"):
        names = f"SELECT count(*) FROM {table} WHERE username = 'learner2'"
        assert published(site, names) == [(0,)]


def test_names_need_not_be_published(site: Path) -> None:
    run_job(site, lens(), until=UNTIL, learners__roster="none")
    for table in ("module_engagement_roster", "module_engagement_roster_terms"):
        assert published(site, f"SELECT count(*) FROM {table}") == [(0,)]
    assert b"Zebulon" not in (site / "results.db").read_bytes()


def test_names_are_shown_to_those_who_ask_for_them(ran: Path) -> None:
    def say(*arguments: str) -> Any:
        return CliRunner().invoke(make_app(), ["--site", str(ran / "site"), *arguments])

    for table in ("module_engagement_roster", "module_engagement_roster_terms", "learner_terms"):
        refused = say("show", table)
        assert isinstance(refused.exception, UsageError)
        assert "--restricted" in str(refused.exception.hint)
        assert isinstance(say("why", table, "--where", "user_id = 2").exception, UsageError)
    shown = say("show", "module_engagement_roster", "--restricted", "--format", "csv")
    assert "Zebulon Quark" in shown.stdout
    told = say("why", "course_learners", "--where", "user_id = 2", "--json")
    assert told.exit_code == 0
    assert "ebulon" not in told.stdout
