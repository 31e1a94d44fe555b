"""The portable subset: each construct in it is run on both engines, everything else is refused."""

import tempfile
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from studium.columns import Column
from studium.engines import Relation
from studium.engines.dialect import parse
from studium.engines.portable import PROVEN, find_unportable
from studium.lake.tables import Table
from studium.lenses import tables
from studium.sources.edx.course_keys import WHITE_SPACE
from tests.engines import shared_engine
from tests.spec.slice import ANSWERS, EVENTS, SOURCES, STORED, write_whole

T = {
    "k": "INTEGER",
    "i": "BIGINT",
    "j": "INTEGER",
    "x": "DOUBLE",
    "s": "VARCHAR",
    "u": "VARCHAR",
    "d": "DATE",
    "e": "DATE",
    "a": "TIMESTAMP",
    "b": "TIMESTAMP",
    "f": "BOOLEAN",
}
N = {"k": "INTEGER", "g": "VARCHAR", "n": "BIGINT", "h": "BLOB"}
SCHEMA = {"t": T, "n": N}

_NEW_YEAR = datetime(2021, 1, 1)
_LAST = datetime(1969, 12, 31, 23, 59, 59, 999_999)
ROWS_T = [
    (1, 7, 2, 1.5, "abc", "abd", date(2021, 3, 1), date(2021, 2, 28), _NEW_YEAR, _LAST, True),
    (2, -7, 2, -1.5, "", "a", date(1969, 12, 31), date(2020, 2, 29), _LAST, _NEW_YEAR, False),
    (3, 7, -2, 0.0, "Ä", "a", date(2000, 2, 29), date(1999, 12, 31), _NEW_YEAR, _NEW_YEAR, None),
    (4, -7, -2, 2.5, "字🙂x", "Z", date(2021, 3, 1), None, _NEW_YEAR, None, True),
    (5, 0, 0, -0.25, "a b ", "~", None, date(2021, 3, 1), None, _NEW_YEAR, False),
    (6, None, None, None, None, None, None, None, None, None, None),
    (7, 9007199254740993, 3, 1e300, "None", "Ä", date(2024, 12, 30), None, _LAST, _LAST, True),
    (8, None, 1, 3.5, "a%c", None, date(2021, 3, 1), date(2021, 3, 1), _NEW_YEAR, _LAST, None),
    (9, 1, 1, 1.0, " \u2003\x1c aBC\t \x85\n", "x", None, None, None, None, None),
    (10, 1, 1, 1.0, "AbC", "x", None, None, None, None, None),
]  # fmt: skip
ROWS_N = [
    (1, "a", 1, b"\x00"),
    (2, "a", 2, b""),
    (3, "a", 2, b"\xff\x01"),
    (4, "b", None, b"\x7f"),
    (5, "b", 5, b"\x80"),
    (6, None, 6, b"\x00\x00"),
    (7, None, None, None),
    (8, "Ä", -3, b"\xff"),
    (11, "z", 3, b"\x00"),
]

