"""The options of the old tasks: what each becomes, or why it is passed over or refused.

An option means the same wherever it occurs, but for ``overwrite`` and ``output-root``. What is not
given on the line comes from ``studium.toml``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Fate(StrEnum):
    """What becomes of an option."""

    MAPPED = "mapped"
    PASSED = "passed over"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Option:
    """One option, its name with dashes. ``says``: what it becomes, or why it does not.

    A ``flag`` has no value; ``many`` may be repeated; a refused option with the value ``unless`` is
    harmless, as that is what Studium does.
    """

    name: str
    fate: Fate
    says: str
    flag: bool = False
    many: bool = False
    required: bool = False
    unless: str | None = None


def _mapped(name: str, says: str, *, flag: bool = False, many: bool = False) -> Option:
    return Option(name, Fate.MAPPED, says, flag, many)


def _passed(name: str, says: str, *, flag: bool = False) -> Option:
    return Option(name, Fate.PASSED, says, flag, many=not flag)


def _refused(
    name: str, says: str, *, flag: bool = False, many: bool = False, unless: str | None = None
) -> Option:
    return Option(name, Fate.REFUSED, says, flag, many, unless=unless)


def required(option: Option) -> Option:
    """The same option, without which the task does not start."""
    return replace(option, required=True)


INTERVAL = _mapped("interval", "the days [A, B): files to look at, days to build")
START = _mapped("interval-start", "the first day, like --since")
END = _mapped("interval-end", "the day after the last, like --until")
N_DAYS = _mapped("overwrite-n-days", "the last N days are read and built again, like --lookback")
FROM_DATE = _mapped("overwrite-from-date", "the days from it on are read and built again")
AGAIN = _mapped(
    "overwrite", "all days of the interval are read and built again, changed or not", flag=True
)
ANYWAY = _passed("overwrite", "a table is replaced whenever its rows have changed", flag=True)
DATE = _mapped("date", "the day after the last, like --until; the 14 days before it are looked at")
END_DATE = _mapped("end-date", "the day after the last, like --until")
WEEKS = _mapped(
    "weeks", "engagement.weeks: the whole weeks before --end-date that the table covers"
)

SOURCE = _mapped("source", "the roots of the logs, like --source", many=True)
PATTERN = _mapped(
    "pattern", "only files whose whole path one of them matches from its start", many=True
)
DATE_PATTERN = _mapped("date-pattern", "edx.date_format: the form of the date in a file's name")
EXPAND = _mapped("expand-interval", "edx.window_days, in whole days")
LOGS = (SOURCE, PATTERN, DATE_PATTERN, EXPAND)

SRC = _mapped("src", "the roots of the logs, like --source", many=True)
INCLUDE = _mapped("include", "only files whose path below the root one of them matches", many=True)
MANIFEST = _mapped(
    "manifest", "a list of files, if it exists; else nothing: known files are kept count of"
)
ANSWERS = (
    INCLUDE,
    MANIFEST,
    _passed("dest", "intermediate results are tables of the lake"),
    _passed("name", "a run needs no name: what is known is not read again"),
    _passed("base-input-format", "there is no Hadoop"),
    _refused(
        "answer-metadata",
        "answers without a type in the log would be counted without their metadata",
    ),
)

_CREDENTIALS = _mapped("credentials", "the result store: results.url, read from this JSON file")
DATABASE = (
    _CREDENTIALS,
    _mapped("database", "the database in results.url"),
    _passed("insert-chunk-size", "rows are loaded in bulk"),
    _passed(
        "use-temp-table-for-overwrite", "readers never see half, whatever the store", flag=True
    ),
)
OVERWRITE_MYSQL = _passed(
    "overwrite-mysql", "tables are always replaced, never appended to", flag=True
)
OVERWRITE_HIVE = _passed(
    "overwrite-hive", "a table is built again when something it is made of has changed", flag=True
)
EMPTY = _passed("allow-empty-insert", "a table without rows is published as such", flag=True)

WAREHOUSE = _passed("warehouse-path", "the lake of the site (lake.path) takes its place")
_HADOOP = "there is no Hadoop; one process does the work"
MAP_REDUCE = (
    _passed("mapreduce-engine", "engine.name chooses what runs the SQL"),
    _passed("n-reduce-tasks", _HADOOP),
    _passed("lib-jar", _HADOOP),
    _passed("input-format", _HADOOP),
    _passed("remote-log-level", _HADOOP),
)
MARKER = _passed("marker", "the ledger in the state database knows what is done")
DELETE_OUTPUT = _passed("delete-output-root", "there is no output root", flag=True)
REPORT_ROOT = _mapped("output-root", "answers.report_folder: where the files of courses go")
KEEP_OUTPUT = _passed(
    "delete-output-root", "files of courses are replaced one by one; others stay", flag=True
)
OUTPUT_ROOT = _passed("output-root", "intermediate results are tables of the lake")

RUN_DATE = _passed("date", "a snapshot of the LMS is of the moment when it is taken")
CATALOG = (
    _passed("enable-course-catalog", "lms.discovery_url says whom to ask for it", flag=True),
    _mapped("api-root-url", "lms.discovery_url: where the catalog is asked for"),
    _mapped("api-page-size", "lms.page_size"),
    _mapped("partner-short-codes", "lms.partners", many=True),
    _passed("partner-api-urls", "lms.discovery_url is asked for all partners"),
)
GEOLOCATION = _mapped("geolocation-data", "geography.database: the country database, an .mmdb file")
DROPOFF = _refused("dropoff-threshold", "the threshold is 0.05", unless="0.05")

_NO_INDEX = "there is no search index"
INDEX = (
    *(
        _passed(name, _NO_INDEX)
        for name in (
            "throttle", "indexing-tasks", "batch-size", "max-attempts", "host", "alias",
            "number-of-shards", "timeout", "connection-type", "index-updates",
        )
    ),
    _refused("obfuscate", "names would not be made up", flag=True),
    _refused("scale-factor", "learners would not be multiplied", unless="1"),
)  # fmt: skip

_SCHEDULER = "no scheduler is needed; the site's lock keeps two runs apart"
LUIGI = (
    _mapped("dependency-tree", "nothing is done; the plan is shown", flag=True),
    _mapped(
        "additional-config", "its settings that have a counterpart, below the line's", many=True
    ),
    _passed("local-scheduler", _SCHEDULER, flag=True),
    _passed("scheduler-host", _SCHEDULER),
    _passed("scheduler-port", _SCHEDULER),
    _passed("scheduler-url", _SCHEDULER),
    _passed("workers", _HADOOP),
    _passed("lock", _SCHEDULER, flag=True),
    _passed("no-lock", _SCHEDULER, flag=True),
    _passed("lock-pid-dir", _SCHEDULER),
    _passed("log-level", "what is done is printed"),
    _passed("logging-conf-file", "what is done is printed"),
    _passed("module", "tasks are known by their names"),
)
"""Options that every task takes."""

REMOTE = (
    *(
        Option(name, Fate.PASSED, "", flag=False, many=True)
        for name in (
            "host", "user", "private-key", "remote-name", "repo", "branch", "job-flow-id",
            "job-flow-name", "log-path", "vagrant-path", "override-config", "secure-config",
            "secure-config-repo", "secure-config-branch", "shell", "sudo-user", "wheel-url",
            "extra-repo", "package", "virtualenv-extra-args", "workflow-profiler",
        )
    ),
    *(Option(name, Fate.PASSED, "", flag=True) for name in ("wait", "verbose", "skip-setup")),
)  # fmt: skip
"""Options of ``remote-task`` itself; ``--shell`` and the like carry no task."""
