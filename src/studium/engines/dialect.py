"""Table SQL as a tree: read it, see what it needs, bind its parameters, write it for an engine.

SQL is written in DuckDB's dialect; SQLGlot translates. What may be written at all is the business
of `studium.engines.portable`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING

from studium.errors import EngineError

if TYPE_CHECKING:
    from sqlglot import exp

#: What an engine can store and every engine reads back the same.
PORTABLE_TYPES = frozenset(
    {
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "FLOAT",
        "DOUBLE",
        "VARCHAR",
        "BLOB",
        "DATE",
        "TIMESTAMP",
    }
)


def parse(sql: str) -> exp.Query:
    """Read one query in DuckDB's dialect; anything else is an `EngineError`."""
    import sqlglot
    from sqlglot import errors, exp

    try:
        statements = [node for node in sqlglot.parse(sql, read="duckdb") if node is not None]
    except errors.SqlglotError as error:
        raise EngineError(f"The SQL cannot be read: {_plain(str(error))}") from error
    if len(statements) != 1:
        raise EngineError(f"One SELECT is expected, found {len(statements)} statements.")
    (statement,) = statements
    if not isinstance(statement, exp.Query):
        raise EngineError(f"One SELECT is expected, found {statement.key.upper()}.")
    return statement


def find_inputs(query: exp.Query) -> tuple[str, ...]:
    """Name the tables that a query reads, sorted; names of its own WITH clauses do not count."""
    from sqlglot import exp
    from sqlglot.optimizer.scope import traverse_scope

    names = {
        source.name
        for scope in traverse_scope(query)
        for source in scope.sources.values()
        if isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier)
    }
    return tuple(sorted(names))


def find_params(query: exp.Query) -> tuple[str, ...]:
    """Name the `$parameters` of a query, sorted."""
    from sqlglot import exp

    return tuple(sorted({str(node.this) for node in query.find_all(exp.Placeholder)}))


def bind(query: exp.Query, params: Mapping[str, object]) -> exp.Query:
    """Put literals in the place of `$parameters`; parameters that the query lacks are ignored."""
    from sqlglot import exp

    missing = sorted(set(find_params(query)) - set(params))
    if missing:
        names = ", ".join(f"${name}" for name in missing)
        raise EngineError(f"The query needs a value for {names}.")

    def replace(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Placeholder):
            return literal(params[str(node.this)])
        return node

    bound = query.transform(replace)
    assert isinstance(bound, exp.Query)
    return bound


def literal(value: object) -> exp.Expr:
    """Write a Python value as SQL: dates as DATE, naive UTC datetimes as TIMESTAMP."""
    from sqlglot import exp

    if value is None:
        return exp.null()
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, int):
        return exp.Literal.number(value)
    if isinstance(value, float) and math.isfinite(value):
        # A bare 0.1 is a DECIMAL to every engine.
        return exp.cast(exp.Literal.string(repr(value)), "double", dialect="duckdb")
    if isinstance(value, str):
        return exp.Literal.string(value)
    if isinstance(value, datetime) and value.tzinfo is None:
        text = value.isoformat(sep=" ", timespec="microseconds")
        return exp.cast(exp.Literal.string(text), "timestamp", dialect="duckdb")
    if isinstance(value, date) and not isinstance(value, datetime):
        return exp.cast(exp.Literal.string(value.isoformat()), "date", dialect="duckdb")
    raise EngineError(f"{value!r} cannot be a parameter: give a date, a number or a text.")


def render(query: exp.Query, dialect: str) -> str:
    """Write a query for an engine: "duckdb" or "spark"."""
    from sqlglot import exp

    if dialect == "spark" and any(
        node.this == exp.DataType.Type.TIMESTAMPTZ for node in query.find_all(exp.DataType)
    ):
        # Spark's TIMESTAMP is naive here, so the zone would be lost without a word.
        raise EngineError("The type TIMESTAMP WITH TIME ZONE: times are naive UTC, TIMESTAMP.")
    return query.sql(dialect=dialect, comments=False)


def translate_type(type_: str, dialect: str = "spark") -> str:
    """Translate DuckDB's text of a type: `translate_type("TIMESTAMP") == "TIMESTAMP_NTZ"`."""
    from sqlglot import exp

    return exp.DataType.build(type_, dialect="duckdb").sql(dialect=dialect)


def words(sql: str) -> str:
    """The words of a query without comments and layout: what decides whether it has changed.

    Tokens, not the syntax tree, because their text does not change with SQLGlot's version: an
    upgrade must not make every partition of a lake stale.
    """
    import sqlglot
    from sqlglot import TokenType

    quote = {TokenType.STRING: "'", TokenType.IDENTIFIER: '"'}
    texts = []
    for token in sqlglot.tokenize(sql, read="duckdb"):
        if token.token_type is TokenType.SEMICOLON:
            continue
        mark = quote.get(token.token_type)
        texts.append(f"{mark}{token.text}{mark}" if mark else token.text.lower())
    return " ".join(texts)


def check_inputs(query: exp.Query, inputs: Mapping[str, object]) -> None:
    """Raise `EngineError` if the query reads a table that is not among the inputs."""
    missing = sorted(set(find_inputs(query)) - set(inputs))
    if missing:
        raise EngineError(f"The query reads {', '.join(missing)}, which it was not given.")


def check_types(columns: Mapping[str, str]) -> None:
    """Raise `EngineError` if a column has a type that not every engine stores the same way."""
    for name, type_ in columns.items():
        if type_ not in PORTABLE_TYPES:
            advice = {
                "HUGEINT": f"CAST(… AS BIGINT); sums of integers are {type_}",
                "DECIMAL": "CAST(… AS DOUBLE) or BIGINT",
                '"NULL"': "CAST(NULL AS …)",
                "TIMESTAMP WITH TIME ZONE": "CAST(… AS TIMESTAMP)",
            }.get(type_.split("(")[0], f"CAST(… AS one of {', '.join(sorted(PORTABLE_TYPES))})")
            raise EngineError(f"Column {name} is of type {type_}: write {advice}.")


def _plain(message: str) -> str:
    return message.replace("\x1b[4m", "").replace("\x1b[0m", "")
