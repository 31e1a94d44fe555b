"""Moves of a job by the worker that holds it: lease, state, history and messages in one
transaction, then the status in the job's folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta

from sqlalchemy import Connection

from studium.clock import utcnow
from studium.jobs import audit, table, units
from studium.jobs.folder import save_status
from studium.jobs.inputs import digest_of
from studium.jobs.launchers.protocol import Exit
from studium.jobs.notify.outbox import stamp, tell_move, tell_progress
from studium.jobs.states import Failure, State
from studium.jobs.table import Detail, Job
from studium.jobs.units import UnitRow
from studium.jobs.worker.failures import failure_of
from studium.jobs.worker.hand import Hand
from studium.jobs.worker.leases import (
    count_try,
    end_lease,
    forget_tries,
    free_lease,
    has_lease,
    renew_leases,
    take_lease,
)


class LeaseLost(Exception):
    """Another worker has the job; this one has to let go of it."""


@contextmanager
def holding(hand: Hand, name: str) -> Iterator[Connection]:
    """A transaction in which the job is ours; LeaseLost if it is not."""
    with hand.site.state.begin() as conn:
        if not has_lease(conn, name, hand.name):
            raise LeaseLost(name)
        yield conn


def save(hand: Hand, name: str) -> None:
    """Write the status in the job's folder, after a transaction that has changed it."""
    with suppress(OSError):  # a copy of the state: the next move writes it anew
        save_status(hand.site.state, hand.folder(name))


def renew(hand: Hand) -> set[str]:
    """Renew all leases; the jobs that are still ours."""
    with hand.site.state.begin() as conn:
        return renew_leases(conn, hand.name, utcnow(), hand.lease)


def claim(conn: Connection, hand: Hand, name: str, attempt: int) -> bool:
    """QUEUED → PREPARING, with the lease; False if somebody was faster."""
    if not take_lease(conn, name, hand.name, utcnow(), hand.lease):
        return False
    if table.prepare(conn, name, hand.name, attempt):
        forget_tries(conn, name)
        return True
    free_lease(conn, name, hand.name)
    return False


def take_over(hand: Hand, name: str) -> Job | None:
    """Take a job that is under way and that no living worker has."""
    with hand.site.state.begin() as conn:
        if not take_lease(conn, name, hand.name, utcnow(), hand.lease):
            return None
        job = table.find(conn, name)
        if job is None or job.state in (State.CREATED, State.QUEUED):
            end_lease(conn, name)
            return None
        table.record(conn, name, hand.name, "taken over")
    save(hand, name)
    return job


def begin_step(hand: Hand, name: str) -> int:
    """Count the start of a step; how often it was started, this time included."""
    with holding(hand, name) as conn:
        return count_try(conn, name)


def forgive(hand: Hand, name: str) -> None:
    """The job goes on after all: what counted as tries of it was not its fault."""
    with holding(hand, name) as conn:
        forget_tries(conn, name)


def run(hand: Hand, job: Job) -> Job:
    """PREPARING → RUNNING, with its units."""
    with holding(hand, job.name) as conn:
        units.add(conn, job.name, job.attempt, job.units)
        if table.run(conn, job.name, hand.name, job.attempt):
            _record_reads(conn, job)
        forget_tries(conn, job.name)
        moved = _tell(conn, hand, job.name)
    save(hand, job.name)
    return moved


def collect(hand: Hand, job: Job) -> Job:
    """RUNNING → COLLECTING."""
    with holding(hand, job.name) as conn:
        table.collect(conn, job.name, hand.name, job.attempt)
        forget_tries(conn, job.name)
        moved = table.read(conn, job.name)
    save(hand, job.name)
    return moved


def finish(
    hand: Hand,
    job: Job,
    goes: State,
    failure: Failure | None = None,
    details: Mapping[str, Detail] | None = None,
) -> Job:
    """To an end; units that wait end as cancelled, and those that run must not be there."""
    with holding(hand, job.name) as conn:
        units.cancel_queued(conn, job.name, job.attempt)
        if goes is State.SUCCEEDED:
            if table.succeed(conn, job.name, hand.name, job.attempt):
                _record_release(conn, hand, job)
        elif goes is State.CANCELLED:
            table.cancel(conn, job.name, hand.name, job.attempt)
        elif failure is not None:
            told = {**_told(conn, job), **(details or {})}
            table.fail(conn, job.name, hand.name, job.attempt, failure, told)
            if job.state is State.COLLECTING:
                audit.record(conn, job.owner, "refuse release", job.name, {"why": str(failure)})
        forget_tries(conn, job.name)
        moved = _tell(conn, hand, job.name)
    save(hand, job.name)
    return moved


