"""The answers lens does what `specs/edx-activity-video-answers` §3, §4 and §6 say.

Every case is logged, ingested and built: from lines to rows, on each engine.

Of the golden numbers of §8 those of `Test_2014` are checked with a real log in `test_real_input`.
The other courses there, and the records of responses and tags, are of logs that are not at hand.
"""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from time import process_time
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studium.engines import Engine, Relation
from studium.lenses import tables
from studium.lenses.answers.maps import read_texts
from studium.settings.lenses import AnswersSettings
from tests.engines import shared_engine
from tests.spec import answers_reference
from tests.spec.answers import BLOCKS, CASES, DISTRIBUTION, TAGGED, Case, course_of
from tests.spec.lines import NOON, START, UNTIL, ingest_both
from tests.spec.rows import ordered
from tests.spec.slice import ANSWERS, STORED, Slice, build, write_days


@pytest.fixture(scope="session")
def answer_events(tmp_path_factory: pytest.TempPathFactory) -> tuple[Relation, Relation]:
    lines = [line for one in CASES for line in one.events]
    return ingest_both(tmp_path_factory.mktemp("answers"), lines)


@pytest.fixture(scope="session")
def answers(
    engine: Engine,
    answer_events: tuple[Relation, Relation],
    tmp_path_factory: pytest.TempPathFactory,
) -> Slice:
    """All cases and a random crowd in one build, as engines are slow to start a query."""
    folder = tmp_path_factory.mktemp(f"answers-{engine.name}")
    events, parts = answer_events
    more = write_days(folder / "crowd", ANSWERS, _rows(crowd()))
    both = Relation((*parts.files, *more.files), parts.columns, by_day=True)
    inputs = {"course_blocks": BLOCKS}
    return build(engine, folder, "answers", inputs, START, UNTIL, events=events, answers=both)


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.rule)
def test_rule(answers: Slice, one: Case) -> None:
    found = answers.of_course("answer_distribution", one.course_id)
    if one.rows is not None:
        assert ordered(_pick(found, *DISTRIBUTION)) == ordered(
            dict(zip(DISTRIBUTION, row, strict=True)) for row in one.rows
        )
    for answer, cells in one.cells.items():
        (row,) = (row for row in found if row["answer_value_text"] == answer)
        assert {name: row[name] for name in cells} == cells
    if one.responses is not None:
        latest = {
            (row["username"], row["answer_id"]): row
            for row in answers.of_course("problem_response_latest", one.course_id)
        }
        assert latest.keys() == one.responses.keys()
        for key, cells in one.responses.items():
            assert {name: latest[key][name] for name in cells} == cells
    if one.tags is not None:
        tagged = answers.of_course("tags_distribution", one.course_id)
        assert ordered(_pick(tagged, *TAGGED)) == ordered(
            dict(zip(TAGGED, row, strict=True)) for row in one.tags
        )


