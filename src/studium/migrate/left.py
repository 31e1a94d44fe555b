"""Why an entry of an old configuration has no counterpart."""

from __future__ import annotations

from fnmatch import fnmatchcase

_HADOOP = "there is no Hadoop, Hive or Sqoop"
_SECRET = "a secret, which no settings hold"
_INDEX = "there is no search index"
_LUIGI = "no scheduler is needed"
_CATALOG = "lms.discovery_url says whom to ask for the catalog"

# The first that fits says why; "*" stands for any text.
_WHY = (
    ("DEFAULT", "*", "it counts where other entries name it"),
    ("edx-rest-api", "client_secret", _SECRET + ": set STUDIUM_LMS_CLIENT_SECRET"),
    ("edx-rest-api", "oauth_*", "a token is asked for with client_id only"),
    ("*", "*secret*", _SECRET),
    ("*", "*password*", _SECRET),
    ("google", "api_key", _SECRET + "; durations come from the events"),
    ("*", "allow_empty_insert", "a table without rows is published as such"),
    ("*", "overwrite*", "what has changed is noticed and built again"),
    ("event-logs", "*", "Studium finds log files by edx.source and edx.date_pattern"),
    ("database-import", "destination", "LMS tables become tables of the lake"),
    ("database-import", "*", _HADOOP),
    ("database-export", "*", "the result store is results.url"),
    ("hive", "warehouse_path",
     "`studium import-history` reads the day files there; the lake is at lake.path"),
    ("hive", "*", _HADOOP),
    ("map-reduce", "engine", "engine.name chooses what runs the SQL"),
    ("map-reduce", "marker", "the state database knows what is done"),
    ("map-reduce", "*", _HADOOP),
    ("hadoop*", "*", _HADOOP),
    ("sqoop", "*", _HADOOP),
    ("manifest", "*", "the state database keeps account of files"),
    ("calendar", "interval", "the calendar covers all days from site.start on"),
    ("geolocation", "geolocation_data",
     "the old format is no longer published: get a country database in MaxMind's .mmdb format"),
    ("elasticsearch", "*", _INDEX),
    ("module[-_]engagement", "alias", _INDEX),
    ("module[-_]engagement", "number_of_shards", _INDEX),
    ("videos", "dropoff_threshold", "the threshold is 0.05"),
    ("problem[-_]response", "partition_format", "days are the partitions"),
    ("course-summary-enrollment", "*", _CATALOG),
    ("course-catalog-api", "*", _CATALOG),
    ("course-list", "*", "lms.api_url says whom to ask"),
    ("course-blocks", "api_*", "lms.api_url says whom to ask"),
    ("course-blocks", "sort_orphan_blocks_up", "orphans come last"),
    ("course-blocks", "path_delimiter", "it is ' / '"),
    ("course-blocks", "deleted_blocks_path", "it is '(Deleted block :)'"),
    ("course-blocks", "*", "course_blocks holds the blocks as they are now"),
    ("edx-rest-api", "*", "lms.api_url says whom to ask"),
    ("core", "*", _LUIGI),
    ("scheduler", "*", _LUIGI),
    ("worker", "*", _LUIGI),
    ("retcode", "*", "the exit codes are those of `studium run`"),
    ("email", "*", "cron mails what is printed"),
    ("logging", "*", "what is done is printed"),
    ("loggers", "*", "what is done is printed"),
    ("payment*", "*", "Studium does not read payments"),
    ("*Task", "*", "an option of one task: give it to `studium task`"),
    ("*Mysql", "*", "an option of one task: give it to `studium task`"),
    ("*Workflow", "*", "an option of one task: give it to `studium task`"),
)  # fmt: skip


def why_left(section: str, key: str) -> str:
    """The reason why Studium has no setting for ``key`` in ``[section]``."""
    for sections, names, why in _WHY:
        if fnmatchcase(section, sections) and fnmatchcase(key, names):
            return why
    return "no workflow that Studium replaces reads it"
