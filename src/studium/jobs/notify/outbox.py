"""Deliveries: what is to be told to whom, written in the transaction of what it tells of.

A crash can so neither lose a message nor tell of what did not happen. Whoever sends takes a
delivery for a while by compare-and-set; one that dies with it leaves it to the next. A receiver may
thus hear twice, with the same id (at least once); two of the same notice are never made.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Result, select, update

from studium.clock import utcnow
from studium.jobs.notify.events import Event, Notice, from_json, progress_marks, to_json
from studium.jobs.states import State
from studium.jobs.table import Job
from studium.settings.worker import NotifySettings
from studium.state.facts import get_fact, set_fact
from studium.state.schema import deliveries
from studium.state.upsert import insert_into

_KEY = "callback key"


class Kind(StrEnum):
    """How a delivery goes."""

    SITE = "site"  # an address of notify.urls, by the digest of it
    MAIL = "mail"
    CALLBACK = "callback"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one receiver."""

    id: str
    job: str
    kind: Kind
    receiver: str
    notice: Notice
    tries: int  # that were begun
    due: str | None  # when it is tried next; None: it was sent or given up
    ended: str | None
    outcome: str  # "sent", "given up: …", or why the last try failed


def stamp(at: datetime) -> str:
    """An instant as text whose order is that of time."""
    return at.isoformat(timespec="microseconds")


def digest(address: str) -> str:
    """What stands for an address that holds secrets."""
    return hashlib.sha256(address.encode()).hexdigest()[:16]


def tell(
    conn: Connection, notice: Notice, receivers: Sequence[str], settings: NotifySettings
) -> int:
    """Make the deliveries of ``notice`` for the ``receivers`` that its job names and for those of
    the site; how many are new. In the transaction of the move that it tells of."""
    if str(notice.event) not in settings.events:
        return 0
    wanted = [(Kind.SITE, digest(url)) for url in settings.urls]
    wanted += [(kind_of(one), one) for one in receivers]
    made = 0
    for kind, receiver in wanted:
        row = {
            "id": f"dlv_{secrets.token_hex(16)}", "job": notice.job, "event": notice.key,
            "kind": str(kind), "receiver": receiver, "body": to_json(notice), "tries": 0,
            "due": stamp(utcnow()), "ended": None, "outcome": "",
        }  # fmt: skip
        insert = insert_into(conn, deliveries).values(row).on_conflict_do_nothing()
        made += conn.execute(insert.returning(deliveries.c.id)).first() is not None
    return made


_EVENTS = {
    State.QUEUED: Event.QUEUED,
    State.RUNNING: Event.STARTED,
    State.FAILED: Event.FAILED,
    State.CANCELLED: Event.CANCELLED,
    State.SUCCEEDED: Event.RESULT,
}


def tell_move(conn: Connection, job: Job, settings: NotifySettings) -> None:
    """Tell of the state that ``job`` has just come to; to be called in the move's transaction.
    Idempotent: nobody hears twice of the same state of one attempt."""
    event = _EVENTS.get(job.state)
    if event is not None:
        notice = Notice(job.name, event, stamp(utcnow()), job.attempt, job.failure)
        tell(conn, notice, job.spec.notify, settings)


def tell_progress(conn: Connection, before: int, job: Job, settings: NotifySettings) -> None:
    """Tell of the quarters that are done, where ``before`` units were."""
    for mark in progress_marks(before, job.units_done, job.units):
        notice = Notice(
            job.name, Event.PROGRESS, stamp(utcnow()), job.attempt,
            done=job.units_done, units=job.units, mark=mark,
        )  # fmt: skip
        tell(conn, notice, job.spec.notify, settings)


def kind_of(receiver: str) -> Kind:
    """How a receiver that a job names is told: by callback if it is a URL."""
    return Kind.CALLBACK if "://" in receiver else Kind.MAIL


def callback_key(conn: Connection) -> bytes:
    """The key that the tokens of this site's jobs are made from; drawn at its first use, so that
    ``conn`` must be one that may write."""
    kept = get_fact(conn, _KEY)
    if kept is None:
        kept = secrets.token_hex(32)
        set_fact(conn, _KEY, kept)
    return bytes.fromhex(kept)


def due(conn: Connection, now: datetime, limit: int) -> list[Delivery]:
    """Deliveries whose time has come, the longest waiting first."""
    statement = (
        select(deliveries)
        .where(deliveries.c.due <= stamp(now))
        .order_by(deliveries.c.due, deliveries.c.id)
        .limit(limit)
    )
    return _rows(conn.execute(statement))


def next_due(conn: Connection) -> str | None:
    """When the next delivery is due; None if there is none."""
    found = select(deliveries.c.due).where(deliveries.c.due.is_not(None))
    text: str | None = conn.execute(found.order_by(deliveries.c.due).limit(1)).scalar()
    return text


def take(conn: Connection, one: Delivery, until: datetime) -> bool:
    """Take a delivery that ``due`` gave, for a try that ends before ``until``; False if another
    process was first. The try counts from here, so that one that kills its sender ends, too."""
    changed = conn.execute(
        update(deliveries)
        .where(deliveries.c.id == one.id, deliveries.c.due == one.due)
        .where(deliveries.c.tries == one.tries)
        .values(due=stamp(until), tries=one.tries + 1)
    )
    return changed.rowcount == 1


def settle(
    conn: Connection, one: Delivery, outcome: str, again: datetime | None, now: datetime
) -> None:
    """Record the end of a try of ``one``, as it was when it was taken; ``again``: the next try."""
    conn.execute(
        update(deliveries)
        .where(deliveries.c.id == one.id, deliveries.c.tries == one.tries + 1)
        .where(deliveries.c.due.is_not(None))
        .values(
            outcome=outcome,
            due=None if again is None else stamp(again),
            ended=stamp(now) if again is None else None,
        )
    )


def deliveries_of(conn: Connection, job: str) -> list[Delivery]:
    """All deliveries of one job, in the order of their events."""
    found = conn.execute(select(deliveries).where(deliveries.c.job == job))
    order = {str(event): number for number, event in enumerate(Event)}
    return sorted(
        _rows(found),
        key=lambda one: (one.notice.attempt, one.notice.at, order[one.notice.event], one.id),
    )


def _rows(found: Result[Any]) -> list[Delivery]:
    return [
        Delivery(
            id=row["id"],
            job=row["job"],
            kind=Kind(row["kind"]),
            receiver=row["receiver"],
            notice=from_json(row["body"]),
            tries=row["tries"],
            due=row["due"],
            ended=row["ended"],
            outcome=row["outcome"],
        )
        for row in found.mappings()
    ]
