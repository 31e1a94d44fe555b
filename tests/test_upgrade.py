"""A site made by an earlier version is opened, brought up to date, and goes on."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import studium
from studium.autopilot.checks import examine
from studium.backup.restore import restore_site
from studium.backup.take import take_backup
from studium.backup.vault import open_vault
from studium.clock import Interval
from studium.errors import StateError
from studium.state.counters import next_number
from studium.state.coverage import covered_days
from studium.state.schema import HEAD
from tests import sites
from tests.children import Nursery
from tests.old_site import FOLDER, unpack

STORED = sorted(FOLDER.glob("site-*.tar.gz"))


@pytest.fixture(scope="module", autouse=True)
def engine() -> Iterator[None]:
    with sites.lent_engine():
        yield


@pytest.fixture(params=STORED, ids=lambda path: path.name.partition(".")[0])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return unpack(request.param, tmp_path)


def revision(site: Path) -> str:
    with closing(sqlite3.connect(site / "state.db")) as db:
        (found,) = db.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(found)


def test_sites_of_earlier_versions_are_stored() -> None:
    assert "0001" in [path.name[5:9] for path in STORED]


def test_an_old_site_ends_in_what_a_new_one_makes_of_the_same_logs(
    old: Path, tmp_path: Path
) -> None:
    new = sites.make_site(tmp_path / "new", tmp_path / "logs", run__max_reject_share=1)
    sites.run_job(new)
    sites.run_job(old)
    assert revision(old) == HEAD
    # The stored site read its logs under another path: they are lines of two files, once each.
    made, expected = sites.contents(old), sites.contents(new)
    assert made["lake"] == expected["lake"]
    assert made["published"] == expected["published"]
    assert sites.run_job(old).built == []
    with studium.open(old) as site:
        assert [one for one in examine(site) if not one.ok and one.check != "disk"] == []


def test_what_an_old_site_knew_it_knows_still(old: Path) -> None:
    with closing(sqlite3.connect(old / "state.db")) as db:
        rows = {
            table: db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in ("files", "coverage", "partitions", "facts", "counters")
        }
    assert all(rows.values())
    with studium.open(old) as site:
        with site.state.read() as conn:
            days = covered_days(conn, "edx", Interval(sites.day(-30), sites.END))
        with site.state.begin() as conn:
            build = next_number(conn, "build")
    assert {(source, day) for source, day in rows["coverage"]} == {
        ("edx", day.isoformat()) for day in days
    }
    assert build == dict(rows["counters"])["build"] + 1
    with closing(sqlite3.connect(old / "state.db")) as db:
        for table in ("files", "coverage", "partitions", "facts"):
            now = db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            # Later versions may add columns, at the end.
            assert [row[: len(rows[table][0])] for row in now] == rows[table]


def test_a_backup_of_an_old_site_can_be_restored(old: Path, tmp_path: Path) -> None:
    with studium.open(old) as site:
        take_backup(site, tmp_path / "backups")
    vault = open_vault(tmp_path / "backups")
    again = restore_site(vault, vault.read(), tmp_path / "again").root
    assert revision(again) == HEAD
    sites.run_job(old)
    sites.run_job(again)
    assert sites.contents(again)["lake"] == sites.contents(old)["lake"]


def test_a_site_of_a_later_version_is_left_alone_with_a_clear_word(
    old: Path, tmp_path: Path
) -> None:
    with studium.open(old) as site, site.state.read():
        pass
    with closing(sqlite3.connect(old / "state.db")) as db, db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    before = (old / "state.db").read_bytes()
    files = sorted((old / "lake").rglob("*"))
    with studium.open(old) as site, pytest.raises(StateError, match="newer version"):
        _ = site.state
    with Nursery() as nursery:
        for command in (["run"], ["plan"], ["backup", str(tmp_path / "backups")]):
            child = nursery.run(old, *command)
            assert child.code == 1, child.err
            assert "revision 9999" in child.err
            assert "install that one" in child.err
            assert "Traceback" not in child.err
    assert (old / "state.db").read_bytes() == before
    assert sorted((old / "lake").rglob("*")) == files
    assert revision(old) == "9999"
