"""The migrating operator: from override.cfg, a cron line, a dump of the LMS, day files of a
warehouse and an old result store to Studium, and proof that both say the same.

The old store, in a real MariaDB, holds what the old system would have had for the golden scenario
(`specs/edx-enrollment-geography` §8.1), its documented defects included. With
STUDIUM_MIGRATION_TRANSCRIPT=FILE the session of the operator is written there.
"""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from shlex import quote
from typing import Any

import pytest

from studium.lenses import tables as lens_tables
from tests.databases import Server
from tests.spec.golden import ALPHA, BETA
from tests.spec.rows import Row, parse_events, parse_table

SCENARIOS = (ALPHA, BETA)
CCX = "ccx-v1:UniX+Bio1+2021_T1+ccx@7"
FIRST_RAW = date(2021, 3, 4)
"""The raw logs of earlier days are gone; the warehouse has their day files."""

CREATE = {  # specs/edx-enrollment-geography §2.12
    "course_enrollment_daily": (
        "course_id VARCHAR(255) NOT NULL, date DATE NOT NULL, count INT, cumulative_count INT"
    ),
    "course_enrollment_mode_daily": (
        "date DATE NOT NULL, course_id VARCHAR(255) NOT NULL, mode VARCHAR(255) NOT NULL, "
        "count INT, cumulative_count INT"
    ),
    "course_enrollment_gender_daily": (
        "date DATE NOT NULL, course_id VARCHAR(255) NOT NULL, gender VARCHAR(6), count INT, "
        "cumulative_count INT"
    ),
    "course_enrollment_birth_year_daily": (
        "date DATE NOT NULL, course_id VARCHAR(255) NOT NULL, birth_year INT, count INT, "
        "cumulative_count INT"
    ),
    "course_enrollment_education_level_daily": (
        "date DATE NOT NULL, course_id VARCHAR(255) NOT NULL, education_level VARCHAR(16), "
        "count INT, cumulative_count INT"
    ),
    "course_meta_summary_enrollment": (
        "course_id VARCHAR(255) NOT NULL, catalog_course_title VARCHAR(255), "
        "catalog_course VARCHAR(255), start_time DATETIME, end_time DATETIME, "
        "pacing_type VARCHAR(255), availability VARCHAR(255), "
        "enrollment_mode VARCHAR(100) NOT NULL, count INT, count_change_7_days INT, "
        "cumulative_count INT, passing_users INT"
    ),
    "course_program_metadata": (
        "course_id VARCHAR(255) NOT NULL, program_id VARCHAR(36) NOT NULL, "
        "program_type VARCHAR(32) NOT NULL, program_title VARCHAR(255)"
    ),
}

CONFIG = """\
[event-logs]
source = ["{folder}/logs/"]
pattern = [".*tracking.log-(?P<date>\\\\d{{8}}).*\\\\.gz"]
expand_interval = 2 days

[enrollments]
interval_start = 2021-03-01
overwrite_n_days = 4

[database-export]
database = {old}
credentials = {folder}/credentials.json

[hive]
warehouse_path = {folder}/warehouse/

[map-reduce]
engine = hadoop
marker = hdfs://localhost:9000/markers/
"""

# A dump as mysqldump writes it, with what nobody should take.
USERS = """\
DROP TABLE IF EXISTS `auth_user`;
/*!40101 SET character_set_client = utf8 */;
CREATE TABLE `auth_user` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `password` varchar(128) NOT NULL,
  `username` varchar(150) NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `auth_user` VALUES {rows};
"""
PROFILES = """\
CREATE TABLE `auth_userprofile` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `user_id` int(11) NOT NULL,
  `name` varchar(255) NOT NULL,
  `gender` varchar(6) DEFAULT NULL,
  `year_of_birth` int(11) DEFAULT NULL,
  `level_of_education` varchar(6) DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `auth_userprofile` VALUES {rows};
"""
GRADES = """\
CREATE TABLE `grades_persistentcoursegrade` (
  `id` bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  `user_id` int(11) NOT NULL,
  `course_id` varchar(255) NOT NULL,
  `percent_grade` double NOT NULL,
  `letter_grade` varchar(255) DEFAULT NULL,
  `passed_timestamp` datetime(6) DEFAULT NULL,
  `modified` datetime(6) NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `grades_persistentcoursegrade` VALUES {rows};
"""
PROFILE_TYPES = {
    "user_id": "bigint",
    "gender": "varchar",
    "year_of_birth": "integer",
    "level_of_education": "varchar",
}
GRADE_TYPES = {
    "user_id": "bigint",
    "letter_grade": "varchar",
    "passed_timestamp": "datetime",
    "modified": "datetime",
}


