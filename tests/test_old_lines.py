"""Old command lines: every task with every option of the specs, and what is wrong with a line."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from studium.clock import Interval
from studium.errors import SourceError, StudiumError, UsageError
from studium.lenses import tables as lens_tables
from studium.migrate.files import choose_files, choose_root, read_list
from studium.migrate.intervals import parse_interval, parse_span
from studium.migrate.lines import Line, read_line
from studium.migrate.options import Fate
from studium.migrate.tasks import TASKS, Part, Task
from studium.migrate.translate import Order, choose_tables, make_order, missing_parts
from studium.settings import Settings
from tests.old_tasks import PAIRS, SPEC

TODAY = date(2014, 3, 5)
SETTINGS = Settings.model_validate({"site": {"start": "2013-01-01"}, "lms": {"courses": "lms"}})
NEEDED = {
    "interval": "2014-01-01-2014-02-01",
    "src": "/logs",
    "date": "2014-02-01",
    "output-root": "/reports",
}


def order(text: str | list[str], settings: Settings = SETTINGS) -> Order:
    return make_order(read_line(text.split() if isinstance(text, str) else text), settings, TODAY)


def least(task: str) -> list[str]:
    """The shortest line for a task."""
    given = [f"--{o.name}={NEEDED[o.name]}" for o in TASKS[task].options.values() if o.required]
    return [task, *given]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with logs, credentials, a manifest and an old configuration."""
    for name in ("a/tracking.log-20140102.gz", "a/b/tracking.log-20140103.gz", "a/other.txt"):
        path = tmp_path / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "mysql.json").write_text(
        '{"host": "db", "port": 3307, "username": "u@x", "password": "p,}/1",\n}'
    )
    (tmp_path / "list.manifest").write_text("/logs/one.gz\n\n/logs/two.gz\n")
    (tmp_path / "more.cfg").write_text(
        "[enrollments]\ninterval_start = 2001-01-01\noverwrite_n_days = 9\n"
    )
    return tmp_path


