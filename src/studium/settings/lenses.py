"""Settings of the lenses."""

from __future__ import annotations

from typing import Literal

from studium.settings.kinds import Regex, ReportName, Texts, Whole
from studium.settings.section import Section, key


class EngagementSettings(Section):
    """The engagement lens."""

    weeks: Whole = key(
        520,
        "Whole ISO weeks before until that course_activity covers.",
        "a whole number, 1 or more",
        ge=1,
    )
    months: Whole = key(
        120,
        "Whole calendar months before until that course_activity_monthly covers.",
        "a whole number, 1 or more",
        ge=1,
    )


class GeographySettings(Section):
    """The geography lens."""

    database: str = key(
        "",
        "Country database in MaxMind's format: GeoLite2, GeoIP2, DB-IP; relative to the site; "
        "empty: none, the lens is left out.",
        "an .mmdb file",
    )
    enrollment: Literal["events", "lms"] = key(
        "events",
        "Who is enrolled: as Studium's enrollment lens has it, or as the LMS's table "
        "student_courseenrollment has it.",
        "events or lms",
    )


class AnswersSettings(Section):
    """The answers lens, and its reports: CSV files, one for each course."""

    response_types: Texts = key(
        [
            "choiceresponse",
            "optionresponse",
            "multiplechoiceresponse",
            "numericalresponse",
            "stringresponse",
            "formularesponse",
        ],
        "Types of responses that answer_distribution counts.",
        "a list of texts (in the environment: one text, or a JSON array)",
    )
    clean_pattern: Regex = key(
        r"<choicehint[^<>]*>(?:(?:(?!<choicehint).)*?</choicehint>)?",
        "Regular expression of what is taken out of answers and questions in "
        "problem_response_latest; empty: nothing.",
        "a regular expression, or empty",
    )
    report_folder: str = key(
        "",
        "Folder, relative to the site, of the files that `studium report` writes; empty: it has to "
        "be named.",
        "a folder",
    )
    report_name: ReportName = key(
        "{course_id}_problem_response.csv",
        "Name of the file of a course with the latest responses.",
        "a file name with {course_id}",
    )
    report_fields: Texts = key(
        [],
        "Columns of problem_response_latest in that file, in their order; empty: all.",
        "a list of texts (in the environment: one text, or a JSON array)",
    )
    report_date_format: str = key(
        "",
        "Form of times in that file, as for strftime; empty: 2021-03-01 12:00:00+00:00.",
        "a strftime format, or empty",
    )
    report_list_delimiter: str = key(
        "",
        "What stands between the answers to one part in that file; empty: they are a list as "
        "Python writes it.",
        "a text",
    )


class LearnersSettings(Section):
    """The learners lens."""

    low_percentile: Whole = key(
        15,
        "Percentile of a course's learners below which a metric of engagement is low.",
        "a whole number from 0 to 100",
        ge=0,
        le=100,
    )
    high_percentile: Whole = key(
        85,
        "Percentile of a course's learners from which on a metric of engagement is high.",
        "a whole number from 0 to 100",
        ge=0,
        le=100,
    )
    roster: Literal["names", "none"] = key(
        "names",
        "names: the result store has the learners of a course with names and addresses; none: "
        "those tables are empty.",
        "names or none",
    )
    anonymous_username: str = key(
        "",
        "User name under which module_engagement counts events that have none, and that no learner "
        "has; empty: they do not count.",
        "a text of at most 30 characters",
        max_length=30,
    )
