"""The jobs of a site: their rows, and every move between states.

The row is the truth of a job's state. A move is a compare-and-set in the caller's transaction
(``State.begin``): it says where it thinks the job is, and False tells that somebody was faster, who
has then done what was to be done. Whoever moves a job calls ``jobs.folder.save_status`` after it;
from what is in the folder the row can be made again.

History is only added to, by the same functions, in the same transaction (specs/jobs-hpc §7.5–6).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select, update

from studium.clock import utcnow
from studium.errors import JobError
from studium.jobs.description import spec_json
from studium.jobs.names import is_name
from studium.jobs.spec import JobSpec
from studium.jobs.states import Failure, State
from studium.state.schema import deliveries, job_history, job_units, jobs, leases
from studium.state.upsert import insert_into

Detail = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Job:
    """A row. Instants are ISO 8601 text in UTC, whose order is that of time; those from
    ``queued_at`` on are of this attempt. ``units_done`` counts those that have ended, well or not.
    """

    name: str
    owner: str
    state: State
    attempt: int  # from 1
    failure: Failure | None
    spec: JobSpec = field(repr=False)
    launcher: str
    priority: int
    units: int
    units_done: int
    bytes: int
    submitted_at: str
    queued_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    cancel_at: str | None = None

    @property
    def protected(self) -> bool:
        """Whether it may have read protected data: its logs are not shown."""
        return self.spec.privacy == "protected"


@dataclass(frozen=True, slots=True)
class Event:
    """One row of a job's history: ``who`` (an account or a worker) did ``what``.

    ``details`` are short and typed; nothing in them is text that the job wrote.
    """

    job: str
    number: int
    at: str
    who: str
    what: str
    attempt: int
    state: State
    failure: Failure | None
    details: Mapping[str, Detail]


def now_text() -> str:
    """The present instant as rows hold it."""
    return utcnow().isoformat(timespec="microseconds")


def create(conn: Connection, name: str, spec: JobSpec, who: str) -> Job:
    """Add a job in CREATED, whose folder is not complete yet.

    ``spec`` has owner and launcher. Raises JobError if there is such a job already: a name is never
    given twice. Not idempotent; who is in doubt asks with ``find``.
    """
    if not is_name(name) or not spec.owner or not spec.launcher:
        raise ValueError("a job needs a canonical name, an owner and a launcher")
    row = {
        "name": name, "owner": spec.owner, "state": str(State.CREATED), "attempt": 1,
        "failure": None, "spec": spec_json(spec), "launcher": spec.launcher,
        "priority": spec.priority, "units": spec.units.total, "units_done": 0, "bytes": 0,
        "submitted_at": now_text(),
    }  # fmt: skip
    insert = insert_into(conn, jobs).values(row).on_conflict_do_nothing().returning(jobs.c.name)
    if conn.execute(insert).first() is None:
        raise JobError(f"There is a job {name} already.", "Submit again: it gets a new name.")
    record(conn, name, who, "created")
    return read(conn, name)


def find(conn: Connection, name: str) -> Job | None:
    """The job, or None."""
    row = conn.execute(select(jobs).where(jobs.c.name == name)).mappings().first()
    return _job(row) if row else None


def read(conn: Connection, name: str) -> Job:
    """The job; JobError if there is none."""
    job = find(conn, name)
    if job is None:
        raise JobError(f"There is no job {name}.", "`studium job list` shows your jobs.")
    return job


def listing(
    conn: Connection,
    owner: str | None = None,
    states: Collection[State] | None = None,
    limit: int | None = None,
) -> list[Job]:
    """Jobs, the last submitted first."""
    statement = select(jobs).order_by(jobs.c.submitted_at.desc(), jobs.c.name).limit(limit)
    if owner is not None:
        statement = statement.where(jobs.c.owner == owner)
    if states is not None:
        statement = statement.where(jobs.c.state.in_([str(one) for one in states]))
    return [_job(row) for row in conn.execute(statement).mappings()]


def move(
    conn: Connection,
    name: str,
    came: State,
    goes: State,
    who: str,
    *,
    attempt: int,
    failure: Failure | None = None,
    details: Mapping[str, Detail] | None = None,
) -> bool:
    """Compare-and-set: bring ``attempt`` of the job from ``came`` to ``goes``; False if it is
    elsewhere. ``failure`` is given for FAILED and for nothing else. Idempotent: of two that do the
    same, one gets True. The named moves below are this one, with their pre-conditions."""
    if not came.may_become(goes):
        raise ValueError(f"{goes} does not follow {came}")
    if (failure is not None) != (goes is State.FAILED):
        raise ValueError("a failure is what FAILED has")
    values: dict[str, object] = {"state": str(goes), "failure": failure and str(failure)}
    stamp = now_text()
    if goes is State.QUEUED:
        values["queued_at"] = stamp
    if goes is State.RUNNING:
        values["started_at"] = stamp
    if goes.ended:
        values["ended_at"] = stamp
    done = conn.execute(
        update(jobs)
        .where(jobs.c.name == name, jobs.c.attempt == attempt, jobs.c.state == str(came))
        .values(values)
    )
    if done.rowcount:
        record(conn, name, who, str(goes), details)
    return bool(done.rowcount)


def queue(conn: Connection, name: str, who: str, attempt: int = 1) -> bool:
    """CREATED → QUEUED. Pre-condition: its spec and code are in its folder."""
    return move(conn, name, State.CREATED, State.QUEUED, who, attempt=attempt)


def prepare(conn: Connection, name: str, who: str, attempt: int) -> bool:
    """QUEUED → PREPARING. Pre-condition: ``who`` has the job's lease. Whoever takes over a job in
    PREPARING does its preparation again: every step of it is idempotent."""
    return move(conn, name, State.QUEUED, State.PREPARING, who, attempt=attempt)


def run(conn: Connection, name: str, who: str, attempt: int) -> bool:
    """PREPARING → RUNNING. Pre-conditions: image and inputs are ready, and the rows of its units
    are there (``units.add``)."""
    return move(conn, name, State.PREPARING, State.RUNNING, who, attempt=attempt)


def collect(conn: Connection, name: str, who: str, attempt: int) -> bool:
    """RUNNING → COLLECTING. Pre-condition: every unit has ended."""
    return move(conn, name, State.RUNNING, State.COLLECTING, who, attempt=attempt)


def succeed(conn: Connection, name: str, who: str, attempt: int) -> bool:
    """COLLECTING → SUCCEEDED. Pre-condition: ``released/manifest.json`` is written; without it a
    success would be a claim (specs/jobs-hpc §7.8)."""
    return move(conn, name, State.COLLECTING, State.SUCCEEDED, who, attempt=attempt)


def fail(
    conn: Connection,
    name: str,
    who: str,
    attempt: int,
    failure: Failure,
    details: Mapping[str, Detail] | None = None,
) -> bool:
    """Any state but an end → FAILED. Pre-condition: none of its units runs any more."""
    return _end(conn, name, State.FAILED, who, attempt, failure, details)


def cancel(conn: Connection, name: str, who: str, attempt: int) -> bool:
    """Any state but an end → CANCELLED. Pre-conditions: ``ask_cancel``, and none of its units runs
    any more: cancelled is said when it is confirmed (specs/jobs-hpc §7.40)."""
    return _end(conn, name, State.CANCELLED, who, attempt, None, None)


def ask_cancel(conn: Connection, name: str, who: str) -> State:
    """Note that the job is to end, and end it at once if no worker has it; the state it is in then.

    Pre-condition: none. Idempotent: the first asking counts, and a job that has ended stays as it
    is. A worker that has the job sees ``cancel_at``, ends its units and then moves it.
    """
    job = read(conn, name)
    if job.state.ended:
        return job.state
    if job.cancel_at is None:
        conn.execute(update(jobs).where(jobs.c.name == name).values(cancel_at=now_text()))
        record(conn, name, who, "cancel asked")
    if job.state in (State.CREATED, State.QUEUED):
        cancel(conn, name, who, job.attempt)
    return read(conn, name).state


def resubmit(conn: Connection, name: str, who: str) -> int:
    """FAILED or CANCELLED → QUEUED as a new attempt, whose number is returned.

    The old attempt's folder, units and history stay; its end is in the history for ever. Raises
    JobError if the job has not ended so.
    """
    job = read(conn, name)
    if job.state not in (State.FAILED, State.CANCELLED):
        raise JobError(
            f"Job {name} has {job.state}." if job.state.ended else f"Job {name} is {job.state}.",
            "`studium job resubmit --clone` makes a new job of it."
            if job.state.ended
            else "Cancel it first, or wait for its end.",
        )
    fresh = {
        "state": str(State.QUEUED), "attempt": job.attempt + 1, "failure": None, "units_done": 0,
        "queued_at": now_text(), "started_at": None, "ended_at": None, "cancel_at": None,
    }  # fmt: skip
    conn.execute(update(jobs).where(jobs.c.name == name).values(fresh))
    record(conn, name, who, "resubmitted")
    return job.attempt + 1


def record(
    conn: Connection,
    name: str,
    who: str,
    what: str,
    details: Mapping[str, Detail] | None = None,
) -> None:
    """Add to the history of a job, whose row is as it is after ``what``."""
    last = select(func.coalesce(func.max(job_history.c.number), 0)).where(job_history.c.job == name)
    columns = (jobs.c.attempt, jobs.c.state, jobs.c.failure)
    row = conn.execute(select(*columns).where(jobs.c.name == name)).one()
    number = int(conn.execute(last).scalar_one()) + 1
    conn.execute(
        job_history.insert().values(
            job=name, number=number, at=now_text(), who=who[:200], what=what, **row._mapping,
            details=json.dumps(dict(details or {})),
        )
    )  # fmt: skip


def history(conn: Connection, name: str, after: int = 0) -> list[Event]:
    """What happened to a job, in order; ``after``: only what has a larger number."""
    statement = select(job_history).where(job_history.c.job == name, job_history.c.number > after)
    rows = conn.execute(statement.order_by(job_history.c.number)).mappings()
    return [event_of(row) for row in rows]


def event_of(row: Mapping[Any, Any]) -> Event:
    """The event in a row, or in an object of ``status.json``."""
    details = row["details"]
    return Event(
        **{
            **row,
            "state": State(row["state"]),
            "failure": Failure(row["failure"]) if row["failure"] else None,
            "details": json.loads(details) if isinstance(details, str) else details,
        }
    )


def erase_texts(conn: Connection, name: str) -> None:
    """Take out of the history what an earlier version noted in words: they may hold names of files
    that the job chose."""
    for event in history(conn, name):
        if "text" in event.details:
            rest = {key: value for key, value in event.details.items() if key != "text"}
            conn.execute(
                update(job_history)
                .where(job_history.c.job == name, job_history.c.number == event.number)
                .values(details=json.dumps(rest))
            )


def set_bytes(conn: Connection, name: str, size: int) -> None:
    """Note how large the job's folder is."""
    conn.execute(update(jobs).where(jobs.c.name == name).values(bytes=size))


