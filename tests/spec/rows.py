"""Rows as compact text, in the manner of ehrQL's specs: what a reader sees is what is compared.

A text table has a header line and one line per row, cells apart by blanks. `-` is NULL, `''` the
empty text, `~` inside a text a blank. A day `07` is 2021-03-07, `02-20` is 2021-02-20; a time is
`07T23:00:00.5`.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

Row = dict[str, Any]

COURSE = "course-v1:Spec+{}+2021"
TYPES = {
    "act": "edx.course.enrollment.activated",
    "deact": "edx.course.enrollment.deactivated",
    "mode": "edx.course.enrollment.mode_changed",
}


def course_of(name: str) -> str:
    """The course run of a scenario: `E33` has a course of its own; a full id stays as it is."""
    return name if "/" in name or ":" in name else COURSE.format(name)


def parse_table(text: str, types: Mapping[str, str]) -> list[Row]:
    """Read a text table; `types` gives the declared type of each column (`studium.columns`)."""
    lines = [line.split() for line in text.strip().splitlines()]
    header, rows = lines[0], lines[1:]
    assert all(len(row) == len(header) for row in rows), f"ragged table:\n{text}"
    return [
        {name: parse_cell(cell, types[name]) for name, cell in zip(header, row, strict=True)}
        for row in rows
    ]


def parse_cell(cell: str, type_: str) -> Any:
    """Read one cell of a declared type."""
    if cell == "-":
        return None
    kind = type_.partition("(")[0]
    if kind in ("varchar", "text"):
        return "" if cell == "''" else cell.replace("~", " ")
    if kind in ("integer", "bigint", "smallint"):
        return int(cell)
    if kind == "boolean":
        return {"yes": True, "no": False}[cell]
    if kind == "date":
        return parse_day(cell)
    assert kind == "datetime", type_
    return parse_time(cell)


def parse_day(text: str) -> date:
    """`07` → 2021-03-07, `02-20` → 2021-02-20, `2020-12-31` → itself."""
    missing = {0: "2021-03-", 1: "2021-", 2: ""}[text.count("-")]
    return date.fromisoformat(missing + text)


def parse_time(text: str) -> datetime:
    """`07T23:00:00.5` → 2021-03-07 23:00:00.500000."""
    day, _, clock = text.partition("T")
    clock, _, fraction = clock.partition(".")
    clock = clock + ":00" * (2 - clock.count(":"))
    return datetime.fromisoformat(f"{parse_day(day)}T{clock}.{fraction:0<6}")


def parse_events(text: str, course: str) -> list[Row]:
    """Read events, one a line: `01 08:00 101 act audit [name=value …]`.

    Day, time, user, type, mode, then any columns of the `events` table that differ from those of
    an ordinary event of the course. Another word than act, deact, mode is a type of its own.
    """
    events = []
    for line in text.strip().splitlines():
        day, clock, user, kind, mode, *rest = line.split()
        event: Row = {
            "day": parse_day(day),
            "time": parse_time(f"{day}T{clock}"),
            "event_type": TYPES.get(kind, kind),
            "event_source": "server",
            "payload_form": "object",
            "event_course_id": course,
            "event_user_id": None if user == "-" else int(user),
            "mode": parse_cell(mode, "varchar"),
        }
        for pair in rest:
            name, _, value = pair.partition("=")
            event[name] = parse_cell(value, "bigint" if name == "user_id" else "varchar")
        events.append(event)
    return events


def ordered(rows: Iterable[Mapping[str, Any]]) -> list[tuple[tuple[str, Any], ...]]:
    """Rows in an order of their own, so that lists can be compared; NULL comes first."""
    plain = [tuple(sorted(row.items())) for row in rows]
    return sorted(plain, key=lambda row: [(v is not None, str(v)) for _, v in row])
