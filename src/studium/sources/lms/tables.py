"""What is taken from the LMS, column by column: an allow-list, never passwords (design §3.5).

Rules: specs/edx-enrollment-geography §2.7–2.10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LmsTable:
    """A table of the lake that is a snapshot of an LMS table.

    ``columns``: name in the lake → DuckDB type; ``source`` names the column there when it differs.
    Rows without the ``required`` columns are refused, and so are second rows of a ``key``. A text
    longer than its ``limits`` is taken for absent; one in ``tidy`` has its white space collapsed
    and is cut at 255 characters instead. ``meanwhile`` says what a user misses while there is no
    such file.
    """

    name: str
    file: str
    columns: Mapping[str, str]
    required: tuple[str, ...]
    key: tuple[str, ...]
    meanwhile: str = ""
    source: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    tidy: tuple[str, ...] = ()
    restricted: bool = False


USERS = LmsTable(
    "auth_user",
    "auth_user.csv",
    {
        "user_id": "BIGINT",
        "username": "VARCHAR",
        "is_active": "BOOLEAN",
        "is_staff": "BOOLEAN",
        "is_superuser": "BOOLEAN",
        "date_joined": "TIMESTAMP",
        "last_login": "TIMESTAMP",
    },
    required=("user_id", "username"),
    key=("user_id",),
    meanwhile="user ids and user names are not brought together",
    source={"user_id": "id"},
)
# Names and addresses are kept apart, in a table that only what needs them may read.
CONTACTS = LmsTable(
    "auth_user_contact",
    "auth_user.csv",
    {"user_id": "BIGINT", "email": "VARCHAR", "first_name": "VARCHAR", "last_name": "VARCHAR"},
    required=("user_id",),
    key=("user_id",),
    source={"user_id": "id"},
    restricted=True,
)
PROFILES = LmsTable(
    "auth_userprofile",
    "auth_userprofile.csv",
    {
        "user_id": "BIGINT",
        "gender": "VARCHAR",
        "year_of_birth": "INTEGER",
        "level_of_education": "VARCHAR",
    },
    required=("user_id",),
    key=("user_id",),
    meanwhile="gender, birth year and education are NULL for every learner",
    limits={"gender": 6},
)
GRADES = LmsTable(
    "grades_persistentcoursegrade",
    "grades_persistentcoursegrade.csv",
    {
        "user_id": "BIGINT",
        "course_id": "VARCHAR",
        "percent_grade": "DOUBLE",
        "letter_grade": "VARCHAR",
        "passed_timestamp": "TIMESTAMP",
        "modified": "TIMESTAMP",
    },
    required=("user_id", "course_id", "modified"),
    key=("user_id", "course_id"),
    meanwhile="passing_users is 0 everywhere",
)
ENROLLMENTS = LmsTable(
    "student_courseenrollment",
    "student_courseenrollment.csv",
    {
        "user_id": "BIGINT",
        "course_id": "VARCHAR",
        "created": "TIMESTAMP",
        "is_active": "BOOLEAN",
        "mode": "VARCHAR",
    },
    required=("user_id", "course_id", "is_active"),
    key=("user_id", "course_id"),
    meanwhile="geography can count enrollments from the logs only",
    limits={"course_id": 255},
)
CATALOG = LmsTable(
    "course_catalog",
    "course_catalog.json",
    {
        "course_id": "VARCHAR",
        "catalog_course": "VARCHAR",
        "catalog_course_title": "VARCHAR",
        "start_time": "TIMESTAMP",
        "end_time": "TIMESTAMP",
        "pacing_type": "VARCHAR",
        "availability": "VARCHAR",
    },
    required=("course_id",),
    key=("course_id",),
    meanwhile="titles, dates, pacing and availability of courses are NULL, programs are unknown",
    source={
        "course_id": "key",
        "catalog_course": "course",
        "catalog_course_title": "title",
        "start_time": "start",
        "end_time": "end",
    },
    limits={"course_id": 255},
    tidy=("catalog_course", "catalog_course_title", "pacing_type", "availability"),
)
PROGRAMS = LmsTable(
    "program_course",
    "course_catalog.json",
    {
        "course_id": "VARCHAR",
        "program_id": "VARCHAR",
        "program_type": "VARCHAR",
        "program_title": "VARCHAR",
    },
    required=("course_id", "program_id", "program_type"),
    key=("course_id", "program_id"),
    source={
        "course_id": "key",
        "program_id": "uuid",
        "program_type": "type",
        "program_title": "title",
    },
    limits={"course_id": 255, "program_id": 36, "program_type": 32},
    tidy=("program_title",),
)

TABLES = (USERS, CONTACTS, PROFILES, ENROLLMENTS, GRADES, CATALOG, PROGRAMS)
RESTRICTED = frozenset(table.name for table in TABLES if table.restricted)
EMPTY: Mapping[str, Mapping[str, str]] = {table.name: table.columns for table in TABLES}
