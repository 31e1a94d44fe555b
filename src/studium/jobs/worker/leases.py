"""Leases: which worker has a job, and until when it is taken for alive.

A worker takes a job by writing its lease, renews all of its leases while it lives, and checks in
the transaction of every move that the lease is still its own: one that was stopped for too long
finds its jobs taken, and can move nothing any more. A lease ends with its job; what counts tries
would otherwise be forgotten with the worker that they have killed.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select, update

from studium.clock import utcnow
from studium.jobs.notify.outbox import stamp
from studium.state.schema import leases
from studium.state.upsert import insert_into

_NOBODY = ""  # the holder of a lease that was given back


@dataclass(frozen=True, slots=True)
class Lease:
    """Of one job; ``tries`` counts the starts of its present step."""

    job: str
    holder: str
    host: str
    until: str
    tries: int


def host_name() -> str:
    """This machine: units of a local launcher can be adopted here only."""
    return socket.gethostname()[:200]


def worker_name() -> str:
    """A name that no other worker has or had."""
    return f"{host_name()[:60]}:{os.getpid()}:{secrets.token_hex(4)}"


def take_lease(conn: Connection, job: str, holder: str, now: datetime, seconds: float) -> bool:
    """Take a job that nobody has, or whose lease has run out; False if another worker has it."""
    until = stamp(now + timedelta(seconds=seconds))
    row = {
        "job": job, "holder": holder, "host": host_name(), "until": until, "tries": 0,
    }  # fmt: skip
    insert = insert_into(conn, leases).values(row).on_conflict_do_nothing()
    if conn.execute(insert.returning(leases.c.job)).first() is not None:
        return True
    taken = conn.execute(
        update(leases)
        .where(leases.c.job == job)
        .where((leases.c.until < stamp(now)) | (leases.c.holder == _NOBODY))
        .values(holder=holder, host=host_name(), until=until)
    )
    return taken.rowcount == 1


def renew_leases(conn: Connection, holder: str, now: datetime, seconds: float) -> set[str]:
    """Renew all leases of a worker; the jobs that it still has."""
    mine = leases.c.holder == holder
    until = stamp(now + timedelta(seconds=seconds))
    conn.execute(update(leases).where(mine).values(until=until))
    return set(conn.execute(select(leases.c.job).where(mine)).scalars())


def has_lease(conn: Connection, job: str, holder: str) -> bool:
    """Whether the worker still has the job; true throughout the transaction that asks."""
    found = conn.execute(select(leases.c.holder).where(leases.c.job == job)).scalar()
    return bool(found == holder)


def count_try(conn: Connection, job: str) -> int:
    """Count a start of a step, before it is started: how often it was, this time included."""
    conn.execute(update(leases).where(leases.c.job == job).values(tries=leases.c.tries + 1))
    return int(conn.execute(select(leases.c.tries).where(leases.c.job == job)).scalar_one())


def forget_tries(conn: Connection, job: str) -> None:
    """The step was done."""
    conn.execute(update(leases).where(leases.c.job == job).values(tries=0))


def free_lease(conn: Connection, job: str, holder: str) -> None:
    """Give a job back that goes on without this worker: the next one takes it at once."""
    conn.execute(
        update(leases)
        .where(leases.c.job == job, leases.c.holder == holder)
        .values(holder=_NOBODY, until=stamp(utcnow()))
    )


def end_lease(conn: Connection, job: str) -> None:
    """The job has ended, or was deleted."""
    conn.execute(delete(leases).where(leases.c.job == job))


def lease_of(conn: Connection, job: str) -> Lease | None:
    """The lease of one job."""
    row = conn.execute(select(leases).where(leases.c.job == job)).mappings().first()
    return Lease(**row) if row else None