EXPRESSIONS = [
    "i + j",
    "i - j",
    "j * 3",
    "-i",
    "ABS(j)",
    "i / NULLIF(j, 0)",
    "CAST(i AS DOUBLE) / 3",
    "x / 4",
    "i // NULLIF(j, 0)",
    "i % NULLIF(j, 0)",
    "CAST(FLOOR(CASE WHEN x < 10 THEN x END) AS DOUBLE)",
    "CAST(FLOOR(x * 0 + CAST('0.5' AS DOUBLE)) AS BIGINT)",
    "CAST(FLOOR(CASE WHEN x < 10 THEN x END) AS BIGINT)",
    "CAST(j AS BIGINT)",
    "CAST(CASE WHEN i < 10 THEN i END AS INTEGER)",
    "CAST(i AS DOUBLE)",
    "CAST(i AS VARCHAR)",
    "CAST(d AS VARCHAR)",
    "CAST(d AS TIMESTAMP)",
    "CAST(a AS DATE)",
    "CAST(f AS INTEGER)",
    "CAST(NULL AS BIGINT)",
    "CAST('0.1' AS DOUBLE)",
    "DATE '2021-03-01'",
    "TIMESTAMP '2021-03-01 01:02:03.5'",
    "CAST(d + INTERVAL 1 DAY AS DATE)",
    "CAST(d - INTERVAL 7 DAY AS DATE)",
    "CAST(a + INTERVAL 90 MINUTE AS TIMESTAMP)",
    "CAST(a - INTERVAL 30 SECOND AS TIMESTAMP)",
    "CAST(a - INTERVAL 36 HOUR AS TIMESTAMP)",
    "DATE_DIFF('day', e, d)",
    "DATE_DIFF('microsecond', b, a)",
    "YEAR(d)",
    "MONTH(d)",
    "DAY(d)",
    "s || u",
    "LENGTH(s)",
    "TRIM(s, ' ')",
    "TRIM(s, 'a c')",
    f"TRIM(s, '{WHITE_SPACE}')",
    "SUBSTRING(s, 1, 2)",
    "SUBSTRING(s, 2, 255)",
    "LOWER(s) = 'abc'",
    "STARTS_WITH(s, 'a')",
    "ENDS_WITH(s, 'c')",
    "BIT_LENGTH(s) = LENGTH(s) * 8",
    "s LIKE 'a%'",
    "s LIKE '_b_'",
    "NULLIF(s, '')",
    "COALESCE(s, u, 'none')",
    "GREATEST(i, j)",
    "LEAST(d, e)",
    "GREATEST(s, u)",
    "CASE WHEN f THEN 1 WHEN NOT f THEN 2 END",
    "CASE s WHEN 'abc' THEN 'x' WHEN '' THEN 'y' ELSE 'z' END",
    "i = j",
    "i <> j",
    "s < u",
    "s <= u",
    "d > e",
    "d >= e",
    "x < i",
    "f AND i > 0",
    "f OR i > 0",
    "(NOT f)",
    "i BETWEEN 0 AND 7",
    "s IN ('abc', 'Ä', NULL)",
    "s NOT IN ('abc', 'Ä')",
    "i IS NULL",
    "f IS NOT TRUE",
    "i IS DISTINCT FROM j",
    "d IS NOT DISTINCT FROM e",
    "TRUE",
    "CAST($day AS DATE)",
    "$number + i",
    "$word || s",
    "$flag AND f",
    "CAST($moment AS TIMESTAMP)",
    "$share * x",
]
PARAMS = {
    "day": date(2021, 3, 1),
    "number": -3,
    "word": "it's",
    "flag": True,
    "moment": datetime(2021, 3, 1, 1, 2, 3, 4),
    "share": 0.1,
}

