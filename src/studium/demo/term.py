"""The plan of a term: who enrolls when, comes how often, upgrades, leaves.

Only the plan is kept in memory, a few numbers a visit; what happens in a visit is drawn when its
hour is written.
"""

from __future__ import annotations

from array import array
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from math import log
from random import Random

from studium.demo.courses import Course
from studium.demo.people import Learner, draw_learner

SECONDS_A_DAY = 86_400

# Shares of an average day by local hour: little at night, a rise after work, most in the evening.
HOURS = (2, 1, 0.5, 0.3, 0.3, 0.6, 1.5, 3, 4, 5, 5.5, 5, 5, 5, 5, 5.5, 6, 6.5, 7, 9, 11, 10, 7, 4)
WEEKDAYS = (1.0, 0.97, 0.95, 0.9, 0.62, 0.6, 0.95)
"""Monday first; a deadline on Sunday evening draws people in."""

STOPS = (0.16, 0.12, 0.2, 0.19, 0.07, 0.05, 0.03, 0.18)
"""Shares of learners by the number of weeks in which they come; the last: to the end."""

DEEDS: tuple[tuple[str, str], ...] = (
    ("activated", ""),
    ("activated", "verified"),
    ("deactivated", ""),
    ("mode_changed", "verified"),
    ("mode_changed", "credit"),
)
"""Enrollment events as (kind, mode); no mode: the one that the enrollment has or starts with."""

ENROLL, ENROLL_VERIFIED, LEAVE, UPGRADE, CREDIT = range(5)
DEED_EVENTS = (2, 2, 2, 1, 1)
"""Events that a deed writes: the request, where there is one, and the event itself."""


@dataclass(slots=True)
class Enrollment:
    """A learner in a course run, and how far the learner has got.

    ``created`` in seconds since the first log day; ``passed`` and ``modified`` in microseconds, of
    the grade. ``place`` is the next item of the course; ``tried`` and ``solved`` hold one bit for
    each item.
    """

    learner: Learner
    course: Course
    created: int
    mode: str = ""
    is_active: bool = False
    place: int = 0
    tried: int = 0
    solved: int = 0
    points: int = 0
    passed: int | None = None
    modified: int | None = None


@dataclass(slots=True)
class Stay:
    """The plan of one enrollment: (second, deed) and (second, events to come)."""

    created: int
    deeds: list[tuple[int, int]] = field(default_factory=list)
    visits: list[tuple[int, int]] = field(default_factory=list)

    @property
    def events(self) -> int:
        deeds = sum(DEED_EVENTS[deed] for _, deed in self.deeds)
        return deeds + sum(size for _, size in self.visits)


@dataclass(slots=True)
class Term:
    """All enrollments, and by day what is due, packed into 64 bits (``unpack``) so that the
    numbers sort by time."""

    days: int
    weekday: int
    enrollments: list[Enrollment] = field(default_factory=list)
    deeds: list[array[int]] = field(default_factory=list)
    visits: list[array[int]] = field(default_factory=list)
    learners: int = 0
    events: int = 0


def unpack(packed: int) -> tuple[int, int, int]:
    """(second of the day, number of the enrollment, deed or number of events)."""
    return packed >> 40, (packed >> 16) & 0xFF_FFFF, packed & 0xFFFF


def plan_term(
    random: Random,
    courses: tuple[Course, ...],
    *,
    days: int,
    weekday: int,
    events: int,
    on_learner: Callable[[Learner, str, int, int], None],
) -> Term:
    """Learners until ``events`` are planned. ``weekday`` of the first day, 0 is Monday.

    ``on_learner`` is called with each learner, the full name, and the seconds of the first and of
    the last sign of life.
    """
    term = Term(days, weekday)
    term.deeds = [array("Q") for _ in range(days)]
    term.visits = [array("Q") for _ in range(days)]
    marks = list(accumulate(course.weight for course in courses))
    while term.events < events:
        term.learners += 1
        learner, name = draw_learner(random, 1000 + term.learners)
        chosen = _draw_courses(random, courses, marks, term.learners)
        stays = [_plan_stay(random, course, learner, days, weekday) for course in chosen]
        first = min(stay.created for stay in stays)
        last = first
        for course, stay in zip(chosen, stays, strict=True):
            while stay.visits and term.events + stay.events > events:
                stay.visits.pop()
            term.events += stay.events
            last = max(last, *(second for second, _ in (*stay.deeds, *stay.visits)))
            _enter(term, Enrollment(learner, course, stay.created), stay)
        on_learner(learner, name, first, last)
    return term


def _enter(term: Term, enrollment: Enrollment, stay: Stay) -> None:
    number = len(term.enrollments) << 16
    term.enrollments.append(enrollment)
    for due, days in ((stay.deeds, term.deeds), (stay.visits, term.visits)):
        for second, what in due:
            day, second = divmod(second, SECONDS_A_DAY)
            days[day].append(second << 40 | number | what)


