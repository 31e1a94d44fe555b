"""Tables of days, made by Python because no SQL for a spine of days runs on every engine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING

from studium.errors import TableError
from studium.lake.tables import map_table

if TYPE_CHECKING:
    import pyarrow as pa


def make_calendar(params: Mapping[str, object], keys: pa.Table | None = None) -> pa.Table:
    """List the UTC days of `[start, until)` (`specs/edx-enrollment-geography` Appendix A)."""
    import pyarrow as pa

    start, until = params["start"], params["until"]
    if not isinstance(start, date) or not isinstance(until, date):
        raise TableError("The table calendar needs two dates, start and until.")
    days = [start + timedelta(n) for n in range((until - start).days)]
    mondays = [day - timedelta(day.weekday()) for day in days]
    iso = [day.isocalendar() for day in days]
    return pa.table(
        {
            "date": pa.array(days, pa.date32()),
            "year": pa.array([day.year for day in days], pa.int32()),
            "month": pa.array([day.month for day in days], pa.int32()),
            "day_of_month": pa.array([day.day for day in days], pa.int32()),
            "iso_week": pa.array([f"{w.year}W{w.week:02}" for w in iso], pa.string()),
            "week_start": pa.array(mondays, pa.date32()),
            "week_end": pa.array([monday + timedelta(7) for monday in mondays], pa.date32()),
            "iso_weekday": pa.array([w.weekday for w in iso], pa.int32()),
        }
    )


CALENDAR = map_table(
    "calendar",
    "calendar",
    make_calendar,
    version="1",
    description="The UTC days that whole tables cover, with their ISO weeks",
    grain=["date"],
    columns={
        "date": "date not null; UTC day",
        "year": "integer not null; calendar year",
        "month": "integer not null; 1 to 12",
        "day_of_month": "integer not null; 1 to 31",
        "iso_week": "varchar(7) not null; ISO week, as in 2013W48; its year is the week's",
        "week_start": "date not null; Monday of the week",
        "week_end": "date not null; Monday after the week, exclusive",
        "iso_weekday": "integer not null; 1 (Monday) to 7",
    },
    params=["start", "until"],
    rule="specs/edx-enrollment-geography Appendix A",
)

TABLES = (CALENDAR,)
