"""The units of jobs: what launchers were told to run, and how it ended.

A unit goes ``queued → running → succeeded · failed · cancelled``, by compare-and-set as jobs do
(``jobs.table``). It is RUNNING from the transaction *before* it is handed to a launcher: one that
is RUNNING without a native id may have been started or not, and is handed over again with the same
key, which starts it once (``launchers.protocol.Launcher.submit``).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, func, select, update

from studium.jobs.launchers.protocol import Exit
from studium.jobs.names import unit_key
from studium.jobs.states import Failure, State
from studium.jobs.table import now_text
from studium.state.schema import job_units, jobs
from studium.state.upsert import add_rows

ENDS = (State.SUCCEEDED, State.FAILED, State.CANCELLED)
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class UnitRow:
    """A unit of one attempt; ``number`` counts from 0."""

    job: str
    attempt: int
    number: int
    state: State
    native: str | None = None
    failure: Failure | None = None
    started_at: str | None = None
    ended_at: str | None = None
    exit: Exit | None = None

    @property
    def key(self) -> str:
        """The name that launchers know it by."""
        return unit_key(self.job, self.attempt, self.number)


def add(conn: Connection, job: str, attempt: int, count: int) -> None:
    """Add ``count`` units in QUEUED; those that are there already stay. Pre-condition: the job is
    PREPARING. Idempotent."""
    rows = [
        {"job": job, "attempt": attempt, "number": number, "state": str(State.QUEUED)}
        for number in range(count)
    ]
    for start in range(0, count, _AT_ONCE):
        add_rows(conn, job_units, rows[start : start + _AT_ONCE])


def units(
    conn: Connection,
    job: str,
    attempt: int,
    states: Collection[State] | None = None,
    limit: int | None = None,
) -> list[UnitRow]:
    """Units of an attempt in the order of their numbers."""
    statement = select(job_units).where(_of(job, attempt)).order_by(job_units.c.number)
    if states is not None:
        statement = statement.where(job_units.c.state.in_([str(one) for one in states]))
    return [_unit(row) for row in conn.execute(statement.limit(limit)).mappings()]


def counts(conn: Connection, job: str, attempt: int) -> dict[State, int]:
    """How many units of an attempt are in each state; states without any are left out."""
    statement = select(job_units.c.state, func.count()).where(_of(job, attempt))
    return {State(state): n for state, n in conn.execute(statement.group_by(job_units.c.state))}


def start(conn: Connection, job: str, attempt: int, number: int) -> bool:
    """QUEUED → RUNNING, before it is handed to a launcher. Pre-condition: the job is RUNNING and
    its end was not asked for. False if it is RUNNING or has ended already."""
    queued = job_units.c.state == str(State.QUEUED)
    values = {"state": str(State.RUNNING), "started_at": now_text()}
    return _set(conn, job, attempt, number, queued, values)


def set_native(conn: Connection, job: str, attempt: int, number: int, native: str) -> bool:
    """Note what the launcher calls it. Pre-condition: ``submit`` gave this id. Idempotent."""
    running = job_units.c.state == str(State.RUNNING)
    return _set(conn, job, attempt, number, running, {"native": native})


def end(
    conn: Connection,
    job: str,
    attempt: int,
    number: int,
    state: State,
    failure: Failure | None = None,
    exit: Exit | None = None,
) -> bool:
    """RUNNING → an end, or QUEUED → FAILED or CANCELLED without having run; counted once in the
    job's ``units_done``. Pre-condition: its launcher says that it has ended, or never had it."""
    if state not in ENDS or (failure is not None) != (state is State.FAILED):
        raise ValueError("a unit ends in SUCCEEDED or CANCELLED, or in FAILED with a failure")
    came = [State.RUNNING] if state is State.SUCCEEDED else [State.RUNNING, State.QUEUED]
    there = job_units.c.state.in_([str(one) for one in came])
    values = {
        "state": str(state),
        "failure": failure and str(failure),
        "ended_at": now_text(),
        "exit": exit and json.dumps(asdict(exit)),
    }
    if not _set(conn, job, attempt, number, there, values):
        return False
    conn.execute(
        update(jobs)
        .where(jobs.c.name == job, jobs.c.attempt == attempt)
        .values(units_done=jobs.c.units_done + 1)
    )
    return True


def cancel_queued(conn: Connection, job: str, attempt: int) -> int:
    """QUEUED → CANCELLED for all units that wait; how many. Pre-condition: the job is to end.
    Idempotent."""
    queued = job_units.c.state == str(State.QUEUED)
    values = {"state": str(State.CANCELLED), "ended_at": now_text()}
    count = conn.execute(update(job_units).where(_of(job, attempt), queued).values(values)).rowcount
    if count:
        conn.execute(
            update(jobs)
            .where(jobs.c.name == job, jobs.c.attempt == attempt)
            .values(units_done=jobs.c.units_done + count)
        )
    return count


def _of(job: str, attempt: int) -> Any:
    return (job_units.c.job == job) & (job_units.c.attempt == attempt)


def _set(
    conn: Connection, job: str, attempt: int, number: int, there: Any, values: Mapping[str, Any]
) -> bool:
    mine = _of(job, attempt) & (job_units.c.number == number)
    return bool(conn.execute(update(job_units).where(mine, there).values(values)).rowcount)


def _unit(row: Mapping[Any, Any]) -> UnitRow:
    return UnitRow(
        **{
            **row,
            "state": State(row["state"]),
            "failure": Failure(row["failure"]) if row["failure"] else None,
            "exit": Exit(**json.loads(row["exit"])) if row["exit"] else None,
        }
    )