# What a mapped option does: value, and the part of the order that it makes.
MAPPED: dict[str, tuple[str, Callable[[Order, Path], object], Callable[[Path], object]]] = {
    "interval": (
        "2014-W03", lambda o, p: o.interval,
        lambda p: Interval(date(2014, 1, 13), date(2014, 1, 20)),
    ),
    "interval-start": ("2014-02-03", lambda o, p: o.interval.since, lambda p: date(2014, 2, 3)),
    "interval-end": ("2014-02-03", lambda o, p: o.interval.until, lambda p: date(2014, 2, 3)),
    "end-date": ("2014-02-02", lambda o, p: o.interval.until, lambda p: date(2014, 2, 2)),
    "weeks": (
        "1", lambda o, p: (o.interval.since, o.overrides["engagement.weeks"]),
        lambda p: (date(2014, 2, 24), 1),
    ),
    "geolocation-data": (
        "{p}/GeoLite2.mmdb", lambda o, p: o.overrides["geography.database"],
        lambda p: f"{p}/GeoLite2.mmdb",
    ),
    "date": (
        "2014-01-20", lambda o, p: o.interval,
        lambda p: Interval(date(2014, 1, 6), date(2014, 1, 20)),
    ),
    "overwrite-n-days": ("3", lambda o, p: o.overrides["run.lookback"], lambda p: 3),
    "overwrite-from-date": (
        "2014-01-30", lambda o, p: o.overrides["run.lookback"], lambda p: 2,
    ),
    "overwrite": ("", lambda o, p: o.overrides["run.lookback"], lambda p: 31),
    "source": (
        '["{p}/logs/a", "s3n://bucket/x/"]', lambda o, p: o.overrides["edx.source"],
        lambda p: [f"{p}/logs/a", "s3://bucket/x/"],
    ),
    "src": (
        "file://{p}/logs/", lambda o, p: o.overrides["edx.source"], lambda p: [f"{p}/logs"],
    ),
    "pattern": (
        '[".*/tracking.log-(?P<date>\\\\d{8}).*", ".*none"]',
        lambda o, p: o.overrides["edx.source"],
        lambda p: [
            f"{p}/logs/a/{name}"
            for name in ("b/tracking.log-20140103.gz", "tracking.log-20140102.gz")
        ],
    ),
    "include": (
        '["a/*log-20140103*"]', lambda o, p: o.overrides["edx.source"],
        lambda p: [f"{p}/logs/a/b/tracking.log-20140103.gz"],
    ),
    "manifest": (
        "{p}/list.manifest", lambda o, p: o.overrides["edx.source"],
        lambda p: ["/logs/one.gz", "/logs/two.gz"],
    ),
    "date-pattern": ("%Y-%m-%d", lambda o, p: o.overrides["edx.date_format"], lambda p: "%Y-%m-%d"),
    "expand-interval": (
        "1 week 2 days", lambda o, p: o.overrides["edx.window_days"], lambda p: 9,
    ),
    "credentials": (
        "{p}/mysql.json", lambda o, p: o.overrides["results.url"],
        lambda p: "mysql://u%40x:p%2C%7D%2F1@db:3307/reports",
    ),
    "database": (
        "mine", lambda o, p: o.overrides["results.url"], lambda p: "mysql://u@db:1/mine",
    ),
    "api-root-url": (
        "https://d.example.org/api/v1/", lambda o, p: o.overrides["lms.discovery_url"],
        lambda p: "https://d.example.org/api/v1/",
    ),
    "api-page-size": ("50", lambda o, p: o.overrides["lms.page_size"], lambda p: 50),
    "partner-short-codes": (
        '["a", "b"]', lambda o, p: o.overrides["lms.partners"], lambda p: ["a", "b"],
    ),
    "output-root": (
        "file://{p}/reports", lambda o, p: o.overrides["answers.report_folder"],
        lambda p: f"{p}/reports",
    ),
    "dependency-tree": ("", lambda o, p: o.plan, lambda p: True),
    "additional-config": (
        "{p}/more.cfg", lambda o, p: dict(o.overrides), lambda p: {"run.lookback": 9},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("task", "name"), PAIRS, ids=lambda value: str(value))
def test_every_option_of_every_task(task: str, name: str, place: Path) -> None:
    option = TASKS[task].options[name]
    line = [word for word in least(task) if not word.startswith(f"--{name}=")]
    if option.fate is Fate.REFUSED:
        with pytest.raises(UsageError, match=f"--{name} is refused: ") as caught:
            order([*line, f"--{name}", *([] if option.flag else ["x"])])
        assert option.says in str(caught.value)
        return
    if option.fate is Fate.PASSED:
        plain = order(least(task))
        given = [f"--{name}"] if option.flag else [f"--{name}", "x"]
        made = order([*least(task), *given, *given])
        (note,) = set(made.notes) - set(plain.notes)
        assert note == f"--{name}: passed over; {option.says}"
        assert (made.overrides, made.interval) == (plain.overrides, plain.interval)
        return
    value, look, expected = MAPPED[name]
    given = [] if option.flag else [value.replace("{p}", str(place))]
    if name in ("pattern", "include"):
        root = "source" if name == "pattern" else "src"
        line = [*(word for word in line if "--src=" not in word), f"--{root}={place / 'logs'}"]
    if name == "credentials":
        line.append("--database=reports")
    known = {"site": {"start": "2013-01-01"}, "results": {"url": "mysql://u@db:1/old"}}
    settings = Settings.model_validate(known) if name == "database" else SETTINGS
    wanted = expected(place)
    if name == "additional-config":
        plain = dict(order(line, settings).overrides)
        wanted = {"run.lookback": 9, **plain}
    made = order([*line, f"--{name}", *given], settings)
    assert look(made, place) == wanted
    if given:
        swapped = order([*line, f"--{name.replace('-', '_')}={given[0]}"], settings)
        assert (swapped.overrides, swapped.interval) == (made.overrides, made.interval)


def test_every_task_of_the_specs_is_known_and_no_other() -> None:
    assert set(TASKS) == set(SPEC)
    for task, names in SPEC.items():
        assert set(names.split()) - set(TASKS[task].options) == set(), task


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda t: t.name)
def test_a_task_works_when_its_tables_are_there_and_says_so_when_not(task: Task) -> None:
    missing = missing_parts(task)
    made = {name for table in lens_tables() for name in (table.name, table.publish)}
    assert set(task.tables) - made <= set(missing)
    if missing:
        with pytest.raises(UsageError, match=f"{task.name} cannot be done yet") as caught:
            choose_tables(task)
        assert missing[0] in str(caught.value)
        return
    chosen = choose_tables(task)
    lenses = {t.lens for t in lens_tables() if {t.name, t.publish} & set(task.tables)}
    days = {t.name for t in lens_tables() if t.lens in lenses and t.kind == "day"}
    if task.part is Part.DAYS and days:
        assert {table.name for table in chosen if table.lens in lenses} == days
    else:
        names = {name for table in chosen for name in (table.name, table.publish)}
        assert set(task.tables) <= names


