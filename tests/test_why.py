"""`studium why`: from a published number to the lines of the log, on the golden scenario (§8.1)."""

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import studium
from studium.autopilot import steps
from studium.autopilot.lineage import read_order
from studium.autopilot.trace import Step, trace_rows
from studium.cli import main
from studium.clock import Interval
from studium.errors import UsageError
from studium.lake.plan import Scope
from studium.lake.store import Lake
from studium.lake.tables import Table, read_table
from studium.lenses import tables as lens_tables
from studium.sources.edx.positions import read_lines
from tests.sites import lent_engine
from tests.spec import golden

START, UNTIL = date(2021, 3, 1), date(2021, 3, 8)
ALPHA, BETA = golden.ALPHA.course_id, golden.BETA.course_id
KINDS = {"act": "activated", "deact": "deactivated", "mode": "mode_changed"}
NOISE = '{"time": "2021-03-01T00:00:00Z", "event_type": "/heartbeat", "event_source": "server"}'

# Lines of α's events in the one file, which holds a line of noise before each event.
LINES = {
    (101, 1): 2, (101, 3): 4, (102, 1): 6, (102, 2): 8, (102, 2.5): 10, (103, 4): 12,
    (104, 2): 14, (104, 2.5): 16, (105, 5): 18, (105, 5.5): 20, (106, 6): 22,
}  # fmt: skip


def log_lines(course: str, events: str) -> Iterator[str]:
    for text in events.split("\n"):
        if not text.strip():
            continue
        on, clock, user, kind, mode = text.split()
        name = f"edx.course.enrollment.{KINDS[kind]}"
        clock = clock if clock.count(":") == 2 else f"{clock}:00"
        yield NOISE
        yield json.dumps(
            {
                "name": name,
                "event_type": name,
                "event_source": "server",
                "time": f"2021-03-{on}T{clock}+00:00",
                "context": {"course_id": "course-v1:other+context+1", "user_id": 1},
                "event": {"course_id": course, "user_id": int(user), "mode": mode},
            }
        )


def write_lms(folder: Path) -> None:
    folder.mkdir()
    profiles = ["user_id,gender,year_of_birth,level_of_education"]
    for line in golden.ALPHA.profiles.split("\n"):
        if line.strip() and "user_id" not in line:
            user, *rest = ("" if word == "''" else word for word in line.split())
            profiles.append(",".join([user, *("\\N" if word == "-" else word for word in rest)]))
    (folder / "auth_userprofile.csv").write_text("\n".join(profiles) + "\n")
    grades = "id,user_id,course_id,percent_grade,letter_grade,passed_timestamp,modified\n"
    for number, (user, letter, course, on) in enumerate(
        [
            (101, "Pass", ALPHA, "2021-03-02"),
            (102, "Pass", ALPHA, "2021-03-06"),
            (104, "Pass", ALPHA, "2021-02-20"),
            (105, "", ALPHA, "2021-03-06"),
            (107, "C", BETA, "2021-04-01"),
        ]
    ):
        grades += f"{number},{user},{course},0.5,{letter},{on} 12:00:00,{on} 12:00:00\n"
    (folder / "grades_persistentcoursegrade.csv").write_text(grades)
    (folder / "auth_user.csv").write_text(
        "id,username,last_login,date_joined,is_active,is_superuser,is_staff,email\n"
        "101,ada,\\N,2021-01-01 00:00:00,1,0,0,ada@example.org\n"
    )
    run = {"key": BETA, "course": "UniX/Chem", "title": "Chemistry", "pacing_type": "self_paced"}
    program = {"uuid": "5c0ffee0-0000-4000-8000-000000000001", "type": "XSeries", "title": "Lab"}
    (folder / "course_catalog.json").write_text(json.dumps([{**run, "programs": [program]}]))