def _pick(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [{name: row[name] for name in names} for row in rows]


def test_a_shorter_time_and_other_types_of_responses(
    answer_events: tuple[Relation, Relation], tmp_path: Path
) -> None:
    # D15, R9: only the day of noon counts, with its own first and last.
    events, parts = answer_events
    made = build(
        shared_engine("duckdb"), tmp_path, "answers", {}, NOON.date(), NOON.date() + timedelta(1),
        events=events, answers=parts, more={"response_types": "imageresponse,stringresponse"},
        only=[one.name for one in tables("answers") if "tag" not in one.name],
    )  # fmt: skip
    (latest,) = made.of_course("problem_response_latest", course_of("R9"))
    assert (latest["answer"], latest["total_attempts"]) == ('["z"]', 2)
    assert (latest["first_attempt_date"], latest["last_attempt_date"]) == (
        NOON, NOON + timedelta(seconds=1),
    )  # fmt: skip
    shown = {
        rule: {
            (row["answer_value_text"], row["first_response_count"], row["last_response_count"])
            for row in made.of_course("answer_distribution", course_of(rule))
        }
        for rule in ("R9", "D15", "D22", "D10")
    }
    # Neither options nor choices are among the types now.
    assert shown == {
        "R9": {("y", 1, 0), ("z", 0, 1)}, "D15": {("x", 1, 1)}, "D22": set(), "D10": set()
    }  # fmt: skip


def test_tables_are_of_the_declared_types(answers: Slice) -> None:
    for table in tables("answers"):
        declared = {c.name: STORED[c.type.partition("(")[0]] for c in table.columns}
        assert dict(answers.types[table.name]) == declared, table.name


def test_grains_are_unique(answers: Slice) -> None:
    for table in tables("answers"):
        keys = [tuple(row[name] for name in table.grain) for row in answers.rows[table.name]]
        assert len(keys) == len(set(keys)), table.name


# Streams of submissions: parts that come and go, instants that are equal, old and new forms

PARAMS = {"clean_pattern": AnswersSettings().clean_pattern}
TEXTS = [None, "null", '""', '"x"', '" x "', '"<b>x</b>"', '"12"', "12", '["x", "y"]', "[]"]
KINDS = ["stringresponse", "multiplechoiceresponse", "imageresponse", "", None]
TIMES = [
    datetime(2021, 3, day, hour, microsecond=hour) for day in (1, 2, 20) for hour in (0, 1, 23)
]
parts = st.dictionaries(
    st.sampled_from(["a", "b", "a_comment", "b_dynamath", "字", "c\t", "p" * 256] + ["a", "b"] * 8),
    st.fixed_dictionaries(
        {
            "value": st.sampled_from(TEXTS),
            "in_submission": st.booleans(),
            "answer": st.sampled_from(TEXTS),
            "question": st.sampled_from([None, '"Why?"']),
            "response_type": st.sampled_from(KINDS),
            "variant": st.sampled_from([None, '""', "1", "0", "null", "7"]),
            "correct": st.booleans(),
            "correctness": st.sampled_from([None, "correct", "incorrect", "partially-correct"]),
        }
    ),
    min_size=1,
    max_size=3,
)
submissions = st.lists(
    st.fixed_dictionaries(
        {
            "time": st.sampled_from(TIMES),
            "course_id": st.sampled_from(["course-v1:A+B+C", "Örg/דרך/字", None]),
            "problem_id": st.sampled_from(["p", "p", "q", None]),
            "problem_name": st.sampled_from(["P", "Q", None]),
            "username": st.sampled_from(["ann", "ann", "bob", "", "\n ", None]),
            "seed": st.sampled_from([None, "1", "2"]),
            "parts": parts,
            "typed": st.booleans(),
        }
    ),
    max_size=12,
)


def _rows(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of ``event_answers``; what stands in a submission is nothing without one."""
    rows = []
    for number, one in enumerate(events):
        common = {name: value for name, value in one.items() if name not in ("parts", "typed")}
        for part_id, part in one["parts"].items():
            typed = one["typed"] and part["in_submission"]
            given = {} if typed else dict.fromkeys(("answer", "question", "variant"))
            row = {**common, **part, **given, "part_id": part_id, "in_submission": typed}
            row["event_id"] = (number * 37 % 256).to_bytes() + number.to_bytes(2)
            row["response_type"] = part["response_type"] if typed else None
            row["correct"] = part["correct"] and typed
            row["in_answers"] = part["value"] is not None
            row["day"] = one["time"].date()
            if row["in_answers"] or typed:
                rows.append(row)
    return rows


def check(engine: Engine, folder: Path, events: list[dict[str, Any]]) -> None:
    rows = _rows(events)
    compare(build(engine, folder, "answers", {"event_answers": rows}, START, UNTIL), rows)


def compare(made: Slice, rows: list[dict[str, Any]]) -> None:
    """The tables have of the courses in ``rows`` what the reference makes of these."""
    courses = {row["course_id"] for row in rows}
    for table, expected in (
        ("answer_distribution", answers_reference.distribution(rows)),
        ("problem_response_latest", answers_reference.latest(rows)),
    ):
        found = [row for row in made.rows[table] if row["course_id"] in courses]
        assert ordered(_pick(found, *expected[0] if expected else ())) == ordered(expected)


@given(events=submissions)
def test_equals_the_reference(
    tmp_path_factory: pytest.TempPathFactory, events: list[dict[str, Any]]
) -> None:
    check(shared_engine("duckdb"), tmp_path_factory.mktemp("answers"), events)


def test_equals_the_reference_on_many_rows(answers: Slice) -> None:
    compare(answers, _rows(crowd()))


def crowd() -> list[dict[str, Any]]:
    """Many submissions at random to two problems in two courses."""
    chance = random.Random(20210304)
    events = []
    for _ in range(3000):
        time = NOON + timedelta(seconds=chance.randrange(0, 800_000, 11))
        typed = chance.random() < 0.9
        given = {}
        for name in chance.sample("abcd", chance.randint(1, 4)):
            number = chance.randint(0, 3)
            given[name] = {
                "value": f'"choice_{number}"' if name > "b" else f'"{number}"',
                "in_submission": True, "answer": f'"{number}"', "question": '"Why?"',
                "response_type": "multiplechoiceresponse" if name > "b" else "numericalresponse",
                "variant": chance.choice(['""', "1", "2"]), "correct": number == 2,
                "correctness": "correct" if number == 2 else "incorrect",
            }  # fmt: skip
        events.append(
            {
                "time": time, "course_id": chance.choice(["course-v1:A+B+C", "A/B/C"]),
                "problem_id": chance.choice("pq"), "problem_name": chance.choice("PQ"),
                "username": f"u{chance.randint(1, 200)}", "seed": "1", "parts": given,
                "typed": typed,
            }
        )  # fmt: skip
    return events


# What somebody may type to stop the night


@pytest.mark.parametrize(
    "text",
    [
        "<choicehint>" * 50_000, "<choicehint " * 50_000, "1" * 500_000 + "x", "<b>" * 100_000,
        "<table><a x=1>&amp;" * 20_000, " " * 500_000, "\x00", "\ud800",
    ],
    ids=["hints", "half hints", "digits", "deep", "nested", "blanks", "nul", "half a pair"],
)  # fmt: skip
def test_an_answer_takes_no_longer_than_it_is_long(text: str) -> None:
    began = process_time()
    made = read_texts(PARAMS, pa.table({"text": [json.dumps(text)]}))
    assert made.read_all().num_rows == 1
    assert process_time() - began < 2


def test_long_answers_are_written_a_few_at_a_time() -> None:
    long = [json.dumps(str(number) * (1 << 21)) for number in range(5)]
    made = read_texts(PARAMS, pa.table({"text": [*long, *map(str, range(10_003))]}))
    assert [batch.num_rows for batch in made] == [2, 2, 10_000, 4]


@pytest.mark.parametrize("depth", [1, 19, 20, 21, 300, 450, 900, 100_000])
def test_lists_in_lists(depth: int) -> None:
    text = "[" * depth + '"x"' + "]" * depth
    (made,) = read_texts(PARAMS, pa.table({"text": [text]})).read_all().to_pylist()
    plain = text.replace('"', "") if depth <= 20 else text
    assert made["plain"] == plain
