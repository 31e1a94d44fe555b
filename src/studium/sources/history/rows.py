"""Lines of a warehouse table → rows of the day table here, and why a line is none.

Everything is text until here: tab-separated, ``\\N`` for NULL, no quoting, no escapes
(specs/edx-activity-video-answers §0.8).
"""

from __future__ import annotations

from studium.columns import Column
from studium.engines.duckdb import quote
from studium.lake.build import stored_columns
from studium.lake.tables import Table
from studium.sources.history.warehouse import WarehouseTable

_DATE = r"\d{4}-\d\d-\d\d"
_TIME = rf"{_DATE}([T ]\d\d:\d\d:\d\d(\.\d{{1,9}})?([Zz]|[+-]\d\d:?\d\d)?)?"
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_TYPES = {"smallint": "SMALLINT", "integer": "INTEGER", "bigint": "BIGINT"}


def rows_sql(source: WarehouseTable, target: Table, lines: str) -> str:
    """SELECT of (file_id, line_no, line, day, reason, the columns of ``target``) over ``lines``
    (file_id, line_no, line, day); ``reason`` is NULL for a good line."""
    values = {
        column.name: _value(column, _text(source, name))
        if (name := _source_of(source, column.name))
        else f"CAST(NULL AS {stored_columns([column])[column.name]})"
        for column in target.columns
        if column.name != "day"
    }
    width = len(source.columns)
    checks = [
        f"WHEN len(cells) <> {width} THEN len(cells) || "
        f"CASE len(cells) WHEN 1 THEN ' column' ELSE ' columns' END || ', not {width}'"
    ]
    for column in target.columns:
        name = _source_of(source, column.name)
        if column.name == "day" or name is None:
            continue
        text, value = _text(source, name), f'"{column.name}"'
        if not column.nullable:
            checks.append(f"WHEN {text} IS NULL THEN {quote(f'no {name}')}")
        bad = quote(f"{name} does not fit {column.type}")
        checks.append(f"WHEN {text} IS NOT NULL AND {value} IS NULL THEN {bad}")
        if name in source.at_least:
            least = source.at_least[name]
            checks.append(f"WHEN {value} < {least} THEN {quote(f'{name} is below {least}')}")
    for name, allowed in source.allowed.items():
        listed = ", ".join(quote(one) for one in allowed)
        checks.append(
            f"WHEN {_text(source, name)} NOT IN ({listed}) THEN {quote(f'{name} is unknown')}"
        )
    dated = _moment(_text(source, source.dated))
    checks.append(
        f"WHEN CAST({dated} AS DATE) IS DISTINCT FROM day "
        f"THEN {quote(f'{source.dated} is not of the day of its folder')}"
    )
    listed = ", ".join(f'{value} AS "{name}"' for name, value in values.items())
    return (
        f"SELECT file_id, line_no, line, day, {', '.join(map(_quoted, values))}, "
        f"CASE {' '.join(checks)} END AS reason "
        f"FROM (SELECT *, {listed} FROM (SELECT *, string_split(rtrim(line, chr(10) || chr(13)), "
        f"chr(9)) AS cells FROM {lines}))"
    )


def missing_columns(source: WarehouseTable, target: Table) -> list[str]:
    """Columns of the target that the warehouse has nothing for, though they must have a value."""
    return [
        column.name
        for column in target.columns
        if column.name != "day" and not column.nullable and _source_of(source, column.name) is None
    ]


def _source_of(source: WarehouseTable, column: str) -> str | None:
    name = source.source.get(column, column)
    return name if name in source.columns else None


def _text(source: WarehouseTable, name: str) -> str:
    cell = f"cells[{source.columns.index(name) + 1}]"
    text = f"nullif({cell}, '\\N')"
    if name in source.unknown:
        text = f"nullif({text}, {quote(source.unknown[name])})"
    renamed = source.renamed.get(name, {})
    cases = " ".join(f"WHEN {quote(old)} THEN {quote(new)}" for old, new in renamed.items())
    return f"CASE {text} {cases} ELSE {text} END" if cases else text


def _value(column: Column, text: str) -> str:
    if column.length:
        return f"CASE WHEN length({text}) <= {column.length} THEN {text} END"
    if column.type in _TYPES:
        kind = _TYPES[column.type]
        return (
            f"CASE WHEN regexp_full_match({text}, '-?[0-9]+') THEN TRY_CAST({text} AS {kind}) END"
        )
    if column.type == "double":
        return (
            f"CASE WHEN regexp_full_match({text}, '{_NUMBER}') THEN TRY_CAST({text} AS DOUBLE) END"
        )
    if column.type == "boolean":
        return f"CASE {text} WHEN '1' THEN true WHEN '0' THEN false END"
    if column.type == "date":
        return f"CAST({_moment(text)} AS DATE)"
    if column.type == "datetime":
        return _moment(text)
    return text


def _matching(text: str, pattern: str, kind: str) -> str:
    return f"CASE WHEN regexp_full_match({text}, '{pattern}') THEN TRY_CAST({text} AS {kind}) END"


def _moment(text: str) -> str:
    """UTC. The old pipeline added ``.000000`` behind a ``Z`` or a negative offset
    (specs/edx-enrollment-geography §1.4)."""
    tidy = f"regexp_replace({text}, '([Zz]|-\\d\\d:?\\d\\d)\\.0+$', '\\1')"
    return (
        f"CASE WHEN regexp_full_match({tidy}, '{_TIME}') "
        f"THEN TRY_CAST({tidy} AS TIMESTAMPTZ)::TIMESTAMP END"
    )


def _quoted(name: str) -> str:
    return f'"{name}"'