def build(root: Path, *, only_ingest: bool = False) -> None:
    with studium.open(root) as site, site.writer("test"), lent_engine():
        lake, window = Lake(site.lake_dir), Interval(START, UNTIL)
        steps.ingest_step(site, lake, window)
        if not only_ingest:
            steps.lms_step(site, lake)
            steps.build_step(site, lake, lens_tables("enrollment"), Scope(window))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("why")
    logs = folder / "site" / "logs"
    logs.mkdir(parents=True)
    alpha = "\n".join([*log_lines(ALPHA, golden.ALPHA.events), ""])
    beta = "\n".join(log_lines(BETA, golden.BETA.events))  # no newline at its end
    (logs / "tracking.log-20210308.gz").write_bytes(gzip.compress(alpha.encode()))
    (logs / "tracking.log-20210309").write_text(beta)
    lacking = "".join(f"{line}\n" for line in log_lines(BETA, "03 12:00 109 act honor"))
    (logs / "tracking.log-20210304").write_text(lacking.replace('"mode": "honor"', '"x": "honor"'))
    write_lms(folder / "lms")
    settings = {
        "site.start": START, "edx.source": ["logs"], "lms.source": str(folder / "lms"),
    }  # fmt: skip
    studium.init(folder / "site", settings).close()
    build(folder / "site")
    return folder / "site"


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """The site again, to be changed. Its log stays where it was."""
    shutil.copytree(built, tmp_path / "site", ignore=shutil.ignore_patterns("logs"))
    return tmp_path / "site"


def explain(root: Path, table: str, where: str) -> dict[str, Step]:
    with studium.open(root) as site:
        return {step.table: step for step in trace_rows(site, Lake(site.lake_dir), table, where)}


def lines_of(steps: dict[str, Step]) -> list[int]:
    return sorted(row["line_no"] for row in steps["events"].rows)


def all_made_again(steps: dict[str, Step]) -> bool:
    made = [step.again for step in steps.values() if step.again is not None]
    return bool(made) and all(made)


# A published number


@pytest.mark.parametrize(
    ("day", "count", "cumulative", "last_line"),
    [
        (1, 2, 2, {2, 6}),
        (2, 2, 3, {2, 6, 8, 10, 14, 16}),
        (3, 2, 3, {2, 4, 6, 8, 10, 14, 16}),
        (5, 3, 5, {2, 4, 6, 8, 10, 12, 14, 16, 18, 20}),
        (7, 3, 6, set(LINES.values())),
    ],
)
def test_a_count_is_the_sum_of_its_explanation(
    built: Path, day: int, count: int, cumulative: int, last_line: set[int]
) -> None:
    found = explain(
        built, "course_enrollment_daily", f"course_id = '{ALPHA}' AND date = '2021-03-{day:02}'"
    )
    assert next(iter(found)) == "course_enrollment_daily"
    assert list(found)[-1] == "events"
    (row,) = found["course_enrollment_daily"].rows
    assert (row["count"], row["cumulative_count"]) == (count, cumulative)
    changes = found["enrollment_changes"]
    assert changes.totals["change"] == count
    assert changes.totals["first_day"] == cumulative
    assert changes.count == len(changes.rows)
    assert lines_of(found) == sorted(last_line)
    assert found["events"].count == len(last_line)
    assert found["calendar"].count == day
    assert all_made_again(found)


def test_a_mode_is_explained_by_those_who_came_and_those_who_left(built: Path) -> None:
    found = explain(
        built,
        "course_enrollment_mode_daily",
        f"course_id = '{ALPHA}' AND mode = 'audit' AND date = '2021-03-03'",
    )
    (row,) = found["course_enrollment_mode_daily"].rows
    assert (row["count"], row["cumulative_count"]) == (0, 1)
    changes = found["enrollment_changes"].rows
    came = [change for change in changes if change["mode"] == "audit"]
    left = [change for change in changes if change["previous_mode"] == "audit"]
    assert {change["user_id"] for change in came} == {101, 102, 104}
    assert {change["user_id"] for change in left} == {101, 102}
    assert len(came) - len(left) == row["cumulative_count"]
    assert lines_of(found) == [2, 4, 6, 8, 10, 14, 16]
    assert all_made_again(found)


