"""Publishing into SQLite: what is stored, in which form and order, and what is refused."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
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
from studium.errors import ResultsError, TableError
from studium.results.publication import Publication, Published
from studium.results.store import ResultStore, open_results, publish, published

NOW = datetime(2024, 3, 1, 4, 5, 6, 789, tzinfo=UTC)
DAY = date(2024, 3, 1)
COUNTS = {"course": "varchar(20) not null; run", "n": "integer; learners"}


def local(*parts: int) -> datetime:
    """A time as the databases keep it: in UTC, without saying so."""
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)


def publication(
    columns: dict[str, str],
    rows: dict[str, Any] | pa.Table,
    grain: Sequence[str] = (),
    indexes: Sequence[tuple[str, ...]] = (),
    name: str = "counts",
    batch: int = 1_000_000,
) -> Publication:
    """Rows as a publication; the grain is the first column if none is given."""
    table = rows if isinstance(rows, pa.Table) else pa.table(rows)
    return Publication(
        name,
        tuple(parse_column(column, text) for column, text in columns.items()),
        tuple(grain) or (next(iter(columns)),),
        tuple(indexes),
        lambda: table.to_reader(max_chunksize=batch),
        "00000042-9f3a1c",
        DAY,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResultStore]:
    opened = open_results("sqlite:///results.db", tmp_path)
    yield opened
    opened.close()


def read(store: ResultStore, query: str) -> list[tuple[Any, ...]]:
    """What an outside tool reads, without SQLAlchemy."""
    with closing(sqlite3.connect(str(store.engine.url.database))) as connection:
        return connection.execute(query).fetchall()


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
    early = datetime(2024, 3, 1, 1, 0, tzinfo=timezone(timedelta(hours=1)))
    entries = publish(store, [whole, first], early)
    assert entries == [
        Published("whole", None, "00000043-000000", 0, datetime(2024, 3, 1, tzinfo=UTC)),
        Published("counts", DAY, "00000042-9f3a1c", 2, datetime(2024, 3, 1, tzinfo=UTC)),
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
    assert read(store, "SELECT name FROM sqlite_schema WHERE type = 'index'") == [
        ("sqlite_autoindex_studium_published_1",),
        ("uq_counts_course",),
    ]


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


def test_a_repeated_key_is_told_with_its_number(store: ResultStore) -> None:
    rows = {"course": ["a", "b", "b", "b", "c", "c"], "n": [1, None, None, None, 3, 3]}
    with pytest.raises(
        ResultsError, match=r"counts has 2 keys .* \(course = 'b', n = NULL\) 3 times"
    ):
        publish(store, [publication(COUNTS, rows, ("course", "n"))], NOW)


BAD: list[tuple[str, pa.Array, str]] = [
    ("varchar(3)", pa.array(["äöü", "long", None, "longer"]), "2 .* 3 characters, .* 'long'"),
    ("text not null", pa.array(["", None, None, "x"]), "2 values missing .* None"),
    ("integer", pa.array([0, 2**31, -(2**31) - 1, 1]), "2 .* of integer, .* 2147483648"),
    ("smallint", pa.array([0, None, 40_000, 1]), "1 value out .* 40000"),
    ("bigint", pa.array([2**63, 0, 1, 2], pa.uint64()), "1 value out .* 9223372036854775808"),
    ("integer", pa.array([Decimal("1.5"), Decimal(1), None, None]), "1 value out .* 1.5"),
    ("double", pa.array([0.0, float("nan"), None, float("-inf")]), "2 values not finite, .* nan"),
    ("date", pa.array([2**31 - 1, 0, -719_163, None], pa.date32()), "2 values outside the years"),
    ("datetime", pa.array([2**63 - 1, 0, None, 1], pa.timestamp("us")), "1 value outside .* 9223"),
    ("datetime", pa.array([10**12, 0, 1, 2], pa.timestamp("s", "UTC")), "1 value outside"),
    ("text", pa.array([1, 2, 3, 4]), "declared text, got int64"),
    ("varchar(9)", pa.array([b"a"] * 4), "declared varchar.9., got binary"),
    ("integer", pa.array([1.0] * 4), "declared integer, got double"),
    ("integer", pa.array([True] * 4), "declared integer, got bool"),
    ("date", pa.array([0] * 4, pa.timestamp("us")), "declared date, got timestamp"),
    ("datetime", pa.array([0] * 4, pa.date32()), "declared datetime, got date32"),
    ("boolean", pa.array([1] * 4), "declared boolean, got int64"),
]


@pytest.mark.parametrize(("kind", "values", "message"), BAD, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("batch", [1, 4])
def test_values_that_do_not_fit_are_counted_and_nothing_changes(
    store: ResultStore, kind: str, values: pa.Array, message: str, batch: int
) -> None:
    good = publication(COUNTS, {"course": ["a"], "n": [1]}, name="aside")
    old = publication({"k": "integer; k"}, {"k": [1]})
    publish(store, [good, old], NOW)
    before = published(store)

    rows = pa.table({"k": [1, 2, 3, 4], "v": values})
    bad = publication({"k": "integer; k", "v": f"{kind}; v"}, rows, batch=batch)
    other = publication(COUNTS, {"course": ["b", "c"], "n": [2, 3]}, name="aside")
    with pytest.raises(ResultsError, match=rf"Table counts does not fit .* v\b.*{message}"):
        publish(store, [other, bad], NOW + timedelta(days=1))

    assert published(store) == before
    assert read(store, "SELECT course, n FROM aside") == [("a", 1)]
    assert read(store, "SELECT * FROM counts") == [(1, 1, "2024-03-01 04:05:06")]


def test_all_that_does_not_fit_is_told_at_once(store: ResultStore) -> None:
    rows = {"course": ["x" * 200, None], "n": [2**40, 1]}
    with pytest.raises(ResultsError) as caught:
        publish(store, [publication(COUNTS, rows, batch=1)], NOW)
    assert "longer than 20 characters" in caught.value.message
    assert "missing in a not-null column" in caught.value.message
    assert "out of the range of integer" in caught.value.message
    assert "x" * 100 not in caught.value.message


def test_a_missing_column_is_refused(store: ResultStore) -> None:
    with pytest.raises(ResultsError, match="there is no column n"):
        publish(store, [publication(COUNTS, {"course": ["a"]})], NOW)


def test_an_error_of_the_data_passes_through_and_changes_nothing(store: ResultStore) -> None:
    publish(store, [publication(COUNTS, {"course": ["a"], "n": [1]})], NOW)
    before = published(store)
    schema = pa.schema([("course", pa.string()), ("n", pa.int64())])

    def breaking() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"course": ["b"], "n": [2]}, schema)
        raise OSError("the lake is gone")

    one = publication(COUNTS, {"course": [], "n": []})
    broken = Publication(
        *(one.name, one.columns, one.grain, one.indexes),
        lambda: pa.RecordBatchReader.from_batches(schema, breaking()),
        *(one.build, one.data_until),
    )
    with pytest.raises(OSError, match="the lake is gone"):
        publish(store, [publication(COUNTS, {"course": [], "n": []}, name="new"), broken], NOW)
    assert published(store) == before
    assert read(store, "SELECT course, n FROM counts") == [("a", 1)]
    assert read(store, "SELECT name FROM sqlite_schema WHERE name = 'new'") == []


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


def test_a_table_cannot_be_published_twice_at_once(store: ResultStore) -> None:
    one = publication(COUNTS, {"course": ["a"], "n": [1]})
    with pytest.raises(ResultsError, match="2 tables would be published as 'counts'"):
        publish(store, [one, one], NOW)
    assert published(store) == {}


def test_a_moment_without_a_zone_is_a_mistake_of_the_program(store: ResultStore) -> None:
    with pytest.raises(ValueError, match="time zone"):
        publish(store, [], NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: publication(COUNTS, {}, name="studium_published"), "taken"),
        (lambda: publication(COUNTS, {}, name="sqlite_counts"), "taken"),
        (lambda: publication(COUNTS, {}, name="Counts"), "cannot be the name"),
        (lambda: publication({"id": "integer; n"}, {}), "'id' is there twice"),
        (lambda: publication({"created": "integer; n"}, {}), "'created' is there twice"),
        (lambda: publication(COUNTS, {}, ("date",)), "'date'"),
        (lambda: publication(COUNTS, {}, ("n", "n")), "each once"),
        (lambda: publication(COUNTS, {}, ("n",), [()]), "grain and indexes must name"),
        (lambda: publication(COUNTS, {}, ("n",), [("day",)]), "'day'"),
    ],
)
def test_names_and_keys_must_fit_together(make: Callable[[], Publication], message: str) -> None:
    with pytest.raises(TableError, match=message):
        make()


def test_a_relative_path_starts_at_the_site(tmp_path: Path) -> None:
    open_results("sqlite:///sub/r.db", tmp_path).close()
    open_results(f"sqlite:///{tmp_path}/absolute.db", Path("/nowhere")).close()
    assert (tmp_path / "sub" / "r.db").is_file()
    assert (tmp_path / "absolute.db").is_file()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "has no file"),
        ("sqlite:///:memory:", "has no file"),
        ("sqlite:///file:x.db?uri=true", "has no file"),
        ("postgresql://reader:hush@host/results", "SQLite only"),
        ("sqlite+aiosqlite:///results.db", "SQLite only"),
        ("results.db", "is not a database URL"),
        ("sqlite:///taken/r.db", "cannot be made"),
        ("sqlite:///folder", "cannot be used"),
        ("sqlite:///taken", "cannot be used"),
    ],
)
def test_what_cannot_be_a_result_store_is_refused(tmp_path: Path, url: str, message: str) -> None:
    (tmp_path / "taken").write_text("not a database, and long enough to be sure of it" * 30)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ResultsError, match=message) as caught:
        open_results(url, tmp_path)
    assert caught.value.hint
    assert "hush" not in str(caught.value)


def test_network_file_systems_are_refused(tmp_path: Path) -> None:
    mounts = f"/dev/vda / ext4 rw 0 0\nserver:/home {tmp_path.resolve()} nfs4 rw 0 0\n"
    with pytest.raises(ResultsError, match=r"network file system \(nfs4\)"):
        open_results("sqlite:///results.db", tmp_path, mounts)
    assert not (tmp_path / "results.db").exists()
    open_results("sqlite:///results.db", tmp_path, "/dev/vda / ext4 rw 0 0\n").close()


def test_a_database_that_fails_is_told_as_such(store: ResultStore) -> None:
    with closing(sqlite3.connect(str(store.engine.url.database))) as connection:
        connection.execute("CREATE VIEW counts AS SELECT 1 AS n")
    with pytest.raises(ResultsError, match=r"results\.db cannot be used: .*DROP VIEW"):
        publish(store, [publication(COUNTS, {"course": ["a"], "n": [1]})], NOW)
    assert read(store, "SELECT n FROM counts") == [(1,)]
