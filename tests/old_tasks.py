"""The old tasks and their options as the specs list them, apart from the code's own table.

Options are written with dashes. Groups:
specs/edx-activity-video-answers §5.1, specs/edx-enrollment-geography §5.1.
"""

MR = "mapreduce-engine input-format lib-jar n-reduce-tasks remote-log-level"
LOG = "source interval expand-interval pattern date-pattern"
NO_INTERVAL = "source expand-interval pattern date-pattern"
WH = "warehouse-path"
DB = "database credentials insert-chunk-size use-temp-table-for-overwrite"
ANSWERS = "name src dest include manifest answer-metadata base-input-format marker"
CATALOG = "enable-course-catalog api-root-url api-page-size partner-short-codes partner-api-urls"
ENROLLMENT = (
    f"interval interval-start interval-end overwrite-n-days overwrite-hive overwrite-mysql "
    f"overwrite date {NO_INTERVAL} {WH} {MR}"
)
HISTORY = f"{LOG} {WH} overwrite marker {MR}"
ROSTER = "throttle indexing-tasks batch-size max-attempts alias number-of-shards host timeout"
ENROLLMENT_LOADS = (
    "EnrollmentDailyMysqlTask",
    "EnrollmentByModeTask",
    "EnrollmentByGenderMysqlTask",
    "EnrollmentByBirthYearToMysqlTask",
    "EnrollmentByEducationLevelMysqlTask",
    "CourseMetaSummaryEnrollmentIntoMysql",
    "CourseProgramMetadataInsertToMysqlTask",
)
EVERY = "local-scheduler dependency-tree additional-config"

SPEC = {
    # specs/edx-enrollment-geography §5.2
    "ImportEnrollmentsIntoMysql": f"{ENROLLMENT} {CATALOG}",
    **dict.fromkeys(ENROLLMENT_LOADS, f"{ENROLLMENT} {DB}"),
    "CourseEnrollmentTask": f"{LOG} {WH} {MR} overwrite-n-days output-root",
    "CourseEnrollmentSummaryTask": f"{LOG} {WH} {MR} overwrite-n-days output-root",
    "CourseGradeByModeDataTask": f"{LOG} {WH} {MR} overwrite-n-days date overwrite-hive",
    # §5.3, §5.4
    "CourseEnrollmentEventsTask": HISTORY,
    "LastDailyIpAddressOfUserTask": HISTORY,
    "InsertToMysqlLastCountryPerCourseTask": (
        f"interval interval-start interval-end overwrite-n-days geolocation-data overwrite "
        f"{NO_INTERVAL} {WH} {MR} {DB}"
    ),
    "LastCountryOfUser": f"{LOG} {WH} {MR} overwrite-n-days geolocation-data overwrite",
    "QueryLastCountryPerCourseTask": f"{LOG} {WH} {MR} overwrite-n-days geolocation-data overwrite",
    # specs/edx-activity-video-answers §5.2
    "UserActivityTask": f"{MR} {LOG} {WH} marker delete-output-root overwrite",
    "UserActivityTableTask": f"{MR} {LOG} {WH} overwrite-n-days",
    "CourseActivityPartitionTask": (
        f"{MR} {NO_INTERVAL} {WH} end-date weeks overwrite-n-days overwrite-hive"
    ),
    "InsertToMysqlCourseActivityTask": (
        f"{MR} {NO_INTERVAL} {WH} {DB} end-date weeks overwrite-n-days overwrite-hive "
        "overwrite-mysql"
    ),
    "UserVideoViewingTask": f"{MR} {LOG} {WH} overwrite-n-days",
    "UserVideoViewingByDateTask": (
        f"{MR} {LOG} {WH} marker delete-output-root overwrite overwrite-n-days"
    ),
    "VideoUsageTask": f"{MR} {LOG} {WH} output-root overwrite-n-days dropoff-threshold",
    "InsertToMysqlAllVideoTask": f"{MR} {LOG} {WH} overwrite-n-days",
    "InsertToMysqlVideoTask": f"{MR} {LOG} {WH} {DB} overwrite allow-empty-insert overwrite-n-days",
    "InsertToMysqlVideoTimelineTask": (
        f"{MR} {LOG} {WH} {DB} overwrite allow-empty-insert overwrite-n-days"
    ),
    # §5.2, §5.3
    "AnswerDistributionWorkflow": f"{MR} {DB} overwrite {ANSWERS} output-root",
    "AnswerDistributionToMySQLTaskWorkflow": f"{MR} {DB} overwrite {ANSWERS}",
    "AnswerDistributionOneFilePerCourseTask": (
        f"{MR} {ANSWERS} output-root marker delete-output-root"
    ),
    "ProblemCheckEvent": f"{MR} {ANSWERS}",
    "AnswerDistributionPerCourse": f"{MR} {ANSWERS}",
    # §5.4
    "ProblemResponseReportWorkflow": (
        f"{MR} {LOG} interval-start interval-end datetime partition-format output-root marker "
        "overwrite"
    ),
    "TagsDistributionWorkflow": f"{MR} {LOG} {DB} output-root overwrite",
    "CourseBlocksPartitionTask": f"{MR} {WH} input-root datetime partition-format overwrite",
    # specs/edx-learners-api-insights §1.4, §1.9
    "ModuleEngagementIntervalTask": (
        f"{MR} {LOG} {WH} {DB} overwrite-from-date overwrite-mysql allow-empty-insert"
    ),
    "ModuleEngagementWorkflowTask": (
        f"{MR} {NO_INTERVAL} {WH} {DB} date overwrite-n-days overwrite {ROSTER} obfuscate "
        "scale-factor"
    ),
}
"""Task → its options."""

PAIRS = [(task, name) for task, names in SPEC.items() for name in f"{names} {EVERY}".split()]
