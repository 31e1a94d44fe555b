"""Leases: one worker has a job, for as long as it lives."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from studium.clock import utcnow
from studium.jobs.worker.leases import (
    count_try,
    end_lease,
    forget_tries,
    free_lease,
    has_lease,
    lease_of,
    renew_leases,
    take_lease,
    worker_name,
)
from studium.state import State, open_state
from tests.databases import Server


@pytest.fixture(params=["sqlite", "postgresql"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[State]:
    url = "sqlite:///state.db"
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        url = server.fresh()
    database = open_state(url, tmp_path)
    yield database
    database.close()


def test_a_lease(state: State) -> None:
    now = utcnow()
    later = now + timedelta(seconds=61)
    with state.begin() as conn:
        assert take_lease(conn, "job", "one", now, 60)
        assert not take_lease(conn, "job", "two", now, 60)
        assert take_lease(conn, "other", "two", now, 60)
        assert has_lease(conn, "job", "one")
        assert not has_lease(conn, "job", "two")
        assert [count_try(conn, "job") for _ in range(2)] == [1, 2]
        assert renew_leases(conn, "one", now + timedelta(seconds=30), 60) == {"job"}
        assert not take_lease(conn, "job", "two", later, 60), "it was renewed"
    much_later = now + timedelta(seconds=91)
    with state.begin() as conn:
        assert take_lease(conn, "job", "two", much_later, 60)
        assert not has_lease(conn, "job", "one")
        assert renew_leases(conn, "one", much_later, 60) == set()
        assert renew_leases(conn, "two", much_later, 60) == {"job", "other"}
        assert count_try(conn, "job") == 3, "tries outlive the worker"
        forget_tries(conn, "job")
        assert count_try(conn, "job") == 1
        free_lease(conn, "job", "one")
        assert has_lease(conn, "job", "two"), "only its holder gives it back"
        free_lease(conn, "job", "two")
        assert not has_lease(conn, "job", "two")
        assert renew_leases(conn, "two", much_later, 60) == {"other"}
        assert take_lease(conn, "job", "three", much_later, 60)
        end_lease(conn, "job")
        assert lease_of(conn, "job") is None


def test_names_of_workers() -> None:
    assert len({worker_name() for _ in range(100)}) == 100
    assert len(worker_name()) <= 100
