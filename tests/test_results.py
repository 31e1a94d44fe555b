"""Publishing into SQLite: what is stored, in which form and order."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from studium.columns import parse_column
from studium.errors import ResultsError
from studium.results.publication import Publication, Published
from studium.results.store import ResultStore, open_results, publish, published
from tests.publications import COUNTS, DAY, NOW, publication, read


def local(*parts: int) -> datetime:
    """A time as the databases keep it: in UTC, without saying so."""
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResultStore]:
    opened = open_results("sqlite:///results.db", tmp_path)
    yield opened
    opened.close()


def test_a_table_has_its_declared_columns_between_id_and_created(store: ResultStore) -> None:
    columns = {
        "course_id": "varchar(255) not null; run",
        "date": "date not null; day",
        "order": "smallint; a word of SQL",
        "count": "integer; learners",
        "big": "bigint; views",
        "share": "double; share",
        "note": "text; words",
        "at": "datetime; instant",
        "done": "boolean; whether",
    }
    rows = pa.table(
        {
            "done": [True, False, None],
            "at": [local(2024, 1, 1), local(2024, 1, 1, 1, 2, 3, 4), None],
            "note": ["", "ä\n'\"%s?:x", None],
            "share": [0.1, -1e300, None],
            "big": [2**63 - 1, -(2**63), None],
            "count": [2**31 - 1, -(2**31), None],
            "order": [2**15 - 1, -(2**15), None],
            "date": [date(1, 1, 1), date(2024, 2, 29), date(9999, 12, 31)],
            "course_id": ["a", "b", "c"],
            "left_out": [1, 2, 3],
        }
    )
    keys = [("course_id",), ("course_id", "date"), ("date", "order")]
    publish(store, [publication(columns, rows, ("course_id", "date"), keys)], NOW)

    table = sa.Table("counts", sa.MetaData(), autoload_with=store.engine)
    assert [(c.name, str(c.type), c.nullable) for c in table.columns] == [
        ("id", "INTEGER", False),
        ("course_id", "VARCHAR(255)", False),
        ("date", "DATE", False),
        ("order", "SMALLINT", True),
        ("count", "INTEGER", True),
        ("big", "BIGINT", True),
        ("share", "DOUBLE", True),
        ("note", "TEXT", True),
        ("at", "DATETIME", True),
        ("done", "BOOLEAN", True),
        ("created", "TIMESTAMP", False),
    ]
    assert table.primary_key.columns.keys() == ["id"]
    assert {(i.name, tuple(i.columns.keys()), bool(i.unique)) for i in table.indexes} == {
        ("uq_counts_course_id_date", ("course_id", "date"), True),
        ("ix_counts_course_id", ("course_id",), False),
        ("ix_counts_date_order", ("date", "order"), False),
    }
    with store.engine.connect() as connection:
        found = connection.execute(sa.select(table)).all()
    created = local(2024, 3, 1, 4, 5, 6)
    top = (2**15 - 1, 2**31 - 1, 2**63 - 1, 0.1, "", local(2024, 1, 1), True, created)
    low = (-(2**15), -(2**31), -(2**63), -1e300, "ä\n'\"%s?:x")
    assert [tuple(row) for row in found] == [
        (1, "a", date(1, 1, 1), *top),
        (2, "b", date(2024, 2, 29), *low, local(2024, 1, 1, 1, 2, 3, 4), False, created),
        (3, "c", date(9999, 12, 31), *[None] * 7, created),
    ]


def test_words_of_sql_are_names_like_others(store: ResultStore) -> None:
    words = ("nothing", "order", "group", "index", "values", "rowid", "oid", "table")
    columns = dict.fromkeys(words, "integer; n")
    rows = {word: [2, 1] for word in words}
    publish(store, [publication(columns, rows, words, [("group", "order")], "select")], NOW)
    quoted = ", ".join(f'"{word}"' for word in words)
    assert read(store, f'SELECT {quoted} FROM "select"') == [(1,) * 8, (2,) * 8]


def test_dates_and_times_are_the_text_that_outside_tools_expect(store: ResultStore) -> None:
    rows = {
        "d": [date(2024, 2, 29)] * 2,
        "t": [local(2024, 1, 1), local(2024, 1, 1, 0, 0, 0, 100)],
    }
    publish(store, [publication({"t": "datetime; t", "d": "date; d"}, rows)], NOW)
    assert read(store, "SELECT d, t, created FROM counts") == [
        ("2024-02-29", "2024-01-01 00:00:00", "2024-03-01 04:05:06"),
        ("2024-02-29", "2024-01-01 00:00:00.000100", "2024-03-01 04:05:06"),
    ]


def test_times_with_a_zone_are_stored_in_utc_and_whole_microseconds(store: ResultStore) -> None:
    instant = datetime(2024, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    rows = pa.table(
        {
            "k": [1],
            "zoned": pa.array([instant], pa.timestamp("s", "Asia/Kolkata")),
            "fine": pa.array([1_999], pa.timestamp("ns", "UTC")),
        }
    )
    columns = {"k": "integer; k", "zoned": "datetime; z", "fine": "datetime; f"}
    publish(store, [publication(columns, rows)], NOW)
    assert read(store, "SELECT zoned, fine FROM counts") == [
        ("2023-12-31 23:30:00", "1970-01-01 00:00:00.000001")
    ]


def test_engines_may_give_other_arrow_types_of_the_same_kind(store: ResultStore) -> None:
    rows = pa.table(
        {
            "k": pa.array(["a", "b"]).dictionary_encode(),
            "n": pa.array([Decimal(7), None], pa.decimal128(38, 0)),
            "u": pa.array([2**32 - 1, 0], pa.uint64()),
            "x": pa.array([Decimal("0.5"), None], pa.decimal128(9, 3)),
            "t": pa.array(["x", None], pa.string_view()),
            "never": pa.nulls(2),
        }
    )
    columns = {
        "k": "varchar(1) not null; k",
        "n": "integer; n",
        "u": "bigint; u",
        "x": "double; x",
        "t": "text; t",
        "never": "datetime; not known",
    }
    publish(store, [publication(columns, rows)], NOW)
    assert read(store, "SELECT k, n, u, x, t, never FROM counts") == [
        ("a", 7, 2**32 - 1, 0.5, "x", None),
        ("b", None, 0, None, None, None),
    ]


def test_created_has_a_default_in_utc_for_rows_of_others(store: ResultStore) -> None:
    publish(store, [publication(COUNTS, {"course": ["a"], "n": [1]})], NOW)
    before = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    with closing(sqlite3.connect(str(store.engine.url.database))) as connection, connection:
        connection.execute("INSERT INTO counts (course, n) VALUES ('b', 2)")
    [(text,)] = read(store, "SELECT created FROM counts WHERE course = 'b'")
    assert before <= datetime.fromisoformat(text) <= datetime.now(UTC).replace(tzinfo=None)


def test_the_register_says_what_is_published(store: ResultStore) -> None:
    assert published(store) == {}
    first = publication(COUNTS, {"course": ["a", "b"], "n": [1, None]})
    whole = Publication(
        "whole",
        first.columns,
        first.grain,
        (),
        lambda: pa.schema([("course", pa.string()), ("n", pa.int64())]).empty_table().to_reader(),
        "00000043-000000",
        None,
    )
    midnight = datetime(2024, 3, 1, tzinfo=UTC)
    early = midnight.astimezone(timezone(timedelta(hours=1)))
    entries = publish(store, [whole, first], early)
    assert entries == [
        Published("whole", None, "00000043-000000", 0, midnight, whole.definition),
        Published("counts", DAY, "00000042-9f3a1c", 2, midnight, first.definition),
    ]
    assert published(store) == {entry.table: entry for entry in entries}

    publish(store, [publication(COUNTS, {"course": ["c"], "n": [3]})], NOW)
    now = published(store)
    assert now["whole"] == entries[0]
    assert (now["counts"].rows, now["counts"].published_at) == (1, NOW)
    assert read(store, "SELECT id, course, n FROM counts") == [(1, "c", 3)]
    assert publish(store, [], NOW) == []
    assert published(store) == now


def test_a_changed_schema_replaces_the_table(store: ResultStore) -> None:
    publish(store, [publication(COUNTS, {"course": ["a"], "n": [1]}, (), [("n",)])], NOW)
    with closing(sqlite3.connect(str(store.engine.url.database))) as connection:
        connection.execute("CREATE VIEW seen AS SELECT course FROM counts")
    columns = {"m": "integer; m", **COUNTS}
    publish(store, [publication(columns, {"m": [3], "course": ["b"], "n": [2]}, ("course",))], NOW)
    assert read(store, "SELECT * FROM counts") == [(1, 3, "b", 2, "2024-03-01 04:05:06")]
    assert read(store, "SELECT * FROM seen") == [("b",)]
    assert set(read(store, "SELECT name FROM sqlite_schema WHERE type = 'index'")) == {
        ("sqlite_autoindex_studium_published_1",),
        ("uq_counts_course",),
    }


def test_index_names_stay_within_limits_and_apart(store: ResultStore) -> None:
    names = ["a" * 30, "a" * 31]
    columns = dict.fromkeys([*names, "k"], "integer; n")
    rows = {name: [1] for name in columns}
    keys = [("k", *names), ("k", names[1], names[0]), (names[0],), (names[1],)]
    for _ in range(2):  # stable: the second time meets the first one's names
        publish(store, [publication(columns, rows, ("k",), keys, f"t{'b' * 40}")], NOW)
    found = [name for (name,) in read(store, "SELECT name FROM sqlite_schema WHERE type = 'index'")]
    assert len(found) == len(set(found)) == 6
    assert max(map(len, found)) <= 63


def test_rows_keep_the_order_of_the_grain_over_many_batches(store: ResultStore) -> None:
    # Ordered for long, so that the first of them are in their place when the order breaks.
    numbers = [*range(30_000, 90_000), *range(30_000)]
    rows = {"n": numbers, "m": [2 * n for n in numbers]}
    columns = {"n": "integer not null; n", "m": "integer; twice"}
    publish(store, [publication(columns, rows, batch=7_001)], NOW)
    assert read(store, "SELECT id, n, m FROM counts") == [(n + 1, n, 2 * n) for n in range(90_000)]
    assert read(store, "SELECT seq FROM sqlite_sequence WHERE name = 'counts'") == [(90_000,)]
    assert published(store)["counts"].rows == 90_000


KEYS = st.tuples(
    st.none() | st.text("abZé\U00010000\uffff\0", max_size=2),
    st.none() | st.integers(-2, 2),
    st.none() | st.booleans(),
)


@given(keys=st.lists(KEYS, max_size=12), batch=st.integers(1, 5))
def test_any_rows_come_out_in_order_or_are_refused_as_repeated(
    tmp_path_factory: pytest.TempPathFactory, keys: list[tuple[Any, ...]], batch: int
) -> None:
    store = open_results("sqlite:///results.db", tmp_path_factory.mktemp("site"))
    columns = {"a": "text; a", "b": "integer; b", "c": "boolean; c"}
    types = {"a": pa.string(), "b": pa.int64(), "c": pa.bool_()}
    table = pa.table(
        [pa.array([key[i] for key in keys], t) for i, t in enumerate(types.values())],
        names=list(types),
    )
    one = publication(columns, table, tuple(types), batch=batch)
    try:
        if len(set(keys)) < len(keys):
            with pytest.raises(ResultsError, match="more than once"):
                publish(store, [one], NOW)
            assert published(store) == {}
        else:
            publish(store, [one], NOW)
            below = [tuple((v is not None, v if v is not None else 0) for v in k) for k in keys]
            expected = [key for _, key in sorted(zip(below, keys, strict=True))]
            assert read(store, "SELECT a, b, c FROM counts") == expected
    finally:
        store.close()


def test_rows_pass_through_without_piling_up(store: ResultStore) -> None:
    schema, held = pa.schema([("n", pa.int64()), ("t", pa.string())]), []

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, 400_000, 10_000):
            held.append(pa.total_allocated_bytes())
            numbers = range(start, start + 10_000)
            yield pa.record_batch({"n": list(numbers), "t": ["x" * 50] * 10_000}, schema)

    columns = (parse_column("n", "integer; n"), parse_column("t", "text; t"))
    big = Publication(
        *("counts", columns, ("n",), ()),
        lambda: pa.RecordBatchReader.from_batches(schema, batches()),
        *("b", None),
    )
    publish(store, [big], NOW)
    assert published(store)["counts"].rows == 400_000
    assert max(held) - held[0] < 400_000 * 58 / 5


def test_the_wal_is_emptied_after_publishing(store: ResultStore, tmp_path: Path) -> None:
    publish(store, [publication(COUNTS, {"course": ["a"], "n": [1]})], NOW)
    assert (tmp_path / "results.db-wal").stat().st_size == 0
