"""Workers that die, sleep or meet what nobody has thought of: no unit runs twice, no job is lost,
and none stops the others."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import studium
from studium.jobs import audit, table
from studium.jobs.launchers import units as supervised
from studium.jobs.states import Failure, State
from studium.site import Site
from tests import bare
from tests.bare import WAIT, failure_of, go, until, work
from tests.children import Child, Nursery
from tests.databases import Server


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    root = bare.make_site(tmp_path / "site", worker__lease=1, worker__tries=2)
    with studium.open(root) as site:
        yield site


@pytest.mark.parametrize("step", ["validate", "fetch"])
def test_a_step_that_dies(site: Site, nursery: Nursery, step: str) -> None:
    """Once: it is done again. Always: the job has failed, and the worker lives."""
    bare.trouble(site.root, step, "die 1")
    good = bare.submit(site)
    work(nursery, site)
    assert bare.states_of(site, [good]) == [State.SUCCEEDED]
    bare.trouble(site.root, step, "die")
    bad = bare.submit(site)
    child = work(nursery, site)
    assert failure_of(site, bad) is Failure.INTERNAL
    assert child.out.count("broke off: signal 9") == site.settings.worker.tries
    assert bare.runs(site).count(f"{bad} 0") == (step == "fetch")


def unit_of(site: Site, name: str, number: int) -> Path:
    return site.jobs_dir / name / "attempts" / "1" / "units" / str(number)


def test_an_input_that_vanishes_ends_its_job_alone(tmp_path: Path, nursery: Nursery) -> None:
    (tmp_path / "raw").mkdir()
    data = tmp_path / "raw" / "a.log"
    data.write_text("1")
    with studium.open(bare.make_site(tmp_path / "site", jobs__sources=[str(data.parent)])) as site:
        inputs = {"log": {"path": str(data)}}
        bad = bare.submit(site, WAIT + bare.COUNT, units={"count": 2, "at_once": 1}, inputs=inputs)
        child = nursery.start(site.root, "bare-worker", "--until-idle")
        until(lambda: State.RUNNING in bare.unit_states(site, bad), child)
        data.unlink()
        good = bare.submit(site)
        go(site)
        assert nursery.wait(child) == 0, child.err
        assert failure_of(site, bad) is Failure.INPUT
        with site.state.read() as conn:
            read = [one for one in audit.entries(conn) if one.what == "read input"]
        assert [(one.who, one.subject) for one in read] == [("ana", str(data))]
        assert bare.states_of(site, [good]) == [State.SUCCEEDED]


def test_what_nobody_has_thought_of_ends_its_job_alone(site: Site, nursery: Nursery) -> None:
    trouble = site.root / "trouble" / "submit"
    bare.trouble(site.root, "submit", "break")
    bad = bare.submit(site)
    child = nursery.start(site.root, "bare-worker")
    until(lambda: bare.states_of(site, [bad]) == [State.FAILED], child)
    assert failure_of(site, bad) is Failure.INTERNAL
    assert bare.unit_states(site, bad) == [State.FAILED]
    assert child.err.count("RuntimeError: submit has a mistake") == site.settings.worker.tries
    # Now and then is no reason.
    bare.trouble(site.root, "submit", "break 1")
    twice = bare.submit(site, WAIT + bare.COUNT, units={"count": 2, "at_once": 1})
    until(lambda: trouble.read_text() == "break 0", child)
    until(lambda: (unit_of(site, twice, 0) / "claim.json").exists(), child)
    bare.trouble(site.root, "submit", "break 1")
    go(site)
    until(lambda: bare.states_of(site, [twice]) == [State.SUCCEEDED], child)
    assert trouble.read_text() == "break 0"
    bare.trouble(site.root, "submit", None)
    good = bare.submit(site)
    # Its status, a copy for doctor, cannot be written.
    (site.jobs_dir / good / "status.json").mkdir()
    until(lambda: bare.states_of(site, [good]) == [State.SUCCEEDED], child)
    os.kill(child.pid, signal.SIGTERM)
    assert nursery.wait(child) == 0


@pytest.mark.parametrize("ended", ["in time", "by a worker that died"])
def test_a_timeout_while_no_worker_was_there(site: Site, nursery: Nursery, ended: str) -> None:
    """What has ended before is not late; what was ended for it is not "killed"."""
    name = bare.submit(site, WAIT + bare.COUNT, timeout=1000)
    child = nursery.start(site.root, "bare-worker")
    unit = unit_of(site, name, 0)
    until(lambda: (unit / "claim.json").exists(), child)
    os.kill(child.pid, signal.SIGKILL)
    nursery.wait(child)
    with site.state.begin() as conn:
        conn.exec_driver_sql(f"UPDATE jobs SET started_at = '2025' WHERE name = '{name}'")
        if ended == "in time":  # it may have died before it noted it
            conn.exec_driver_sql("UPDATE job_units SET native = NULL")
    if ended == "in time":
        go(site)
    else:
        supervised.request_cancel(unit)
    until(lambda: (unit / "exit.json").exists(), child)
    work(nursery, site)
    if ended == "in time":
        assert bare.states_of(site, [name]) == [State.SUCCEEDED]
    else:
        assert failure_of(site, name) is Failure.TIMEOUT
        assert bare.unit_states(site, name) == [State.CANCELLED]


def test_a_worker_that_slept_too_long_finds_its_jobs_taken(site: Site, nursery: Nursery) -> None:
    name = bare.submit(site, WAIT + bare.COUNT, units={"count": 2})
    sleeper = nursery.start(site.root, "bare-worker", "--until-idle")
    until(lambda: bare.unit_states(site, name).count(State.RUNNING) == 2, sleeper)
    os.kill(sleeper.pid, signal.SIGSTOP)
    second = nursery.start(site.root, "bare-worker", "--until-idle")
    until(lambda: "taken over" in second.out, second)
    os.kill(sleeper.pid, signal.SIGCONT)
    until(lambda: "another worker has it" in sleeper.out, sleeper)
    go(site)
    assert nursery.wait(second) == 0
    assert nursery.wait(sleeper) == 0
    assert bare.states_of(site, [name]) == [State.SUCCEEDED]
    assert bare.runs(site) == [f"{name} 0", f"{name} 1"]
    with site.state.read() as conn:
        what = [event.what for event in table.history(conn, name)]
    assert what.count("collecting") == what.count("succeeded") == what.count("taken over") == 1


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_workers_on_many_jobs(
    tmp_path: Path, nursery: Nursery, kind: str, request: pytest.FixtureRequest
) -> None:
    """Every job once, both workers at work, one of them killed on the way and followed by another;
    bounds hold over both."""
    url = "sqlite:///state.db"
    if kind == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        url = server.fresh()
    root = bare.make_site(tmp_path / "site", worker__lease=1, worker__per_owner=3)

    def start() -> Child:
        return nursery.start(root, "bare-worker", "--until-idle", "--slots", "2", state=url)

    script = f'echo + >> "$COUNTER.$OWNER"; {bare.COUNT}; echo - >> "$COUNTER.$OWNER"'
    with studium.open(root, {"state.url": url}) as site:
        names = []
        for number in range(12):
            owner = f"owner-{number % 2}"
            environment = {"COUNTER": str(site.root / "counter"), "OWNER": owner}
            names.append(bare.submit(site, script, owner, environment=environment))
        first, second = start(), start()
        until(lambda: len(bare.runs(site)) > 3, first)
        os.kill(first.pid, signal.SIGKILL)
        nursery.wait(first)
        third = start()
        assert nursery.wait(second) == 0, second.err
        assert nursery.wait(third) == 0, third.err
        assert bare.states_of(site, names) == [State.SUCCEEDED] * 12
        assert bare.runs(site) == sorted(f"{name} 0" for name in names)
        for number in range(2):
            running = most = 0
            for line in (site.root / f"counter.owner-{number}").read_text().split():
                running += 1 if line == "+" else -1
                most = max(most, running)
            assert most <= 3


@pytest.mark.long
def test_five_hundred_units_queued(site: Site, nursery: Nursery) -> None:
    """Of 50 jobs, on three workers of which two are killed on the way."""
    names = [
        bare.submit(site, owner=f"owner-{n % 5}", units={"count": 10, "at_once": 3})
        for n in range(50)
    ]
    start = (site.root, "bare-worker", "--until-idle", "--slots", "2")
    workers = [nursery.start(*start) for _ in range(3)]
    for number in range(2):
        until(lambda number=number: len(bare.runs(site)) > 150 * (number + 1), workers[2])  # type: ignore[misc]
        os.kill(workers[number].pid, signal.SIGKILL)
        nursery.wait(workers[number])
    assert nursery.wait(workers[2]) == 0, workers[2].err
    assert bare.states_of(site, names) == [State.SUCCEEDED] * 50
    assert bare.runs(site) == sorted(f"{name} {n}" for name in names for n in range(10))


def strike(nursery: Nursery, folder: Path, kill_at: int) -> tuple[Path, str, Child]:
    """A worker on a new site, killed at a point; then another one, which is not waited for."""
    root = bare.make_site(folder, worker__lease=1)
    with studium.open(root) as site:
        name = bare.submit(site, units={"count": 3})
    child = nursery.run(root, "bare-worker", "--until-idle", "--kill-at", str(kill_at))
    assert child.code == -signal.SIGKILL, child.out
    return root, name, nursery.start(root, "bare-worker", "--until-idle")


def check(nursery: Nursery, root: Path, name: str, child: Child) -> None:
    assert nursery.wait(child) == 0, child.err
    with studium.open(root) as site:
        assert bare.states_of(site, [name]) == [State.SUCCEEDED], child.out
        assert bare.runs(site) == [f"{name} {number}" for number in range(3)]
        assert bare.unit_states(site, name) == [State.SUCCEEDED] * 3
        manifest = json.loads((site.jobs_dir / name / "released" / "manifest.json").read_text())
        assert len(manifest["files"]) == 3
        status = json.loads((site.jobs_dir / name / "status.json").read_text())
        assert status["job"]["state"] == "succeeded"
        with site.state.read() as conn:
            what = [event.what for event in table.history(conn, name)]
            assert what.count("succeeded") == what.count("running") == 1
            assert [entry.what for entry in audit.entries(conn)] == ["release"]


def points_of(nursery: Nursery, folder: Path) -> int:
    """How many points an undisturbed worker passes."""
    with studium.open(bare.make_site(folder)) as site:
        bare.submit(site, units={"count": 3})
        child = work(nursery, site)
    return int(child.out.split()[-1])


def strike_all(nursery: Nursery, folder: Path, points: list[int]) -> None:
    # Leases of the dead run out while others are killed.
    struck = [strike(nursery, folder / f"at-{number}", number) for number in points]
    for one in struck:
        check(nursery, *one)


def test_killed_at_points(tmp_path: Path, nursery: Nursery) -> None:
    last = points_of(nursery, tmp_path / "undisturbed") - 3  # the order of the last may vary
    strike_all(nursery, tmp_path, list(range(2, last, 13)))


@pytest.mark.long
def test_killed_at_every_point(tmp_path: Path, nursery: Nursery) -> None:
    last = points_of(nursery, tmp_path / "undisturbed") - 3
    assert last > 30
    strike_all(nursery, tmp_path, list(range(1, last)))
