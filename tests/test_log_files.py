"""Which log files there are, and which an interval needs.

Rules: specs/edx-enrollment-geography §1.9, §6; specs/edx-activity-video-answers §0.1, S14.
"""

import os
from datetime import date
from pathlib import Path

import pytest

from studium.clock import Interval
from studium.errors import SourceError, UsageError
from studium.settings import Settings
from studium.sources.edx.files import (
    DateInName,
    SourceFile,
    day_in_name,
    file_id,
    find_files,
    look_back,
    select_files,
)

DEFAULTS = Settings().edx
MARCH_2014 = Interval(date(2014, 3, 1), date(2014, 4, 1))


def naming(pattern: str = DEFAULTS.date_pattern, window: int = 0) -> DateInName:
    return DateInName(pattern, DEFAULTS.date_format, window)


def chosen(names: list[str], interval: Interval, how: DateInName) -> list[str]:
    files = [SourceFile(f"/logs/20990101/{name}", 1, 1) for name in names]
    return [Path(file.path).name for file in select_files(files, interval, how)]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A tree of logs: a/1.log, a/2.log.gz, a/deep/3.log, b/1.log, .hidden, a/.2.log.gz.Xy1"""
    for name in ("a/1.log", "a/2.log.gz", "a/deep/3.log", "b/1.log", ".hidden", "a/.2.log.gz.Xy1"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def found(folder: Path, *sources: str) -> list[str]:
    files = find_files([f"{folder}/{source}" if source else str(folder) for source in sources])
    return [str(Path(file.path).relative_to(folder)) for file in files]


# Finding


def test_a_folder_is_read_recursively_without_hidden_files(logs: Path) -> None:
    assert sorted(found(logs, "")) == ["a/1.log", "a/2.log.gz", "a/deep/3.log", "b/1.log"]


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        ("a/1.log", ["a/1.log"]),
        ("a/*.log", ["a/1.log"]),
        ("a/*", ["a/1.log", "a/2.log.gz", "a/deep/3.log"]),
        ("*/1.log", ["a/1.log", "b/1.log"]),
        ("**/*.log", ["a/1.log", "a/deep/3.log", "b/1.log"]),
        ("a/?.lo[g]*", ["a/1.log", "a/2.log.gz"]),
        (".hidden", [".hidden"]),  # asked for by name
    ],
)
def test_globs(logs: Path, glob: str, names: list[str]) -> None:
    assert sorted(found(logs, glob)) == names


def test_a_file_named_twice_is_read_once(logs: Path) -> None:
    assert sorted(found(logs, "a/*", "a/1.log", "**/1.log", "a/../a")) == [
        "a/1.log",
        "a/2.log.gz",
        "a/deep/3.log",
        "b/1.log",
    ]


def test_a_name_with_glob_characters_is_found_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "log[1]*.gz").write_text("x")
    assert found(tmp_path, "log[1]*.gz") == ["log[1]*.gz"]


def test_size_and_time_are_those_of_the_file(logs: Path) -> None:
    os.utime(logs / "a/1.log", ns=(1, 1_234_567_890_123_456_789))
    (file,) = find_files([str(logs / "a/1.log")])
    assert (file.size, file.mtime_ns) == (7, 1_234_567_890_123_456_789)


@pytest.mark.parametrize("source", ["a/nothing.log", "*.nothing", "c", "empty"])
def test_a_source_that_names_nothing_is_an_error(logs: Path, source: str) -> None:
    (logs / "empty").mkdir()
    with pytest.raises(SourceError, match="no file matches ") as error:
        found(logs, "a/1.log", source)
    assert source in str(error.value)


def test_a_link_to_nothing_is_found_and_left_to_the_reader(logs: Path) -> None:
    (logs / "a/gone.log").symlink_to(logs / "nowhere")
    assert "a/gone.log" in found(logs, "a")
    assert "a/gone.log" in found(logs, "a/*.log")
    assert found(logs, "a/gone.log") == ["a/gone.log"]


def test_linked_folders_are_read_once(logs: Path) -> None:
    (logs / "a/round").symlink_to(logs)
    (logs / "b/elsewhere").symlink_to(logs / "a/deep")
    assert sorted(found(logs, "b")) == ["b/1.log", "b/elsewhere/3.log"]
    assert len(found(logs, "a")) == 4


def test_a_folder_that_cannot_be_listed_is_an_error(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def deny(path: str) -> object:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(SourceError, match=r"a/deep cannot be listed: Permission denied"):
        found(logs, "a")


def test_a_name_that_cannot_be_recorded_is_an_error(logs: Path) -> None:
    (logs / os.fsdecode(b"caf\xe9.log")).write_text("x")
    with pytest.raises(SourceError, match=r"caf\\xe9\.log' is not UTF-8.*Rename it"):
        found(logs, "")


def test_the_number_of_a_path_is_stable_positive_and_its_own() -> None:
    numbers = {file_id(f"/logs/{number}") for number in range(10_000)}
    assert len(numbers) == 10_000
    assert all(0 <= number < 2**60 for number in numbers)


# Choosing by the date in the name


def test_the_window_of_an_interval() -> None:
    """The facts of the spec's unit test: two rotations in March, and what is just outside."""
    inside = ["tracking.log-20140318.gz", "tracking.log-20140319-1395256622.gz"]
    near = ["tracking.log-20140228.gz", "tracking.log-20140401-1396379384.gz"]
    far = ["tracking.log-20140227.gz", "tracking.log-20140402-1396466384.gz"]
    every = inside + near + far
    assert chosen(every, MARCH_2014, naming(window=0)) == inside
    assert chosen(every, MARCH_2014, naming(window=1)) == inside + near
    assert chosen(every, MARCH_2014, naming(window=2)) == every