# Lines of launchers


TASK = "ImportEnrollmentsIntoMysql"


@pytest.mark.parametrize(
    "words",
    [
        [TASK, "--interval-end", "2014-02-01"],
        ["launch-task", TASK, "--interval-end", "2014-02-01"],
        ["/opt/bin/launch-task", "--local-scheduler", TASK, "--interval_end=2014-02-01"],
        ["LUIGI_CONFIG_PATH=devstack.cfg", "launch-task", TASK, "--interval-end=2014-02-01"],
        ["remote-task", "--host", "x", "--wait", TASK, "--interval-end=2014-02-01"],
        ["remote-task", "--host=x", "--shell", "a b", "--wait", TASK, "--interval-end=2014-02-01"],
        ["remote-task", TASK, "--host", "x", "--interval-end=2014-02-01", "--wait"],
        ["remote-task", "--new-flag", TASK, "--interval-end=2014-02-01"],
        ["insights.enrollments." + TASK, "--interval-end", "2014-02-01"],
    ],
    ids=" ".join,
)
def test_a_line_carries_its_task(words: list[str]) -> None:
    made = order(words)
    assert made.interval == Interval(date(2013, 1, 1), date(2014, 2, 1))
    assert made.overrides == {}


def test_what_a_launcher_says_is_said_once() -> None:
    line = read_line(
        ["remote-task", "--host", "a", "--host", "b", "--override-config", "o.cfg", TASK]
    )
    assert line.notes == (
        "--host, --override-config: passed over; no other machine is contacted, the work is done "
        "here",
        "what a configuration says belongs into studium.toml: studium init --from-cfg",
    )