def literal(value: object) -> str:
    """A value as MySQL writes it."""
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def values(rows: Sequence[Sequence[object]]) -> str:
    return ",".join(f"({','.join(map(literal, row))})" for row in rows)


def golden_events() -> list[Row]:
    """All events in order of time, with those that the old system had its own ideas about."""
    events = [
        row for scenario in SCENARIOS for row in parse_events(scenario.events, scenario.course_id)
    ]
    events += parse_events("06 08:00 109 act honor", CCX)
    return sorted(events, key=lambda row: row["time"])


def log_line(event: Mapping[str, Any], user: object = None) -> str:
    return json.dumps(
        {
            "event_type": event["event_type"],
            "event_source": "server",
            "time": f"{event['time']:%Y-%m-%dT%H:%M:%S.%f}+00:00",
            "context": {"course_id": event["event_course_id"], "org_id": "UniX"},
            "event": {
                "course_id": event["event_course_id"],
                "user_id": event["event_user_id"] if user is None else user,
                "mode": event["mode"],
            },
        }
    )


def write_logs(folder: Path) -> None:
    """A file a day, named by the day of its rotation, which begins with the end of the day before;
    one event of a learner who is no number."""
    folder.mkdir()
    lines: dict[date, list[str]] = {}
    for event in golden_events():
        # Rotated at ten in the morning: the file of a day has what came before that.
        named = (event["time"] + timedelta(hours=14)).date()
        lines.setdefault(named, []).append(log_line(event))
    (nobody,) = parse_events("05 08:00 1 act honor", BETA.course_id)
    lines[date(2021, 3, 5)].append(log_line(nobody, user=""))
    for named, texts in lines.items():
        if named >= FIRST_RAW:
            text = "".join(f"{line}\n" for line in texts)
            (folder / f"tracking.log-{named:%Y%m%d}.gz").write_bytes(gzip.compress(text.encode()))


def write_warehouse(folder: Path) -> None:
    """The day files of the old pipeline, for all days."""
    days: dict[date, list[str]] = {}
    for event in golden_events():
        if event["event_course_id"] == CCX:
            continue  # the plug-in was not installed
        clock = event["time"].isoformat(timespec="microseconds")
        cells = (event["event_course_id"], event["event_user_id"], clock, event["event_type"],
                 event["mode"])  # fmt: skip
        days.setdefault(event["day"], []).append("\t".join(map(str, cells)))
    for day, lines in days.items():
        place = folder / "course_enrollment_events" / f"dt={day}"
        place.mkdir(parents=True)
        (place / f"course_enrollment_events_{day}").write_text("\n".join(lines) + "\n")
    place = folder / "course_enrollment" / "dt=2021-03-08"
    place.mkdir(parents=True)
    (place / "part-00000").write_text("2021-03-01\tx\t1\t1\t1\taudit\n")


