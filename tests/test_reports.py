"""Reports: CSV files of courses, as `specs/edx-activity-video-answers` §3.7 and §4.3 have them."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from studium.autopilot.steps import choose_tables
from studium.cli import make_app
from studium.errors import DONE, UsageError
from studium.lenses.answers.reports import safe_course_id
from tests import sites
from tests.spec.answers import Log, choice, part
from tests.spec.lines import START, UNTIL

FOO, OLD = "course-v1:foo+bar+baz", "foo/bar/baz"
DISTRIBUTION = (
    "ModuleID,PartID,Correct Answer,First Response Count,Last Response Count,ValueID,AnswerValue,"
    "Variant,Problem Display Name,Question\r\n"
    "p,a,0,1,0,choice_0,No,1,Problem,Why?\r\n"
    'p,a,1,1,1,choice_1,"Yes, ""it"" is so",2,Problem,Why?\r\n'
    "p,b,0,0,1,[1|2],[potato x|tomato],,Pöblem,日本\r\n"
    "q,c,0,1,1,choice_0,,3,Problem,\r\n"
    "q,c,0,2,2,choice_0,,,Problem,\r\n"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with answers in two courses, whose names differ in form alone."""
    folder = tmp_path_factory.mktemp("reports")
    boxes = part(
        ["potato <choicehint>x</choicehint>  ", "tomato"],
        ["1", "2"],
        None,
        "choiceresponse",
        question="日本",
    )
    empty = {"correct": False, "question": None}
    log = (
        Log("any")
        .check({"a": choice('Yes, "it" is\nso', "choice_1", variant=2)}, "bob")
        .check({"a": choice("No", "choice_0", correct=False, variant=1)}, "ann")
        .check({"b": boxes}, "ann", graded={"b": "unknown"}, name="Pöblem", grade=0)
        .check({"c": choice("", "choice_0", variant=3, **empty)}, "eve", problem_id="q")
        .check({"c": choice("", "choice_0", **empty)}, "dan", problem_id="q")
        .check({"c": choice("", "choice_0", **empty)}, "cid", problem_id="q", max_grade=None)
    )
    lines = []
    for course in (FOO, OLD):
        for event in log.events:
            event["context"]["course_id"] = course
            lines.append(json.dumps(event))
    (folder / "logs").mkdir()
    (folder / "logs" / "tracking.log").write_text("\n".join(lines) + "\n", "utf-8")
    site = sites.make_site(folder / "site", folder / "logs", site__start=START)
    with sites.lent_engine():
        sites.run_job(site, choose_tables(["answers"]), START, UNTIL)
    return site


def report(root: Path, *words: object) -> Result:
    return CliRunner().invoke(make_app(), ["--site", str(root), "report", *map(str, words)])


def test_answers_of_a_course(root: Path, tmp_path: Path) -> None:
    # D27, D29, D30
    said = report(root, "answer_distribution", tmp_path)
    assert said.exit_code == DONE, said.output
    assert f"Wrote 2 files to {tmp_path}." in said.stdout
    name = "foo_bar_baz_answer_distribution.csv"
    places = {course: hashlib.sha1(course.encode()).hexdigest() for course in (FOO, OLD)}
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*")) == sorted(
        Path(place) / name for place in places.values()
    )
    for place in places.values():
        assert (tmp_path / place / name).read_bytes().decode() == DISTRIBUTION


def responses(root: Path, folder: Path) -> list[dict[str, str]]:
    said = report(root, "problem_response", folder, "--course", FOO, "--json")
    (written,) = json.loads(said.stdout)
    assert (written["course_id"], written["lines"]) == (FOO, 5)
    with open(written["file"], encoding="utf-8", newline="") as file:
        assert file.readline().endswith("\r\n")
        file.seek(0)
        return list(csv.DictReader(file))


def test_latest_responses_of_a_course(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # R6, R8
    lines = responses(root, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["foo_bar_baz_problem_response.csv"]
    assert lines[0] == {
        "course_id": FOO, "answer_id": "b", "problem_id": "p", "problem": "Pöblem",
        "username": "ann", "question": "日本", "score": "0.0", "max_score": "2.0",
        "correct": "None", "answer": "['potato  ', 'tomato']", "total_attempts": "2",
        "first_attempt_date": "2021-03-03 12:00:02+00:00",
        "last_attempt_date": "2021-03-03 12:00:03+00:00",
        "location": "(Deleted block :) / Pöblem", "sort_idx": "-1",
    }  # fmt: skip
    assert [(line["username"], line["correct"], line["max_score"]) for line in lines[1:]] == [
        ("bob", "True", "2.0"), ("cid", "False", "None"), ("dan", "False", "2.0"),
        ("eve", "False", "2.0"),
    ]  # fmt: skip
    for name, value in {
        "fields": '["username", "answer", "last_attempt_date"]', "list_delimiter": "|",
        "date_format": "%Y-%m-%dT%H:%M:%SZ", "name": "of {course_id}.csv",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"STUDIUM_ANSWERS__REPORT_{name.upper()}", value)
    assert responses(root, tmp_path)[0] == {
        "username": "ann", "answer": "potato  |tomato", "last_attempt_date": "2021-03-03T12:00:03Z",
    }  # fmt: skip
    assert (tmp_path / "of foo_bar_baz.csv").is_file()


def test_what_cannot_be_written(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words, said in (
        (("problem_response", tmp_path), "would have the same file"),
        (("answer_distribution",), "no folder is named"),
        (("answer_distribution", tmp_path, "--course", "a/b/c"), "nothing of a course 'a/b/c'"),
        (("grades", tmp_path), "no report 'grades'"),
    ):
        refused = report(root, *words)
        assert isinstance(refused.exception, UsageError)
        assert said in str(refused.exception)
    monkeypatch.setenv("STUDIUM_ANSWERS__REPORT_FIELDS", "email")
    refused = report(root, "problem_response", tmp_path, "--course", FOO)
    assert "no column 'email'" in str(refused.exception)
    assert list(tmp_path.iterdir()) == []
    empty = sites.make_site(tmp_path / "empty", tmp_path)
    assert "no table" in str(report(empty, "answer_distribution", tmp_path).exception)


def test_nothing_half_is_left_behind(root: Path, tmp_path: Path) -> None:
    name = tmp_path / "foo_bar_baz_problem_response.csv"
    name.mkdir()
    stopped = report(root, "problem_response", tmp_path, "--course", FOO)
    assert isinstance(stopped.exception, OSError)
    assert list(tmp_path.iterdir()) == [name]
    name.rmdir()
    name.write_text("older")
    assert report(root, "problem_response", tmp_path, "--course", FOO).exit_code == DONE
    assert name.read_text("utf-8").startswith("course_id,answer_id")


@pytest.mark.parametrize(
    ("course", "safe"),
    [
        ("course-v1:O+C+R", "O_C_R"), ("A/B/C", "A_B_C"), ("course-v1:Oé+C+R", "O__C_R"),
        ("ccx-v1:O+C+R+ccx@1", "O_C_R_ccx_1"), ("no key: at all", "no_key__at_all"),
    ],
)  # fmt: skip
def test_safe_course_id(course: str, safe: str) -> None:
    assert safe_course_id(course) == safe