def test_a_host_after_the_task_is_the_launchers_only_if_there_is_one() -> None:
    with pytest.raises(UsageError, match=f"{TASK} has no option --host"):
        read_line([TASK, "--host", "x"])
    assert "no other machine" in read_line(["remote-task", TASK, "--host", "x"]).notes[0]
    # The roster's search index has a host, too.
    roster = ["ModuleEngagementWorkflowTask", "--date", "2014-02-01", "--host", "x"]
    assert read_line(roster).notes == ("--host: passed over; there is no search index",)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "No task is named. `studium task --list`"),
        ("launch-task", "The launch-task line carries no task"),
        ("remote-task --host x --wait", "The remote-task line carries no task"),
        ("ImportEnrolmentsIntoMySQL", "Did you mean ImportEnrollmentsIntoMysql?"),
        ("remote-task --host x InsertToMysqlVideosTask", "Did you mean InsertToMysqlVideoTask?"),
        ("zzz", "There is no task zzz. `studium task --list`"),
        (f"{TASK} --interval-ned 2014-01-01", "Did you mean --interval-end?"),
        (f"{TASK} --overwrite-n-day 3", "Did you mean --overwrite-n-days?"),
        (f"{TASK} --interval", "--interval needs a value"),
        (f"{TASK} --interval --overwrite", "--interval needs a value"),
        (f"{TASK} 2014-01-01", "'2014-01-01' is no option"),
        (f"{TASK} --overwrite=perhaps", "neither true nor false"),
        (f"{TASK} --interval 2014-13", "'2014-13' is not an interval"),
        (f"{TASK} --interval 2014-02-01-2014-01-01", "before it begins"),
        (f"{TASK} --interval-start 2014-02-01 --interval-end 2014-01-01", "before it begins"),
        (f"{TASK} --interval 2012", "Set site.start = 2012-01-01"),
        (f"{TASK} --interval-start yesterday", "'yesterday' is not a date"),
        (f"{TASK} --overwrite-n-days -1", "--overwrite-n-days -1 is not a number"),
        (f"{TASK} --overwrite-n-days some", "--overwrite-n-days some is not a number"),
        (f"{TASK} --source hdfs://x/y", "does not read hdfs://"),
        (f"{TASK} --source [1", "not a JSON list"),
        (f"{TASK} --source [1]", "no text"),
        (f"{TASK} --expand-interval soon", "'soon' is not a span"),
        (f"{TASK} --credentials s3://x/y.json --database d", "not on this machine"),
        (f"{TASK} --credentials nowhere.json --database d", "nowhere.json cannot be read"),
        (f"{TASK} --credentials nowhere.json", "--database"),
        (f"{TASK} --database d", "a file"),
        ("CourseEnrollmentEventsTask", "needs --interval"),
        ("AnswerDistributionWorkflow", "needs --src"),
        ("ModuleEngagementWorkflowTask", "needs --date"),
        ("InsertToMysqlCourseActivityTask --weeks 0", "--weeks 0 makes no window"),
        ("InsertToMysqlCourseActivityTask --weeks -2", "--weeks -2 is not a number"),
        ("LastCountryOfUser --geolocation-data GeoIP.dat", "no longer published"),
        ("VideoUsageTask --interval 2014-01 --dropoff-threshold 0.1", "the threshold is 0.05"),
    ],
)
def test_a_wrong_line_is_told_in_words(words: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        order(words)
    assert said in str(caught.value)


def test_a_refused_option_with_the_value_that_holds_is_harmless() -> None:
    made = order("VideoUsageTask --interval 2014-01 --dropoff-threshold 0.050")
    assert made.notes == ()


def test_a_switch_may_be_spelled_out() -> None:
    assert order(f"{TASK} --overwrite-mysql True --overwrite-hive=true").notes != ()
    assert order(f"{TASK} --overwrite-mysql False --overwrite-hive=false").notes == ()


def test_the_last_of_several_counts_unless_they_are_a_list() -> None:
    made = order(f"{TASK} --interval-end 2014-01-01 --interval-end 2014-01-02 "
                 "--source /a --source [\"/b\"]")  # fmt: skip
    assert made.interval.until == date(2014, 1, 2)
    assert made.overrides["edx.source"] == ["/a", "/b"]


# Days


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("2014", "2014-01-01", "2015-01-01"),
        ("2014-12", "2014-12-01", "2015-01-01"),
        ("2014-W01", "2013-12-30", "2014-01-06"),
        ("2014-05-10", "2014-05-10", "2014-05-11"),
        ("2014-05-10-2014-06-01", "2014-05-10", "2014-06-01"),
        ("2014-05-10-2014-05-10", "2014-05-10", "2014-05-10"),
    ],
)
def test_intervals(text: str, since: str, until: str) -> None:
    assert parse_interval(text) == Interval(date.fromisoformat(since), date.fromisoformat(until))


@pytest.mark.parametrize("text", ["", "14", "2014-5", "2014-W54", "2014-02-30", "9999", "2014-1-1"])
def test_no_interval(text: str) -> None:
    with pytest.raises(UsageError, match="is not an interval"):
        parse_interval(text)


@pytest.mark.parametrize(
    ("text", "days"),
    [("2 days", 2), ("1 week 2 days", 9), ("P2D", 2), ("P1WT36H", 8), ("36 hours", 1), ("1h", 0)],
)
def test_spans(text: str, days: int) -> None:
    assert parse_span(text) == days


@pytest.mark.parametrize("text", ["", "P", "two days", "2", "2 days ago", "2 parsecs"])
def test_no_span(text: str) -> None:
    with pytest.raises(UsageError, match="is not a span"):
        parse_span(text)


@pytest.mark.parametrize(
    ("end", "weeks", "since"),
    [  # specs/edx-activity-video-answers §1.3
        ("2014-01-01", 1, "2013-12-23"),
        ("2014-01-06", 2, "2013-12-23"),
        ("2012-02-29", 52, "2011-02-28"),
    ],
)
def test_weeks_are_whole(end: str, weeks: int, since: str) -> None:
    line = f"InsertToMysqlCourseActivityTask --end-date {end} --weeks {weeks}"
    made = order(line, Settings.model_validate({"site": {"start": "2010-01-01"}}))
    assert made.interval == Interval(date.fromisoformat(since), date.fromisoformat(end))
    assert made.overrides == {"engagement.weeks": weeks}