def write_dump(path: Path) -> None:
    profiles = parse_table(str(ALPHA.profiles), PROFILE_TYPES)
    grades = [
        {**row, "course_id": scenario.course_id}
        for scenario in SCENARIOS
        for row in parse_table(str(scenario.grades), GRADE_TYPES)
    ]
    # The old pipeline took a letter that is NULL for passing (D19).
    (extra,) = parse_table(
        "user_id letter_grade passed_timestamp modified\n108 - 04T12:00 04T12:00", GRADE_TYPES
    )
    grades.append({**extra, "course_id": BETA.course_id})
    users = [(n, "pbkdf2_sha256$secret", f"learner{n}") for n in range(101, 110)]
    text = (
        USERS.format(rows=values(users))
        + PROFILES.format(
            rows=values(
                [(n, p["user_id"], "A Name", p["gender"], p["year_of_birth"],
                  p["level_of_education"]) for n, p in enumerate(profiles, 1)]
            )
        )
        + GRADES.format(
            rows=values(
                [(n, g["user_id"], g["course_id"], 0.7, g["letter_grade"], g["passed_timestamp"],
                  g["modified"]) for n, g in enumerate(grades, 1)]
            )
        )
    )  # fmt: skip
    path.write_bytes(gzip.compress(text.encode()))


def fill_old_store(server: Server, database: str) -> None:
    """The golden numbers as the old pipeline had loaded them, and what its defects made of them."""
    types = {t.name: {c.name: c.type for c in t.columns} for t in lens_tables("enrollment")}
    text = [
        "CREATE TABLE table_updates (id BIGINT AUTO_INCREMENT, target_table VARCHAR(128), "
        "update_id VARCHAR(128) PRIMARY KEY, inserted TIMESTAMP, KEY id (id));"
    ]
    for name, columns in CREATE.items():
        text.append(
            f"CREATE TABLE {name} (id BIGINT(20) NOT NULL AUTO_INCREMENT PRIMARY KEY, {columns}, "
            "created TIMESTAMP DEFAULT NOW());"
        )
        for scenario in SCENARIOS:
            if name in scenario.expect:
                rows = parse_table(scenario.expect[name], types[name])
                listed = ", ".join(["course_id", *rows[0]])
                rendered = values([(scenario.course_id, *row.values()) for row in rows])
                if name == "course_enrollment_daily":
                    # The first run, to 6 March; the second one appended (D16).
                    first = values(
                        [(scenario.course_id, *row.values()) for row in rows if row["date"].day < 6]
                    )
                    text.append(f"INSERT INTO {name} ({listed}) VALUES {first};")
                text.append(f"INSERT INTO {name} ({listed}) VALUES {rendered};")
    beta, late = f"course_id = '{BETA.course_id}'", "date >= '2021-03-05'"
    one_more = "SET count = count + 1 WHERE"
    text += [
        # A learner "" of 5 March is in count, not in cumulative_count (D12).
        f"UPDATE course_enrollment_daily {one_more} {beta} AND {late};",
        f"UPDATE course_enrollment_mode_daily {one_more} {beta} AND mode = 'honor' AND {late};",
        f"UPDATE course_enrollment_gender_daily {one_more} {beta} AND gender IS NULL AND {late};",
        f"UPDATE course_enrollment_birth_year_daily {one_more} {beta} AND birth_year IS NULL;",
        "INSERT INTO course_enrollment_education_level_daily (date, course_id, count, "
        f"cumulative_count) VALUES ('2021-03-07', '{BETA.course_id}', 1, 0);",
        "UPDATE course_meta_summary_enrollment SET count = count + 1, count_change_7_days = "
        f"count_change_7_days + 1 WHERE {beta} AND enrollment_mode = 'honor';",
        # A passing grade without a letter (D19).
        "UPDATE course_meta_summary_enrollment SET passing_users = passing_users + 1 "
        f"WHERE {beta} AND enrollment_mode = 'honor';",
    ]
    server.sql("\n".join(text), database)


