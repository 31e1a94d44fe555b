"""The published roster is paged, searched and ordered by the result store, with its indexes."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from studium.errors import UsageError
from studium.lenses.learners.roster import ROSTER, TERMS, Question, find_learners
from studium.results.store import ResultStore
from tests import roster
from tests.stores import KINDS, make_place

PEOPLE = roster.rows(2_000)
HERE = [one for one in PEOPLE if one["course_id"] == roster.COURSE]
INDEX = f"uq_{TERMS}_course_id_term_user_id"


@pytest.fixture(scope="module", params=KINDS)
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ResultStore]:
    place = make_place(request, request.param, tmp_path_factory.mktemp("roster"))
    with closing(place.open()) as opened:
        roster.publish_roster(opened, PEOPLE)
        yield opened


@pytest.fixture
def connection(store: ResultStore) -> Iterator[sa.Connection]:
    with store.engine.connect() as opened:
        yield opened


def users(rows: list[Any]) -> list[int]:
    return [row["user_id"] for row in rows]


def test_a_search_by_name_uses_the_index(connection: sa.Connection) -> None:
    check_plans(connection)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_so_it_does_among_100_000(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    with closing(make_place(request, kind, tmp_path).open()) as opened:
        roster.publish_roster(opened, roster.rows(100_000))
        with opened.engine.connect() as connection:
            check_plans(connection)


def check_plans(connection: sa.Connection) -> None:
    for name, question in roster.questions():
        steps = roster.plan(connection, question)
        looks = [step for step in steps if INDEX in step]
        assert looks, (name, steps)
        # The term comes first: its few learners are looked up, not all learners asked for it.
        first = steps[0] if connection.dialect.name != "postgresql" else looks[0]
        assert INDEX in first, (name, steps)
        if connection.dialect.name != "mysql":  # which also lists the indexes that it does not use
            assert not any(f"ix_{ROSTER}_" in step for step in steps), (name, steps)
        # Nothing is read from its beginning to its end.
        assert not any("SCAN" in step or "Seq Scan" in step or " ALL " in step for step in steps)
        assert sum(ROSTER in step for step in steps) > 0


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("n77", lambda one: one["name"].endswith(" N77")),
        ("  ÉVA ", lambda one: one["name"].startswith("Éva ")),
        (
            "N77 Łukasz",
            lambda one: one["name"].startswith("Łukasz") and one["name"].endswith(" N77"),
        ),
        ("User7", lambda one: one["user_id"] == 7),
        ("u7@EXAMPLE.org", lambda one: one["user_id"] == 7),
        # E50: whole words only.
        ("Dan", lambda one: False),
        ("user", lambda one: False),
        ("...", lambda one: False),
        ("%", lambda one: False),
        ("x' OR 1=1 --", lambda one: False),
        ("", lambda one: True),
    ],
)
def test_whom_a_text_finds(connection: sa.Connection, text: str, wanted: Any) -> None:
    found = find_learners(connection, Question(roster.COURSE, text, size=100))
    expected = sorted((one for one in HERE if wanted(one)), key=lambda one: one["username"])
    assert found.count == len(expected)
    assert users(found.rows) == users(expected)[:100]


def test_pages_follow_one_another(connection: sa.Connection) -> None:
    text = "anna"
    whole = find_learners(connection, Question(roster.COURSE, text, size=100)).rows
    pages = [
        find_learners(connection, Question(roster.COURSE, text, page=page, size=7)).rows
        for page in range(1, 8)
    ]
    assert [row for page in pages for row in page] == whole[:49]
    assert find_learners(connection, Question(roster.COURSE, text, page=10_000)).rows == []
    (row,) = find_learners(connection, Question(roster.COURSE, "user7")).rows
    assert row["name"] == HERE[6]["name"]
    assert "id" not in row


@pytest.mark.parametrize("descending", [False, True])
def test_ratios_are_ordered_with_infinite_as_the_largest(
    connection: sa.Connection, descending: bool
) -> None:
    # E49
    question = Question(
        roster.COURSE, "kai", order="problem_attempts_per_completed", descending=descending,
        size=100,
    )  # fmt: skip
    found = find_learners(connection, question).rows

    def key(row: Any) -> Any:
        ratio, tried = row["problem_attempts_per_completed"], row["attempt_ratio_order"]
        sign = -1 if descending else 1
        return (
            sign * (ratio is None), sign * (ratio or 0), -sign * tried, row["username"],
        )  # fmt: skip

    expected = sorted((one for one in HERE if one["name"].startswith("Kai ")), key=key)
    assert users(found) == users(expected)[:100]
    assert {row["problem_attempts_per_completed"] is None for row in expected} == {True, False}


def test_learners_are_narrowed_down(connection: sa.Connection) -> None:
    def count(**given: Any) -> int:
        return find_learners(connection, Question(roster.COURSE, **given)).count

    assert count(segments=("struggling", "inactive")) == sum(bool(one["segments"]) for one in HERE)
    assert count(ignored=("inactive",)) == sum(one["segments"] != "inactive" for one in HERE)
    assert count(cohort="Blue", mode="verified") == sum(
        one["cohort"] == "Blue" and one["enrollment_mode"] == "verified" for one in HERE
    )
    assert find_learners(connection, Question("course-v1:No+Such+Run")).count == 0


@pytest.mark.parametrize(
    "given",
    [
        {"segments": ("happy",)},
        {"segments": ("inactive",), "ignored": ("struggling",)},
        {"order": "id; DROP TABLE x"},
        {"page": 0},
        {"page": -1},
        {"size": 0},
        {"size": 101},
    ],
)
def test_what_there_is_not_cannot_be_asked_for(
    connection: sa.Connection, given: dict[str, Any]
) -> None:
    # E50
    with pytest.raises(UsageError) as refused:
        find_learners(connection, Question(roster.COURSE, **given))
    assert refused.value.hint
