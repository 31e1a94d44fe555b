"""The audit log: who read protected data, and what left, in a chain that shows what was changed.

Rows are only added. Triggers in the database refuse everything else, and each row holds the
SHA-256 of the one before, so that a change by someone who takes the triggers away is found. The
chain cannot show that its last rows were cut off, nor that all of it was made anew: note its head
elsewhere (``studium audit`` prints it) and compare.

Entries name accounts, jobs and tables, never learners, so that ``studium forget`` has nothing to
erase here (specs/morf.md §7.5: "audit log of every read and release").
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection, select

from studium.clock import utcnow
from studium.errors import UsageError
from studium.state.schema import audit

MAX_DETAILS = 16 * 1024
"""Bytes of an entry's details as JSON: an entry says what happened, it does not hold data."""

TAMPERED = "Find out who changed the state, and restore it from a backup."
"""The cure of a broken chain."""

_ACT = re.compile(r"[a-z][a-z-]*( [a-z-]+)*")
_HEAD = re.compile(r"(\d{1,18}):([0-9a-f]{64})")
_ROWS_AT_ONCE = 5_000

Detail = str | int | float | bool | None | Sequence[str | int]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: ``who`` did ``what`` to ``subject``, ``at`` an instant (ISO 8601, UTC).

    ``what`` is a verb or two in lower case: "read input", "release", "refuse release", "fetch".
    ``previous`` is the ``digest`` of the row before, empty for the first.
    """

    number: int
    at: str
    who: str
    what: str
    subject: str
    details: Mapping[str, Any]
    previous: str
    digest: str


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry at some time: noted elsewhere, it proves later that nothing was taken away."""

    number: int
    digest: str

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """The head that ``str`` wrote; UsageError for other text."""
        match = _HEAD.fullmatch(text)
        if match is None:
            raise UsageError(
                f"{text!r} is not the head of an audit log.",
                "Give it as `studium audit` printed it: NUMBER:DIGEST.",
            )
        return cls(int(match[1]), match[2])


@dataclass(frozen=True, slots=True)
class Chain:
    """What ``verify_chain`` saw: how many entries, the last one, and in words what is ``wrong``."""

    entries: int
    head: Head | None
    wrong: Sequence[str] = field(default_factory=tuple)


def record(
    conn: Connection,
    who: str,
    what: str,
    subject: str,
    details: Mapping[str, Detail] | None = None,
) -> Entry:
    """Add an entry, in the caller's transaction (``State.begin``): it stays if that is committed.

    ``details`` are few and short, and name no learner. Raises ValueError for an entry that is not
    in this form: that is the caller's mistake, not a user's.
    """
    if not _ACT.fullmatch(what) or len(what) > 60:
        raise ValueError(f"{what!r} does not say what was done in a few words in lower case")
    if not who or len(who) > 200 or not who.isprintable() or not subject.isprintable():
        raise ValueError("an entry names who and what on one line, who in 1 to 200 characters")
    text = _canonical(dict(details or {}))
    if len(text) > MAX_DETAILS:
        raise ValueError(f"details of {len(text):,} bytes, more than {MAX_DETAILS:,}")
    last = conn.execute(
        select(audit.c.number, audit.c.digest).order_by(audit.c.number.desc()).limit(1)
    ).first()
    number, previous = (1, "") if last is None else (last.number + 1, last.digest)
    row = {
        "number": number,
        "at": utcnow().isoformat(timespec="milliseconds"),
        "who": who,
        "what": what,
        "subject": subject,
        "details": text.decode(),
        "previous": previous,
    }
    digest = _digest(row)
    conn.execute(audit.insert().values(**row, digest=digest))
    return _entry({**row, "digest": digest})


def entries(conn: Connection, after: int = 0) -> Iterator[Entry]:
    """Entries with a larger number than ``after``, in order, without holding all of them."""
    statement = select(audit).where(audit.c.number > after).order_by(audit.c.number)
    for row in conn.execute(statement.execution_options(yield_per=_ROWS_AT_ONCE)).mappings():
        yield _entry(row)


def verify_chain(conn: Connection, noted: Head | None = None) -> Chain:
    """Is every entry as it was written, and are all there? Compares with a head ``noted`` earlier.

    Changes nothing and holds one entry at a time.
    """
    wrong: list[str] = []
    number, previous, count = 0, "", 0
    seen = noted is None
    statement = select(audit).order_by(audit.c.number).execution_options(yield_per=_ROWS_AT_ONCE)
    for row in conn.execute(statement).mappings():
        number += 1
        count += 1
        if row["number"] != number:
            missing = row["number"] - number
            wrong.append(f"{missing:,} entries before number {row['number']} are missing")
            number = row["number"]
        elif row["previous"] != previous:
            wrong.append(f"entry {number} does not follow from the one before it")
        if row["digest"] != _digest(row):
            wrong.append(f"entry {number} is not as it was written")
        if noted is not None and number == noted.number:
            seen = row["digest"] == noted.digest
        previous = row["digest"]
    if not seen and noted is not None:
        wrong.append(f"entry {noted.number} is not the one that was noted")
    return Chain(count, Head(number, previous) if count else None, tuple(wrong))


def _digest(row: Mapping[Any, Any]) -> str:
    names = ("number", "at", "who", "what", "subject", "details", "previous")
    return hashlib.sha256(_canonical([row[name] for name in names])).hexdigest()


def _canonical(value: object) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"details that are not JSON: {error}") from None


def _entry(row: Mapping[Any, Any]) -> Entry:
    try:
        details = orjson.loads(row["details"])
    except orjson.JSONDecodeError:  # changed by someone: verify_chain says so, and this shows it
        details = {"unreadable": row["details"]}
    return Entry(**{**row, "details": details})
