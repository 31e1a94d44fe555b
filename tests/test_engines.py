"""Both engines read, write and compare Parquet alike."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from studium.engines import Engine, Relation, open_engine
from studium.engines.dialect import find_inputs, find_params, parse, words
from studium.engines.duckdb import stream_rows
from studium.errors import EngineError
from tests import engines

COLUMNS = {"k": "BIGINT", "s": "VARCHAR"}
DAY = date(2021, 3, 1)
NIGHT = datetime(2021, 3, 1, 23, 59, 59, 999_999)


@pytest.fixture(scope="module", params=engines.NAMES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return engines.shared_engine(request.param)


def put(folder: Path, data: Mapping[str, Sequence[Any]], name: str = "a.parquet") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(dict(data)), folder / name)
    return str(folder / name)


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    return sorted((tuple(row.values()) for row in table.to_pylist()), key=str)


def test_columns_are_read_by_name(engine: Engine, tmp_path: Path) -> None:
    old = put(tmp_path, {"k": [1]}, "old.parquet")
    new = put(tmp_path, {"more": [9], "s": ["b"], "k": [2]}, "new.parquet")
    found = engine.query("SELECT k, s FROM t", {"t": Relation((old, new), COLUMNS)})
    assert found.schema.field("k").type == pa.int64()
    assert rows_of(found) == [(1, None), (2, "b")]
    with pytest.raises(EngineError, match="more"):
        engine.query("SELECT more FROM t", {"t": Relation((old, new), COLUMNS)})


def test_rows_are_streamed_with_their_day_and_without_what_a_file_lacks(tmp_path: Path) -> None:
    old = put(tmp_path / "day=2021-03-01", {"k": [1]})
    new = put(tmp_path / "day=2021-03-02", {"k": [2], "s": ["b"]})
    found = stream_rows(Relation((old, new), COLUMNS, by_day=True), ["day", "s", "k"]).read_all()
    assert rows_of(found) == [(DAY, None, 1), (DAY + timedelta(days=1), "b", 2)]
    nothing = stream_rows(Relation((), COLUMNS, by_day=True), ["day", "k"]).read_all()
    assert (nothing.num_rows, nothing.schema.names) == (0, ["day", "k"])


def test_the_first_rows_of_a_day(tmp_path: Path) -> None:
    """A condition on the day, an order and a limit together once broke the reader."""
    put(tmp_path / "day=2021-03-01", {"k": list(range(5000))})
    path = put(tmp_path / "day=2021-03-02", {"k": list(range(5000))})
    relation = Relation((path, path.replace("03-02", "03-01")), COLUMNS, by_day=True)
    sql = "SELECT k FROM t WHERE day = DATE '2021-03-01' ORDER BY k LIMIT 3"
    found = engines.shared_engine("duckdb").query(sql, {"t": relation})
    assert rows_of(found) == [(0,), (1,), (2,)]


def test_narrower_integers_are_widened(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    parquet.write_table(pa.table({"k": pa.array([7], pa.int32())}), folder / "a.parquet")
    found = engine.query("SELECT k FROM t", {"t": Relation((str(folder / "a.parquet"),), COLUMNS)})
    assert found.schema.field("k").type == pa.int64()
    assert rows_of(found) == [(7,)]


def test_no_files_are_no_rows_of_these_types(engine: Engine) -> None:
    columns = {"k": "BIGINT", "s": "VARCHAR", "t": "TIMESTAMP", "x": "DOUBLE", "f": "BOOLEAN"}
    found = engine.query("SELECT k, s, t, x, f, day FROM t", {"t": Relation((), columns, True)})
    assert found.num_rows == 0
    assert [str(field.type) for field in found.schema] == [
        "int64", "string", "timestamp[us]", "double", "bool", "date32[day]",
    ]  # fmt: skip


def test_day_comes_from_the_path(engine: Engine, tmp_path: Path) -> None:
    files = (
        put(tmp_path / "day=2021-03-01", {"k": [1]}),
        put(tmp_path / "day=2021-03-02", {"k": [2], "day": ["nonsense"]}),
    )
    for columns in (COLUMNS, {"day": "DATE", **COLUMNS}):
        relation = Relation(files, columns, by_day=True)
        found = engine.query("SELECT day, k FROM t WHERE day > $d", {"t": relation}, {"d": DAY})
        assert found.schema.field("day").type == pa.date32()
        assert rows_of(found) == [(date(2021, 3, 2), 2)]


@pytest.mark.parametrize("name", ["p[1]", "a*b", "{x,y} z", "100%25", "ä'é?", "day=2020-01-01"])
def test_paths_are_not_patterns(engine: Engine, tmp_path: Path, name: str) -> None:
    put(tmp_path / "p1" / "day=2021-03-01", {"k": [666]})
    folder = tmp_path / name
    relation = Relation((put(folder / "day=2021-03-01", {"k": [1]}),), COLUMNS, True)
    written = engine.write("SELECT day, k FROM t", {"t": relation}, {}, folder / "out", "b", True)
    again = Relation(tuple(str(file.path) for file in written.files), COLUMNS, True)
    assert rows_of(engine.query("SELECT day, k FROM t", {"t": again})) == [(DAY, 1)]


def test_times_are_naive_microseconds(engine: Engine, tmp_path: Path) -> None:
    file = put(tmp_path, {"t": pa.array([NIGHT], pa.timestamp("us"))})
    relation = Relation((file,), {"t": "TIMESTAMP"})
    sql = "SELECT t, CAST(t AS DATE) AS d FROM t"
    written = engine.write(sql, {"t": relation}, {}, tmp_path / "out", "b", False)
    assert written.columns == {"t": "TIMESTAMP", "d": "DATE"}
    stored = parquet.ParquetFile(written.files[0].path).read()
    assert stored.schema.field("t").type == pa.timestamp("us")
    assert stored.to_pylist() == [{"t": NIGHT, "d": DAY}]


def test_parameters_are_values(engine: Engine) -> None:
    sql = """
        SELECT $word AS a, $n AS b, $x AS c, $day AS d, $moment AS e, $flag AS f, $none IS NULL AS g
        """
    params = {
        "word": "it's $n; --",
        "n": -3,
        "x": 0.1,
        "day": DAY,
        "moment": NIGHT,
        "flag": False,
        "none": None,
        "unused": 1,
    }
    expected = [("it's $n; --", -3, 0.1, DAY, NIGHT, False, True)]
    assert rows_of(engine.query(sql, {}, params)) == expected


def test_missing_parameter(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r"\$until"):
        engine.query("SELECT $until AS a", {}, {"start": DAY})


@pytest.mark.parametrize("value", [[1], datetime.now().astimezone(), float("nan"), object()])
def test_strange_parameter(engine: Engine, value: object) -> None:
    with pytest.raises(EngineError, match="cannot be a parameter"):
        engine.query("SELECT $v AS a", {}, {"v": value})


def test_missing_input(engine: Engine) -> None:
    with pytest.raises(EngineError, match="calendar"):
        engine.query("SELECT date FROM calendar WHERE date < $d", {}, {"d": DAY})


def test_write_whole(engine: Engine, tmp_path: Path) -> None:
    sql = "SELECT CAST(k AS INTEGER) AS k, 'x' AS s FROM t"
    inputs = {"t": Relation((put(tmp_path, {"k": [1, 2, 3]}),), COLUMNS)}
    written = engine.write(sql, inputs, {}, tmp_path / "out", "00000001-abcdef-9", False)
    assert written.columns == {"k": "INTEGER", "s": "VARCHAR"}
    assert (written.rows, {file.day for file in written.files}) == (3, {None})
    for number, file in enumerate(written.files):
        assert file.path == tmp_path / "out" / f"00000001-abcdef-9-{number}.parquet"
        assert file.size == file.path.stat().st_size
        column = parquet.ParquetFile(file.path).metadata.row_group(0).column(0)
        assert column.compression == "ZSTD"
    assert sorted((tmp_path / "out").iterdir()) == sorted(file.path for file in written.files)


def test_write_by_day(engine: Engine, tmp_path: Path) -> None:
    days = [date(2021, 3, 1), date(2021, 3, 2), date(2021, 3, 1)]
    inputs = {
        "t": Relation((put(tmp_path, {"d": days, "k": [1, 2, 3]}),), {"d": "DATE", **COLUMNS})
    }
    out = tmp_path / "out"
    written = engine.write("SELECT k, d AS day FROM t", inputs, {}, out, "b", True)
    assert written.columns == {"k": "BIGINT", "day": "DATE"}
    assert {file.day: file.rows for file in written.files} == {days[0]: 2, days[1]: 1}
    for file in written.files:
        assert file.path.parent == out / f"day={file.day}"
        assert parquet.ParquetFile(file.path).schema.names == ["k"]
    assert {path for path in out.rglob("*") if path.is_file()} == {f.path for f in written.files}


@pytest.mark.parametrize("by_day", [False, True])
def test_no_rows_no_files(engine: Engine, tmp_path: Path, by_day: bool) -> None:
    inputs = {"t": Relation((), COLUMNS, True)}
    written = engine.write("SELECT day, k FROM t", inputs, {}, tmp_path, "b", by_day)
    assert written.files == ()
    assert written.columns == {"day": "DATE", "k": "BIGINT"}
    assert list(tmp_path.rglob("*.parquet")) == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT CAST(1 AS DECIMAL(9, 2)) AS amount", "amount is of type DECIMAL"),
        ("SELECT NULL AS nothing", "nothing is of type"),
        ("SELECT CAST('2021-01-01' AS TIMESTAMPTZ) AS t", "type TIMESTAMP WITH TIME ZONE"),
        ("SELECT nope FROM t", "nope"),
        ("SELECT CAST('x' AS INTEGER) AS a FROM t", "x"),
    ],
)
def test_what_cannot_be_stored(engine: Engine, tmp_path: Path, sql: str, message: str) -> None:
    inputs = {"t": Relation((put(tmp_path, {"k": [1]}),), COLUMNS)}
    with pytest.raises(EngineError, match=message):
        engine.write(sql, inputs, {}, tmp_path / "out", "b", False)


def test_huge_sums_ask_for_a_cast(tmp_path: Path) -> None:
    inputs = {"t": Relation((put(tmp_path, {"k": [1]}),), COLUMNS)}
    duckdb = engines.shared_engine("duckdb")
    with pytest.raises(EngineError, match=r"total is of type HUGEINT: write CAST\(… AS BIGINT\)"):
        duckdb.write("SELECT SUM(k) AS total FROM t", inputs, {}, tmp_path / "out", "b", False)


def test_row_without_a_day(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="day is NULL"):
        engine.write("SELECT CAST(NULL AS DATE) AS day, 1 AS k", {}, {}, tmp_path, "b", True)
    with pytest.raises(EngineError, match="column `day` of type DATE"):
        engine.write("SELECT '2021-03-01' AS day, 1 AS k", {}, {}, tmp_path, "b", True)


def test_digest_is_of_content(engine: Engine, tmp_path: Path) -> None:
    names = [*COLUMNS, "more"]
    columns = dict(zip(names, ["BIGINT", "VARCHAR", "DOUBLE"], strict=True))
    day = tmp_path / "day=2021-03-01"
    whole = Relation(
        (put(day, {"k": [1, 2, 2, None], "s": ["a", None, None, "a"]}),), columns, True
    )
    parts = Relation(
        (
            put(day, {"s": ["a"], "k": pa.array([None], pa.int64())}, "b.parquet"),
            put(day, {"more": pa.array([None] * 3, pa.float64()), "k": [2, 1, 2],
                      "s": [None, "a", None]}, "c.parquet"),
        ),
        dict(reversed(columns.items())),
        True,
    )  # fmt: skip
    assert engine.digest(parts) == engine.digest(whole)
    assert [rows for rows, _ in engine.digest(whole).values()] == [4]
    assert list(engine.digest(whole)) == [DAY]
    others = [
        {"k": [1, 2, None], "s": ["a", None, "a"]},  # one of two equal rows
        {"k": [1, 2, 2, None], "s": ["a", None, "a", None]},
        {"k": [1, 2, 2, None], "s": ["a", None, "", "a"]},
        {"k": [1, 2, 2, 0], "s": ["a", None, None, "a"]},
        {"k": [2, 1, 2, None], "s": ["a", None, None, "a"]},  # values of two rows exchanged
        {"more": [1.0, 2.0, 2.0, None], "s": ["a", None, None, "a"]},  # in another column
    ]
    for number, data in enumerate(others):
        other = Relation((put(day, data, f"other-{number}.parquet"),), columns, True)
        assert engine.digest(other) != engine.digest(whole), data


def test_digest_tells_days_apart(engine: Engine, tmp_path: Path) -> None:
    first = put(tmp_path / "day=2021-03-01", {"k": [1]})
    second = put(tmp_path / "day=2021-03-02", {"k": [1, 2]})
    found = engine.digest(Relation((first, second), COLUMNS, True))
    assert {day: rows for day, (rows, _) in found.items()} == {DAY: 1, date(2021, 3, 2): 2}
    flat = engine.digest(Relation((first, second), COLUMNS))
    assert {day: rows for day, (rows, _) in flat.items()} == {None: 3}
    assert engine.digest(Relation((), COLUMNS, True)) == {}


def test_thousands_of_days_are_one_write(tmp_path: Path) -> None:
    duckdb = engines.shared_engine("duckdb")
    sql = """
        SELECT CAST(DATE '2010-01-01' + CAST(i % 4000 AS INTEGER) AS DATE) AS day, i AS k
        FROM range(40000) AS r(i)
        """
    written = duckdb.write(sql, {}, {}, tmp_path, "b", True)
    assert len({file.day for file in written.files}) == 4000
    assert written.rows == 40_000
    assert len({file.path for file in written.files}) == len(written.files)


def test_closed_engine_says_so(tmp_path: Path) -> None:
    engine = open_engine("duckdb", memory="100MB", threads=1, scratch=tmp_path / "scratch")
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.query("SELECT 1 AS a", {})


def test_unknown_engine() -> None:
    with pytest.raises(EngineError, match="duckdb, spark"):
        open_engine("abacus")


def test_bad_memory() -> None:
    with pytest.raises(EngineError, match="memory"):
        open_engine("duckdb", memory="lots")


@pytest.mark.parametrize("closing", ["engine.close()", "pass", "del engine"])
def test_nothing_is_printed_at_exit(closing: str) -> None:
    program = f"""