_RUNNING = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
_BEFORE = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
QUERIES = {
    "grouped": """
        SELECT g, COUNT(*) AS a, COUNT(n) AS b, COUNT(DISTINCT n) AS c, MIN(n) AS d, MAX(n) AS e,
          CAST(SUM(n) AS BIGINT) AS f, CAST(SUM(n) FILTER (WHERE n > 1) AS BIGINT) AS h,
          COUNT(*) FILTER (WHERE n IS NULL) AS i, BOOL_OR(n > 2) AS j, BOOL_AND(n > 2) AS k
        FROM n GROUP BY g HAVING COUNT(*) > 0
        """,
    "whole": "SELECT COUNT(*) AS a, MIN(s) AS b, MAX(s) AS c, MIN(d) AS d, MAX(x) AS e FROM t",
    "nothing": "SELECT COUNT(*) AS a, CAST(SUM(n) AS BIGINT) AS b FROM n WHERE n > 1000",
    "distinct": "SELECT DISTINCT g FROM n",
    "ranks": """
        SELECT k,
          ROW_NUMBER() OVER (PARTITION BY g ORDER BY n DESC NULLS LAST, k NULLS LAST) AS a,
          RANK() OVER (ORDER BY n NULLS FIRST) AS b,
          DENSE_RANK() OVER (ORDER BY g DESC NULLS FIRST) AS c,
          LAG(n) OVER (PARTITION BY g ORDER BY k NULLS LAST) AS d,
          LEAD(n, 2) OVER (ORDER BY k NULLS LAST) AS e
        FROM n
        """,
    "null-order": """
        SELECT k,
          ROW_NUMBER() OVER (ORDER BY n NULLS FIRST, k NULLS LAST) AS a,
          ROW_NUMBER() OVER (ORDER BY n NULLS LAST, k NULLS LAST) AS b,
          ROW_NUMBER() OVER (ORDER BY n DESC NULLS FIRST, k NULLS LAST) AS c,
          ROW_NUMBER() OVER (ORDER BY n DESC NULLS LAST, k NULLS LAST) AS d,
          ROW_NUMBER() OVER (ORDER BY g NULLS LAST, k NULLS LAST) AS e
        FROM n
        """,
    "bytes": """
        SELECT n.k, m.k AS l, RANK() OVER (ORDER BY n.h NULLS FIRST) AS a
        FROM n INNER JOIN n AS m ON m.h = n.h
        """,
    "running": f"""
        SELECT k,
          CAST(SUM(n) OVER (PARTITION BY g ORDER BY k NULLS LAST {_RUNNING}) AS BIGINT) AS a,
          COUNT(n) OVER (ORDER BY k NULLS LAST {_RUNNING}) AS b,
          MAX(n) OVER (ORDER BY k NULLS LAST {_BEFORE}) AS c,
          MIN(n) OVER (PARTITION BY g) AS d,
          FIRST_VALUE(n) OVER (ORDER BY k NULLS LAST {_RUNNING}) AS e,
          LAST_VALUE(n IGNORE NULLS) OVER (ORDER BY k NULLS LAST {_BEFORE}) AS f,
          LAST_VALUE(n) OVER (
            ORDER BY k NULLS LAST ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
          ) AS h,
          CAST(SUM(n) OVER (
            ORDER BY k NULLS LAST ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING
          ) AS BIGINT) AS i
        FROM n
        """,
    "left": "SELECT t.k, n.g FROM t LEFT JOIN n ON n.n = t.j",
    "inner": "SELECT t.k, n.k AS l FROM t INNER JOIN n ON n.k > t.k AND n.g = 'a'",
    "cross": "SELECT t.k, n.k AS l FROM t CROSS JOIN n",
    "full": "SELECT t.k, n.k AS l FROM t FULL OUTER JOIN n ON n.k = t.k",
    "null-safe": "SELECT t.k, n.k AS l FROM t INNER JOIN n ON n.n IS NOT DISTINCT FROM t.j",
    "exists": "SELECT k FROM t WHERE EXISTS (SELECT 1 FROM n WHERE n.n = t.j)",
    "not-exists": "SELECT k FROM t WHERE NOT EXISTS (SELECT 1 FROM n WHERE n.n = t.j)",
    "union": "SELECT g FROM n UNION SELECT s AS g FROM t",
    "union-all": "SELECT g, 1 AS one FROM n UNION ALL SELECT s AS g, 2 AS one FROM t",
    "with": """
        WITH a AS (SELECT g, n FROM n WHERE n > 0), b AS (SELECT g, MAX(n) AS m FROM a GROUP BY g)
        SELECT a.g, a.n, b.m FROM a INNER JOIN b ON b.g = a.g
        """,
    "inside": "SELECT inner_rows.g FROM (SELECT g FROM n WHERE n > 1) AS inner_rows",
}

