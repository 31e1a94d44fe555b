"""What the result store refuses: values, keys, names and places; nothing changes then."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from studium.errors import ResultsError, TableError
from studium.results.publication import Publication
from studium.results.store import ResultStore, open_results, publish, published
from tests.publications import COUNTS, NOW, publication, read


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResultStore]:
    opened = open_results("sqlite:///results.db", tmp_path)
    yield opened
    opened.close()


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
        ("postgresql+other://reader:hush@host/results", "not the URL of a database server"),
        ("mssql://reader:hush@host/results", "publishes to SQLite, PostgreSQL .* only"),
        ("sqlite+aiosqlite:///results.db", "publishes to SQLite, PostgreSQL .* only"),
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
        connection.execute("CREATE TABLE other (n)")
        connection.execute("CREATE INDEX uq_counts_course ON other (n)")
    with pytest.raises(ResultsError, match=r"results\.db cannot be used: .*already exists"):
        publish(store, [publication(COUNTS, {"course": ["a"], "n": [1]})], NOW)
