"""Workers: every unit runs once, whatever happens to them; every job comes to a true end."""

import hashlib
import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import studium
from studium.errors import SettingsError
from studium.jobs import audit, table
from studium.jobs.description import parse_spec
from studium.jobs.intake import submit_job
from studium.jobs.states import Failure, State
from studium.jobs.worker.service import serve
from studium.site import Site
from tests import bare
from tests.bare import WAIT, failure_of, go, until, work
from tests.children import Nursery
from tests.receivers import web_server
from tests.services import require


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with studium.open(bare.make_site(tmp_path / "site", worker__lease=2)) as site:
        yield site


def test_jobs_run_and_are_recorded(site: Site, nursery: Nursery) -> None:
    one, many = bare.submit(site), bare.submit(site, units={"count": 5, "at_once": 1})
    child = work(nursery, site)
    assert bare.states_of(site, [one, many]) == [State.SUCCEEDED] * 2, child.out
    assert bare.runs(site) == sorted([f"{one} 0", *(f"{many} {n}" for n in range(5))])
    folder = site.jobs_dir / many
    manifest = json.loads((folder / "released" / "manifest.json").read_text())
    assert [file["name"] for file in manifest["files"]] == [f"{n}/a.txt" for n in range(5)]
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["owner"] == "ana"
    assert provenance["launcher"]["name"] == "bare"
    assert [unit["exit"]["code"] for unit in provenance["units"]] == [0] * 5
    assert [unit["outputs"] for unit in provenance["units"]] == [
        [{"path": "a.txt", "size": 2, "sha256": hashlib.sha256(b"a\n").hexdigest()}]
    ] * 5
    status = json.loads((folder / "status.json").read_text())
    assert status["job"]["state"] == "succeeded"
    assert [event["what"] for event in status["history"]][2:] == [
        "preparing", "running", "collecting", "succeeded"
    ]  # fmt: skip
    with site.state.read() as conn:
        assert [(e.who, e.what, e.subject) for e in audit.entries(conn)] == [
            ("ana", "release", one), ("ana", "release", many)
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("script", "more", "failure"),
    [
        ("exit 3", {}, Failure.EXIT),
        ("kill -9 $$", {}, Failure.KILLED),
        ("sleep 100", {"resources": {"time": 1}}, Failure.TIMEOUT),
        ("sleep 100", {"timeout": 1}, Failure.TIMEOUT),
        ("true", {}, Failure.OUTPUT_MISSING),
        (f"{bare.COUNT}; touch $STUDIUM_OUTPUT/b", {}, Failure.UNDECLARED),
        (f"{bare.COUNT}; ln -s /etc/passwd $STUDIUM_OUTPUT/b", {}, Failure.UNSAFE),
        (
            "head -c 100000 /dev/zero > $STUDIUM_OUTPUT/a.txt",
            {"resources": {"output": 10_000}},
            Failure.OUTPUT_SIZE,
        ),
        ('kill -9 "$PPID"; sleep 100', {}, Failure.LOST),
    ],
)
def test_why_jobs_fail(
    site: Site, nursery: Nursery, script: str, more: dict[str, object], failure: Failure
) -> None:
    name = bare.submit(site, script, **more)
    child = work(nursery, site)
    assert failure_of(site, name) is failure, child.out
    place = site.jobs_dir / name
    assert not (place / "released").exists()
    with site.state.read() as conn:
        details = [one.details for one in table.history(conn, name)]
    assert not [one for one in details if "text" in one], "it may hold names that the job chose"
    if failure is Failure.UNDECLARED:
        assert "undeclared output" in (place / "worker.log").read_text()
    provenance = json.loads((place / "provenance.json").read_text())
    assert (provenance["used"]["seconds"] > 0) is (failure is not Failure.LOST)


@pytest.mark.parametrize(
    "wrong", [{"disclosure.types": ["exe"]}, {"jobs.guarantees": ["luck"]}], ids=str
)
def test_settings_that_are_wrong_are_told_before_a_job_is(
    tmp_path: Path, wrong: dict[str, object]
) -> None:
    root = bare.make_site(tmp_path / "site")
    with (
        studium.open(root, wrong) as site,
        pytest.raises(SettingsError, match=next(iter(wrong))),
    ):
        serve(site, {}, refusals=lambda name: [], say=print, once=True)