from studium.engines import Relation, open_engine
engine = open_engine("duckdb", memory="100MB", threads=1)
kept = engine.query("SELECT k FROM t", {{"t": Relation((), {{"k": "BIGINT"}})}})
{closing}
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert (run.stdout, run.stderr) == ("", "")


def test_one_query_is_expected() -> None:
    for sql, message in [
        ("", "0 statements"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("DROP TABLE t", "DROP"),
        ("SELECT FROM WHERE", "cannot be read"),
    ]:
        with pytest.raises(EngineError, match=message):
            parse(sql)


def test_inputs_and_parameters_of_a_query() -> None:
    query = parse(
        """
        WITH a AS (SELECT x FROM events WHERE d < $until), b AS (SELECT x FROM a)
        SELECT x FROM b WHERE EXISTS (SELECT 1 FROM c WHERE c.x = b.x AND c.y = $start)
        UNION ALL SELECT x FROM (SELECT x FROM d) AS e WHERE x < $until
        """
    )
    assert find_inputs(query) == ("c", "d", "events")
    assert find_params(query) == ("start", "until")


def test_words_leave_out_layout() -> None:
    assert words("SELECT  a -- b\nFROM t;") == words("select a from /* c */ t")
    assert words("SELECT 'a b'") != words("SELECT 'a  b'")
    assert words("SELECT a") != words('SELECT "a"') != words("SELECT 'a'")
