"""The SQL of a comparison: two stagings of one table, joined by its grain, and what differs.

``compared.here_<table>`` and ``compared.there_<table>`` have the declared columns, typed, and
``nth``: 1, or more for older rows of the same key. ``compared.joined`` has the rows that differ,
with ``h_`` and ``t_`` before the names of the columns, and ``h_nth``, ``t_nth``: NULL if absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from studium.columns import Column
from studium.engines.duckdb import quote
from studium.lake.tables import Table
from studium.lenses.differences import Difference

_UNEXPLAINED = "'unexplained'"


def moment(table: Table) -> str | None:
    """The column of the grain that tells the day of a row, if there is one."""
    types = {column.name: column.type for column in table.columns}
    return next((name for name in table.grain if types[name] in ("date", "datetime")), None)


def typed(columns: Sequence[Column]) -> str:
    """The staged columns, of which days and times are texts, as what they are."""
    casts = {
        "date": "TRY_CAST({0} AS DATE)",
        "datetime": "TRY_CAST({0} AS TIMESTAMP)",
        "boolean": "{0} = '1'",
    }
    return ", ".join(
        f"{casts.get(column.type, '{0}').format(_name(column.name))} AS {_name(column.name)}"
        for column in columns
    )


def nth(grain: Sequence[str], order: str | None) -> str:
    """1 for the newest row of a key, by ``order``."""
    by = f" ORDER BY {_name(order)} DESC" if order else ""
    return f"row_number() OVER (PARTITION BY {_names(grain)}{by})"


def joined_sql(table: Table, compared: Sequence[Column], tolerance: float) -> str:
    """Rows that only one side has, and those with a cell that differs."""
    names = [*table.grain, *(column.name for column in compared)]
    sides = ", ".join(
        f'{side}.{_name(name)} AS "{side}_{name}"' for side in ("h", "t") for name in names
    )
    keys = " AND ".join(f"h.{_name(k)} IS NOT DISTINCT FROM t.{_name(k)}" for k in table.grain)
    differ = " OR ".join(
        ["h.nth IS NULL", "t.nth IS NULL"]
        + [_differs(column, f"h.{_name(column.name)}", f"t.{_name(column.name)}", tolerance)
           for column in compared]
    )  # fmt: skip
    return (
        f"SELECT {sides}, h.nth AS h_nth, t.nth AS t_nth "
        f'FROM compared."here_{table.publish}" AS h FULL OUTER JOIN '
        f'(SELECT * FROM compared."there_{table.publish}" WHERE nth = 1) AS t '
        f"ON {keys} WHERE {differ}"
    )


def rows_sql(table: Table, kind: str, case: str) -> str:
    """Differences of ``kind`` "only here" or "only there" among the joined rows."""
    mine, other = ("h", "t") if kind == "only here" else ("t", "h")
    return _differences(
        table, kind, "NULL", "NULL", "NULL", case,
        f"(SELECT {_side(mine)} FROM compared.joined WHERE {other}_nth IS NULL)",
    )  # fmt: skip


def twice_sql(table: Table, case: str) -> str:
    """Differences of kind "twice there": older rows of a key."""
    rows = f'(SELECT * FROM compared."there_{table.publish}" WHERE nth > 1)'
    return _differences(table, "twice there", "NULL", "NULL", "NULL", case, rows)


def cells_sql(table: Table, column: Column, case: str, tolerance: float) -> str:
    """Differences of kind "cell" in one column."""
    here, there = f'"h_{column.name}"', f'"t_{column.name}"'
    rows = (
        f"(SELECT {_side('h')}, {here} AS here, {there} AS there FROM compared.joined WHERE "
        f"h_nth IS NOT NULL AND t_nth IS NOT NULL AND {_differs(column, here, there, tolerance)})"
    )
    return _differences(
        table, "cell", quote(column.name), "CAST(here AS VARCHAR)", "CAST(there AS VARCHAR)",
        case, rows,
    )  # fmt: skip


def explained(rules: Sequence[Difference], newer: Sequence[tuple[str, str]], start: date) -> str:
    """What explains a row ``differing``: that data are newer, else the first rule that fits."""
    cases = [f"WHEN {condition} THEN {quote(said)}" for condition, said in newer]
    cases += [
        f"WHEN {rule.condition.replace('$start', f'DATE {quote(str(start))}')} "
        f"THEN {quote(rule.id)}"
        for rule in rules
    ]
    return f"CASE {' '.join(cases)} ELSE {_UNEXPLAINED} END" if cases else _UNEXPLAINED


def _differences(
    table: Table, kind: str, column: str, here: str, there: str, case: str, rows: str
) -> str:
    return (
        f"SELECT {quote(str(table.publish))}, {quote(kind)}, {column}, {_where(table)}, "
        f"{here}, {there}, {case} FROM {rows} AS differing"
    )


def _side(letter: str) -> str:
    """One side of the joined rows, under the columns' own names."""
    return f"COLUMNS('^{letter}_(.*)$') AS '\\1'"


def _where(table: Table) -> str:
    """The key of a row as a condition for ``--where``."""
    types = {column.name: column for column in table.columns}
    parts = []
    for name in table.grain:
        value, column = f"differing.{_name(name)}", types[name]
        plain = column.type in ("integer", "bigint", "smallint")
        text = f"CAST({value} AS VARCHAR)"
        shown = text if plain else f"'''' || replace({text}, '''', '''''') || ''''"
        parts.append(f"{quote(name)} || coalesce(' = ' || {shown}, ' IS NULL')")
    return " || ' AND ' || ".join(parts)


def _differs(column: Column, here: str, there: str, tolerance: float) -> str:
    if column.type == "double":
        near = f"abs({here} - {there}) <= {tolerance!r} * greatest(abs({here}), abs({there}))"
        return f"NOT coalesce({near}, {here} IS NULL AND {there} IS NULL)"
    if column.type == "datetime":  # the old store keeps whole seconds
        near = f"abs(epoch_us({here}) - epoch_us({there})) < 1000000"
        return f"NOT coalesce({near}, {here} IS NULL AND {there} IS NULL)"
    return f"{here} IS DISTINCT FROM {there}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(_name(name) for name in names)


def _name(text: str) -> str:
    return f'"{text}"'
