"""The SQL that every engine is known to run with equal results.

An allow-list: a construct is in it because `tests/test_portable.py` runs it on DuckDB and on Spark
and compares. Everything else is a finding that says why and what to write instead. Types decide
some cases (a cast of a fraction to an integer is rounded by one engine and cut by the other), so
the columns of all inputs are given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import sqlglot
from sqlglot import TokenType, errors, exp
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from studium.engines import dialect
from studium.engines.advice import ADVICE, FOLD, INGEST

#: Input table → column → DuckDB type.
Schema = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Finding:
    """A construct that is not known to be portable."""

    sql: str
    reason: str
    instead: str

    def __str__(self) -> str:
        return f"{self.sql}: {self.reason}. Instead: {self.instead}."


_STRUCTURE = {
    exp.Select: {"expressions", "from_", "joins", "where", "group", "having", "with_", "distinct"},
    exp.Union: {"this", "expression", "distinct", "with_"},
    exp.With: {"expressions"},
    exp.CTE: {"this", "alias"},
    exp.From: {"this"},
    exp.Table: {"this", "alias"},
    exp.TableAlias: {"this"},
    exp.Subquery: {"this", "alias"},
    exp.Join: {"this", "on", "side", "kind"},
    exp.Where: {"this"},
    exp.Group: {"expressions"},
    exp.Having: {"this"},
    exp.Distinct: {"expressions"},
    exp.Exists: {"this"},
    exp.Window: {"this", "partition_by", "order", "spec", "over"},
    exp.WindowSpec: {"kind", "start", "start_side", "end", "end_side"},
    exp.Order: {"expressions"},
    exp.Ordered: {"this", "desc", "nulls_first"},
    exp.Count: {"this", "big_int"},
    exp.Filter: {"this", "expression"},
    exp.DateDiff: {"this", "expression", "unit", "date_part_boundary"},
    exp.Like: {"this", "expression"},
    exp.Trim: {"this", "expression"},
    exp.In: {"this", "expressions"},
    exp.Substring: {"this", "start", "length"},
}

#: Nodes that are proven as they are; the checks below add conditions to some.
PROVEN: frozenset[type[Any]] = frozenset(
    {
        *_STRUCTURE,
        *(exp.Alias, exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren),
        *(exp.Placeholder, exp.Star, exp.DataType, exp.Var, exp.Interval),
        *(exp.And, exp.Or, exp.Not, exp.Is, exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE),
        *(exp.NullSafeEQ, exp.NullSafeNEQ, exp.Between, exp.Case, exp.If, exp.Coalesce),
        *(exp.Nullif, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.Abs),
        *(exp.Floor, exp.Cast, exp.Greatest, exp.Least, exp.DPipe, exp.Length, exp.StartsWith),
        *(exp.EndsWith, exp.BitLength, exp.Trim, exp.Substring, exp.Lower),
        *(exp.Sum, exp.Min, exp.Max, exp.LogicalOr, exp.LogicalAnd, exp.IgnoreNulls),
        *(exp.RowNumber, exp.Rank, exp.DenseRank, exp.Lag, exp.Lead, exp.FirstValue),
        *(exp.LastValue, exp.Year, exp.Month, exp.Day),
    }
)


def find_unportable(sql: str, schema: Schema) -> list[Finding]:
    """List what is not known to be portable in a table's SQL; empty: all of it is.

    `schema` names the columns of each input with their DuckDB types.
    """
    query = dialect.parse(sql)
    findings = [*_check_nodes(query), *_check_shape(query), *_check_null_order(sql, query)]
    try:
        known = MappingSchema({k: dict(v) for k, v in schema.items()}, dialect="duckdb")
        typed = qualify(
            query.copy(),
            schema=known,
            dialect="duckdb",
            quote_identifiers=False,
            expand_stars=False,
        )
        typed = annotate_types(typed, schema=known, dialect="duckdb")
    except errors.SqlglotError as error:
        reason = f"its columns cannot be told: {str(error).splitlines()[0].rstrip('.')}"
        return [*findings, Finding("the query", reason, "name table and column as they are")]
    return [*findings, *_check_types(typed)]


def _check_nodes(query: exp.Query) -> Iterator[Finding]:
    for node in query.walk():
        if type(node) not in PROVEN:
            yield _banned(node)
            continue
        allowed = _STRUCTURE.get(type(node))
        if allowed is None:
            continue
        for key, value in node.args.items():
            if value and key not in allowed:
                reason, instead = ADVICE.get(key, (f"{key} is not proven", "plainer SQL"))
                yield Finding(_show(node), reason, instead)


def _banned(node: Any) -> Finding:
    names = [node.key]
    if isinstance(node, exp.Anonymous):
        names.append(str(node.this).lower())
    for name in names:
        if name in ADVICE:
            return Finding(_show(node), *ADVICE[name])
    return Finding(
        _show(node),
        f"{names[-1].upper()} is not proven to be equal on every engine",
        "plainer SQL, or prove it in tests/test_portable.py",
    )


def _check_shape(query: exp.Query) -> Iterator[Finding]:
    for node in query.walk():
        if isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count):
            yield Finding(
                "SELECT *", "columns that come later change the table", "name each column"
            )
        elif isinstance(node, exp.Table) and not isinstance(node.this, exp.Identifier):
            yield Finding(_show(node), "only tables can be read", "the name of a table")
        elif isinstance(node, exp.Join):
            yield from _check_join(node)
        elif isinstance(node, exp.Group):
            for item in node.expressions:
                if isinstance(item, exp.Literal):
                    yield Finding(_show(node), "a number is not read everywhere", "the column")
        elif isinstance(node, exp.Count) and isinstance(node.this, exp.Distinct):
            if len(node.this.expressions) != 1:
                yield Finding(_show(node), "NULLs count differently", "a SELECT DISTINCT inside")
        elif isinstance(node, exp.Like) and not _plain_pattern(node.expression):
            yield Finding(_show(node), "escapes differ", "a literal pattern without backslash")
        elif isinstance(node, exp.Window):
            yield from _check_window(node)
        elif isinstance(node, exp.Trim | exp.Substring | exp.Lower):
            yield from _check_text(node)
        elif isinstance(node, exp.Sum):
            outer = node.parent
            while isinstance(outer, exp.Filter | exp.Window):
                outer = outer.parent
            if not isinstance(outer, exp.Cast):
                yield Finding(
                    _show(node), "the type of a sum differs", f"CAST({_show(node)} AS BIGINT)"
                )
        elif isinstance(node, exp.Floor) and not isinstance(node.parent, exp.Cast):
            yield Finding(_show(node), "it is DOUBLE or BIGINT", f"CAST({_show(node)} AS BIGINT)")
        elif isinstance(node, exp.Literal) and not node.is_string and "." in str(node.this):
            yield Finding(
                _show(node), "a fraction is a DECIMAL of another size", f"CAST('{node}' AS DOUBLE)"
            )


def _check_text(node: Any) -> Iterator[Finding]:
    if isinstance(node, exp.Lower):
        other = node.parent.expression if isinstance(node.parent, exp.EQ) else None
        # Beyond ASCII there are letters that fold to k and to i.
        plain = isinstance(other, exp.Literal) and set(str(other.this)) <= set(
            "abcdefghjlmnopqrstuvwxyz"
        )
        if not plain:
            instead = f"LOWER(…) = 'text' of small letters without i and k, or {INGEST}"
            yield Finding(_show(node), FOLD, instead)
    elif isinstance(node, exp.Trim):
        given = isinstance(node.expression, exp.Placeholder) or _plain_pattern(node.expression)
        if not given:
            yield Finding(_show(node), "what is a blank differs", "TRIM(…, $white_space)")
    else:
        start, length = node.args["start"], node.args.get("length")
        if not all(isinstance(one, exp.Literal) and int(one.this) > 0 for one in (start, length)):
            yield Finding(_show(node), "ends are counted differently", "SUBSTRING(…, 1, 255)")


def _check_join(join: exp.Join) -> Iterator[Finding]:
    kind = f"{join.side} {join.kind}".strip()
    if kind not in ("INNER", "LEFT", "LEFT OUTER", "FULL OUTER", "CROSS"):
        yield Finding(
            _show(join),
            f"{kind or 'a bare JOIN or comma'} is not proven",
            "INNER, LEFT, FULL OUTER or CROSS JOIN, or EXISTS",
        )
    elif (join.args.get("on") is None) != (kind == "CROSS"):
        yield Finding(_show(join), "a join needs ON, a CROSS JOIN none", "ON …")


def _check_window(window: exp.Window) -> Iterator[Finding]:
    function = window.this
    while isinstance(function, exp.IgnoreNulls | exp.Filter):
        function = function.this
    order, spec = window.args.get("order"), window.args.get("spec")
    ranking = isinstance(function, exp.RowNumber | exp.Rank | exp.DenseRank | exp.Lag | exp.Lead)
    values = isinstance(function, exp.FirstValue | exp.LastValue)
    if (ranking or values) and order is None:
        yield Finding(_show(window), "rows have no order", "ORDER BY … in the window")
    if order is not None and not ranking and (spec is None or spec.args.get("kind") != "ROWS"):
        frame = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
        yield Finding(_show(window), "the default frame lumps equal rows together", frame)


def _check_null_order(sql: str, query: exp.Query) -> Iterator[Finding]:
    tokens = sqlglot.tokenize(sql, read="duckdb")
    spelled = sum(
        token.text.upper() == "NULLS" and following.text.upper() in ("FIRST", "LAST")
        for token, following in pairwise(tokens)
        if token.token_type not in (TokenType.STRING, TokenType.IDENTIFIER)
    )
    if spelled < len(list(query.find_all(exp.Ordered))):
        yield Finding("ORDER BY", "engines place NULL differently", "add NULLS FIRST or NULLS LAST")


_FAMILIES = {
    "integer": {"TINYINT", "SMALLINT", "INT", "BIGINT"},
    "fraction": {"FLOAT", "DOUBLE"},
    "decimal": {"DECIMAL"},
    "text": {"TEXT", "VARCHAR"},
    "boolean": {"BOOLEAN"},
    "date": {"DATE"},
    "time": {"TIMESTAMP", "TIMESTAMPNTZ"},
    "null": {"NULL"},
}
_TARGETS = {"TINYINT", "SMALLINT", "INT", "BIGINT", "DOUBLE", "TEXT", "VARCHAR", "BOOLEAN", "DATE"}
_TARGETS |= {"TIMESTAMP", "TIMESTAMPNTZ"}
_CASTS = {
    *(("integer", "integer"), ("integer", "fraction"), ("integer", "text")),
    *(("boolean", "integer"), ("fraction", "fraction"), ("text", "text")),
    *(("date", "date"), ("date", "time"), ("date", "text"), ("time", "date"), ("time", "time")),
}
_COMPARED = (
    exp.EQ | exp.NEQ | exp.LT | exp.LTE | exp.GT | exp.GTE | exp.NullSafeEQ | exp.NullSafeNEQ
)


def _check_types(typed: Any) -> Iterator[Finding]:
    for node in typed.walk():
        if isinstance(node, exp.Cast):
            yield from _check_cast(node)
        elif isinstance(node, exp.Sum) and _family(node.this) not in ("integer", "null"):
            yield Finding(
                _show(node),
                "sums of fractions depend on the order of rows",
                "sum integers, such as microseconds or thousandths",
            )
        elif isinstance(node, exp.Div | exp.IntDiv | exp.Mod):
            if not _never_zero(node.expression):
                yield Finding(
                    _show(node), "division by 0 is NULL, infinite or an error", "… / NULLIF(…, 0)"
                )
        elif isinstance(node, exp.Add | exp.Sub):
            yield from _check_sum(node)
        elif isinstance(node, exp.DateDiff):
            unit = str(node.args.get("unit")).upper()
            wanted = {"DAY": "date", "MICROSECOND": "time"}.get(unit)
            if wanted is None or {_family(node.this), _family(node.expression)} != {wanted}:
                yield Finding(
                    _show(node),
                    "parts of a unit count differently",
                    "'day' between dates or 'microsecond' between timestamps",
                )
        elif isinstance(node, _COMPARED):
            sides = {_family(node.this), _family(node.expression)} - {"null", "unknown"}
            if len(sides) > 1 and sides != {"integer", "fraction"}:
                yield Finding(
                    _show(node),
                    f"{' and '.join(sorted(sides))} are converted differently",
                    "CAST one side",
                )


def _check_cast(cast: exp.Cast) -> Iterator[Finding]:
    operand, target = cast.this, cast.to
    goal = _family_of(target)
    if target.this.name not in _TARGETS or target.expressions:
        yield Finding(_show(cast), "the type is not the same everywhere", "DOUBLE or BIGINT")
        return
    while isinstance(operand, exp.Paren):
        operand = operand.this
    origin = _family(operand)
    literal = isinstance(operand, exp.Literal) and goal in ("date", "time", "fraction")
    dated = isinstance(operand, exp.Add | exp.Sub) and operand.find(exp.Interval) is not None
    floored = isinstance(operand, exp.Floor) and goal in ("integer", "fraction")
    given = isinstance(operand, exp.Placeholder | exp.Null)
    if (
        (origin, goal) in _CASTS
        or literal
        or floored
        or given
        or (dated and goal in ("date", "time"))
    ):
        return
    if origin == "fraction" and goal == "integer":
        yield Finding(_show(cast), "halves are rounded, or cut", "CAST(FLOOR(…) AS BIGINT)")
    elif origin == "text":
        yield Finding(_show(cast), "engines take different spellings", INGEST)
    else:
        yield Finding(_show(cast), f"{origin} to {goal} is not proven", "a column of that type")


def _check_sum(node: Any) -> Iterator[Finding]:
    sides = {_family(node.this), _family(node.expression)}
    if node.find(exp.Interval) is not None:
        unit = str(node.find(exp.Interval).args.get("unit")).upper()
        if unit not in ("DAY", "HOUR", "MINUTE", "SECOND"):
            yield Finding(_show(node), "months and years are not proven", "days")
        if not isinstance(node.parent, exp.Cast):
            yield Finding(_show(node), "the type of the result differs", "CAST(… AS DATE)")
    elif sides & {"date", "time"}:
        yield Finding(
            _show(node),
            "the type of the result differs",
            "DATE_DIFF('day', a, b), or CAST(a + INTERVAL 1 DAY AS DATE)",
        )


def _never_zero(node: Any) -> bool:
    if isinstance(node, exp.Literal):
        return float(node.this) != 0
    if isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal):
        return _never_zero(node.this)
    return isinstance(node, exp.Nullif) and str(node.expression) == "0"


def _plain_pattern(node: Any) -> bool:
    return isinstance(node, exp.Literal) and "\\" not in str(node.this)


def _family(node: Any) -> str:
    return _family_of(node.type) if node.type is not None else "unknown"


def _family_of(type_: exp.DataType) -> str:
    name = type_.this.name if type_.this is not None else ""
    return next((family for family, names in _FAMILIES.items() if name in names), "unknown")


def _show(node: Any) -> str:
    text = str(node.sql(dialect="duckdb", comments=False))
    return text if len(text) <= 80 else text[:77] + "…"
