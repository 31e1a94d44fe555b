"""Upkeep of jobs: what expires, what forgetting a learner erases, what doctor finds and repairs."""

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from studium.cli import make_app
from studium.clock import utcnow
from studium.errors import JobError
from studium.jobs import table, upkeep
from studium.jobs.folder import JobFolder, folders, make_folder
from studium.jobs.names import new_name
from studium.jobs.notify import deliveries_of
from studium.jobs.states import Failure, State
from studium.jobs.upkeep import (
    delete_job,
    erase_rows,
    expired_jobs,
    find_lost,
    repair_lost,
)
from studium.jobs.worker.leases import end_lease, lease_of, take_lease
from studium.lake.store import Lake
from studium.site import Site, init_site, open_site
from tests.test_job_commands import JOB, RUNNER, ask, go, place_of, release, submit
from tests.test_job_table import spec_of
from tests.test_lake import MON, commit


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with init_site(tmp_path / "site", {"notify.callbacks": ["https://hooks.example.org"]}) as made:
        commit(Lake(made.root / "lake"), 1, {MON: [1, 2]})
        yield made


@pytest.fixture
def code(tmp_path: Path) -> Path:
    place = tmp_path / "code"
    place.mkdir()
    (place / "job.toml").write_text(f'notify = ["https://hooks.example.org/x"]\n{JOB}')
    (place / "main.py").write_text("print(1)")
    return place


def test_jobs_expire_after_days(site: Site, code: Path) -> None:
    name = submit(site, code)["name"]
    ask(site, "cancel", name)
    submit(site, code)  # still queued
    assert expired_jobs(site) == []
    later = utcnow() + timedelta(days=31)
    assert [job.name for job in expired_jobs(site, later)] == [name]
    with open_site(site.root, {"jobs.keep": 0}) as kept:
        assert expired_jobs(kept, later) == []


def test_vacuum_deletes_jobs_that_ended_long_ago(site: Site, code: Path) -> None:
    old, new = (submit(site, code)["name"] for _ in range(2))
    for name in (old, new):
        ask(site, "cancel", name)
    with site.state.begin() as conn:
        conn.exec_driver_sql(f"UPDATE jobs SET ended_at = '2025' WHERE name = '{old}'")
    for words, said in ((["--dry-run"], "1 job would go"), ([], "1 job deleted")):
        answer = RUNNER.invoke(make_app(), ["--site", str(site.root), "vacuum", *words])
        assert said in answer.output
    assert [one["name"] for one in json.loads(ask(site, "list", "--json"))] == [new]


def test_rows_are_erased_of_whatever_is_not_under_way(site: Site, code: Path) -> None:
    """Of jobs that were cancelled while they were prepared, and that wait for another attempt."""
    prepared, again = (submit(site, code)["name"] for _ in range(2))
    place = place_of(site, prepared)
    (place.path / ".inputs-1234").mkdir()
    (place.path / "worker.log").write_text("row-of-ana.csv")
    ask(site, "cancel", prepared)
    go(site, again, State.FAILED, Failure.UNDECLARED)
    place_of(site, again).unit(1, 0).mkdir(parents=True)
    outputs = {"units": [{"number": 0, "outputs": [{"path": "row-of-ana.csv"}]}]}
    place_of(site, again).provenance.write_text(json.dumps(outputs))
    ask(site, "resubmit", again)
    assert "row-of-ana" in place_of(site, again).status.read_text()  # of an earlier version
    erased = erase_rows(site)
    assert (sorted(erased.done), erased.busy) == (sorted([prepared, again]), [])
    for name in (prepared, again):
        left = {path.name for path in place_of(site, name).path.iterdir()}
        assert not left & {"attempts", ".inputs-1234", "worker.log"}
        for path in place_of(site, name).path.rglob("*"):
            assert path.is_dir() or b"row-of-ana" not in path.read_bytes()
    with site.state.begin() as conn:
        told = conn.exec_driver_sql("SELECT details FROM job_history").scalars().all()
        assert not [one for one in told if "row-of-ana" in one]
        assert table.read(conn, again).state is State.QUEUED
        assert lease_of(conn, again) is None
    assert erase_rows(site).done == []


