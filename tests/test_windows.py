"""Which weeks and months the engagement tables show, at the ends of the calendar."""

from datetime import date

from studium.clock import Interval
from studium.lenses.engagement.windows import whole_months, whole_weeks


def test_a_window_of_more_weeks_than_there_are_begins_with_the_calendar() -> None:
    assert whole_weeks(date(2014, 8, 1), 2) == Interval(date(2014, 7, 14), date(2014, 7, 28))
    assert whole_weeks(date(2014, 8, 1), 10**12) == Interval(date.min, date(2014, 7, 28))


def test_a_window_of_more_months_than_there_are_begins_with_the_calendar() -> None:
    assert whole_months(date(2014, 8, 20), 2) == Interval(date(2014, 6, 1), date(2014, 8, 1))
    assert whole_months(date(2014, 8, 20), 10**12) == Interval(date.min, date(2014, 8, 1))
