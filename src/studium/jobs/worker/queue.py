"""What the state says of the jobs that wait and run, over all workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from studium.jobs.notify.outbox import stamp
from studium.jobs.states import State
from studium.jobs.worker.choice import Candidate
from studium.jobs.worker.leases import host_name
from studium.state.schema import job_units, jobs, leases

_UNDER_WAY = tuple(str(one) for one in (State.PREPARING, State.RUNNING, State.COLLECTING))


def waiting(
    conn: Connection, launchers: Collection[str], limit: int
) -> list[tuple[Candidate, int]]:
    """Jobs in QUEUED on these launchers, each with its attempt; of one owner on one launcher only
    the ``limit`` that come first: more have no chance."""
    place = func.row_number().over(
        partition_by=(jobs.c.owner, jobs.c.launcher),
        order_by=(jobs.c.priority.desc(), jobs.c.queued_at, jobs.c.name),
    )
    queued = (
        select(
            jobs.c.name, jobs.c.owner, jobs.c.launcher, jobs.c.priority, jobs.c.queued_at,
            jobs.c.attempt, place.label("place"),
        )
        .where(jobs.c.state == str(State.QUEUED), jobs.c.launcher.in_(launchers))
        .subquery()
    )  # fmt: skip
    rows = conn.execute(select(queued).where(queued.c.place <= limit)).mappings()
    return [
        (
            Candidate(
                row["name"], row["owner"], row["launcher"], row["priority"],
                row["queued_at"] or "", 1,
            ),
            int(row["attempt"]),
        )
        for row in rows
    ]  # fmt: skip


def any_waiting(conn: Connection, launchers: Collection[str]) -> bool:
    """Whether a job waits on one of these launchers."""
    queued = (jobs.c.state == str(State.QUEUED)) & jobs.c.launcher.in_(launchers)
    return conn.execute(select(jobs.c.name).where(queued).limit(1)).first() is not None


def any_left(conn: Connection, launchers: Collection[str]) -> bool:
    """Whether a job on one of these launchers waits, is under way or was not tidied up, whoever
    has it."""
    here = jobs.c.launcher.in_(launchers)
    active = jobs.c.state.in_([str(State.QUEUED), *_UNDER_WAY])
    if conn.execute(select(jobs.c.name).where(here, active).limit(1)).first() is not None:
        return True
    leased = select(leases.c.job).join(jobs, jobs.c.name == leases.c.job).where(here)
    return conn.execute(leased.limit(1)).first() is not None


def load(conn: Connection) -> tuple[Counter[str], Counter[str]]:
    """What runs by owner and by launcher: units, and jobs that are prepared or collected."""
    owners: Counter[str] = Counter()
    launchers: Counter[str] = Counter()
    parts = (jobs.c.owner, jobs.c.launcher)
    units = (
        select(*parts, func.count())
        .join(job_units, (job_units.c.job == jobs.c.name) & (job_units.c.attempt == jobs.c.attempt))
        .where(jobs.c.state == str(State.RUNNING), job_units.c.state == str(State.RUNNING))
        .group_by(*parts)
    )
    steps = (
        select(*parts, func.count())
        .where(jobs.c.state.in_([str(State.PREPARING), str(State.COLLECTING)]))
        .group_by(*parts)
    )
    for statement in (units, steps):
        for owner, launcher, count in conn.execute(statement):
            owners[owner] += count
            launchers[launcher] += count
    return owners, launchers


def orphans(
    conn: Connection, launchers: Collection[str], now: datetime, abandoned: float
) -> list[tuple[str, State]]:
    """Jobs under way, or ended and not tidied up, that no living worker has. What ran on another
    machine is left to its workers until it has been alone for ``abandoned`` seconds."""
    alone = (leases.c.holder == "") | (leases.c.until < stamp(now))
    long_alone = leases.c.until < stamp(now - timedelta(seconds=abandoned))
    here = leases.c.host == host_name()
    statement = (
        select(jobs.c.name, jobs.c.state)
        .join(leases, leases.c.job == jobs.c.name, isouter=True)
        .where(jobs.c.launcher.in_(launchers))
        .where(
            (leases.c.job.is_(None) & jobs.c.state.in_(_UNDER_WAY))
            | (alone & (here | long_alone | ~jobs.c.state.in_(_UNDER_WAY)))
        )
        .order_by(jobs.c.queued_at, jobs.c.name)
    )
    return [(name, State(state)) for name, state in conn.execute(statement)]


def asked_to_end(conn: Connection, names: Collection[str]) -> set[str]:
    """Those of these jobs whose end was asked for."""
    asked = select(jobs.c.name).where(jobs.c.name.in_(names), jobs.c.cancel_at.is_not(None))
    return set(conn.execute(asked).scalars()) if names else set()