def usage(conn: Connection, owner: str) -> int:
    """Bytes in the folders of an owner's jobs, as last measured."""
    total = select(func.coalesce(func.sum(jobs.c.bytes), 0)).where(jobs.c.owner == owner)
    return int(conn.execute(total).scalar_one())


def drop(conn: Connection, name: str) -> bool:
    """Delete the rows of a job. Pre-condition: it has ended. Its folder goes first, so that a crash
    leaves a row that is asked for again. Idempotent."""
    ends = [str(state) for state in State if state.ended]
    gone = conn.execute(jobs.delete().where(jobs.c.name == name, jobs.c.state.in_(ends)))
    if gone.rowcount:
        for one in (job_units, job_history, deliveries, leases):
            conn.execute(one.delete().where(one.c.job == name))
    return bool(gone.rowcount)


def _end(
    conn: Connection,
    name: str,
    goes: State,
    who: str,
    attempt: int,
    failure: Failure | None,
    details: Mapping[str, Detail] | None,
) -> bool:
    job = read(conn, name)
    if job.state.ended:
        return False
    return move(conn, name, job.state, goes, who, attempt=attempt, failure=failure, details=details)


def _job(row: Mapping[Any, Any]) -> Job:
    return Job(
        **{
            **row,
            "state": State(row["state"]),
            "failure": Failure(row["failure"]) if row["failure"] else None,
            "spec": JobSpec.model_validate_json(row["spec"]),
        }
    )
