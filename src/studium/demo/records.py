"""Tables of the LMS as MySQL exports them to CSV, and the course catalog.

Columns: specs/edx-enrollment-geography §2.9, §2.10. Texts are quoted with quotes doubled, NULL is
a bare ``\\N``, times are UTC without saying so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import TextIOWrapper
from pathlib import Path
from random import Random

from studium.demo.courses import Course
from studium.demo.people import Learner, draw_profile
from studium.demo.term import Enrollment

Field = str | int | float | datetime | None

USER_COLUMNS = (
    "id", "username", "last_login", "date_joined", "is_active", "is_superuser", "is_staff", "email",
)  # fmt: skip
PROFILE_COLUMNS = (
    "user_id", "name", "gender", "year_of_birth", "level_of_education", "language", "location",
    "mailing_address", "city", "country", "goals",
)  # fmt: skip
GRADE_COLUMNS = (
    "id", "user_id", "course_id", "course_edited_timestamp", "course_version",
    "grading_policy_hash", "percent_grade", "letter_grade", "passed_timestamp", "created",
    "modified",
)  # fmt: skip
ENROLLMENT_COLUMNS = ("id", "user_id", "course_id", "created", "is_active", "mode")


@dataclass(slots=True)
class People:
    """``auth_user.csv`` and ``auth_userprofile.csv``, written as learners are drawn."""

    random: Random
    start: datetime
    users: TextIOWrapper
    profiles: TextIOWrapper

    def add(self, learner: Learner, name: str, first: int, last: int) -> None:
        """``first`` and ``last`` sign of life in seconds since the first log day."""
        draw, number = self.random.random, learner.user_id
        joined = self.start + timedelta(seconds=first - int(draw() ** 3 * 3e7) - 5)
        seen = self.start + timedelta(seconds=last)
        active = int(draw() < 0.98)
        user = (number, learner.username, seen, joined, active, 0, 0, f"u{number}@example.org")
        self.users.write(_row(user))
        if draw() < 0.03:  # accounts made by scripts have no profile
            return
        profile, country = draw_profile(self.random, name), learner.country
        address = f"{number} Example Road\n{country.city}" if draw() < 0.1 else None
        self.profiles.write(
            _row(
                (
                    number,
                    profile.name,
                    profile.gender,
                    profile.year_of_birth,
                    profile.level_of_education,
                    country.language if draw() < 0.6 else "",
                    "",
                    address,
                    country.city if draw() < 0.7 else None,
                    country.code if draw() < 0.8 else "",
                    profile.goals,
                )
            )
        )


@contextmanager
def open_people(folder: Path, random: Random, start: date) -> Iterator[People]:
    with (
        _open(folder / "auth_user.csv", USER_COLUMNS) as users,
        _open(folder / "auth_userprofile.csv", PROFILE_COLUMNS) as profiles,
    ):
        begin = _midnight(start)
        staff = (1, "staff", begin, begin - timedelta(days=900), 1, 1, 1, "staff@example.org")
        users.write(_row(staff))
        yield People(random, begin, users, profiles)


def write_enrollments(folder: Path, enrollments: Iterable[Enrollment], start: date) -> None:
    """The state that the LMS is in: it also knows the changes whose events were lost."""
    begin = _midnight(start)
    with _open(folder / "student_courseenrollment.csv", ENROLLMENT_COLUMNS) as file:
        for number, enrollment in enumerate(enrollments, 1):
            row = (
                number,
                enrollment.learner.user_id,
                enrollment.course.course_id,
                begin + timedelta(seconds=enrollment.created),
                int(enrollment.is_active),
                enrollment.mode,
            )
            file.write(_row(row))


def write_grades(folder: Path, enrollments: Iterable[Enrollment], start: date) -> None:
    """Grades of all who ever submitted. Some have passed and fallen back since: a time of passing
    without a letter (§2.8)."""
    begin = _midnight(start)
    with _open(folder / "grades_persistentcoursegrade.csv", GRADE_COLUMNS) as file:
        number = 0
        for enrollment in enrollments:
            if enrollment.modified is None:
                continue
            number += 1
            share = enrollment.points / enrollment.course.max_points
            modified = begin + timedelta(microseconds=enrollment.modified)
            passed = None
            if enrollment.passed is not None:
                passed = begin + timedelta(microseconds=enrollment.passed)
            row = (
                number,
                enrollment.learner.user_id,
                enrollment.course.course_id,
                begin - timedelta(days=20),
                "66d0a1",
                "ZGVtb2dyYWRpbmdwb2xpY3k=",
                f"{min(share, 1):.2f}",
                _letter(enrollment, share),
                passed,
                begin + timedelta(seconds=enrollment.created),
                modified,
            )
            file.write(_row(row))


def write_catalog(folder: Path, courses: Iterable[Course], start: date, days: int) -> None:
    """Course runs as the catalog service lists them, one JSON array."""
    runs = [_course_run(course, start, days) for course in courses]
    text = json.dumps(runs, ensure_ascii=False, indent=2)
    (folder / "course_catalog.json").write_text(text + "\n", encoding="utf-8")


def _course_run(course: Course, start: date, days: int) -> dict[str, object]:
    opens = start + timedelta(days=course.start)
    ends = None if course.self_paced else opens + timedelta(days=7 * course.weeks + 7)
    begun = course.start < days
    return {
        "key": course.course_id,
        "course": f"{course.org}+{course.title.split()[0]}",
        "title": course.title.replace(" ", "  ", 1),
        "start": f"{opens}T00:00:00Z",
        "end": f"{ends}T00:00:00Z" if ends else None,
        "enrollment_start": None,
        "enrollment_end": None,
        "announcement": f"{opens - timedelta(days=40)}T00:00:00Z",
        "content_language": "fr" if "é" in course.title + course.org else "en",
        "pacing_type": "self_paced" if course.self_paced else "instructor_paced",
        "level_type": "Introductory",
        "availability": "Current" if begun else "Starting Soon",
        "marketing_url": "https://example.org/courses/" + course.title.split()[0].lower(),
        "min_effort": 2,
        "max_effort": 5,
        "weeks_to_complete": course.weeks,
        "reporting_type": "mooc",
        "programs": [
            {
                "uuid": "5c0ffee0-0000-4000-8000-000000000001",
                "type": "XSeries",
                "title": "Numbers  for Life",
            }
        ]
        if "STAT101" in course.course_id
        else [],
    }


def _letter(enrollment: Enrollment, share: float) -> str:
    if enrollment.passed is None or enrollment.learner.user_id % 41 == 0:
        return ""
    if enrollment.course.mode != "honor":
        return "Pass"
    return "A" if share >= 0.85 else "B" if share >= 0.7 else "C"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@contextmanager
def _open(path: Path, columns: tuple[str, ...]) -> Iterator[TextIOWrapper]:
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(",".join(columns) + "\n")
        yield file


def _row(fields: Iterable[Field]) -> str:
    return ",".join([_field(field) for field in fields]) + "\n"


def _field(field: Field) -> str:
    if field is None:
        return "\\N"
    if isinstance(field, str):
        return '"' + field.replace('"', '""') + '"'
    if isinstance(field, datetime):
        return f'"{field:%Y-%m-%d %H:%M:%S.%f}"'
    return str(field)