class Session:
    """The operator's shell: what was typed and what was printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.text: list[str] = []
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        (bin_folder / "studium").write_text(
            f'#!/bin/sh\nexec {quote(sys.executable)} -m studium "$@"\n'
        )
        (bin_folder / "studium").chmod(0o755)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("STUDIUM_")}
        self.environment = {
            **kept,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }

    def export(self, name: str, value: str, shown: str) -> None:
        self.environment[name] = value
        self.text.append(f"$ export {name}={shown}")

    def run(self, command: str, code: int = 0) -> str:
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        printed = done.stdout.replace(str(self.folder), "/edx")
        self.text += [f"$ {command}".replace(str(self.folder), "/edx"), printed.rstrip("\n")]
        if done.returncode:
            self.text += ["$ echo $?", str(done.returncode)]
        assert done.returncode == code, "\n".join(self.text)
        return printed


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Session]:
    session = Session(tmp_path)
    yield session
    text = "\n".join(session.text) + "\n"
    (tmp_path / "transcript.txt").write_text(text, "utf-8")
    if place := os.environ.get("STUDIUM_MIGRATION_TRANSCRIPT"):
        Path(place).write_text(text, "utf-8")


def test_an_operator_moves_over(operator: Session, mariadb: Server, tmp_path: Path) -> None:
    old, new = (mariadb.fresh().rsplit("/", 1)[1] for _ in range(2))
    fill_old_store(mariadb, old)
    write_logs(tmp_path / "logs")
    write_warehouse(tmp_path / "warehouse")
    write_dump(tmp_path / "lms.sql.gz")
    (tmp_path / "override.cfg").write_text(CONFIG.format(folder=tmp_path, old=old))
    (tmp_path / "shadow.cfg").write_text(f"[database-export]\ndatabase = {new}\n")
    (tmp_path / "credentials.json").write_text(
        json.dumps(
            {"host": "127.0.0.1", "port": mariadb.port, "username": mariadb.user,
             "password": mariadb.password}
        ).replace("}", ",}")
    )  # fmt: skip

    # The old settings; beside the old database, not over it.
    operator.run("studium init site --from-cfg override.cfg --from-cfg shadow.cfg")
    operator.export("STUDIUM_SITE", str(tmp_path / "site"), "/edx/site")
    operator.export("STUDIUM_RESULTS_PASSWORD", mariadb.password, "…")
    operator.export("STUDIUM_LMS__SOURCE", str(tmp_path / "lms.sql.gz"), "/edx/lms.sql.gz")

    # The days whose logs are gone come from the warehouse.
    said = operator.run("studium import-history warehouse --until 2021-03-04")
    assert "course_enrollment (1)" in said

    # The old cron line, with two words before it.
    said = operator.run(
        "studium task launch-task ImportEnrollmentsIntoMysql --local-scheduler "
        "--interval-end 2021-03-08 --overwrite-n-days 4 --overwrite-mysql --n-reduce-tasks 8"
    )
    assert "1 imported day kept, as raw logs give fewer rows: 2021-03-03" in said
    operator.run("studium plan --until 2021-03-08 course_enrollment_daily")

    # Side by side.
    operator.export("STUDIUM_COMPARE_PASSWORD", mariadb.password, "…")
    url = f"mysql://{mariadb.user}@127.0.0.1:{mariadb.port}/{old}"
    operator.run(f"studium compare --with {url}")
    document = json.loads(
        subprocess.run(
            ["studium", "compare", "--with", url, "--format", "json"], cwd=tmp_path,
            env=operator.environment, capture_output=True, text=True, check=True,
        ).stdout
    )  # fmt: skip
    assert document["unexplained"] == 0
    assert set(document["classes"]) == {"D10", "D12", "D16", "D19"}
    assert {one["table"] for one in document["tables"]} == set(CREATE)
    compared = {one["table"]: one for one in document["tables"]}
    assert compared["course_enrollment_daily"]["both"] == 14
    assert compared["course_enrollment_daily"]["twice"] == 10
    assert document["not_here"] == ["table_updates"]

    # And would it have told? One number of the old store is wrong now.
    mariadb.sql(
        f"UPDATE course_enrollment_daily SET count = 7 WHERE course_id = '{ALPHA.course_id}' "
        "AND date = '2021-03-06'",
        old,
    )
    said = operator.run(f"studium compare --with {url} --table course_enrollment_daily", code=1)
    why = next(line for line in said.splitlines() if "studium why" in line)
    operator.run(f"{why.strip()} --limit 3")
    session = "\n".join(operator.text)
    assert f":{mariadb.password}@" not in session
    assert "pbkdf2" not in session
