"""What is taken from the LMS, column by column: an allow-list, never passwords (design §3.5).

Rules: specs/edx-enrollment-geography §2.7–2.10; specs/edx-learners-api-insights §1.8 (what a
roster needs).
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
# What learners tell of themselves in free text is apart, like their addresses.
DETAILS = LmsTable(
    "auth_userprofile_contact",
    "auth_userprofile.csv",
    {
        "user_id": "BIGINT",
        "name": "VARCHAR",
        "language": "VARCHAR",
        "location": "VARCHAR",
        "mailing_address": "VARCHAR",
        "city": "VARCHAR",
        "country": "VARCHAR",
        "goals": "VARCHAR",
    },
    required=("user_id",),
    key=("user_id",),
    restricted=True,
)
ROLES = LmsTable(
    "student_courseaccessrole",
    "student_courseaccessrole.csv",
    {
        "access_id": "BIGINT",
        "user_id": "BIGINT",
        "org": "VARCHAR",
        "course_id": "VARCHAR",
        "role": "VARCHAR",
    },
    required=("access_id", "user_id", "role"),
    key=("access_id",),
    source={"access_id": "id"},
)
COHORTS = LmsTable(
    "course_groups_courseusergroup",
    "course_groups_courseusergroup.csv",
    {"group_id": "BIGINT", "course_id": "VARCHAR", "name": "VARCHAR", "group_type": "VARCHAR"},
    required=("group_id", "course_id", "name"),
    key=("group_id",),
    source={"group_id": "id"},
)
COHORT_MEMBERS = LmsTable(
    "course_groups_courseusergroup_users",
    "course_groups_courseusergroup_users.csv",
    {"group_id": "BIGINT", "user_id": "BIGINT"},
    required=("group_id", "user_id"),
    key=("group_id", "user_id"),
    source={"group_id": "courseusergroup_id"},
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
SUBSECTION_GRADES = LmsTable(
    "grades_persistentsubsectiongrade",
    "grades_persistentsubsectiongrade.csv",
    {
        "user_id": "BIGINT",
        "course_id": "VARCHAR",
        "usage_key": "VARCHAR",
        "earned_all": "DOUBLE",
        "possible_all": "DOUBLE",
        "earned_graded": "DOUBLE",
        "possible_graded": "DOUBLE",
        "first_attempted": "TIMESTAMP",
        "modified": "TIMESTAMP",
    },
    required=("user_id", "course_id", "usage_key"),
    key=("user_id", "course_id", "usage_key"),
)
CERTIFICATES = LmsTable(
    "certificates_generatedcertificate",
    "certificates_generatedcertificate.csv",
    {
        "user_id": "BIGINT",
        "course_id": "VARCHAR",
        "grade": "VARCHAR",
        "status": "VARCHAR",
        "mode": "VARCHAR",
        "created_date": "TIMESTAMP",
        "modified_date": "TIMESTAMP",
    },
    required=("user_id", "course_id"),
    key=("user_id", "course_id"),
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

COURSE_LIST = LmsTable(
    "course_list",
    "course_list.json",
    {
        "course_id": "VARCHAR",
        "name": "VARCHAR",
        "org": "VARCHAR",
        "number": "VARCHAR",
        "blocks_url": "VARCHAR",
        "short_description": "VARCHAR",
        "enrollment_start": "TIMESTAMP",
        "enrollment_end": "TIMESTAMP",
        "start_date": "TIMESTAMP",
        "end_date": "TIMESTAMP",
        "start_display": "VARCHAR",
        "start_type": "VARCHAR",
        "effort": "VARCHAR",
        "pacing": "VARCHAR",
    },
    required=("course_id",),
    key=("course_id",),
    source={"start_date": "start", "end_date": "end"},
    limits={"course_id": 255},
    tidy=("name", "short_description", "effort"),
)
COURSE_BLOCKS = LmsTable(
    "course_blocks",
    "course_blocks.json",
    {
        "course_id": "VARCHAR",
        "block_id": "VARCHAR",
        "block_type": "VARCHAR",
        "display_name": "VARCHAR",
        "graded": "BOOLEAN",
        "format": "VARCHAR",
        "is_root": "BOOLEAN",
        "is_orphan": "BOOLEAN",
        "is_dag": "BOOLEAN",
        "parent_block_id": "VARCHAR",
        "course_path": "VARCHAR",
        "sort_idx": "INTEGER",
    },
    required=("course_id", "block_id"),
    key=("course_id", "block_id"),
    limits={"course_id": 255, "block_id": 564, "block_type": 255, "parent_block_id": 564},
    tidy=("display_name",),
)
GRADING_POLICY = LmsTable(
    "grading_policy",
    "grading_policy.json",
    {
        "course_id": "VARCHAR",
        "assignment_type": "VARCHAR",
        "sort_idx": "INTEGER",
        "count": "INTEGER",
        "dropped": "INTEGER",
        "weight": "DOUBLE",
    },
    required=("course_id", "assignment_type"),
    key=("course_id", "assignment_type"),
    limits={"course_id": 255},
)

TABLES = (
    USERS,
    CONTACTS,
    PROFILES,
    DETAILS,
    ENROLLMENTS,
    ROLES,
    COHORTS,
    COHORT_MEMBERS,
    GRADES,
    SUBSECTION_GRADES,
    CERTIFICATES,
    CATALOG,
    PROGRAMS,
    COURSE_LIST,
    COURSE_BLOCKS,
    GRADING_POLICY,
)
RESTRICTED = frozenset(table.name for table in TABLES if table.restricted)
EMPTY: Mapping[str, Mapping[str, str]] = {table.name: table.columns for table in TABLES}
