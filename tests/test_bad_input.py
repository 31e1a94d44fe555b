"""What no log should hold: counted refusals or an error that names the file; the rest goes on.

Exit codes (design §3.1): 0 done, 1 failed, 2 bad usage, 3 done with more refused lines than
allowed. Never a traceback; the lake is complete or unchanged.
"""

import gzip
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from studium.cli import main
from studium.errors import DONE, FAILED, REJECTS, USAGE
from studium.lake.store import Lake
from tests import sites
from tests.sites import enrollment

TIME = "2025-09-01T10:00:00.000000+00:00"
SPAN = ("--since", "2025-09-01", "--until", "2025-09-09")


@dataclass
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """What `--json` tells of each file, by name."""
        return {Path(file["path"]).name: file for file in json.loads(self.out)["files"]}


@dataclass
class Place:
    """A site, a folder for its logs and the command line, in this process."""

    folder: Path
    run: Callable[..., Said]

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def log(self, name: str, data: bytes | str) -> Path:
        path = self.logs / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def ingest(self, *options: object) -> Said:
        """`studium ingest --json` over all logs."""
        return self.run("ingest", "--source", self.logs, *SPAN, "--json", *options)

    def events(self) -> int:
        return Lake(self.folder / "site" / "lake").snapshot("events").rows

    def reasons(self) -> dict[str, list[str]]:
        """File name → reasons of its refused lines, in the order of lines."""
        found: dict[str, list[str]] = {}
        for row in json.loads(self.run("rejects", "--json").out):
            found.setdefault(Path(row["path"]).name, []).append(row["reason"])
        return found

    def lms(self, **files: bytes | str) -> Said:
        """Ingest with a folder of LMS tables; `__` in a name stands for the dot."""
        folder = self.folder / "lms"
        folder.mkdir(exist_ok=True)
        for name, data in files.items():
            path = folder / name.replace("__", ".")
            path.write_bytes(data.encode() if isinstance(data, str) else data)
        return self.run("ingest", "--source", self.logs, *SPAN, "--lms", folder)