def let_go(hand: Hand, name: str, over: bool) -> None:
    """Give the lease back; ``over``: nothing is left to do for the job."""
    with hand.site.state.begin() as conn:
        if not has_lease(conn, name, hand.name):
            return
        if over:
            end_lease(conn, name)
        else:
            free_lease(conn, name, hand.name)


def note_natives(hand: Hand, job: Job, natives: Mapping[int, str]) -> None:
    """Note what a launcher calls units. Whoever has the job by now: it is true, and spares the
    next worker asking again."""
    with hand.site.state.begin() as conn:
        for number, native in natives.items():
            units.set_native(conn, job.name, job.attempt, number, native)


def end_units(
    hand: Hand, job: Job, ended: Mapping[int, Exit | Failure], stopping: bool
) -> Failure | None:
    """Record how units ended: an Exit, or a failure without one (lost, never started). The failure
    of the first that failed. ``stopping``: they were asked to end."""
    first: Failure | None = None
    with holding(hand, job.name) as conn:
        before = table.read(conn, job.name).units_done
        for number, how in sorted(ended.items()):
            failure = how if isinstance(how, Failure) else failure_of(how)
            ending = None if isinstance(how, Failure) else how
            state = State.SUCCEEDED if failure is None else State.FAILED
            asked = how is Failure.LOST or (ending is not None and ending.reason == "cancelled")
            if stopping and asked:
                state, failure = State.CANCELLED, None
            units.end(conn, job.name, job.attempt, number, state, failure, ending)
            first = first or failure
        if first is None and not stopping:
            tell_progress(conn, before, table.read(conn, job.name), hand.site.settings.notify)
    return first


def first_failure(conn: Connection, job: Job) -> Failure | None:
    """Why an attempt fails: as its first unit did, or as a worker that has died ended units that
    nobody had asked to end; None if it does not."""
    earliest = _first_failed(conn, job)
    if earliest:
        return earliest.failure
    if job.cancel_at or not units.units(conn, job.name, job.attempt, [State.CANCELLED], 1):
        return None
    return Failure.TIMEOUT if overdue(job) else Failure.INTERNAL


def _first_failed(conn: Connection, job: Job) -> UnitRow | None:
    failed = units.units(conn, job.name, job.attempt, [State.FAILED])
    return min(failed, key=lambda one: (one.ended_at or "", one.number), default=None)


def _told(conn: Connection, job: Job) -> dict[str, Detail]:
    """Which unit failed first, and its exit code: of what a job writes, eight bits."""
    first = _first_failed(conn, job)
    told: dict[str, Detail] = {}
    if first and job.units > 1:
        told["unit"] = first.number
    if first and first.exit and first.exit.code is not None:
        told["code"] = first.exit.code
    return told


def overdue(job: Job) -> bool:
    """Whether the job as a whole has had its time."""
    if job.spec.timeout is None or job.started_at is None:
        return False
    return job.started_at < stamp(utcnow() - timedelta(seconds=job.spec.timeout))


def _record_reads(conn: Connection, job: Job) -> None:
    """Before its first unit can read anything."""
    for name, one in job.spec.inputs.items():
        read = {key: str(value) for key, value in one.model_dump(exclude_none=True).items()}
        subject = next(iter(read.values()))
        audit.record(
            conn, job.owner, "read input", subject, {"job": job.name, "input": name, **read}
        )


def _record_release(conn: Connection, hand: Hand, job: Job) -> None:
    """With the move that lets it be fetched."""
    manifest = hand.folder(job.name).released_manifest
    files = json.loads(manifest.read_bytes())["files"]
    details = {
        "files": len(files),
        "bytes": sum(one["size"] for one in files),
        "manifest": digest_of(manifest),
    }
    audit.record(conn, job.owner, "release", job.name, details)


def _tell(conn: Connection, hand: Hand, name: str) -> Job:
    job = table.read(conn, name)
    tell_move(conn, job, hand.site.settings.notify)
    return job
