"""Days and instants. Everything is UTC; an interval of days is half-open, ``[since, until)``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from studium.errors import UsageError

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def utcnow() -> datetime:
    """The present instant, aware, in UTC."""
    return datetime.now(UTC)


def today() -> date:
    """The present UTC day."""
    return utcnow().date()


def parse_day(text: str) -> date:
    """The day that ``text`` names in the form ``YYYY-MM-DD``; anything else is a UsageError."""
    # date.fromisoformat alone also takes 20240229 and 2024-W09-4.
    if _DAY.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise UsageError(
                f"{text!r} is not a day of the calendar.", "Write a date as YYYY-MM-DD."
            ) from None
    raise UsageError(f"{text!r} is not a date.", "Write a date as YYYY-MM-DD, e.g. 2024-02-29.")


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """The UTC days from ``since`` up to, and without, ``until``.

    Equal ends make an empty (and false) interval; ``until`` before ``since`` is a UsageError.
    """

    since: date
    until: date

    def __post_init__(self) -> None:
        if self.until < self.since:
            raise UsageError(
                f"The interval ends on {self.until}, before it begins on {self.since}.",
                "Give a --since that is not after --until.",
            )

    def __contains__(self, day: date) -> bool:
        return self.since <= day < self.until

    def __iter__(self) -> Iterator[date]:
        for number in range(len(self)):
            yield self.since + timedelta(days=number)

    def __len__(self) -> int:
        return (self.until - self.since).days

    def __str__(self) -> str:
        return f"[{self.since}, {self.until})"

    def widen(self, days: int) -> Interval:
        """The interval with ``days`` more at both ends, within the calendar."""
        return Interval(_shift(self.since, -days), _shift(self.until, days))


def _shift(day: date, days: int) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return date.max if days > 0 else date.min