def test_rows_about_learners_are_erased_of_ended_jobs(site: Site, code: Path) -> None:
    ended, waits, runs = (submit(site, code)["name"] for _ in range(3))
    go(site, ended, State.SUCCEEDED)
    release(site, ended, {"a.csv": "n\n100\n"})
    for name in (ended, runs):
        place_of(site, name).unit(1, 0).mkdir(parents=True)
    with site.state.begin() as conn:
        table.prepare(conn, runs, "worker", 1)
    erased = erase_rows(site)
    assert (erased.done, erased.busy) == ([ended], [runs])
    assert not (place_of(site, ended).path / "attempts").exists()
    assert "1 file." in ask(site, "results", ended)
    assert place_of(site, runs).unit(1, 0).is_dir()
    assert (place_of(site, waits).code / "main.py").exists()
    assert erase_rows(site).done == []
    with site.state.read() as conn:
        entries = conn.exec_driver_sql("SELECT what, subject FROM audit").all()
    assert [tuple(one) for one in entries] == [("erase outputs", ended)]


def test_a_job_that_a_worker_has_not_tidied_up_stays(site: Site, code: Path) -> None:
    name = submit(site, code)["name"]
    ask(site, "cancel", name)
    with site.state.begin() as conn:
        take_lease(conn, name, "w1", utcnow(), 60)
    with pytest.raises(JobError, match="not tidied up"):
        delete_job(site, name, "ana", operator=True)
    with site.state.begin() as conn:
        end_lease(conn, name)
    assert delete_job(site, name, "ana", operator=True) > 0


def test_lost_rows_and_folders_are_found_and_repaired(site: Site, code: Path) -> None:
    lost, whole, gone, waiting = (submit(site, code)["name"] for _ in range(4))
    ask(site, "cancel", gone)
    before = ask(site, "show", lost).split("\n\n")[0]
    with site.state.begin() as conn:
        for one in ("jobs", "job_history"):
            column = "name" if one == "jobs" else "job"
            conn.exec_driver_sql(f"DELETE FROM {one} WHERE {column} = '{lost}'")
    for name in (gone, waiting):
        place_of(site, name).path.rename(site.root / name)
    old = make_folder(site.jobs_dir, new_name("old"), spec_of())
    os.utime(old.path, (1, 1))
    make_folder(site.jobs_dir, new_name("new"), spec_of())  # being submitted now
    found = find_lost(site)
    assert [one.name for one in found.rowless] == [lost]
    assert [one.name for one in found.abandoned] == [old.name]
    assert found.folderless == [gone]
    assert found.broken == [f"job {waiting} is queued, and its folder is gone"]
    repaired = repair_lost(site)
    assert repaired.broken == []
    assert ask(site, "show", lost).split("\n\n")[0] == before
    assert not old.path.exists()
    assert json.loads(ask(site, "list", "--json", "--state", "queued"))
    with site.state.read() as conn:
        assert table.find(conn, gone) is None
        assert table.read(conn, waiting).state is State.CANCELLED
        told = [str(one.notice.event) for one in deliveries_of(conn, waiting)]
        assert told == ["queued", "cancelled"]
        assert table.read(conn, whole).state is State.QUEUED


def test_a_job_that_is_submitted_meanwhile_is_not_lost(
    site: Site, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed(root: Path) -> Iterator[JobFolder]:
        yield from list(folders(root))
        submit(site, code)

    monkeypatch.setattr(upkeep, "folders", listed)
    assert not find_lost(site).any


def test_doctor_tells_and_repairs(site: Site, code: Path) -> None:
    name = submit(site, code)["name"]
    with site.state.begin() as conn:
        conn.exec_driver_sql(f"DELETE FROM jobs WHERE name = '{name}'")
        conn.exec_driver_sql(f"DELETE FROM job_history WHERE job = '{name}'")
    answer = RUNNER.invoke(make_app(), ["--site", str(site.root), "doctor"])
    assert "1 rows lost" in answer.output
    answer = RUNNER.invoke(make_app(), ["--site", str(site.root), "doctor", "--repair"])
    assert "Jobs: 1 rows made anew" in answer.output
    assert "1 queued" in answer.output