def test_an_interval_is_half_open_in_names_too() -> None:
    days = ["x-20140228.gz", "x-20140301.gz", "x-20140331.gz", "x-20140401.gz"]
    assert chosen(days, MARCH_2014, naming()) == days[1:3]


def test_timestamps_in_names() -> None:
    names = ["t-1395256622.gz", "t-1396379384.gz", "t-1393545599.gz", "t-20140319.gz", "t.gz"]
    how = naming(r"-(?P<timestamp>\d{10})\.gz")
    # Seconds decide; a name without them is always looked at.
    assert chosen(names, MARCH_2014, how) == [names[0], "t-20140319.gz", "t.gz"]
    first, last = "t-1393632000.gz", "t-1396310399.gz"  # 2014-03-01 00:00:00, 03-31 23:59:59
    assert chosen([first, last, "t-1396310400.gz", "t-1393631999.gz"], MARCH_2014, how) == [
        first,
        last,
    ]


@pytest.mark.parametrize(
    "name",
    [
        "tracking.log",
        "tracking_14602.log.gz",
        "tracking.log-20141301.gz",  # no date: looked at rather than lost (§1.9, [D])
        "tracking.log-20140230",
        "tracking.log-123456789",  # nine digits are not a date
        "tracking.log-00000000",
        "journal-٢٠٢٠٠١٠١.log",
    ],
)
def test_names_without_a_date_are_always_looked_at(name: str) -> None:
    assert chosen([name], MARCH_2014, naming()) == [name]


def test_the_date_is_looked_for_in_the_name_not_in_the_folder() -> None:
    files = [SourceFile("/backup-20200101/tracking.log", 1, 1)]
    assert select_files(files, MARCH_2014, naming()) == files


@pytest.mark.parametrize(
    ("name", "pattern", "form", "day"),
    [
        ("tracking.log-20140318.gz", r"(?P<date>\d{8})", "%Y%m%d", date(2014, 3, 18)),
        ("2014-03-18_edx.log", r"^(?P<date>\d{4}-\d\d-\d\d)_", "%Y-%m-%d", date(2014, 3, 18)),
        ("edx-18.3.14.log", r"-(?P<date>[\d.]+)\.log", "%d.%m.%y", date(2014, 3, 18)),
        ("t-1395100800", r"t-(?P<timestamp>\d+)", "", date(2014, 3, 18)),
        ("t-99999999999999999999", r"t-(?P<timestamp>\d+)", "", None),
        ("t-x", r"t-(?P<timestamp>\w+)", "", None),
        ("t-20140318", r"t(-(?P<date>\d{6}))?", "%Y%m%d", None),
        ("other", r"t-(?P<date>\d{8})", "%Y%m%d", None),
    ],
)
def test_how_names_tell_their_day(name: str, pattern: str, form: str, day: date | None) -> None:
    how = DateInName(pattern, form, 0)
    assert day_in_name(f"/a/{name}", how.compile(), form) == day


@pytest.mark.parametrize("pattern", ["(", "no group", r"(?P<day>\d{8})"])
def test_a_pattern_without_a_date_is_bad_usage(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"edx\.date_pattern"):
        select_files([], MARCH_2014, naming(pattern))


def test_a_wide_window_stays_within_the_calendar() -> None:
    how = naming(window=10**7)
    assert chosen(["x-00010101", "x-99991230"], MARCH_2014, how) == ["x-00010101", "x-99991230"]


@pytest.mark.parametrize(("days", "since"), [(0, 32), (1, 31), (3, 29), (31, 1), (400, 1)])
def test_looking_back_does_not_reach_before_the_interval(days: int, since: int) -> None:
    start = date.fromordinal(MARCH_2014.since.toordinal() + since - 1)
    assert look_back(MARCH_2014, days) == Interval(start, MARCH_2014.until)
