"""What is taken from the LMS, column by column: an allow-list, never passwords (design §3.5).

Rules: specs/edx-enrollment-geography §2.7–2.10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class LmsTable:
    """A table of the lake that is a snapshot of an LMS table.

    ``columns``: name in the lake → DuckDB type; ``source`` names the column there when it differs.
    Rows without the ``required`` columns are refused. ``meanwhile`` says what a user misses while
    there is no such file.
    """

    name: str
    file: str
    columns: Mapping[str, str]
    required: tuple[str, ...]
    meanwhile: str
    source: Mapping[str, str]
    restricted: bool = False


USERS = LmsTable(
    "auth_user",
    "auth_user",
    {
        "user_id": "BIGINT",
        "username": "VARCHAR",
        "is_active": "BOOLEAN",
        "is_staff": "BOOLEAN",
        "is_superuser": "BOOLEAN",
        "date_joined": "TIMESTAMP",
        "last_login": "TIMESTAMP",
    },
    ("user_id", "username"),
    "user ids and user names are not brought together",
    {"user_id": "id"},
)
# Names and addresses are kept apart, in a table that only what needs them may read.
CONTACTS = LmsTable(
    "auth_user_contact",
    "auth_user",
    {"user_id": "BIGINT", "email": "VARCHAR", "first_name": "VARCHAR", "last_name": "VARCHAR"},
    ("user_id",),
    "",
    {"user_id": "id"},
    restricted=True,
)
PROFILES = LmsTable(
    "auth_userprofile",
    "auth_userprofile",
    {
        "user_id": "BIGINT",
        "gender": "VARCHAR",
        "year_of_birth": "INTEGER",
        "level_of_education": "VARCHAR",
    },
    ("user_id",),
    "gender, birth year and education are NULL for every learner",
    {},
)
GRADES = LmsTable(
    "grades_persistentcoursegrade",
    "grades_persistentcoursegrade",
    {
        "user_id": "BIGINT",
        "course_id": "VARCHAR",
        "percent_grade": "DOUBLE",
        "letter_grade": "VARCHAR",
        "passed_timestamp": "TIMESTAMP",
        "modified": "TIMESTAMP",
    },
    ("user_id", "course_id", "modified"),
    "passing_users is 0 everywhere",
    {},
)
CATALOG = LmsTable(
    "course_catalog",
    "course_catalog",
    {
        "course_id": "VARCHAR",
        "catalog_course": "VARCHAR",
        "catalog_course_title": "VARCHAR",
        "start_time": "TIMESTAMP",
        "end_time": "TIMESTAMP",
        "pacing_type": "VARCHAR",
        "availability": "VARCHAR",
    },
    ("course_id",),
    "titles, dates, pacing and availability of courses are NULL",
    {
        "course_id": "key",
        "catalog_course": "course",
        "catalog_course_title": "title",
        "start_time": "start",
        "end_time": "end",
    },
)

TABLES = (USERS, CONTACTS, PROFILES, GRADES, CATALOG)
RESTRICTED = frozenset(table.name for table in TABLES if table.restricted)
EMPTY: Mapping[str, Mapping[str, str]] = {table.name: table.columns for table in TABLES}