def _draw_courses(
    random: Random, courses: tuple[Course, ...], marks: list[float], turn: int
) -> list[Course]:
    """Mostly one course. The first learners go round, so that no course stays empty."""
    if turn <= len(courses):
        return [courses[turn - 1]]
    count = 1 if random.random() < 0.8 else 2 if random.random() < 0.85 else 3
    chosen: list[Course] = []
    for _ in range(count):
        course = courses[bisect(marks, random.random() * marks[-1])]
        if course not in chosen:
            chosen.append(course)
    return chosen


def _plan_stay(random: Random, course: Course, learner: Learner, days: int, weekday: int) -> Stay:
    draw = random.random
    end = days * SECONDS_A_DAY
    created = _draw_enrollment_day(random, course, days) * SECONDS_A_DAY
    created = _at_local_hour(random, created, learner.country.offset, 0, end)
    stay = Stay(created)
    direct = course.mode == "audit" and draw() < 0.03
    stay.deeds.append((created, ENROLL_VERIFIED if direct else ENROLL))

    # A few lift the curve only for a day: enrolled by mistake, or just looking.
    if draw() < 0.025:
        _add_deed(stay, created + 120 + int(draw() * SECONDS_A_DAY), LEAVE, end)
        return stay

    begin = created if course.self_paced else max(created, course.start * SECONDS_A_DAY)
    weeks = _draw_weeks(draw())
    if weeks == len(STOPS) - 1:
        weeks = course.weeks + 1
    last = begin
    for week in range(min(weeks, course.weeks + 1)):
        # One visit in the first week of coming, then as the learner's zeal has it, fading.
        count = int(learner.zeal * 3.4 * 0.94**week + draw()) or (week == 0)
        for _ in range(count):
            second = begin + (7 * week) * SECONDS_A_DAY
            second = _draw_weekday(random, second, weekday)
            second = _at_local_hour(random, second, learner.country.offset, created + 180, end)
            if second < end - 300:
                stay.visits.append((second, 3 + min(90, int(-log(1 - draw()) * 17))))
                last = max(last, second)
    stay.visits.sort()
    _plan_changes(random, stay, course, weeks, last, end)
    return stay


def _plan_changes(
    random: Random, stay: Stay, course: Course, weeks: int, last: int, end: int
) -> None:
    """Upgrades of those who stay, unenrollment of some who stop; some of those come back."""
    draw = random.random
    week = 7 * SECONDS_A_DAY
    if course.mode in ("audit", "honor") and weeks > 2 and draw() < 0.32:
        second = stay.created + int((0.3 + draw() * min(weeks, 5)) * week)
        _add_deed(stay, second, UPGRADE if draw() < 0.9 else ENROLL_VERIFIED, end)
        if weeks > course.weeks and draw() < 0.1:
            _add_deed(stay, max(last, second) + 600, CREDIT, end)
    elif weeks <= 4 and draw() < 0.14:
        second = last + int((0.1 + draw() * 10) * SECONDS_A_DAY)
        _add_deed(stay, second, LEAVE, end)
        if draw() < 0.15:
            _add_deed(stay, second + int((0.05 + draw() * 6) * SECONDS_A_DAY), ENROLL, end)


def _add_deed(stay: Stay, second: int, deed: int, end: int) -> None:
    if second < end:
        stay.deeds.append((second, deed))


def _draw_weeks(mark: float) -> int:
    for weeks, share in enumerate(STOPS):
        mark -= share
        if mark < 0:
            return weeks
    return len(STOPS) - 1


def _draw_enrollment_day(random: Random, course: Course, days: int) -> int:
    """Two waves before the start (the announcement, the reminder), the first days, stragglers."""
    draw = random.random
    kind = draw()
    if course.self_paced:
        day = draw() * days * 0.8 if kind < 0.7 else course.start + draw() * 4
    elif kind < 0.3:
        day = max(0.0, course.start - 12) + 3 * draw() * draw()
    elif kind < 0.55:
        day = course.start - 3.5 * draw() * draw()
    elif kind < 0.77:
        day = course.start + 2.5 * draw()
    else:
        day = course.start - 9 * log(1 - draw())
    return min(max(0, int(day)), int(days * 0.85))


def _draw_weekday(random: Random, second: int, weekday: int) -> int:
    """A day of the week that begins at ``second``, by the liking of its weekday."""
    draw = random.random
    while True:
        day = second // SECONDS_A_DAY + int(draw() * 7)
        if draw() < WEEKDAYS[(day + weekday) % 7]:
            return day * SECONDS_A_DAY


def _at_local_hour(random: Random, second: int, offset: int, earliest: int, end: int) -> int:
    """A second of the local day that begins at ``second``, in UTC, in [earliest, end)."""
    draw = random.random
    hour = bisect(_HOUR_MARKS, draw() * _HOUR_MARKS[-1])
    second += int((hour + draw()) * 3600) - offset * 60
    return min(max(second, earliest + int(draw() * 900)), end - 1)


_HOUR_MARKS = list(accumulate(HOURS))
