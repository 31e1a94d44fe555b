"""What is the same in every result store: values, keys, order, what goes and what stays."""

import math
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from studium.errors import ResultsError
from studium.results import bulk, mysql
from studium.results.publication import Published
from studium.results.store import ResultStore, open_results, publish, published
from tests.publications import COUNTS, NOW, publication
from tests.stores import KINDS, Place, make_place


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make_place(request, request.param, tmp_path)


@pytest.fixture
def store(place: Place) -> Iterator[ResultStore]:
    opened = place.open()
    yield opened
    opened.close()


TEXTS = st.text(
    st.sampled_from("ab\\\"',;\t\n\r\x00\x1a%_ Né\u05d0\u0645\u200f\U0001f600\ufffd`$:?{}N")
    | st.characters(exclude_categories=["Cs"]),
    max_size=12,
) | st.sampled_from(["NULL", "\\N", "None", "", " ", "x" * 12, "\U0001f600" * 12, "\\.", "a\\"])
TYPES: dict[str, tuple[str, pa.DataType, st.SearchStrategy[Any]]] = {
    "t": ("text", pa.string(), TEXTS),
    "v": ("varchar(12)", pa.string(), TEXTS),
    "i": ("integer", pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "b": ("bigint", pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "s": ("smallint", pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "x": ("double", pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "d": ("date", pa.date32(), st.dates()),
    "at": ("datetime", pa.timestamp("us"), st.datetimes()),
    "yes": ("boolean", pa.bool_(), st.booleans()),
}
ROW = st.tuples(*(st.none() | strategy for _, _, strategy in TYPES.values()))


@pytest.mark.parametrize("kind", [*KINDS, "mariadb by insert"])
@settings(
    max_examples=4,
    suppress_health_check=[*settings.default.suppress_health_check,
                           HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(rows=st.lists(ROW, max_size=30), backwards=st.booleans())
@example(rows=[(None,) * len(TYPES)] * 2, backwards=True)
def test_what_is_published_is_read_again(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    rows: list[tuple[Any, ...]],
    backwards: bool,
) -> None:
    place = make_place(request, kind.split()[0], tmp_path_factory.mktemp("site"))
    numbers = list(range(len(rows)))
    order = numbers[::-1] if backwards else numbers
    table = pa.table(
        {
            "k": order,
            **{
                name: pa.array([rows[n][place] for n in order], type_)
                for place, (name, (_, type_, _)) in enumerate(TYPES.items())
            },
        }
    )
    columns = {"k": "integer; k", **{name: f"{sql}; {name}" for name, (sql, _, _) in TYPES.items()}}
    store = place.open()
    with pytest.MonkeyPatch.context() as patch:
        if kind == "mariadb by insert":
            patch.setattr(mysql, "choose_loader", lambda connection: bulk.insert_rows)
        publish(store, [publication(columns, table, batch=7)], NOW)
    store.close()
    found = place.rows(f"SELECT id, k, {', '.join(TYPES)} FROM counts ORDER BY id")
    expected = [(n + 1, n, *(_kept(place.kind, v) for v in row)) for n, row in enumerate(rows)]
    assert [tuple(map(_plain, row)) for row in found] == expected
    if place.server is not None:
        assert not {name for name in place.tables() if name.startswith("studium_new")}
        place.server.sql(f"DROP DATABASE {place.url.rpartition('/')[2]}")


def _kept(kind: str, value: Any) -> Any:
    """What a store makes of a value: no U+0000 in PostgreSQL, text for dates in SQLite."""
    if kind == "postgresql" and isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if kind == "sqlite" and isinstance(value, date):
        return str(value)
    return _plain(value)


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_refused_alike(store: ResultStore, value: float) -> None:
    rows = {"k": [1], "x": [value]}
    with pytest.raises(ResultsError, match="column x: 1 value not finite"):
        publish(store, [publication({"k": "integer; k", "x": "double; x"}, rows)], NOW)


def test_rows_out_of_order_are_sorted_and_numbered(store: ResultStore, place: Place) -> None:
    numbers = [*range(3_000, 9_000), *range(3_000)]
    rows = {"n": numbers, "m": [2 * n for n in numbers]}
    columns = {"n": "integer not null; n", "m": "integer; twice"}
    publish(store, [publication(columns, rows, batch=701)], NOW)
    found = place.rows("SELECT id, n, m FROM counts ORDER BY id")
    assert found == [(n + 1, n, 2 * n) for n in range(9_000)]


KEYS = ["a", "A", "ä", "a ", "á", "", " ", "ß", "ss", "\U0001f600", "\U0001f601", None]


def test_keys_that_look_alike_are_different_keys(store: ResultStore, place: Place) -> None:
    keys = [*KEYS[::-1]]
    rows = {"a": keys, "n": [*range(len(keys))]}
    columns = {"a": "varchar(9); a", "n": "integer; n"}
    publish(store, [publication(columns, rows, ("a",))], NOW)
    found = place.rows("SELECT a FROM counts ORDER BY id")
    assert [key for (key,) in found] == sorted(
        KEYS, key=lambda key: (key is not None, (key or "").encode())
    )


@pytest.mark.parametrize("keys", [["a", "b", "b", "c"], ["b", "c", "a", "b"], [None, None, "b"]])
def test_a_key_that_repeats_is_told_and_nothing_changes(
    store: ResultStore, place: Place, keys: list[str | None]
) -> None:
    publish(store, [publication(COUNTS, {"course": ["old"], "n": [1]})], NOW)
    columns = {"course": "varchar(9); run", "n": "integer; n"}
    twice = "NULL" if keys[0] is None else "'b'"
    with pytest.raises(ResultsError, match=rf"counts has 1 keys .*\(course = {twice}\) 2 times"):
        publish(store, [publication(columns, {"course": keys, "n": [1] * len(keys)})], NOW)
    assert place.rows("SELECT course, n FROM counts") == [("old", 1)]
    assert place.tables() == {"counts", "studium_published"}


def test_an_error_of_the_data_passes_through_and_changes_nothing(
    store: ResultStore, place: Place
) -> None:
    publish(store, [publication(COUNTS, {"course": ["a"], "n": [1]})], NOW)
    before = published(store)
    schema = pa.schema([("course", pa.string()), ("n", pa.int64())])

    def breaking(keys: list[str]) -> Iterator[pa.RecordBatch]:
        for key in keys:
            yield pa.record_batch({"course": [key], "n": [2]}, schema)
        raise OSError("the lake is gone")

    for keys in (["b"], ["c", "b"]):  # the second is being sorted when it breaks
        broken = publication(
            COUNTS,
            {"course": [], "n": []},
            data=lambda keys=keys: pa.RecordBatchReader.from_batches(schema, breaking(keys)),
        )
        fresh = publication(COUNTS, {"course": ["x"], "n": [1]}, name="fresh")
        with pytest.raises(OSError, match="the lake is gone"):
            publish(store, [fresh, broken], NOW)
        assert published(store) == before
        assert place.rows("SELECT course, n FROM counts") == [("a", 1)]
        assert place.tables() == {"counts", "studium_published"}


def test_a_value_that_is_too_long_is_told_and_nothing_changes(
    store: ResultStore, place: Place
) -> None:
    publish(store, [publication(COUNTS, {"course": ["a"], "n": [1]})], NOW)
    long = {"course": ["b", "x" * 21], "n": [1, 2]}
    with pytest.raises(ResultsError, match="course: 1 value longer than 20 characters"):
        publish(store, [publication(COUNTS, long)], NOW)
    assert place.rows("SELECT course, n FROM counts") == [("a", 1)]


def test_the_longest_texts_fit(store: ResultStore, place: Place) -> None:
    longest, huge = "\U0001f600" * 4_000, "é\\\n" * 300_000
    columns = {"k": "varchar(4000); k", "t": "text; t"}
    publish(store, [publication(columns, {"k": [longest], "t": [huge]}, ("k",))], NOW)
    assert place.rows("SELECT k, t FROM counts") == [(longest, huge)]


def test_texts_of_any_length_may_be_keys(store: ResultStore, place: Place) -> None:
    chance = Random(1)
    longest = "".join(chance.choices("abcdefghij字", k=9_000))
    columns = {"course": "varchar(20) not null; c", "t": "text; t"}
    rows = {"course": ["a"] * 4, "t": [longest + "1", None, longest + "2", ""]}
    publish(store, [publication(columns, rows, ("course", "t"))], NOW)
    assert len(place.rows("SELECT id FROM counts WHERE course = 'a'")) == 4
    for twice in (longest, None):
        rows = {"course": ["a", "a"], "t": [twice, twice]}
        with pytest.raises(ResultsError, match="1 keys more than once"):
            publish(store, [publication(columns, rows, ("course", "t"))], NOW)
    assert len(place.rows("SELECT id FROM counts")) == 4


def test_the_register_says_what_is_published(store: ResultStore, place: Place) -> None:
    assert published(store) == {}
    one = publication(COUNTS, {"course": ["a", "b"], "n": [1, 2]}, indexes=[("n",)])
    [entry] = publish(store, [one], NOW)
    assert entry == Published("counts", one.data_until, one.build, 2, NOW, one.definition)
    assert published(store) == {"counts": entry}
    again = publication(COUNTS, {"course": ["c"], "n": [1]}, name="more")
    publish(store, [again], NOW)
    assert published(store).keys() == {"counts", "more"}
    assert published(store)["counts"] == entry


def test_a_definition_tells_of_columns_and_keys_alone() -> None:
    rows: dict[str, Any] = {"course": [], "n": []}
    one = publication(COUNTS, rows).definition
    assert publication({**COUNTS, "n": "integer; another meaning"}, rows).definition == one
    others = [
        publication({**COUNTS, "course": "varchar(30) not null; run"}, rows),
        publication({**COUNTS, "course": "varchar(20); run"}, rows),
        publication({**COUNTS, "m": "integer; m"}, rows),
        publication(COUNTS, rows, ("course", "n")),
        publication(COUNTS, rows, indexes=[("n",)]),
    ]
    assert len({one, *(other.definition for other in others)}) == 6


def test_a_table_is_withdrawn_with_the_next_ones_coming(store: ResultStore, place: Place) -> None:
    rows = {"course": ["a"], "n": [1]}
    publish(store, [publication(COUNTS, rows), publication(COUNTS, rows, name="more")], NOW)
    place.do("CREATE TABLE theirs (n integer)")
    publish(store, [publication(COUNTS, rows, name="new")], NOW, ["more", "theirs", "nothing"])
    assert place.tables() == {"counts", "new", "theirs", "studium_published"}
    assert published(store).keys() == {"counts", "new"}
    publish(store, [], NOW, ["counts"])
    assert place.tables() == {"new", "theirs", "studium_published"}
    assert published(store).keys() == {"new"}


def test_a_withdrawn_table_that_someone_dropped_leaves_the_register(
    store: ResultStore, place: Place
) -> None:
    publish(store, [publication(COUNTS, {"course": ["a"], "n": [1]})], NOW)
    place.do("DROP TABLE counts")
    publish(store, [], NOW, ["counts"])
    assert published(store) == {}


@pytest.mark.parametrize("what", ["TABLE counts (n integer)", "VIEW counts AS SELECT 7 AS n"])
def test_tables_of_others_are_never_replaced(store: ResultStore, place: Place, what: str) -> None:
    place.do(f"CREATE {what}")
    with pytest.raises(ResultsError, match="did not publish: counts"):
        publish(store, [publication(COUNTS, {"course": ["a"], "n": [1]})], NOW)
    assert place.tables() == {"counts"}


def test_a_changed_schema_replaces_the_table(store: ResultStore, place: Place) -> None:
    publish(store, [publication(COUNTS, {"course": ["a"], "n": [1]}, (), [("n",)])], NOW)
    columns = {"m": "integer; m", **COUNTS}
    publish(store, [publication(columns, {"m": [3], "course": ["b"], "n": [2]}, ("course",))], NOW)
    assert place.rows("SELECT id, m, course, n FROM counts") == [(1, 3, "b", 2)]


def test_created_is_the_time_of_publishing_and_now_for_rows_of_others(
    store: ResultStore, place: Place
) -> None:
    publish(store, [publication(COUNTS, {"course": ["a"], "n": [1]})], NOW)
    zone = {"mariadb": "SET time_zone = '+00:00'", "postgresql": "SET timezone = 'Asia/Kolkata'"}
    before = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    with place.outside() as connection:
        cursor = connection.cursor()
        cursor.execute(zone.get(place.kind, "SELECT 1"))
        cursor.execute("INSERT INTO counts (course, n) VALUES ('b', 2)")
        cursor.execute("SELECT created FROM counts ORDER BY id")
        first, second = (datetime.fromisoformat(str(at)) for (at,) in cursor.fetchall())
    assert first == NOW.replace(tzinfo=None, microsecond=0)
    assert before <= second <= datetime.now(UTC).replace(tzinfo=None)


def test_an_old_register_is_read_and_brought_up_to_date(tmp_path: Path) -> None:
    # As version 0.1 left it.
    with closing(sqlite3.connect(tmp_path / "results.db")) as connection:
        connection.execute(
            "CREATE TABLE studium_published (table_name VARCHAR(63) PRIMARY KEY, data_until DATE, "
            "build VARCHAR(64) NOT NULL, row_count BIGINT NOT NULL, published_at DATETIME NOT NULL)"
        )
        connection.execute("CREATE TABLE counts (n)")
        connection.execute(
            "INSERT INTO studium_published VALUES ('counts', '2024-03-01', 'b', 1, "
            "'2024-03-01 00:00:00.000000')"
        )
        connection.commit()
    store = open_results("sqlite:///results.db", tmp_path)
    at = datetime(2024, 3, 1, tzinfo=UTC)
    assert published(store) == {"counts": Published("counts", at.date(), "b", 1, at, "")}
    one = publication(COUNTS, {"course": ["a"], "n": [1]}, name="more")
    publish(store, [one], NOW)
    assert {name: entry.definition for name, entry in published(store).items()} == {
        "counts": "",
        "more": one.definition,
    }
    store.close()


Unreachable = Callable[[str], str]


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda url: url.replace(":studium@", ":wrong@"), "STUDIUM_RESULTS_PASSWORD"),
        (lambda url: url.rpartition("/")[0] + "/nowhere", "CREATE DATABASE"),
        (lambda url: _at_port(url, "1"), "Is the server running"),
    ],
    ids=["password", "database", "away"],
)
def test_a_store_that_cannot_be_reached_is_told_with_its_cure(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, change: Unreachable, hint: str
) -> None:
    url = change(make_place(request, kind, tmp_path).url)
    with pytest.raises(ResultsError, match="cannot be used") as caught:
        open_results(url, tmp_path)
    assert hint in caught.value.hint
    assert "wrong" not in str(caught.value)
    assert ":studium@" not in str(caught.value)


def _at_port(url: str, port: str) -> str:
    head, _, database = url.rpartition("/")
    return f"{head.rpartition(':')[0]}:{port}/{database}"


def test_the_password_may_come_from_the_environment(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_place(request, "mariadb", tmp_path).url.replace(":studium@", "@")
    with pytest.raises(ResultsError):
        open_results(url, tmp_path)
    monkeypatch.setenv("STUDIUM_RESULTS_PASSWORD", "studium")
    open_results(url, tmp_path).close()
