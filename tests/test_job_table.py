"""Rows of jobs: every move is a compare-and-set, and the row can be made again from the folder."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studium.errors import JobError
from studium.jobs import folder as folders
from studium.jobs import table, units
from studium.jobs.description import parse_spec
from studium.jobs.launchers.protocol import Exit
from studium.jobs.names import new_name
from studium.jobs.spec import JobSpec
from studium.jobs.states import Failure, State
from studium.state import State as Database
from studium.state import open_state
from tests.databases import Server

EXIT = Exit("exit", 3, None, "2025-09-01T00:00:00+00:00", "2025-09-01T00:00:01+00:00", 1.0,
            0.5, 1_000, 10, 0)  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def state(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """One state for all tests here: each has jobs of its own."""
    url = "sqlite:///state.db"
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        url = server.fresh()
    database = open_state(url, tmp_path_factory.mktemp("state"))
    yield database
    database.close()


def spec_of(count: int = 1, owner: str = "ana") -> JobSpec:
    return parse_spec(
        {
            "command": ["true"],
            "outputs": {"a": {"file": "a.csv", "type": "csv"}},
            "units": {"count": count},
            "owner": owner,
            "launcher": "sandbox",
        }
    )


def new_job(state: Database, count: int = 1, owner: str = "ana") -> str:
    name = new_name("test")
    with state.begin() as conn:
        table.create(conn, name, spec_of(count, owner), owner)
    return name


def to_running(state: Database, name: str, count: int = 1) -> None:
    with state.begin() as conn:
        attempt = table.read(conn, name).attempt
        table.queue(conn, name, "ana", attempt)
        table.prepare(conn, name, "w1", attempt)
        units.add(conn, name, attempt, count)
        table.run(conn, name, "w1", attempt)


def test_a_job_from_its_creation_to_its_success(state: Database) -> None:
    name = new_job(state, 2)
    to_running(state, name, 2)
    with state.begin() as conn:
        for number in range(2):
            assert units.start(conn, name, 1, number)
            assert units.set_native(conn, name, 1, number, f"n{number}")
            assert units.end(conn, name, 1, number, State.SUCCEEDED)
        assert table.collect(conn, name, "w1", 1)
        assert table.succeed(conn, name, "w1", 1)
        job = table.read(conn, name)
        assert (job.state, job.units_done, job.units) == (State.SUCCEEDED, 2, 2)
        assert job.submitted_at <= (job.queued_at or "") <= (job.started_at or "")
        assert (job.started_at or "") <= (job.ended_at or "")
        told = [event.what for event in table.history(conn, name)]
        assert told == ["created", "queued", "preparing", "running", "collecting", "succeeded"]
        assert {event.who for event in table.history(conn, name)} == {"ana", "w1"}
        assert [event.number for event in table.history(conn, name, after=4)] == [5, 6]


def test_no_move_happens_twice_and_none_from_elsewhere(state: Database) -> None:
    name = new_job(state)
    with state.begin() as conn:
        assert not table.run(conn, name, "w1", 1)  # it is CREATED
        assert table.queue(conn, name, "ana")
        assert not table.queue(conn, name, "ana")
        assert not table.prepare(conn, name, "w1", 2)  # there is no such attempt
        assert table.prepare(conn, name, "w1", 1)
        assert not table.prepare(conn, name, "w2", 1)
        assert len(table.history(conn, name)) == 3
        with pytest.raises(ValueError, match="does not follow"):
            table.move(conn, name, State.PREPARING, State.QUEUED, "w1", attempt=1)
        with pytest.raises(ValueError, match="failure"):
            table.move(conn, name, State.PREPARING, State.FAILED, "w1", attempt=1)
        with pytest.raises(JobError, match="already"):
            table.create(conn, name, spec_of(), "eve")


def test_of_two_at_once_one_moves(state: Database) -> None:
    name = new_job(state)
    with state.begin() as conn:
        table.queue(conn, name, "ana")
    moved: list[bool] = []

    def take(worker: str) -> None:
        with state.begin() as conn:
            moved.append(table.prepare(conn, name, worker, 1))

    threads = [threading.Thread(target=take, args=(f"w{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(moved) == [False, False, False, True]


@pytest.mark.parametrize("began", [False, True])
def test_cancel(state: Database, began: bool) -> None:
    name = new_job(state)
    if began:
        to_running(state, name)
    with state.begin() as conn:
        came = table.ask_cancel(conn, name, "ana")
        assert came is (State.RUNNING if began else State.CANCELLED)
        asked = table.read(conn, name).cancel_at
        assert asked is not None
        assert table.ask_cancel(conn, name, "ana") is came
        assert table.read(conn, name).cancel_at == asked
        if began:
            assert table.cancel(conn, name, "w1", 1)
        assert not table.cancel(conn, name, "w1", 1)
        assert not table.fail(conn, name, "w1", 1, Failure.EXIT)  # an end never changes
        assert table.read(conn, name).state is State.CANCELLED
        assert [one.what for one in table.history(conn, name)].count("cancel asked") == 1


def test_a_failed_job_is_submitted_again_and_the_old_attempt_stays(state: Database) -> None:
    name = new_job(state, 2)
    to_running(state, name, 2)
    with state.begin() as conn:
        with pytest.raises(JobError, match="is running"):
            table.resubmit(conn, name, "ana")
        units.start(conn, name, 1, 0)
        assert units.end(conn, name, 1, 0, State.FAILED, Failure.EXIT, EXIT)
        assert not units.end(conn, name, 1, 0, State.SUCCEEDED)
        assert units.end(conn, name, 1, 1, State.CANCELLED)
        assert table.fail(conn, name, "w1", 1, Failure.EXIT, {"unit": 0, "code": 3})
        assert table.read(conn, name).failure is Failure.EXIT
        assert table.resubmit(conn, name, "ana") == 2
        with pytest.raises(JobError, match="is queued"):
            table.resubmit(conn, name, "ana")
        job = table.read(conn, name)
        assert (job.state, job.failure, job.units_done) == (State.QUEUED, None, 0)
        # What comes late for the old attempt changes nothing.
        assert not table.collect(conn, name, "w1", 1)
        assert not units.end(conn, name, 1, 0, State.SUCCEEDED)
        assert table.read(conn, name).units_done == 0
        old = units.units(conn, name, 1)
        assert [one.state for one in old] == [State.FAILED, State.CANCELLED]
        assert (old[0].failure, old[0].exit) == (Failure.EXIT, EXIT)
        assert old[0].key == f"{name}-a1-u0"
        assert units.units(conn, name, 2) == []
        failed = [one for one in table.history(conn, name) if one.state is State.FAILED]
        assert failed[0].details == {"unit": 0, "code": 3}
    to_running(state, name, 2)
    with state.begin() as conn:
        for number in range(2):
            units.start(conn, name, 2, number)
            units.end(conn, name, 2, number, State.SUCCEEDED)
        table.collect(conn, name, "w1", 2)
        table.succeed(conn, name, "w1", 2)
        with pytest.raises(JobError, match="has succeeded"):
            table.resubmit(conn, name, "ana")


def test_units_are_added_and_started_once(state: Database) -> None:
    name = new_job(state, 1_500)
    with state.begin() as conn:
        units.add(conn, name, 1, 1_500)
        assert units.start(conn, name, 1, 7)
        units.add(conn, name, 1, 1_500)
        assert not units.start(conn, name, 1, 7)
        assert units.counts(conn, name, 1) == {State.QUEUED: 1_499, State.RUNNING: 1}
        assert [one.number for one in units.units(conn, name, 1, [State.RUNNING])] == [7]
        assert [one.number for one in units.units(conn, name, 1, [State.QUEUED], 2)] == [0, 1]
        with pytest.raises(ValueError, match="ends in"):
            units.end(conn, name, 1, 7, State.FAILED)
        assert not units.end(conn, name, 1, 8, State.SUCCEEDED)  # it never ran


def test_listing_usage_and_deletion(state: Database) -> None:
    mine, running = new_job(state, owner="cleo"), new_job(state, owner="cleo")
    other = new_job(state, owner="ben")
    to_running(state, running)
    with state.begin() as conn:
        table.set_bytes(conn, mine, 100)
        table.set_bytes(conn, running, 20)
        assert table.usage(conn, "cleo") == 120
        assert {job.name for job in table.listing(conn, "cleo")} == {mine, running}
        assert [job.name for job in table.listing(conn, "cleo", [State.RUNNING])] == [running]
        assert [job.name for job in table.listing(conn, limit=1)] == [other]
        assert not table.drop(conn, running)  # it has not ended
        table.ask_cancel(conn, mine, "cleo")
        assert table.drop(conn, mine)
        assert not table.drop(conn, mine)
        assert table.history(conn, mine) == []
        with pytest.raises(JobError, match="There is no job"):
            table.read(conn, mine)


# The folder


def full_row(state: Database, name: str) -> tuple[table.Job, list[str]]:
    with state.read() as conn:
        return table.read(conn, name), [one.what for one in table.history(conn, name)]


def lose_rows(state: Database, name: str) -> None:
    with state.begin() as conn:
        for one in ("jobs", "job_units", "job_history"):
            column = "name" if one == "jobs" else "job"
            conn.exec_driver_sql(f"DELETE FROM {one} WHERE {column} = '{name}'")


MOVES = ("queue", "prepare", "run", "collect", "succeed", "fail", "cancel", "resubmit")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(moves=st.lists(st.sampled_from(MOVES), min_size=1, max_size=8))
def test_the_row_can_be_made_again_from_the_folder(
    state: Database, tmp_path: Path, moves: list[str]
) -> None:
    name = new_job(state, 3)
    place = folders.make_folder(tmp_path / "jobs", name, spec_of(3))
    for one in moves:
        with state.begin() as conn:
            attempt = table.read(conn, name).attempt
            match one:
                case "resubmit":
                    if table.read(conn, name).state in (State.FAILED, State.CANCELLED):
                        table.resubmit(conn, name, "ana")
                case "fail":
                    table.fail(conn, name, "w1", attempt, Failure.TIMEOUT)
                case _:
                    getattr(table, one)(conn, name, "w1", attempt)
        folders.save_status(state, place)
    before, told = full_row(state, name)
    lose_rows(state, name)
    with state.begin() as conn:
        folders.rebuild(conn, place)
        folders.rebuild(conn, place)  # by another doctor
    after, told_now = full_row(state, name)
    done = 3 if before.state is State.COLLECTING else 0  # as it would be, had they really run
    assert after == replace(before, units_done=done)
    assert told_now == [*told, "row made anew"]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (State.PREPARING, []),
        (State.RUNNING, [State.QUEUED, State.RUNNING, State.QUEUED]),
        (State.COLLECTING, [State.SUCCEEDED] * 3),
    ],
)
def test_units_that_were_begun_are_handed_over_again(
    state: Database, tmp_path: Path, at: State, expected: list[State]
) -> None:
    name = new_job(state, 3)
    place = folders.make_folder(tmp_path / "jobs", name, spec_of(3))
    with state.begin() as conn:
        table.queue(conn, name, "ana")
        table.prepare(conn, name, "w1", 1)
        if at is not State.PREPARING:
            units.add(conn, name, 1, 3)
            table.run(conn, name, "w1", 1)
        if at is State.COLLECTING:
            table.collect(conn, name, "w1", 1)
    place.unit(1, 1).mkdir(parents=True)  # preparing makes folders, too, to ask the launcher
    folders.save_status(state, place)
    lose_rows(state, name)
    with state.begin() as conn:
        job = folders.rebuild(conn, place)
        assert job.state is at
        rows = units.units(conn, name, 1)
    assert [one.state for one in rows] == expected
    assert all(one.native is None for one in rows)


def test_a_status_that_is_damaged_is_named(state: Database, tmp_path: Path) -> None:
    name = new_name()
    place = folders.make_folder(tmp_path / "jobs", name, spec_of())
    for text in ("{", "[]", '{"job": {}, "history": []}', '{"job": {"state": "x"}}'):
        place.status.write_text(text)
        with pytest.raises(JobError, match=r"status\.json cannot be read"), state.begin() as conn:
            folders.rebuild(conn, place)
        with state.read() as conn:
            assert table.find(conn, name) is None


def test_folders_are_claimed_measured_and_removed(tmp_path: Path) -> None:
    root = tmp_path / "jobs"
    name = new_name("x")
    place = folders.make_folder(root, name, spec_of())
    assert place.path.stat().st_mode & 0o777 == 0o700
    with pytest.raises(JobError, match="already"):
        folders.make_folder(root, name, spec_of())
    for bad in ("..", "a/b", "", "A", "x" * 64):
        with pytest.raises(JobError, match="no job"):
            folders.folder_of(root, bad)
    size = folders.measure(place)
    (place.path / "a").write_bytes(b"x" * 1_000)
    (place.path / "b").hardlink_to(place.path / "a")
    assert folders.measure(place) == size + 1_000
    assert [one.name for one in folders.folders(root)] == [name]
    folders.remove(place)
    folders.remove(place)
    assert list(root.iterdir()) == []
    assert list(folders.folders(tmp_path / "none")) == []


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    folders.write_whole(path, "1")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            folders.write_whole(path, "2")
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]
    assert json.loads(path.read_text()) == 1
