"""The tasks of the edX analytics pipeline and what Studium does in their place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from studium.autopilot import Step
from studium.migrate.options import (
    AGAIN,
    ANSWERS,
    ANYWAY,
    CATALOG,
    DATABASE,
    DATE,
    DELETE_OUTPUT,
    DROPOFF,
    EMPTY,
    END,
    END_DATE,
    FROM_DATE,
    GEOLOCATION,
    INDEX,
    INTERVAL,
    KEEP_OUTPUT,
    LOGS,
    LUIGI,
    MAP_REDUCE,
    MARKER,
    N_DAYS,
    OUTPUT_ROOT,
    OVERWRITE_HIVE,
    OVERWRITE_MYSQL,
    REPORT_ROOT,
    RUN_DATE,
    SRC,
    START,
    WAREHOUSE,
    WEEKS,
    Fate,
    Option,
    required,
)

ALL = (Step.LMS, Step.INGEST, Step.BUILD, Step.PUBLISH)
WITHOUT_LMS = (Step.INGEST, Step.BUILD, Step.PUBLISH)
KEPT = (Step.INGEST, Step.BUILD)
KEPT_LMS = (Step.LMS, Step.INGEST, Step.BUILD)

ENROLLMENT = "specs/edx-enrollment-geography §5.2"
HISTORY = "specs/edx-enrollment-geography §5.3"
GEOGRAPHY = "specs/edx-enrollment-geography §5.4"
ACTIVITY = "specs/edx-activity-video-answers §5.2"
ANSWER = "specs/edx-activity-video-answers §5.3"
RESPONSES = "specs/edx-activity-video-answers §5.4"
LEARNERS = "specs/edx-learners-api-insights §1.4, §1.9"


class Part(StrEnum):
    """Which tables of those that a task names are built."""

    NAMED = "the tables named"
    DAYS = "the day tables of their lens"


@dataclass(frozen=True)
class Task:
    """A task: the steps of the main job for ``tables``, named as in the result store or the lake.

    ``lens`` is the lens that has them; where it is not built, or a snapshot of the LMS in ``lms``
    is not taken, the task says so. ``report`` is written in the end, if a folder is named for it.
    """

    name: str
    lens: str
    tables: tuple[str, ...]
    steps: tuple[Step, ...]
    own: tuple[Option, ...]
    rule: str
    part: Part = Part.NAMED
    lms: tuple[str, ...] = ()
    report: str = ""

    @property
    def options(self) -> dict[str, Option]:
        """Every option it takes by its name with dashes."""
        return {option.name: option for option in (*self.own, *LUIGI)}

    @property
    def does(self) -> str:
        """What Studium does, in a line."""
        words = {
            Step.LMS: "import the LMS",
            Step.INGEST: "ingest",
            Step.BUILD: self._what,
            Step.PUBLISH: "publish",
        }
        report = ["write a CSV file a course"] if self.report else []
        return ", ".join([words[step] for step in self.steps] + report)

    @property
    def _what(self) -> str:
        if self.part is Part.DAYS:
            return f"build the day tables of {self.lens}"
        if len(self.tables) > 2:
            return f"build {len(self.tables)} tables of {self.lens}"
        return f"build {', '.join(self.tables)}"


_DAYS = (INTERVAL, START, END, N_DAYS)
_ENGINE = (*MAP_REDUCE, WAREHOUSE, MARKER, DELETE_OUTPUT)
_LOAD = (
    *_DAYS, *LOGS, *_ENGINE, *DATABASE, RUN_DATE, OVERWRITE_MYSQL, OVERWRITE_HIVE, ANYWAY, EMPTY,
)  # fmt: skip
_HISTORY = (required(INTERVAL), AGAIN, *LOGS, *_ENGINE, OUTPUT_ROOT)
_STEP = (*_DAYS, *LOGS, *_ENGINE, ANYWAY, OVERWRITE_HIVE, OUTPUT_ROOT)

_ENROLLMENT_LOADS = {
    "EnrollmentDailyMysqlTask": "course_enrollment_daily",
    "EnrollmentByModeTask": "course_enrollment_mode_daily",
    "EnrollmentByGenderMysqlTask": "course_enrollment_gender_daily",
    "EnrollmentByBirthYearToMysqlTask": "course_enrollment_birth_year_daily",
    "EnrollmentByEducationLevelMysqlTask": "course_enrollment_education_level_daily",
    "CourseMetaSummaryEnrollmentIntoMysql": "course_meta_summary_enrollment",
    "CourseProgramMetadataInsertToMysqlTask": "course_program_metadata",
}
_COUNTRIES = ("course_enrollment_location_current",)
_WEEKLY = ("course_activity",)
_VIDEO = ("video", "video_timeline")
_DISTRIBUTION = ("answer_distribution",)
_ENGAGEMENT = (
    "module_engagement", "module_engagement_metric_ranges", "module_engagement_roster",
    "module_engagement_roster_terms",
)  # fmt: skip

_OF_ENROLLMENT = (
    Task(
        "ImportEnrollmentsIntoMysql", "enrollment", tuple(_ENROLLMENT_LOADS.values()), ALL,
        (*_LOAD, *CATALOG), ENROLLMENT,
    ),
    *(
        Task(name, "enrollment", (table,), ALL, (*_LOAD, *CATALOG), ENROLLMENT)
        for name, table in _ENROLLMENT_LOADS.items()
    ),
    Task(
        "CourseEnrollmentEventsTask", "enrollment", ("course_enrollment_daily",), KEPT, _HISTORY,
        HISTORY, Part.DAYS,
    ),
    Task("CourseEnrollmentTask", "enrollment", ("enrollment_changes",), KEPT, _STEP, ENROLLMENT),
    Task(
        "CourseEnrollmentSummaryTask", "enrollment", ("enrollment_summary",), KEPT, _STEP,
        ENROLLMENT,
    ),
    Task(
        "CourseGradeByModeDataTask", "enrollment", ("course_grade_by_mode",), KEPT_LMS,
        (*_STEP, RUN_DATE), ENROLLMENT,
    ),
)  # fmt: skip

_OF_GEOGRAPHY = (
    Task(
        "InsertToMysqlLastCountryPerCourseTask", "geography", _COUNTRIES, ALL,
        (*_LOAD, GEOLOCATION), GEOGRAPHY,
    ),
    Task(
        "LastDailyIpAddressOfUserTask", "geography", _COUNTRIES, KEPT, _HISTORY, HISTORY, Part.DAYS
    ),
    Task(
        "LastCountryOfUser", "geography", _COUNTRIES, KEPT_LMS, (*_STEP, GEOLOCATION), GEOGRAPHY
    ),
    Task(
        "QueryLastCountryPerCourseTask", "geography", _COUNTRIES, KEPT_LMS, (*_STEP, GEOLOCATION),
        GEOGRAPHY,
    ),
)  # fmt: skip

_OF_ACTIVITY = (
    Task("UserActivityTask", "engagement", _WEEKLY, KEPT, _HISTORY, ACTIVITY, Part.DAYS),
    Task(
        "UserActivityTableTask", "engagement", _WEEKLY, KEPT, _STEP, ACTIVITY,
        Part.DAYS,
    ),
    Task(
        "CourseActivityPartitionTask", "engagement", _WEEKLY, KEPT,
        (END_DATE, WEEKS, N_DAYS, *LOGS, *_ENGINE, OVERWRITE_HIVE), ACTIVITY,
    ),
    Task(
        "InsertToMysqlCourseActivityTask", "engagement", _WEEKLY, WITHOUT_LMS,
        (
            END_DATE, WEEKS, N_DAYS, *LOGS, *_ENGINE, *DATABASE, OVERWRITE_HIVE, OVERWRITE_MYSQL,
            EMPTY,
        ),
        ACTIVITY,
    ),
)  # fmt: skip

_OF_VIDEO = (
    Task(
        "UserVideoViewingTask", "video", _VIDEO, KEPT, (*_HISTORY, N_DAYS), ACTIVITY, Part.DAYS
    ),
    Task(
        "UserVideoViewingByDateTask", "video", _VIDEO, KEPT, (*_HISTORY, N_DAYS), ACTIVITY,
        Part.DAYS,
    ),
    Task(
        "VideoUsageTask", "video", _VIDEO, KEPT,
        (required(INTERVAL), N_DAYS, DROPOFF, *LOGS, *_ENGINE, ANYWAY, OUTPUT_ROOT), ACTIVITY,
    ),
    Task(
        "InsertToMysqlAllVideoTask", "video", _VIDEO, WITHOUT_LMS,
        (required(INTERVAL), N_DAYS, *LOGS, *_ENGINE, OVERWRITE_HIVE, OVERWRITE_MYSQL), ACTIVITY,
    ),
    *(
        Task(
            name, "video", (table,), WITHOUT_LMS,
            (
                required(INTERVAL), N_DAYS, DROPOFF, *LOGS, *_ENGINE, *DATABASE, ANYWAY, EMPTY,
                OVERWRITE_HIVE,
            ),
            ACTIVITY,
        )
        for name, table in (
            ("InsertToMysqlVideoTask", "video"),
            ("InsertToMysqlVideoTimelineTask", "video_timeline"),
        )
    ),
)  # fmt: skip

_OF_ANSWERS = (
    Task(
        "AnswerDistributionWorkflow", "answers", _DISTRIBUTION, WITHOUT_LMS,
        (required(SRC), *ANSWERS, *_ENGINE, *DATABASE, ANYWAY, REPORT_ROOT), ANSWER,
        report="answer_distribution",
    ),
    Task(
        "AnswerDistributionToMySQLTaskWorkflow", "answers", _DISTRIBUTION, WITHOUT_LMS,
        (required(SRC), *ANSWERS, *_ENGINE, *DATABASE, ANYWAY), ANSWER,
    ),
    Task(
        "AnswerDistributionOneFilePerCourseTask", "answers", _DISTRIBUTION, KEPT,
        (required(SRC), *ANSWERS, *_ENGINE[:-1], KEEP_OUTPUT, required(REPORT_ROOT), ANYWAY),
        ACTIVITY, report="answer_distribution",
    ),
    *(
        Task(
            name, "answers", _DISTRIBUTION, KEPT,
            (required(SRC), *ANSWERS, *_ENGINE, OUTPUT_ROOT, ANYWAY), ANSWER, Part.DAYS,
        )
        for name in ("ProblemCheckEvent", "AnswerDistributionPerCourse")
    ),
    Task(
        "ProblemResponseReportWorkflow", "answers", ("problem_response_latest",), ALL,
        (
            *_DAYS[:3], *LOGS, *_ENGINE, ANYWAY,
            Option("datetime", Fate.PASSED, "a snapshot of the LMS is of the moment it is taken"),
            Option("partition-format", Fate.PASSED, "days are the partitions"),
            REPORT_ROOT,
        ),
        RESPONSES, report="problem_response",
    ),
    Task(
        "TagsDistributionWorkflow", "answers", ("tags_distribution",), WITHOUT_LMS,
        (*_DAYS[:3], *LOGS, *_ENGINE, *DATABASE, OUTPUT_ROOT, ANYWAY), ACTIVITY,
    ),
    Task(
        "CourseBlocksPartitionTask", "", (), (Step.LMS,),
        (
            *_ENGINE, ANYWAY,
            Option("input-root", Fate.PASSED, "lms.api_url or lms.courses has the course list"),
            Option("datetime", Fate.PASSED, "a snapshot of the LMS is of the moment it is taken"),
            Option("partition-format", Fate.PASSED, "a snapshot replaces the one before"),
        ),
        ACTIVITY, lms=("course_blocks",),
    ),
)  # fmt: skip

_OF_LEARNERS = (
    Task(
        "ModuleEngagementIntervalTask", "learners", _ENGAGEMENT[:1], WITHOUT_LMS,
        (
            required(INTERVAL), FROM_DATE, *LOGS, *_ENGINE, *DATABASE, OVERWRITE_MYSQL, ANYWAY,
            EMPTY,
        ),
        LEARNERS,
    ),
    Task(
        "ModuleEngagementWorkflowTask", "learners", _ENGAGEMENT, ALL,
        (
            required(DATE), N_DAYS, *LOGS, *_ENGINE, *DATABASE, OVERWRITE_MYSQL, ANYWAY, EMPTY,
            *INDEX,
        ),
        LEARNERS,
    ),
)  # fmt: skip

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        *_OF_ENROLLMENT,
        *_OF_GEOGRAPHY,
        *_OF_ACTIVITY,
        *_OF_VIDEO,
        *_OF_ANSWERS,
        *_OF_LEARNERS,
    )
}
"""Every task by its name."""
