"""Enrollment scenarios: events of one course each → rows of that course.

`rule` names the rule in `specs/edx-enrollment-geography` §6, or the section. Days are in March
2021; all scenarios share the interval [2021-02-15, 2021-03-08). `days` stands for the daily rows of
§2.4, made from `enrollment_changes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from tests.spec.rows import Row, course_of, parse_events, parse_table

START, UNTIL = date(2021, 2, 15), date(2021, 3, 8)

PROFILE = {
    "user_id": "bigint",
    "gender": "varchar",
    "year_of_birth": "integer",
    "level_of_education": "varchar",
}
GRADE = {
    "user_id": "bigint",
    "letter_grade": "varchar",
    "passed_timestamp": "datetime",
    "modified": "datetime",
}


@dataclass(frozen=True)
class Scenario:
    """Events in, rows out; `course` only where the id itself matters."""

    rule: str
    events: str
    expect: Mapping[str, str]
    course: str = ""
    grades: str = ""
    profiles: str = ""
    catalog: Row = field(default_factory=dict)

    @property
    def course_id(self) -> str:
        """The course run of all its events."""
        return self.course or course_of(self.rule)


def days(text: str) -> dict[str, str]:
    """Expect the daily rows of learner 1."""
    return {"days": "date at_end change mode\n" + text}


def summary(text: str) -> dict[str, str]:
    """Expect lines of the summary, under short names."""
    return {"summary": text}


NOTHING = {
    "enrollment_events": "user_id",
    "enrollment_changes": "user_id",
    "enrollment_summary": "user_id",
    "course_enrollment_daily": "count",
}

ACCEPTANCE = [
    Scenario(
        "E09",
        """
        02-14 23:59:59.999999 3 act honor
        02-15 00:00:00        1 act honor
        08    00:00:00        2 act honor
        """,
        {
            "enrollment_changes": "user_id date\n1 02-15",
            "enrollment_summary": "user_id\n1",
        },
    ),
    Scenario(
        "E10",
        "02-14 12:00 1 act honor",
        {"enrollment_changes": "user_id", "enrollment_summary": "user_id"},
    ),
    Scenario("E12", "07 08:00 1 - honor", NOTHING),
    Scenario("E13", "07 08:00 1 edx.course.enrollment.unknown honor", NOTHING),
    Scenario("E14", "07 08:00 - act - payload_form=list event_course_id=-", NOTHING),
    Scenario("E15", "07 08:00 1 act honor payload_form=json", days("07 1 +1 honor")),
    Scenario("E16", "07 08:00 - act - payload_form=truncated event_course_id=-", NOTHING),
    Scenario("E17", "07 08:00 - act - payload_form=form event_course_id=-", NOTHING),
    Scenario("E18", "07 08:00 - act - payload_form=empty event_course_id=-", NOTHING),
    Scenario("E19", "07 08:00 1 act honor event_course_id=-", NOTHING),
    Scenario(
        "E21-new",
        "07 08:00 1 act honor",
        days("07 1 +1 honor"),
        course="course-v1:FooXé+1.23x+2013_Spring",
    ),
    Scenario(
        "E21-legacy",
        "07 08:00 1 act honor",
        days("07 1 +1 honor"),
        course="org/coursé_id/course_run",
    ),
    Scenario("E22-user", "07 08:00 - act honor user_id=1", NOTHING),
    Scenario("E22-mode", "07 08:00 1 act -", NOTHING),
    Scenario(
        "§2.2-any-source",
        """
        06 08:00 1 act honor   event_source=browser
        07 08:00 1 deact honor event_source=-
        """,
        days("06 1 +1 honor\n07 0 -1 honor"),
    ),
    Scenario(
        "§2.2-mode-verbatim",
        """
        05 08:00 1 act  ''
        06 08:00 1 mode None
        07 08:00 1 mode ~Prüfung
        """,
        days("05 1 +1 ''\n06 1 0 None\n07 1 0 ~Prüfung"),
    ),
]

STATES = [
    Scenario("E25", "07 08:00 1 act honor", days("07 1 +1 honor")),
    Scenario("E26", "07 08:00 1 deact honor", days("07 0 0 honor")),
    Scenario(
        "E27",
        """
        07 01:00 1 act   honor
        07 02:00 1 deact honor
        07 03:00 1 act   honor
        07 04:00 1 deact honor
        """,
        days("07 0 0 honor"),
    ),
    Scenario(
        "E28",
        """
        07 01:00 1 act   honor
        07 02:00 1 deact honor
        07 03:00 1 deact honor
        07 04:00 1 act   honor
        """,
        days("07 1 +1 honor"),
    ),
    Scenario(
        "E29",
        """
        07 04:00 1 deact verified
        07 01:00 1 deact audit
        07 02:00 1 act   honor
        06 03:00 1 act   audit
        """,
        days("06 1 +1 audit\n07 0 -1 verified"),
    ),
    Scenario(
        "E30-activated",
        "\n".join(f"07 0{hour}:00 1 act honor" for hour in range(4)),
        days("07 1 +1 honor"),
    ),
    Scenario(
        "E30-deactivated",
        "\n".join(f"07 0{hour}:00 1 deact honor" for hour in range(4)),
        days("07 0 0 honor"),
    ),
    Scenario("E31", "05 08:00 1 act honor", days("05 1 +1 honor\n06 1 0 honor\n07 1 0 honor")),
    Scenario("E32", "05 08:00 1 deact honor", days("05 0 0 honor\n06 0 0 honor\n07 0 0 honor")),
    Scenario(
        "E33",
        """
        02 08:00 1 act   honor
        05 08:00 1 deact honor
        07 08:00 1 act   honor
        """,
        days(
            "02 1 +1 honor\n03 1 0 honor\n04 1 0 honor\n05 0 -1 honor\n06 0 0 honor\n07 1 +1 honor"
        ),
    ),
    Scenario(
        "E34",
        """
        03 08:00 1 deact honor
        05 08:00 1 act   honor
        """,
        days("03 0 0 honor\n04 0 0 honor\n05 1 +1 honor\n06 1 0 honor\n07 1 0 honor"),
    ),
    Scenario(
        "E35",
        """
        05 08:00 1 act honor
        06 08:00 1 act honor
        07 08:00 1 act honor
        """,
        days("05 1 +1 honor\n06 1 0 honor\n07 1 0 honor"),
    ),
    Scenario(
        "E36",
        """
        04 08:00 1 act   honor
        05 08:00 1 deact honor
        07 08:00 1 deact honor
        """,
        days("04 1 +1 honor\n05 0 -1 honor\n06 0 0 honor\n07 0 0 honor"),
    ),
    Scenario(
        "E37",
        """
        05 08:00 1 act   honor
        07 08:00 1 deact honor
        07 09:00 1 act   verified
        """,
        days("05 1 +1 honor\n06 1 0 honor\n07 1 0 verified"),
    ),
    Scenario(
        "E38-E39",
        """
        06 08:00 1 act honor
        07 08:00 1 act verified
        """,
        days("06 1 +1 honor\n07 1 0 verified")
        | summary(
            """
            user_id mode  active first_mode first     unenrolled verified credit
            1       honor yes    honor      06T08:00  -          -        -
            """
        ),
    ),
    Scenario(
        "E40",
        """
        06 08:00 1 act   honor
        07 08:00 1 deact audit
        """,
        days("06 1 +1 honor\n07 0 -1 audit"),
    ),
    Scenario(
        "E42",
        """
        07 08:00 1 act  verified
        07 09:00 1 mode honor
        07 10:00 1 mode audit
        """,
        days("07 1 +1 audit"),
    ),
    Scenario(
        "E44",
        """
        06 08:00 1 deact honor
        07 08:00 2 mode  verified
        """,
        {
            "days": """
                user date at_end change mode
                1    06   0      0      honor
                1    07   0      0      honor
                2    07   0      0      verified
                """,
            "course_enrollment_daily": """
                date count cumulative_count
                06   0     1
                07   0     2
                """,
            "enrollment_summary": "user_id",
        },
    ),
    Scenario(
        "E50",
        """
        07 08:00 1 deact honor
        07 08:00 1 act   honor
        """,
        days("07 0 0 honor")
        | summary(
            """
            user_id mode  active first_mode first     unenrolled verified credit
            1       honor no     honor      07T08:00  07T08:00   -        -
            """
        ),
    ),
    Scenario(
        "§2.4-same-time-mode-change",
        """
        07 08:00 1 mode  audit
        07 08:00 1 deact verified
        07 08:00 1 act   verified
        """,
        days("07 0 0 audit"),
    ),
    Scenario(
        "§2.4-same-time-modes",
        """
        07 08:00 1 act verified
        07 08:00 1 act audit
        07 08:00 1 act Zebra
        """,
        days("07 1 +1 verified")
        | summary(
            """
            user_id mode  active first_mode first     unenrolled verified credit
            1       Zebra yes    Zebra      07T08:00  -          -        -
            """
        ),
    ),
    Scenario(
        "E51",
        """
        06 08:00 1 act   honor
        06 08:00 1 act   honor
        07 08:00 1 deact honor
        07 08:00 1 deact honor
        """,
        days("06 1 +1 honor\n07 0 -1 honor")
        | {"enrollment_events": "user_id event_type mode\n1 act honor\n1 deact honor"},
    ),
]

SUMMARIES = [
    Scenario(
        "E41",
        """
        06 08:00 1 act   honor
        07 08:00 1 deact verified
        """,
        summary(
            """
            user_id mode  active first_mode first     unenrolled verified credit
            1       honor no     honor      06T08:00  07T08:00   -        -
            """
        ),
    ),
    Scenario(
        "E43",
        """
        03 08:00 1 act  honor
        04 08:00 1 mode verified
        05 08:00 1 mode honor
        06 08:00 1 mode audit
        07 08:00 1 mode credit
        """,
        summary(
            """
            user_id mode   active first_mode first     unenrolled verified  credit
            1       credit yes    honor      03T08:00  -          04T08:00  07T08:00
            """
        ),
    ),
    Scenario(
        "E45",
        """
        05 08:00 1 act  honor
        06 08:00 1 mode verified
        07 08:00 1 act  honor
        """,
        summary(
            """
            user_id mode     active first_mode first     unenrolled verified  credit
            1       verified yes    honor      05T08:00  -          06T08:00  -
            """
        ),
    ),
    Scenario(
        "E46",
        """
        04 08:00   1 act   honor
        05 08:00.5 1 deact honor
        06 08:00   1 deact honor
        07 08:00   1 act   honor
        """,
        summary(
            """
            user_id mode  active first_mode first     unenrolled    verified  credit
            1       honor yes    honor      04T08:00  05T08:00.5    -         -
            """
        ),
    ),
    Scenario(
        "E47",
        """
        05 08:00 1 act   honor
        06 08:00 1 deact honor
        07 08:00 1 mode  verified
        """,
        summary(
            """
            user_id mode  active first_mode first     unenrolled verified  credit
            1       honor no     honor      05T08:00  06T08:00   -         -
            """
        ),
    ),
    Scenario(
        "E48",
        """
        05 08:00 1 act   honor
        06 08:00 1 deact honor
        07 08:00 1 act   verified
        """,
        summary(
            """
            user_id mode     active first_mode first     unenrolled verified  credit
            1       verified yes    honor      05T08:00  06T08:00   07T08:00  -
            """
        ),
    ),
    Scenario(
        "E49",
        """
        03 08:00 1 act   verified
        04 08:00 1 mode  honor
        05 08:00 1 mode  verified
        06 08:00 1 deact verified
        07 08:00 1 act   verified
        """,
        summary(
            """
            user_id mode     active first_mode first     unenrolled verified  credit
            1       verified yes    verified   03T08:00  06T08:00   03T08:00  -
            """
        ),
    ),
]

COUNTS = [
    Scenario(
        "E52-E53-E54",
        """
        06 08:00 5201 act   honor
        06 08:00 5202 act   honor
        07 08:00 5203 act   honor
        07 08:00 5204 act   honor
        07 09:00 5202 deact honor
        07 09:00 5205 deact honor
        """,
        {
            "course_enrollment_gender_daily": """
                date gender count cumulative_count
                06   -      2     2
                07   -      2     3
                07   x      1     1
                07   o      0     1
                """,
            "course_enrollment_birth_year_daily": """
                date birth_year count cumulative_count
                07   -          2     3
                07   1890       1     1
                07   3000       0     1
                """,
            "course_enrollment_education_level_daily": """
                date education_level count cumulative_count
                07   -               2     3
                07   none            1     1
                07   doctorate       0     1
                """,
        },
        profiles="""
            user_id gender year_of_birth level_of_education
            5201    ''     -             ''
            5202    -      -             -
            5203    -      -             PhD
            5204    x      1890          none
            5205    o      3000          p_oth
            """,
    ),
    Scenario(
        "§2.7-education",
        "\n".join(f"07 08:00 {5300 + n} act honor" for n in range(11)),
        {
            "course_enrollment_education_level_daily": """
                education_level  cumulative_count
                primary          1
                junior_secondary 1
                secondary        1
                associates       1
                bachelors        1
                masters          1
                doctorate        3
                none             1
                other            1
                """,
        },
        profiles="""
            user_id gender year_of_birth level_of_education
            5300    f      -             el
            5301    f      -             jhs
            5302    f      -             hs
            5303    f      -             a
            5304    f      -             b
            5305    f      -             m
            5306    f      -             p
            5307    f      -             p_se
            5308    f      -             p_oth
            5309    f      -             none
            5310    f      -             other
            """,
    ),
    Scenario(
        "E55",
        """
        05 08:00 1 act  audit
        06 08:00 1 mode verified
        """,
        {
            "course_enrollment_mode_daily": """
                date mode     count cumulative_count
                05   audit    1     1
                06   verified 1     1
                07   verified 1     1
                """,
        },
    ),
    Scenario(
        "E56",
        """
        05 08:00 1 act   audit
        06 08:00 1 deact audit
        """,
        {
            "course_enrollment_daily": """
                date count cumulative_count
                05   1     1
                06   0     1
                07   0     1
                """,
            "course_enrollment_mode_daily": """
                date mode  count cumulative_count
                05   audit 1     1
                06   audit 0     1
                07   audit 0     1
                """,
        },
    ),
    Scenario(
        "E57",
        "07 08:00 1 act audit",
        {
            "course_meta_summary_enrollment": """
                enrollment_mode count count_change_7_days cumulative_count passing_users
                audit           1     1                   1                0
                """,
        },
    ),
    Scenario(
        "§2.9-week-ago",
        """
        02-20 08:00 1 act   honor
        02-28 08:00 2 act   audit
        01    08:00 3 act   honor
        05    08:00 2 mode  honor
        06    08:00 3 deact honor
        """,
        {
            "course_meta_summary_enrollment": """
                enrollment_mode count count_change_7_days cumulative_count
                honor           2     1                   3
                """,
        },
    ),
    Scenario(
        "E58-E59-E60",
        """
        03 08:00 1 act   audit
        04 08:00 1 deact audit
        03 08:00 2 act   audit
        03 08:00 3 act   audit
        03 08:00 4 act   audit
        05 08:00 4 mode  honor
        06 08:00 5 act   audit
        03 08:00 6 act   audit
        06 08:00 8 act   audit
        """,
        {
            "course_grade_by_mode": """
                mode  passing_users
                audit 3
                honor 0
                """,
            "course_meta_summary_enrollment": """
                enrollment_mode count cumulative_count passing_users
                audit           5     6                3
                honor           1     1                0
                """,
        },
        # 1 counts although unenrolled, 2 fell back, 3 failed, 4 had passed as audit, 5 was graded
        # before the first event, 6 has no letter at all, 7 has no events, 8 was graded on the day.
        grades="""
            user_id letter_grade passed_timestamp modified
            1       Pass         05T08:00         05T08:00
            2       ''           05T08:00         05T08:00
            3       Fail         -                05T08:00
            4       Pass         04T08:00         04T23:59:59.999999
            5       Pass         05T08:00         05T08:00
            6       -            05T08:00         05T08:00
            7       Pass         05T08:00         05T08:00
            8       Pass         06T07:00         06T07:00
            """,
    ),
    Scenario(
        "E61-without-catalog",
        "07 08:00 1 act audit",
        {
            "course_meta_summary_enrollment": """
                catalog_course_title catalog_course start_time end_time pacing_type availability
                -                    -              -          -        -           -
                """,
        },
    ),
    Scenario(
        "§2.9-catalog",
        "07 08:00 1 act audit",
        {
            "course_meta_summary_enrollment": """
                catalog_course_title catalog_course start_time end_time pacing_type availability
                Über~Alles           UniX+1         01T00:00   -        self        Current
                """,
        },
        catalog={
            "catalog_course_title": "Über Alles",
            "catalog_course": "UniX+1",
            "start_time": parse_table("t\n01T00:00", {"t": "datetime"})[0]["t"],
            "pacing_type": "self",
            "availability": "Current",
        },
    ),
]

# §2.9: a line for each program of a run, whether or not anybody is enrolled.
PROGRAMS: list[Row] = [
    {
        "course_id": course_of(course),
        "program_id": program,
        "program_type": "XSeries",
        "program_title": title,
    }
    for course, program, title in [
        ("§2.9-catalog", "5c0f-1", "Über Zahlen"),
        ("§2.9-catalog", "5c0f-2", None),
        ("Program", "5c0f-1", "Über Zahlen"),
    ]
]

SCENARIOS = ACCEPTANCE + STATES + SUMMARIES + COUNTS


def gather_inputs() -> dict[str, list[Row]]:
    """All scenarios' rows in one set of input tables, the golden scenario's with them."""
    from tests.spec import golden

    inputs: dict[str, list[Row]] = {
        "events": [],
        "auth_userprofile": [],
        "grades_persistentcoursegrade": [],
        "course_catalog": [],
        "program_course": [dict(row) for row in PROGRAMS],
    }
    for scenario in [*SCENARIOS, golden.ALPHA, golden.BETA]:
        course = scenario.course_id
        inputs["events"] += parse_events(scenario.events, course)
        if scenario.profiles:
            inputs["auth_userprofile"] += parse_table(scenario.profiles, PROFILE)
        if scenario.grades:
            inputs["grades_persistentcoursegrade"] += [
                {"course_id": course, **row} for row in parse_table(scenario.grades, GRADE)
            ]
        if scenario.catalog:
            inputs["course_catalog"].append({"course_id": course, **scenario.catalog})
    # In the catalog but without learners: it must not appear.
    inputs["course_catalog"].append({"course_id": "course-v1:Spec+Empty+2021"})
    return inputs
