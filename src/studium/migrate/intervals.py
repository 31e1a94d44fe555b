"""Days as the old pipeline wrote them (specs/edx-enrollment-geography §5, Appendix A)."""

from __future__ import annotations

import re
from datetime import date, timedelta

from studium.clock import Interval, parse_day
from studium.errors import UsageError

_DAYS = re.compile(r"(\d{4}-\d\d-\d\d)-(\d{4}-\d\d-\d\d)", re.ASCII)
_WEEK = re.compile(r"(\d{4})-W(\d\d)", re.ASCII)
_MONTH = re.compile(r"(\d{4})-(\d\d)", re.ASCII)
_YEAR = re.compile(r"\d{4}", re.ASCII)
_ISO = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.ASCII)
_SPAN = re.compile(r"\s*(\d+)\s*([a-z]+)", re.ASCII | re.IGNORECASE)
_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DAY = 86_400


def parse_interval(text: str) -> Interval:
    """``2014``, ``2014-05``, ``2014-W26``, ``2014-05-10`` or ``2014-05-10-2014-06-01`` (the last
    day excluded); anything else is a UsageError."""
    text = text.strip()
    try:
        if match := _DAYS.fullmatch(text):
            return Interval(parse_day(match[1]), parse_day(match[2]))
        if match := _WEEK.fullmatch(text):
            monday = date.fromisocalendar(int(match[1]), int(match[2]), 1)
            return Interval(monday, monday + timedelta(days=7))
        if match := _MONTH.fullmatch(text):
            first = date(int(match[1]), int(match[2]), 1)
            return Interval(first, (first + timedelta(days=32)).replace(day=1))
        if _YEAR.fullmatch(text):
            return Interval(date(int(text), 1, 1), date(int(text) + 1, 1, 1))
        day = parse_day(text)
        return Interval(day, day + timedelta(days=1))
    except (UsageError, ValueError, OverflowError) as error:
        reason = f": {error.message}" if isinstance(error, UsageError) and "-" in text else ""
        raise UsageError(
            f"{text!r} is not an interval{reason.rstrip('.')}.",
            "Write 2014-05-10-2014-06-01 (the last day excluded), 2014-05-10, 2014-05, 2014-W26 "
            "or 2014.",
        ) from None


def parse_span(text: str) -> int:
    """Whole days in ``2 days``, ``1 week 2 days`` or ``P2D``, rounded down; else a UsageError."""
    text = text.strip()
    seconds = 0
    match = _ISO.fullmatch(text.upper())
    if match and any(match.groups()):
        for number, length in zip(match.groups(), _UNITS.values(), strict=True):
            seconds += int(number or 0) * length
        return seconds // _DAY
    rest = text
    while part := _SPAN.match(rest):
        unit = part[2].lower()
        if not any(
            word.startswith(unit) for word in ("weeks", "days", "hours", "minutes", "seconds")
        ):
            break
        seconds += int(part[1]) * _UNITS[unit[0]]
        rest = rest[part.end() :]
    if not text or rest.strip():
        raise UsageError(f"{text!r} is not a span of time.", "Write 2 days, 1 week 2 days or P2D.")
    return seconds // _DAY