BANNED = [
    ("SELECT APPROX_COUNT_DISTINCT(i) AS a FROM t", "approximates"),
    ("SELECT MEDIAN(i) AS a FROM t", "interpolate"),
    ("SELECT QUANTILE_CONT(i, 0.5) AS a FROM t", "interpolate"),
    ("SELECT EPOCH_US(a) AS x FROM t", "time zone"),
    ("SELECT EPOCH(a) AS x FROM t", "time zone"),
    ("SELECT ISINF(x) AS a FROM t", "no such function"),
    ("SELECT ISNAN(x) AS a FROM t", "NaN"),
    ("SELECT k FROM RANGE(3) AS t(k)", "spine of days"),
    ("SELECT k FROM GENERATE_SERIES(1, 3) AS t(k)", "spine of days"),
    ("SELECT k FROM read_parquet('x') AS t", "only tables"),
    ("SELECT CAST(x AS BIGINT) AS a FROM t", "halves"),
    ("SELECT CAST(x + 1 AS INTEGER) AS a FROM t", "halves"),
    ("SELECT CAST(s AS BIGINT) AS a FROM t", "spellings"),
    ("SELECT TRY_CAST(s AS BIGINT) AS a FROM t", "spellings"),
    ("SELECT CAST(x AS VARCHAR) AS a FROM t", "fraction to text"),
    ("SELECT CAST(i AS DECIMAL(9, 2)) AS a FROM t", "type is not the same"),
    ("SELECT CAST(a AS TIMESTAMPTZ) AS a FROM t", "type is not the same"),
    ("SELECT SUM(i) AS a FROM t", "type of a sum"),
    ("SELECT CAST(SUM(x) AS DOUBLE) AS a FROM t", "order of rows"),
    ("SELECT AVG(x) AS a FROM t", "order of rows"),
    ("SELECT ROW_NUMBER() OVER (ORDER BY i) AS a FROM t", "NULL differently"),
    ("SELECT ROW_NUMBER() OVER (PARTITION BY i) AS a FROM t", "no order"),
    ("SELECT MAX(i) OVER (ORDER BY k NULLS LAST) AS a FROM t", "default frame"),
    ("SELECT * FROM t", "change the table"),
    ("SELECT k FROM t WHERE s ~ 'a'", "dialects"),
    ("SELECT REGEXP_REPLACE(s, 'a', 'b') AS a FROM t", "dialects"),
    ("SELECT REGEXP_EXTRACT(s, 'a') AS a FROM t", "dialects"),
    ("SELECT s ->> '$.a' AS a FROM t", "JSON"),
    ("SELECT JSON_EXTRACT(s, '$.a') AS a FROM t", "JSON"),
    ("SELECT k FROM t QUALIFY ROW_NUMBER() OVER (ORDER BY k NULLS LAST) = 1", "Spark has none"),
    ("SELECT NOW() AS a FROM t", "every run"),
    ("SELECT CURRENT_DATE AS a FROM t", "every run"),
    ("SELECT RANDOM() AS a FROM t", "every run"),
    ("SELECT FIRST(i) AS a FROM t", "several tie"),
    ("SELECT ANY_VALUE(i) AS a FROM t", "several tie"),
    ("SELECT ARG_MAX(i, j) AS a FROM t", "several tie"),
    ("SELECT LIST(i) AS a FROM t", "order of its items"),
    ("SELECT STRING_AGG(s, ',') AS a FROM t", "order of its items"),
    ("SELECT k FROM t LIMIT 3", "no order to cut"),
    ("SELECT k FROM t ORDER BY k NULLS LAST", "no order"),
    ("SELECT LOWER(s) AS a FROM t", "ASCII"),
    ("SELECT k FROM t WHERE LOWER(s) = u", "ASCII"),
    ("SELECT k FROM t WHERE LOWER(s) = 'kind'", "ASCII"),
    ("SELECT TRIM(s) AS a FROM t", "what is a blank"),
    ("SELECT TRIM(s, u) AS a FROM t", "what is a blank"),
    ("SELECT SUBSTRING(s, 0, 2) AS a FROM t", "ends are counted"),
    ("SELECT SUBSTRING(s, 2) AS a FROM t", "ends are counted"),
    ("SELECT SUBSTRING(s, j, 2) AS a FROM t", "ends are counted"),
    ("SELECT k FROM t WHERE s ILIKE 'a'", "ASCII"),
    ("SELECT k FROM t WHERE s LIKE u", "escapes"),
    ("SELECT s COLLATE NOCASE AS a FROM t", "collations"),
    ("SELECT CONCAT(s, u) AS a FROM t", "NULL is skipped"),
    ("SELECT ROUND(x) AS a FROM t", "halves"),
    ("SELECT FLOOR(x) AS a FROM t", "DOUBLE or BIGINT"),
    ("SELECT ISODOW(d) AS a FROM t", "translation is wrong"),
    ("SELECT STRFTIME(d, '%Y') AS a FROM t", "formats"),
    ("SELECT DATE_TRUNC('week', d) AS a FROM t", "type of the result"),
    ("SELECT d - e AS a FROM t", "type of the result"),
    ("SELECT d + 1 AS a FROM t", "type of the result"),
    ("SELECT d + INTERVAL 1 DAY AS a FROM t", "type of the result"),
    ("SELECT CAST(d + INTERVAL 1 MONTH AS DATE) AS a FROM t", "months"),
    ("SELECT DATE_DIFF('hour', a, b) AS c FROM t", "parts of a unit"),
    ("SELECT DATE_DIFF('day', a, b) AS c FROM t", "parts of a unit"),
    ("SELECT i / j AS a FROM t", "division by 0"),
    ("SELECT i % j AS a FROM t", "division by 0"),
    ("SELECT x * 1.5 AS a FROM t", "DECIMAL"),
    ("SELECT k FROM t WHERE d = '2021-03-01'", "converted differently"),
    ("SELECT k FROM t WHERE s = 1", "converted differently"),
    ("SELECT COUNT(DISTINCT i, j) AS a FROM t", "count differently"),
    ("SELECT t.k FROM t, n", "not proven"),
    ("SELECT t.k FROM t JOIN n USING (k)", "not proven"),
    ("SELECT t.k FROM t SEMI JOIN n ON n.k = t.k", "not proven"),
    ("SELECT i FROM t GROUP BY 1", "number"),
    ("SELECT DISTINCT ON (i) i FROM t", "not proven"),
    ("SELECT k FROM t WHERE k IN (SELECT k FROM n)", "not proven"),
    ("SELECT k FROM t TABLESAMPLE 10%", "not proven"),
    ("SELECT UNNEST([k]) AS a FROM t", "arrays"),
    ("SELECT HASH(k) AS a FROM t", "HASH is not proven"),
    ("SELECT nope FROM t", "cannot be told"),
]