@pytest.fixture
def place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Place:
    monkeypatch.delenv("STUDIUM_SITE", raising=False)
    (tmp_path / "logs").mkdir()
    root = sites.make_site(tmp_path / "site", tmp_path / "logs")
    # A table file by itself needs a log: LMS tables come with an ingest.
    (tmp_path / "logs" / "good.log").write_text(f"{enrollment(1, 0)}\n{enrollment(2, 1)}\n")

    def run(*arguments: object) -> Said:
        words = ["studium", "--site", str(root), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", words)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        assert "Traceback" not in captured.err
        return Said(stopped.value.code, captured.out, captured.err)

    return Place(tmp_path, run)


def counts(file: dict[str, Any]) -> tuple[int, int, int, int]:
    return file["lines"], file["kept"], file["duplicates"], file["rejects"]


# Files


def test_files_that_cannot_be_read_are_named_and_the_others_are_read(place: Place) -> None:
    whole = gzip.compress("".join(f"{enrollment(n, n % 3)}\n" for n in range(900)).encode())
    place.log("cut.gz", whole[: len(whole) // 2])
    place.log("tiny.gz", whole[:2])
    place.log("tail.gz", whole + b"not gzip")
    (place.logs / "gone").symlink_to("nowhere")
    (place.logs / "loop").symlink_to("loop")
    (place.logs / "io").symlink_to("/proc/self/mem")
    os.mkfifo(place.logs / "pipe")
    os.mkdir(place.logs / "folder.log")
    said = place.ingest()
    assert said.code == FAILED
    problems = {
        "cut.gz": "the gzip stream is cut off",
        "tiny.gz": "the gzip stream is cut off",
        "tail.gz": "bytes that are not gzip follow the compressed data",
        "gone": "No such file or directory",
        "loop": "Too many levels of symbolic links",
        "io": "Input/output error",
        "pipe": "not a regular file",
    }
    assert {name: file["error"] for name, file in said.files.items() if file["error"]} == problems
    for name, problem in problems.items():
        assert f"Error: {place.logs / name}: {problem}." in said.err
    assert "Everything else was done" in said.err
    assert counts(said.files["good.log"]) == (2, 2, 0, 0)
    lines, kept, duplicates, rejects = counts(said.files["tail.gz"])
    assert (lines, rejects) == (900, 0)
    cut = counts(said.files["cut.gz"])
    assert 100 < cut[1] < 900
    assert cut[3] == 1  # the line that the cut goes through
    assert kept + duplicates + cut[1] + cut[2] == 900 + cut[0] - 1
    # Nothing has changed since, and files that had lines are not read again, but the others are.
    again = place.ingest()
    assert again.code == FAILED
    assert set(again.files) == {"gone", "io", "loop", "pipe", "tiny.gz"}
    assert place.events() == 902


def test_empty_files_are_files(place: Place) -> None:
    place.log("empty.log", b"")
    place.log("empty.gz", gzip.compress(b""))
    place.log("one-newline.log", b"\n")
    said = place.ingest("--until", "2025-09-03")
    assert said.code == REJECTS  # one line of three, the blank one
    assert counts(said.files["empty.log"]) == counts(said.files["empty.gz"]) == (0, 0, 0, 0)
    assert counts(said.files["one-newline.log"]) == (1, 0, 0, 1)


def test_odd_names_are_names(place: Place) -> None:
    names = ['we\'ird "x".log', "[a]*?.log", "é🎓.log", "new\nline.log", "-rf", "{b}", "%s", "a=b"]
    for number, name in enumerate(names):
        place.log(name, enrollment(number + 10, 0) + "\nbad\n")
    said = place.ingest()
    assert {name: counts(file)[1:] for name, file in said.files.items()} == {
        "good.log": (2, 0, 0), **dict.fromkeys(names, (1, 0, 1))
    }  # fmt: skip
    assert set(place.reasons()) == set(names)


def test_a_name_that_is_not_utf8_is_an_error_before_anything_is_read(place: Place) -> None:
    (place.logs / os.fsdecode(b"caf\xe9.log")).write_text(enrollment(3, 0))
    said = place.ingest()
    assert said.code == FAILED
    assert r"caf\xe9.log" in said.err
    assert place.events() == 0


def test_the_site_s_own_files_are_no_logs(place: Place) -> None:
    assert place.ingest().code == DONE
    said = place.run("ingest", "--source", place.folder / "site", *SPAN)
    assert said.code == FAILED
    assert "one of the site's own files" in said.err
    assert place.events() == 2


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--source", "nowhere*"), FAILED, "no file matches "),
        (("--source", "ftp://host/logs"), FAILED, "s3://bucket"),
        (("--source", "logs", "--until", "9999-12-31"), USAGE, "have not begun"),
        (("--source", "logs", "--since", "yesterday"), USAGE, "not a date"),
        (("--source", "logs", "--since", "2025-02-30"), USAGE, "not a day"),
        (("--source", "logs", "--since", "2025-09-02", "--until", "2025-09-01"), USAGE, "before"),
        (("--source", "logs", "--lookback", "-1"), USAGE, "lookback"),
    ],
)
def test_bad_options(
    place: Place, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], code: int, told: str
) -> None:
    monkeypatch.chdir(place.folder)
    said = place.run("ingest", *options)
    assert said.code == code
    assert told in said.err
    assert place.events() == 0


# Lines


