"""Days and half-open intervals of days."""

from datetime import UTC, date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studium.clock import Interval, parse_day, today, utcnow
from studium.errors import UsageError

DAYS = st.dates(date(1990, 1, 1), date(2090, 1, 1))


@given(DAYS)
def test_a_day_reads_back(day: date) -> None:
    assert parse_day(day.isoformat()) == day


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20240229",
        "2024-W09-4",
        "2024-2-29",
        "2023-02-29",
        "2024-02-29T00:00:00",
        " 2024-02-29",
        "٢٠٢٤-٠٢-٢٩",
    ],
)
def test_what_is_no_day_is_named_with_the_form(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_day(text)
    assert repr(text) in str(caught.value)
    assert "YYYY-MM-DD" in str(caught.value)


@given(DAYS, st.integers(0, 400), DAYS)
def test_an_interval_holds_its_first_day_and_not_its_end(
    since: date, length: int, other: date
) -> None:
    interval = Interval(since, since + timedelta(days=length))
    days = list(interval)
    assert len(interval) == len(days) == length
    assert (other in interval) == (other in days)
    assert interval.until not in interval
    assert days == sorted(set(days))


def test_an_interval_may_be_empty_but_not_inverted() -> None:
    day = date(2024, 1, 1)
    assert list(Interval(day, day)) == []
    with pytest.raises(UsageError, match="2023-12-31, before it begins on 2024-01-01"):
        Interval(day, date(2023, 12, 31))


def test_an_interval_widens_at_both_ends_within_the_calendar() -> None:
    interval = Interval(date(2024, 1, 1), date(2024, 1, 3))
    assert interval.widen(2) == Interval(date(2023, 12, 30), date(2024, 1, 5))
    assert interval.widen(10**7) == Interval(date.min, date.max)
    assert str(interval) == "[2024-01-01, 2024-01-03)"


def test_now_is_in_utc() -> None:
    before = today()
    now = utcnow()
    assert now.tzinfo is UTC
    assert before <= now.date() <= today()