def test_one_unit_that_fails_ends_the_others(site: Site, nursery: Nursery) -> None:
    script = '[ "$STUDIUM_UNIT" = 1 ] && exit 4; sleep 1000'
    name = bare.submit(site, script, units={"count": 4})
    work(nursery, site, "--slots", "2")
    assert failure_of(site, name) is Failure.EXIT
    with site.state.read() as conn:
        assert table.history(conn, name)[-1].details == {"unit": 1, "code": 4}
    assert Counter(bare.unit_states(site, name)) == {State.FAILED: 1, State.CANCELLED: 3}
    assert bare.job_of(site, name).units_done == 4


def test_a_launcher_below_the_policy_starts_nothing(site: Site, nursery: Nursery) -> None:
    name = bare.submit(site)
    work(nursery, site, "--refuse")
    assert failure_of(site, name) is Failure.REFUSED
    assert not bare.runs(site)


def test_a_launcher_that_cannot_start_is_asked_again(site: Site, nursery: Nursery) -> None:
    bare.trouble(site.root, "submit", "raise 1")
    good = bare.submit(site)
    work(nursery, site)
    assert bare.states_of(site, [good]) == [State.SUCCEEDED]
    with studium.open(site.root) as again:
        bare.trouble(site.root, "submit", "raise")
        (site.root / "studium.toml").write_text(
            (site.root / "studium.toml").read_text().replace("# tries = 3", "tries = 1")
        )
        bad = bare.submit(again)
    work(nursery, site)
    assert failure_of(site, bad) is Failure.REFUSED


def test_what_a_launcher_cannot_say_changes_nothing(site: Site, nursery: Nursery) -> None:
    name = bare.submit(site, WAIT + bare.COUNT)
    child = nursery.start(site.root, "bare-worker", "--until-idle")
    until(lambda: State.RUNNING in bare.unit_states(site, name), child)
    bare.trouble(site.root, "status", "raise")
    until(lambda: "cannot be asked" in child.out, child)
    go(site)
    assert bare.states_of(site, [name]) == [State.RUNNING]
    bare.trouble(site.root, "status", None)
    assert nursery.wait(child) == 0
    assert bare.states_of(site, [name]) == [State.SUCCEEDED]


def ask_cancel(site: Site, name: str) -> State:
    with site.state.begin() as conn:
        return table.ask_cancel(conn, name, "ana")


def test_cancel_before_a_worker_has_it(site: Site, nursery: Nursery) -> None:
    name = bare.submit(site)
    assert ask_cancel(site, name) is State.CANCELLED
    work(nursery, site)
    assert not bare.runs(site)


@pytest.mark.parametrize(
    ("trouble", "state"),
    [("validate", State.PREPARING), ("", State.RUNNING), ("fetch", State.COLLECTING)],
)
def test_cancel_in_every_state(site: Site, nursery: Nursery, trouble: str, state: State) -> None:
    if trouble:
        bare.trouble(site.root, trouble, "hang")
    script = bare.COUNT if trouble else f"{bare.COUNT}; sleep 1000"
    name = bare.submit(site, script, units={"count": 3, "at_once": 2})
    child = nursery.start(site.root, "bare-worker", "--until-idle")
    ready = {State.PREPARING: 0, State.RUNNING: 2, State.COLLECTING: 3}[state]
    status = site.jobs_dir / name / "status.json"
    until(lambda: bare.states_of(site, [name]) == [state] and len(bare.runs(site)) == ready, child)
    until(lambda: status.exists() and f'"state": "{state}"' in status.read_text(), child)
    assert ask_cancel(site, name) is state
    assert nursery.wait(child) == 0
    assert bare.states_of(site, [name]) == [State.CANCELLED]
    assert not (site.jobs_dir / name / "released").exists()
    assert not (site.jobs_dir / name / "inputs").exists()
    if state is State.RUNNING:
        assert bare.unit_states(site, name) == [State.CANCELLED] * 3