def test_a_summary_is_explained_along_all_its_ways(built: Path) -> None:
    found = explain(
        built,
        "course_meta_summary_enrollment",
        f"course_id = '{ALPHA}' AND enrollment_mode = 'verified'",
    )
    (row,) = found["course_meta_summary_enrollment"].rows
    assert (row["count"], row["cumulative_count"], row["passing_users"]) == (3, 4, 1)
    assert [one["date"] for one in found["course_enrollment_mode_daily"].rows] == [date(2021, 3, 7)]
    assert found["course_grade_by_mode"].rows == [
        {"course_id": ALPHA, "mode": "verified", "passing_users": 1}
    ]
    # 101 was audit when graded: a candidate that the grades explain away.
    assert {one["user_id"] for one in found["grades_persistentcoursegrade"].rows} == {101, 102}
    assert set(found["enrollment_changes"].conditions) == {
        "course_enrollment_mode_daily", "course_grade_by_mode",
    }  # fmt: skip
    assert found["course_catalog"].count == 0, "β alone is in the catalog"
    assert all_made_again(found)


@pytest.mark.parametrize(
    ("table", "where", "learners"),
    [
        ("course_enrollment_gender_daily", "gender IS NULL AND date = '2021-03-04'", {103, 104}),
        ("course_enrollment_gender_daily", "gender = 'f' AND date = '2021-03-07'", {101, 106}),
        ("course_enrollment_birth_year_daily", "birth_year IS NULL", {103, 104}),
        ("course_enrollment_birth_year_daily", "birth_year = 1990", {101, 106}),
        ("course_enrollment_education_level_daily", "education_level IS NULL", {103, 104, 106}),
        ("course_enrollment_education_level_daily", "education_level = 'doctorate'", {105}),
    ],
)
def test_a_group_is_explained_by_its_learners_even_without_profiles(
    built: Path, table: str, where: str, learners: set[int]
) -> None:
    found = explain(built, table, f"course_id = '{ALPHA}' AND {where}")
    (row,) = found[table].rows
    assert {one["user_id"] for one in found["enrollment_changes"].rows} == learners
    assert found["enrollment_changes"].totals["change"] == row["count"]
    assert {one["user_id"] for one in found["auth_userprofile"].rows} == learners - {104}
    assert all_made_again(found)