def test_lines_of_all_kinds(place: Place) -> None:
    bad: list[tuple[bytes, str]] = [
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"\xed\xa0\x80", "not UTF-8"),
        (b'{"time": "' + TIME.encode() + b'", "x": "caf\xe9"}', "not UTF-8"),
        (b"\0" * 1000, "not JSON"),
        (b'{"time": "' + TIME.encode() + b'", "x": "\0"}', "not JSON"),
        (b"\r", "blank line"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 300_000, "not JSON"),
        (b'{"time": "1970-01-01T00:00:00+00:00"}', "implausible time"),
        (b'{"time": "2099-01-01T00:00:00+00:00"}', "implausible time"),
        (b'{"time": "99999-01-01T00:00:00+00:00"}', "time is not a date and time"),
        ("\n".join([enrollment(5, 0)]).encode("utf-16-le"), "not JSON"),
    ]
    good = [
        enrollment(6, 0).encode() + b"\r",
        b'{"time": "%s", "time": "2025-09-02T00:00:00", "a": 1, "a": 2}' % TIME.encode(),
        *(
            b'{"time": "%s", "event": %s%s}' % (TIME.encode(), b'{"a":' * n + b"1", b"}" * n)
            for n in (10_000, 100_000)
        ),
        b'{"time": "%s", "context": %s%s}' % (TIME.encode(), b"[" * 100_000, b"]" * 100_000),
        json.dumps({"time": TIME, "event": '{"a":' * 50_000 + "1" + "}" * 50_000}).encode(),
        b'{"time": "%s", "event": {"grade": 1e999, "attempts": %s}}' % (TIME.encode(), b"9" * 9999),
        json.dumps({"time": TIME, "username": "'; DROP TABLE events; --", "page": "$1 {x} %s"})
        .encode(),
    ]  # fmt: skip
    place.log("bad.log", b"\n".join(line for line, _ in bad) + b"\n")
    place.log("good2.log", b"\n".join(good))
    said = place.ingest()
    assert counts(said.files["bad.log"]) == (len(bad), 0, 0, len(bad))
    assert counts(said.files["good2.log"]) == (len(good), len(good), 0, 0)
    assert place.reasons() == {"bad.log": [reason for _, reason in bad]}
    assert said.code == REJECTS
    assert "were refused, more than run.max_reject_share = 0.1 allows" in said.err


def test_a_few_refused_lines_are_no_failure(place: Place) -> None:
    place.log("more.log", "\n".join([*(enrollment(n, 0) for n in range(10, 60)), "bad"]))
    said = place.ingest()
    assert (said.code, said.err) == (DONE, "")


def test_a_hundred_thousand_events_of_one_learner(place: Place) -> None:
    with gzip.open(place.logs / "storm.gz", "wt", compresslevel=1) as storm:
        for n in range(100_000):
            second = f"{n // 60000:02}:{n // 1000 % 60:02}.{n % 1000:03}"
            storm.write(
                f'{{"time": "2025-09-02T10:{second}", "username": "learner1", "event_type": "x", '
                '"context": {"user_id": 1}, "event": {}}\n'
            )
    said = place.ingest()
    assert counts(said.files["storm.gz"]) == (100_000, 100_000, 0, 0)
    assert said.code == DONE


# Memory


CHILD = """
import resource, sys
from studium.cli import main
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
"""


def test_a_line_of_200_mb_is_refused_in_bounded_memory(place: Place) -> None:
    with gzip.open(place.logs / "huge.gz", "wb", compresslevel=1) as huge:
        huge.write(enrollment(3, 0).encode() + b"\n")
        for _ in range(200):
            huge.write(b"x" * 10**6)
        huge.write(b"\n" + enrollment(4, 0).encode())
    command = [sys.executable, "-c", CHILD, "--site", str(place.folder / "site"), "ingest", *SPAN]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    *told, megabytes = done.stderr.splitlines()
    assert done.returncode == REJECTS, done.stderr
    assert "1 of 5 lines were refused" in " ".join(told)
    assert int(megabytes) < 1000
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >= int(megabytes)
    ((reason,),) = place.reasons().values()
    assert reason.startswith("line too long: 200000000 bytes, more than 16777216")
    assert place.events() == 4