def test_drain_leaves_what_runs_to_the_next(site: Site, nursery: Nursery) -> None:
    name = bare.submit(site, WAIT + bare.COUNT, units={"count": 3})
    child = nursery.start(site.root, "bare-worker", "--slots", "2")
    until(lambda: bare.unit_states(site, name).count(State.RUNNING) == 2, child)
    later = bare.submit(site, owner="ben")
    os.kill(child.pid, signal.SIGTERM)
    assert nursery.wait(child) == 0
    assert bare.states_of(site, [name, later]) == [State.RUNNING, State.QUEUED]
    assert not bare.runs(site)
    go(site)
    second = work(nursery, site)
    assert f"{name}: taken over, running" in second.out
    assert bare.states_of(site, [name, later]) == [State.SUCCEEDED] * 2
    assert bare.runs(site) == sorted([*(f"{name} {n}" for n in range(3)), f"{later} 0"])


def test_drain_ends_the_steps_in_hand(site: Site, nursery: Nursery) -> None:
    bare.trouble(site.root, "fetch", "hang 1")
    name = bare.submit(site)
    child = nursery.start(site.root, "bare-worker")
    until(lambda: (site.root / "trouble" / "fetch").read_text() == "hang 0", child)
    os.kill(child.pid, signal.SIGTERM)
    ask_cancel(site, name)
    assert nursery.wait(child) == 0
    assert bare.states_of(site, [name]) == [State.CANCELLED]


def test_once_begins_what_it_can(site: Site, nursery: Nursery) -> None:
    names = [bare.submit(site) for _ in range(3)]
    child = nursery.run(site.root, "bare-worker", "--once", "--slots", "2")
    assert child.code == 0, child.err
    assert bare.states_of(site, names).count(State.QUEUED) == 1
    work(nursery, site)
    assert bare.states_of(site, names) == [State.SUCCEEDED] * 3


def test_the_command_with_the_sandbox(tmp_path: Path, nursery: Nursery) -> None:
    """From a folder with a job.toml to its results, with walls."""
    require("bubblewrap", bool(shutil.which("bwrap")), "apt-get install bubblewrap")
    code = tmp_path / "code"
    code.mkdir()
    (code / "run.sh").write_text("id -u > /output/who.txt; cat /code/run.sh >> /output/who.txt\n")
    spec = parse_spec(
        {
            "command": ["sh", "/code/run.sh"],
            "code": ".",
            "outputs": {"who": {"file": "who.txt", "type": "text", "level": "aggregate"}},
            "privacy": "open",
        }
    )
    with studium.open(bare.make_site(tmp_path / "site")) as site:
        name = submit_job(site, spec, code, "ana", ()).name
        child = nursery.run(site.root, "worker", "--until-idle", "--launcher", "sandbox")
        assert child.code == 0, child.err
        assert bare.states_of(site, [name]) == [State.SUCCEEDED], child.out
        said = (site.jobs_dir / name / "released" / "who.txt").read_text()
    assert "cat /code/run.sh" in said
    assert said.splitlines()[0] != "0"


def test_messages_of_a_job(tmp_path: Path, nursery: Nursery) -> None:
    with web_server() as hook:
        root = bare.make_site(
            tmp_path / "site",
            notify__callbacks=[f"http://127.0.0.1:{hook.port}"],
            notify__networks=["127.0.0.0/8"],
        )
        url = f"http://127.0.0.1:{hook.port}/x"
        with studium.open(root) as site:
            good = bare.submit(site, units={"count": 4}, notify=[url])
            bad = bare.submit(site, "exit 1", notify=[url])
            child = nursery.start(root, "bare-worker")
            until(lambda: len(hook.posts) == 7, child)
            os.kill(child.pid, signal.SIGTERM)
            assert nursery.wait(child) == 0
    told = Counter((one.json["job"], one.json["event"]) for one in hook.posts)
    assert told == {
        (good, "started"): 1, (good, "progress"): 3, (good, "result ready"): 1,
        (bad, "started"): 1, (bad, "failed"): 1,
    }  # fmt: skip
    assert {one.json["mark"] for one in hook.posts if "mark" in one.json} == {25, 50, 75}