@pytest.mark.parametrize("table", [one.name for one in lens_tables("enrollment") if one.sql])
def test_every_row_of_every_table_is_explained(built: Path, table: str) -> None:
    """No `[trace]` leaves out a row that counts: the SQL over the explanation gives the row."""
    with studium.open(built) as site:
        lake = Lake(site.lake_dir)
        rows = _all_rows(lake, table)
        assert rows, "the scenario has rows in every table"
        grain = next(one.grain for one in lens_tables() if one.name == table)
        # Days with much before them, on which somebody has left a mode and a course.
        telling = rows if len(rows) < 6 else [one for one in rows if _is_telling(one)]
        assert telling
        for row in telling:
            key = " AND ".join(_equals(name, row[name]) for name in grain)
            found = {step.table: step for step in trace_rows(site, lake, table, key)}
            assert found[table].count == 1
            assert all_made_again(found), key


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small institution, with all lenses."""
    root = tmp_path_factory.mktemp("why") / "demo"
    command = [sys.executable, "-m", "studium", "demo", str(root), "--events", "3000"]
    subprocess.run(command, check=True, capture_output=True)
    return root


OTHERS = [
    one.name
    for one in lens_tables()
    if one.lens in ("answers", "geography", "engagement", "learners", "video")
    and one.inputs
    and not one.restricted
]


@pytest.mark.long
@pytest.mark.parametrize("table", OTHERS)
def test_rows_of_other_lenses_are_explained(demo: Path, table: str) -> None:
    """Not every row, as there are many, but some from all over the table."""
    with studium.open(demo) as site:
        lake = Lake(site.lake_dir)
        rows = _all_rows(lake, table)
        assert rows
        known = next(one for one in lens_tables() if one.name == table)
        for row in rows[:: max(1, len(rows) // 2)]:
            key = " AND ".join(_equals(name, row[name]) for name in known.grain)
            found = {step.table: step for step in trace_rows(site, lake, table, key)}
            assert found[table].count == 1
            assert all_made_again(found), key


@pytest.mark.parametrize("table", [one.name for one in lens_tables()])
def test_a_table_is_followed_after_all_its_readers(table: str) -> None:
    known = {one.name: one for one in lens_tables()}
    order = read_order(table, known)
    for place, reader in enumerate(order):
        for name in known[reader].inputs if reader in known else ():
            assert order.index(name) > place, f"{reader} reads {name}"


def _is_telling(row: dict[str, Any]) -> bool:
    if "date" in row:
        return row["date"] in (date(2021, 3, 3), date(2021, 3, 7))
    return row.get("user_id") in (None, 102, 107)


def _all_rows(lake: Lake, table: str) -> list[dict[str, Any]]:
    from deltalake import DeltaTable

    rows: list[dict[str, Any]] = DeltaTable(str(lake.root / table)).to_pyarrow_table().to_pylist()
    return sorted(rows, key=repr)


def _equals(name: str, value: object) -> str:
    text = "NULL" if value is None else f"'{value}'"
    return f'"{name}" IS NOT DISTINCT FROM {text}'


def test_what_a_step_says_of_its_build(built: Path) -> None:
    found = explain(
        built, "course_enrollment_daily", f"course_id = '{ALPHA}' AND date = '2021-03-01'"
    )
    changes, asked = found["enrollment_changes"], found["course_enrollment_daily"]
    assert asked.inputs["enrollment_changes"] == changes.build
    assert changes.params == {"start": "2021-03-01", "until": "2021-03-08"}
    assert asked.rule == "specs/edx-enrollment-geography §2.6, §2.12"
    with studium.open(built) as site:
        snapshot = Lake(site.lake_dir).snapshot("course_enrollment_daily")
    assert asked.build == snapshot.versions()[None]
    assert asked.built_at is not None
    assert abs((studium.clock.utcnow() - asked.built_at).total_seconds()) < 3600
    assert changes.conditions == {
        "course_enrollment_daily": "course_id = $course_id AND date <= $date"
    }
    # One day's events only: those of the day of the events that they became.
    assert found["events"].conditions["enrollment_events"].startswith("day = $day AND ")


def test_a_discard_leads_to_the_line_that_lacks_something(built: Path) -> None:
    found = explain(built, "enrollment_discards", "reason = 'mode'")
    assert found["enrollment_discards"].totals == {"events": 1}
    (event,) = found["events"].rows
    assert (event["line_no"], event["event_user_id"], event["mode"]) == (2, 109, None)
    assert all_made_again(found)


def test_a_program_leads_to_the_catalog(built: Path) -> None:
    found = explain(built, "course_program_metadata", f"course_id = '{BETA}'")
    assert list(found) == ["course_program_metadata", "program_course"]
    assert [row["program_title"] for row in found["program_course"].rows] == ["Lab"]
    assert all_made_again(found)


def test_without_a_trace_rows_are_matched_by_the_names_of_the_key(built: Path) -> None:
    found = explain(built, "enrollment_summary", f"course_id = '{ALPHA}' AND user_id = 104")
    assert found["enrollment_events"].conditions == {
        "enrollment_summary": "course_id = $course_id AND user_id = $user_id"
    }
    assert lines_of(found) == [14, 16]


def test_what_changed_since_the_build_is_told(copy: Path) -> None:
    more = copy.parent / "more.log"
    late = list(log_lines(ALPHA, "01 07:00 101 act honor\n02 01:00 101 deact honor"))
    more.write_text("\n".join(late))
    with studium.open(copy, {"edx.source": [str(more)]}) as site, site.writer("test"):
        lake = Lake(site.lake_dir)
        steps.ingest_step(site, lake, Interval(START, UNTIL))
        steps.build_step(
            site, lake, steps.choose_tables(["enrollment_events"]), Scope(Interval(START, UNTIL))
        )
    found = explain(
        copy, "course_enrollment_daily", f"course_id = '{ALPHA}' AND date = '2021-03-03'"
    )
    assert found["course_enrollment_daily"].again is True, "its input is as it was"
    assert found["enrollment_changes"].again is False
    assert found["enrollment_events"].again is True


def test_parameters_that_nobody_knows_are_told(copy: Path) -> None:
    (copy / "state.db").unlink()
    with pytest.raises(UsageError, match="until") as caught:
        explain(copy, "enrollment_changes", f"course_id = '{ALPHA}' AND user_id = 103")
    assert "studium build enrollment_changes" in str(caught.value)


# What cannot be explained


@pytest.mark.parametrize(
    ("table", "where", "told"),
    [
        ("course_enrollment", "true", "there is no table 'course_enrollment'"),
        ("course_enrollment_daily", "dat = '2021-03-01'", "course_id, date, count"),
        ("course_enrollment_daily", "date = ", "does not work"),
        ("course_enrollment_daily", "date = '2021-04-01'", "no row"),
        ("course_enrollment_daily", "true", "14 rows"),
        ("auth_user_contact", "true", "names or addresses"),
    ],
)
def test_an_error_says_what_to_do(built: Path, table: str, where: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        explain(built, table, where)
    assert told in str(caught.value)
    assert caught.value.hint


def test_a_restricted_table_on_the_way_is_counted_and_not_shown(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studium.autopilot.trace.RESTRICTED", frozenset({"auth_userprofile"}))
    found = explain(
        built, "course_enrollment_birth_year_daily", f"course_id = '{ALPHA}' AND birth_year = 1990"
    )
    profiles = found["auth_userprofile"]
    assert (profiles.withheld, profiles.rows, profiles.count) == (True, [], 2)
    assert all_made_again(found)


# The header


def table_with(folder: Path, trace: str) -> Table:
    path = folder / "learners.sql"
    path.write_text(
        '/* studium\ndescription = "Learners"\nkind = "full"\ngrain = ["course_id"]\n[columns]\n'
        'course_id = "varchar(255) not null; course run"\nlearners = "bigint; learners"\n'
        f"{trace}\n*/\n"
        "SELECT course_id, COUNT(*) AS learners FROM changes WHERE date < $until GROUP BY course_id"
    )
    return read_table(path, "test")


def test_a_trace_is_read_and_makes_nothing_stale(tmp_path: Path) -> None:
    plain = table_with(tmp_path, "")
    traced = table_with(
        tmp_path,
        '[trace]\nchanges = """\n  course_id = $course_id\n  AND date < $until"""',
    )
    assert plain.trace == {}
    assert traced.trace == {"changes": "course_id = $course_id AND date < $until"}
    assert traced.code == plain.code


@pytest.mark.parametrize(
    ("trace", "told"),
    [
        ('[trace]\nevents = "true"', "events is not an input"),
        ('[trace]\nchanges = "course_id = $curse_id"', "$curse_id is neither"),
        ('[trace]\nchanges = "course_id = = 1"', "cannot be read"),
        ('[trace]\nchanges = "user_id IN (SELECT user_id FROM users)"', "reads users"),
        ("[trace]\nchanges = 3", "one condition per input"),
    ],
)
def test_a_wrong_trace_is_told(tmp_path: Path, trace: str, told: str) -> None:
    with pytest.raises(studium.errors.TableError) as caught:
        table_with(tmp_path, trace)
    assert told in str(caught.value)
    assert "field trace" in str(caught.value)


# The command

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(root: Path, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["studium", "--site", str(root), "why", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert isinstance(stopped.value.code, int)
        captured = capsys.readouterr()
        return stopped.value.code, captured.out, captured.err

    return run


FIRST_DAY = ("course_enrollment_daily", "--where", f"course_id = '{ALPHA}' AND date = '2021-03-01'")


def test_the_text_for_people(built: Path, run: Run) -> None:
    code, out, _ = run(built, *FIRST_DAY)
    assert code == 0
    log = built / "logs" / "tracking.log-20210308.gz"
    assert f"zcat {log} | sed -n 2p" in out
    assert "sums: at_end 2, change 2," in out
    assert out.count("over nothing but the rows found below gives this again") == 3
    assert "learners enrolled at the end of the day" in out
    assert "Lines of the log" not in out


def test_lines_are_those_of_the_log(built: Path, run: Run) -> None:
    _, out, _ = run(built, *FIRST_DAY, "--lines", "--limit", "1")
    alpha = list(log_lines(ALPHA, golden.ALPHA.events))
    log = built / "logs" / "tracking.log-20210308.gz"
    assert out.endswith(f"Lines of the log:\n{log}:2: {alpha[1]}\n")


def test_json_has_all_rows_and_their_lines(built: Path, run: Run) -> None:
    where = f"course_id = '{BETA}' AND date = '2021-03-07'"
    _, out, _ = run(built, "course_enrollment_daily", "--where", where, "--json", "--lines")
    said = {step["table"]: step for step in json.loads(out)["steps"]}
    assert said["course_enrollment_daily"]["rows"][0]["count"] == 1
    assert said["enrollment_changes"]["totals"]["change"] == 1
    beta = list(log_lines(BETA, golden.BETA.events))
    log = str(built / "logs" / "tracking.log-20210309")
    found = {row["log"]["line"]: row["log"] for row in said["events"]["rows"]}
    assert {line: one["text"] for line, one in found.items()} == {
        line: beta[line - 1] for line in (2, 4, 6, 8, 10)
    }
    assert {one["path"] for one in found.values()} == {log}
    assert found[10]["command"] == f"sed -n 10p {log}"
    assert found[10]["trouble"] is None


def test_a_file_that_is_gone_is_told(built: Path, run: Run) -> None:
    log = built / "logs" / "tracking.log-20210308.gz"
    away = log.rename(log.with_name("away"))
    try:
        code, out, _ = run(built, *FIRST_DAY, "--lines")
        _, as_json, _ = run(built, *FIRST_DAY, "--lines", "--json")
    finally:
        away.rename(log)
    assert code == 0
    assert f"{log} (gone)" in out
    assert f"{log}:2: gone" in out
    assert "zcat" not in out
    places = [row["log"] for row in json.loads(as_json)["steps"][-1]["rows"]]
    assert places == [
        {"path": str(log), "line": line, "trouble": "gone", "command": None, "text": None}
        for line in (2, 6)
    ]


def test_a_file_that_shrank_is_told(built: Path, run: Run) -> None:
    log = built / "logs" / "tracking.log-20210309"
    whole = log.read_bytes()
    where = f"course_id = '{BETA}' AND date = '2021-03-01'"
    try:
        log.write_bytes(whole[:100])
        _, out, _ = run(built, "course_enrollment_daily", "--where", where, "--lines")
    finally:
        log.write_bytes(whole)
    assert f"{log}:4: changed since it was read" in out


def test_a_manifest_that_forgot_a_file_is_told(copy: Path, run: Run) -> None:
    from sqlalchemy import delete

    from studium.state.schema import files

    with studium.open(copy) as site, site.state.begin() as conn:
        conn.execute(delete(files))
    code, out, _ = run(copy, *FIRST_DAY, "--lines")
    assert code == 0
    assert "a file not in the manifest:2: not in the manifest" in out


def test_an_error_of_the_command_is_bad_usage(built: Path, run: Run) -> None:
    code, out, err = run(built, "course_enrollment_daily", "--where", "true")
    assert (code, out) == (2, "")
    assert "Narrow it down by course_id, date." in err


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_lines_by_number(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\n\nthree\xff\r\nfour" + end)
    assert read_lines(str(path), {1, 3, 4}) == {1: b"one", 3: b"three\xff\r", 4: b"four"}
    assert read_lines(str(path), {2, 9}) == {2: b""}
    path.write_bytes(gzip.compress(b"one\ntwo\n")[:-9])
    assert read_lines(str(path), {1}) == {1: b"one"}
    path.write_bytes(b"\x28\xb5\x2f\xfd not zstd")
    assert read_lines(str(path), {1}) == {}
    assert read_lines(str(tmp_path / "none"), {1}) == {}