def test_days_to_come_are_left_out_and_said() -> None:
    made = order(f"{TASK} --interval 2014")
    assert made.interval == Interval(date(2014, 1, 1), date(2014, 3, 6))
    assert "days from 2014-03-06 on are left out: they have not begun" in made.notes


def test_a_window_of_weeks_does_not_reach_before_the_site() -> None:
    made = order("InsertToMysqlCourseActivityTask --weeks 200")
    assert made.interval == Interval(date(2013, 1, 1), TODAY)


def test_an_interval_that_begins_later_cuts_no_table() -> None:
    made = order(f"{TASK} --interval-start 2014-01-01")
    assert made.notes == (
        "published tables cover every day from 2013-01-01 (site.start) on, not from 2014-01-01 "
        "only",
    )
    assert order("CourseEnrollmentEventsTask --interval 2014-01").notes == ()


# Files


def test_files_are_chosen_as_the_pipeline_chose_them(tmp_path: Path) -> None:
    for name in ("tracking.log-20140318.gz", "old/tracking.log-20140319-1395256622.gz", "x.log"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    root = str(tmp_path)

    def names(patterns: list[str], globs: list[str]) -> list[str]:
        return sorted(Path(path).name for path in choose_files([root], patterns, globs))

    assert choose_files([root], [], ["*"]) == [root]
    assert len(names([".*tracking.log"], [])) == 2  # anchored at its start only
    assert names([r".*\d{10}\.gz", "x"], []) == ["tracking.log-20140319-1395256622.gz"]
    assert names([], ["*.log", "old/*"]) == ["tracking.log-20140319-1395256622.gz", "x.log"]
    assert names([], ["*622.gz"]) == ["tracking.log-20140319-1395256622.gz"]  # * goes through /
    with pytest.raises(SourceError, match=r"no file below .* fits none"):
        names(["none"], [])
    with pytest.raises(UsageError, match="is not a regular expression"):
        names(["("], [])


def test_a_pattern_alone_is_for_the_sources_of_the_site(place: Path) -> None:
    given = {"site": {"start": "2013-01-01"}, "edx": {"source": [str(place / "logs")]}}
    made = order([TASK, "--pattern", ".*0102.*"], Settings.model_validate(given))
    assert made.overrides["edx.source"] == [f"{place}/logs/a/tracking.log-20140102.gz"]


def test_a_manifest_that_is_not_there_is_said(place: Path) -> None:
    made = order(["AnswerDistributionWorkflow", "--src", "/logs", "--manifest", f"{place}/new"])
    assert made.notes == ("--manifest: passed over; the state database keeps account of files",)
    assert made.overrides == {"edx.source": ["/logs"]}


def test_blocks_need_an_lms() -> None:
    bare = Settings.model_validate({"site": {"start": "2013-01-01"}})
    with pytest.raises(UsageError, match="takes course_blocks from the LMS, and none is named"):
        order("CourseBlocksPartitionTask", bare)


def test_lists_and_roots() -> None:
    assert read_list(["/a b", '["c", "d"]'], "--source") == ["/a b", "c", "d"]
    assert choose_root("s3://bucket/logs/", "--source") == "s3://bucket/logs/"
    assert choose_root("/", "--source") == "/"


def test_no_password_is_in_an_error(place: Path) -> None:
    (place / "bad.json").write_text('{"password": "hunter2", "port": "x')
    for text in (
        [TASK, "--credentials", str(place / "bad.json"), "--database", "d"],
        [TASK, "--credentials", str(place / "bad.json")],
    ):
        with pytest.raises(StudiumError) as caught:
            order(text)
        assert "hunter2" not in str(caught.value)


def test_a_line_is_data() -> None:
    line = read_line([TASK, "--interval-end", "2014-01-01"])
    assert isinstance(line, Line)
    assert line.one("interval-end") == "2014-01-01"
    assert line.one("interval") is None
    assert json.loads(json.dumps(dict(line.values))) == {"interval-end": ["2014-01-01"]}