def test_many_long_lines_need_little_memory(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held back per row is less when rows are wide, and an ingest is not stuck for good."""
    monkeypatch.setenv("STUDIUM_ENGINE__MEMORY", "400MB")
    monkeypatch.setenv("STUDIUM_ENGINE__THREADS", "2")
    filling = "x1234567" * 7500
    with gzip.open(place.logs / "wide.gz", "wt", compresslevel=1) as wide:
        for n in range(2000):
            event = {"time": TIME, "username": f"u{n}", "event": {"text": filling}}
            wide.write(json.dumps(event) + "\n")
    said = place.ingest()
    assert (said.code, said.err) == (DONE, "")
    assert counts(said.files["wide.gz"]) == (2000, 2000, 0, 0)


# LMS tables

USERS = "id,username,email\n1,anna,a@example.org\n2,bo,b@example.org\n"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("", "has no column id, username"),
        ("id,name\n1,anna\n", "has no column username"),
        ("id;username\n1;anna\n", "has no column id, username"),
        ("id\tusername\n1\tanna\n", "has no column id, username"),
        ('id,username\n1,"anna\n2,bo\n', "cannot be read as CSV"),
        ("id,username\n1,anna,x,y\n2\n", "cannot be read as CSV"),
        (b"id,username\n1,caf\xe9\n", "cannot be read as CSV"),
    ],
)
def test_a_table_that_cannot_be_read_is_an_error_and_the_old_one_stays(
    place: Place, data: bytes | str, told: str
) -> None:
    assert place.lms(auth_user__csv=USERS).code == DONE
    said = place.lms(auth_user__csv=data)
    assert said.code == FAILED
    assert told in said.err
    assert "auth_user.csv" in said.err
    assert ".." not in said.err.replace("...", "")
    assert "anna" in place.run("show", "auth_user").out


def test_rows_without_a_key_and_second_rows_of_one_are_counted(place: Place) -> None:
    data = (
        "id,username,is_active,date_joined\n1,a,maybe,yesterday\n1,a,1,\nx,b,,\n,c,,\n2,,,\n3,d,0,"
    )
    said = place.lms(auth_user__csv=data)
    assert said.code == DONE
    assert "auth_user: 3 rows, new snapshot, 3 rows refused" in said.out
    rows = json.loads(place.run("show", "auth_user", "--format", "json").out)
    assert {(row["user_id"], row["username"], row["is_active"]) for row in rows} <= {
        (1, "a", None), (1, "a", True), (2, "", None), (3, "d", False)
    }  # fmt: skip
    assert {row["date_joined"] for row in rows} == {None}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_make_no_difference(
    place: Place, end: str, mark: str
) -> None:
    assert "auth_user: 2 rows" in place.lms(auth_user__csv=mark + USERS.replace("\n", end)).out
    rows = json.loads(place.run("show", "auth_user", "--format", "json").out)
    assert sorted((row["user_id"], row["username"]) for row in rows) == [(1, "anna"), (2, "bo")]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("nonsense", "is not JSON"),
        ('[{"key": "a/b/c"}', "is not JSON"),
        (b'[{"key": "caf\xe9"}]', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_catalogue_that_cannot_be_read_is_an_error(
    place: Place, data: bytes | str, told: str
) -> None:
    said = place.lms(course_catalog__json=data)
    assert said.code == FAILED
    assert "course_catalog.json" in said.err
    assert told in said.err


def test_a_catalogue_of_odd_runs(place: Place) -> None:
    runs = [
        {"key": "a/b/c", "title": "half \ud83d"}, {"key": "d/e/f", "title": ["x"], "start": 5},
        {"key": None}, {}, 7, None, {"key": "g/h/i", "title": "line\u2028break"},
    ]  # fmt: skip
    listed = json.dumps(runs)
    one_a_line = "\n".join(json.dumps(run, ensure_ascii=run == runs[0]) for run in runs)
    for data in (listed, one_a_line):
        said = place.lms(course_catalog__json=data)
        assert said.code == DONE
        assert "course_catalog: 3 rows" in said.out
        rows = json.loads(place.run("show", "course_catalog", "--format", "json").out)
        titles = {row["course_id"]: row["catalog_course_title"] for row in rows}
        assert titles["a/b/c"] == "half \ufffd"


def test_what_is_no_folder_of_tables(place: Place) -> None:
    assert place.run("ingest", "--lms", place.logs / "good.log", *SPAN).code == FAILED
    (place.folder / "lms" / "auth_user.csv").mkdir(parents=True)
    said = place.run("ingest", "--lms", place.folder / "lms", *SPAN)
    assert said.code == DONE
    assert "auth_user: no such file" in said.out
