"""A synthetic institution in the formats of a real one: tracking logs and tables of the LMS."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from random import Random

from studium.demo.activities import Lines
from studium.demo.blocks import write_blocks
from studium.demo.courses import SYLLABI, Course, draw_course
from studium.demo.crowd import pass_by
from studium.demo.envelope import DAY, SECOND, draw_calendar
from studium.demo.files import Log
from studium.demo.geoip import write_countries
from studium.demo.records import open_people, write_catalog, write_enrollments, write_grades
from studium.demo.term import Term, plan_term, unpack
from studium.demo.visits import Campus, do_deed, pay_visit
from studium.errors import UsageError

CROWD = 0.04
"""Share of the events that belongs to no learner's visit."""

SLOTS = 96
SLOT = DAY // SLOTS
"""The piece of a day that is drawn, sorted and written at once."""

FEWEST_EVENTS = 2_000
SHORTEST_TERM = 14


@dataclass(frozen=True, slots=True)
class Institution:
    """What was written to ``folder``: ``logs/``, ``lms/`` and ``countries.mmdb``.

    ``events`` are the distinct whole events; ``lines`` are all lines of all logs, so
    ``lines - events - broken_lines`` repeat an event. ``broken_lines`` hold none: cut off, not an
    object, without a time. ``late_lines`` came in a later file than that of their day. Events lie
    in UTC days ``[since, until)``.
    """

    folder: Path
    courses: tuple[str, ...]
    learners: int
    events: int
    lines: int
    broken_lines: int
    late_lines: int
    since: date
    until: date


@dataclass(slots=True)
class _Desk:
    """What has happened and is not written yet: lines by time, and late ones by slot."""

    campus: Campus
    term: Term
    log: Log
    pending: Lines = field(default_factory=list)
    delayed: dict[int, list[str]] = field(default_factory=dict)
    late: int = 0
    debt: int = 0


def write_institution(
    folder: Path,
    *,
    events: int = 60_000,
    seed: int = 7,
    start: date = date(2025, 9, 1),
    days: int = 84,
    progress: Callable[[int], None] | None = None,
) -> Institution:
    """Write ``folder/logs/``, ``folder/lms/`` and ``folder/countries.mmdb`` (a GeoIP database of
    the invented networks), the same for the same arguments.

    ``events`` is met within a tenth; the number of learners follows from it. Memory holds an hour
    or so of lines and a few numbers a learner. ``progress`` is called after every day with the
    number of events written so far. Raises ``UsageError`` for a term or a number of events too
    small to hold a course.
    """
    if events < FEWEST_EVENTS or days < SHORTEST_TERM:
        raise UsageError(
            f"A synthetic institution of {events} events over {days} days is too small.",
            f"Ask for at least {FEWEST_EVENTS} events and {SHORTEST_TERM} days.",
        )
    logs, lms = folder / "logs", folder / "lms"
    logs.mkdir(parents=True, exist_ok=True)
    lms.mkdir(parents=True, exist_ok=True)

    random = Random(seed)
    courses = tuple(draw_course(random, syllabus, days) for syllabus in SYLLABI)
    with open_people(lms, Random(f"people {seed}"), start) as people:
        term = plan_term(
            random,
            courses,
            days=days,
            weekday=start.weekday(),
            events=int(events * (1 - CROWD)),
            on_learner=people.add,
        )
    campus = Campus(random, draw_calendar(start, days), days * DAY)
    desk = _Desk(campus, term, Log(Random(f"damage {seed}")))
    crowd = _spread(int(events * CROWD), days * SLOTS)
    for day in range(days):
        path = logs / _file_name(start, day, days)
        with desk.log.rotate(path, cut=day == days - 1):
            _write_day(desk, courses, day, crowd[day * SLOTS : (day + 1) * SLOTS], start)
        if progress is not None:
            progress(desk.log.events)

    write_enrollments(lms, term.enrollments, start)
    write_grades(lms, term.enrollments, start)
    write_catalog(lms, courses, start, days)
    write_blocks(lms, courses)
    write_countries(folder / "countries.mmdb", start)
    return Institution(
        folder=folder,
        courses=tuple(course.course_id for course in courses),
        learners=term.learners,
        events=desk.log.events,
        lines=desk.log.lines,
        broken_lines=desk.log.broken,
        late_lines=desk.late,
        since=start,
        until=start + timedelta(days=days),
    )


def _write_day(
    desk: _Desk, courses: tuple[Course, ...], day: int, crowd: list[int], start: date
) -> None:
    """The file that is rotated after ``day``; what goes on past midnight is left for the next."""
    term, last_user = desk.term, 1000 + desk.term.learners
    visits, deeds = sorted(term.visits[day]), sorted(term.deeds[day])
    date_text = f"{start + timedelta(days=day):%b %d}"
    for slot in range(SLOTS):
        begin = day * DAY + slot * SLOT
        # Deeds first: whoever visits in the same slot has enrolled before.
        for packed in _within(deeds, slot):
            second, number, deed = unpack(packed)
            time = day * DAY + second * SECOND + int(desk.campus.random.random() * SECOND)
            desk.pending += do_deed(desk.campus, term.enrollments[number], time, deed)
        for packed in _within(visits, slot):
            _visit(desk, day, *unpack(packed))
        desk.pending += pass_by(desk.campus, courses, begin, SLOT, crowd[slot], last_user)
        desk.pending.sort(key=itemgetter(0))
        done = bisect_left(desk.pending, begin + SLOT, key=itemgetter(0))
        lines = [line for _, line in desk.pending[:done]]
        del desk.pending[:done]
        desk.log.write(lines, f"{date_text} {slot // 4:02d}:{slot % 4 * 15 + 14}:59")
        desk.log.write_whole(desk.delayed.pop(begin // SLOT, []), new=True)


def _visit(desk: _Desk, day: int, second: int, number: int, size: int) -> None:
    """Pay a visit, and take from later visits what it has grown over its size."""
    if desk.debt >= size:
        desk.debt -= size
        return
    end = desk.campus.end
    time = day * DAY + second * SECOND + int(desk.campus.random.random() * SECOND)
    visit = pay_visit(desk.campus, desk.term.enrollments[number], time, size - desk.debt)
    lines = [(time, line) for time, line in visit.lines if time < end]
    desk.debt += len(lines) - size
    if visit.sent is None:
        desk.pending += lines
        return
    # Delivered together, hours after the last of them, whichever day they belong to.
    sent = visit.sent // DAY
    desk.late += sum(time // DAY < sent for time, _ in lines)
    desk.delayed.setdefault(visit.sent // SLOT, []).extend(line for _, line in lines)


def _within(packed: list[int], slot: int) -> list[int]:
    seconds = SLOT // SECOND
    first = bisect_left(packed, (slot * seconds) << 40)
    return packed[first : bisect_left(packed, ((slot + 1) * seconds) << 40)]


def _spread(count: int, slots: int) -> list[int]:
    """``count`` things evenly over ``slots``."""
    return [
        after - before for before, after in pairwise(count * n // slots for n in range(slots + 1))
    ]


def _file_name(start: date, day: int, days: int) -> str:
    """Named by the day of rotation. One server packs with zstd, the newest is not packed yet."""
    suffix = ".log" if day == days - 1 else ".zst" if day == days // 3 else ".gz"
    return f"tracking.log-{start + timedelta(days=day + 1):%Y%m%d}{suffix}"
