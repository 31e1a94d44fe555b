"""Which weeks and months are over on a day, and how many of them the tables show."""

from __future__ import annotations

from datetime import date, timedelta

from studium.clock import Interval


def whole_weeks(until: date, weeks: int) -> Interval:
    """The last ``weeks`` ISO weeks that are over before ``until``, Monday to Monday; at most those
    of the calendar.

    `specs/edx-activity-video-answers` §1.3.
    """
    weeks = min(weeks, (until.toordinal() - 1) // 7)
    return Interval(_monday(until - timedelta(weeks=weeks)), _monday(until))


def whole_months(until: date, months: int) -> Interval:
    """The last ``months`` calendar months that are over before ``until``; at most those of the
    calendar.

    `specs/edx-activity-video-answers` §1.6.
    """
    first = until.replace(day=1)
    years, month = divmod(max(12 * first.year + first.month - 1 - months, 12), 12)
    return Interval(date(years, month + 1, 1), first)


def _monday(day: date) -> date:
    return day - timedelta(day.weekday())