@cache
def relations() -> Mapping[str, Relation]:
    folder = Path(tempfile.mkdtemp(prefix="studium-portable-"))
    rows = [dict(zip(T, row, strict=True)) for row in ROWS_T]
    numbers = [dict(zip(N, row, strict=True)) for row in ROWS_N]
    return {"t": write_whole(folder / "t", T, rows), "n": write_whole(folder / "n", N, numbers)}


@cache
def run(engine: str, sql: str) -> list[dict[str, Any]]:
    """Rows of a query, in an order of their own."""
    found = shared_engine(engine).query(sql, relations(), PARAMS).to_pylist()
    return sorted(found, key=lambda row: [(v is None, str(v)) for v in row.values()])


@cache
def run_expressions(engine: str) -> list[dict[str, Any]]:
    """All expressions over all rows of t, in one query: Spark takes its time for each."""
    items = ", ".join(f"{sql} AS c{number}" for number, sql in enumerate(EXPRESSIONS))
    found = shared_engine(engine).query(f"SELECT k, {items} FROM t", relations(), PARAMS)
    return sorted(found.to_pylist(), key=lambda row: row["k"])


@pytest.mark.spark
@pytest.mark.parametrize("number", range(len(EXPRESSIONS)), ids=lambda n: EXPRESSIONS[n])
def test_expression_is_equal_on_both_engines(number: int) -> None:
    duckdb = [row[f"c{number}"] for row in run_expressions("duckdb")]
    spark = [row[f"c{number}"] for row in run_expressions("spark")]
    assert [(type(v), v) for v in spark] == [(type(v), v) for v in duckdb]


@pytest.mark.spark
@pytest.mark.parametrize("name", QUERIES)
def test_query_is_equal_on_both_engines(name: str) -> None:
    rows = run("duckdb", QUERIES[name])
    assert rows
    assert run("spark", QUERIES[name]) == rows


@pytest.mark.parametrize("sql", [f"SELECT {sql} AS c FROM t" for sql in EXPRESSIONS])
def test_proven_expression_is_allowed(sql: str) -> None:
    assert find_unportable(sql, SCHEMA) == []


@pytest.mark.parametrize("name", QUERIES)
def test_proven_query_is_allowed(name: str) -> None:
    assert find_unportable(QUERIES[name], SCHEMA) == []


def test_everything_allowed_is_proven() -> None:
    proofs = [f"SELECT {sql} AS c FROM t" for sql in EXPRESSIONS] + list(QUERIES.values())
    seen = {type(node) for sql in proofs for node in parse(sql).walk()}
    assert {node.__name__ for node in PROVEN - seen} == set()


@pytest.mark.parametrize(("sql", "reason"), BANNED, ids=[sql for sql, _ in BANNED])
def test_banned_construct_is_found(sql: str, reason: str) -> None:
    findings = [str(finding) for finding in find_unportable(sql, SCHEMA)]
    assert any(reason in finding for finding in findings), findings


def column_type(column: Column) -> str:
    return STORED.get(column.type.partition("(")[0], column.type.upper())


def table_schema() -> dict[str, dict[str, str]]:
    made = {t.name: {c.name: column_type(c) for c in t.columns} for t in tables()}
    logged = {"events": {"day": "DATE", **EVENTS}, "event_answers": {"day": "DATE", **ANSWERS}}
    return {**logged, **SOURCES, **made}


@pytest.mark.parametrize("table", [t for t in tables() if t.sql], ids=lambda table: table.name)
def test_tables_are_portable(table: Table) -> None:
    assert table.sql is not None
    assert [str(finding) for finding in find_unportable(table.sql, table_schema())] == []
