"""Which rows of an input explain a row of a table.

The table's header says it under ``[trace]``, one condition per input, in which ``$name`` stands for
a value of the explained row or for a parameter. Without one it is the rows that are equal in the
columns of the grain that the input has too. A day table sees its own day and those in its reach.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from studium.autopilot.steps import EMPTY
from studium.engines import dialect
from studium.lake.tables import Table

POSITION = ("file_id", "line_no")
"""Columns of a source that say which line of the log a row comes from."""


def read_order(name: str, known: Mapping[str, Table]) -> list[str]:
    """The table and all that it reads, each behind its readers; sources last, the log the last."""
    wanted = {name}
    made = []
    for table in reversed(list(known.values())):
        if table.name in wanted:
            made.append(table.name)
            wanted |= set(table.inputs)
    # Tables that Python makes of nothing lead nowhere, so they do not come between others.
    made.sort(key=lambda one: known[one].kind == "map" and not known[one].inputs)
    sources = wanted - set(made)
    return made + sorted(sources, key=lambda one: (POSITION[0] in EMPTY.get(one, ()), one))


def condition(reader: Table, name: str, columns: Collection[str]) -> str:
    """The condition on rows of the input ``name``, which has ``columns``, as people read it."""
    if name in reader.trace:
        text = reader.trace[name]
    else:
        equal = {
            column.name: "IS NOT DISTINCT FROM" if column.nullable else "="
            for column in reader.columns
        }
        text = " AND ".join(f"{one} {equal[one]} ${one}" for one in reader.grain if one in columns)
    if reader.kind == "day" and "day" in columns and "$day" not in text:
        reach = f"abs(day - $day) <= {reader.reach}" if reader.reach else "day = $day"
        text = f"{reach} AND {text}" if text else reach
    return text or "true"


def condition_sql(
    reader: Table, name: str, columns: Collection[str], params: Mapping[str, object]
) -> str:
    """The same for DuckDB; values of the explained row are columns ``explained."$name"``."""
    from sqlglot import exp

    def put(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Placeholder):
            return node
        value = str(node.this)
        if value in reader.column_names:
            return exp.column(exp.to_identifier(f"${value}", quoted=True), table="explained")
        return dialect.literal(params[value])

    text = condition(reader, name, columns)
    query = dialect.parse(f'SELECT 1 FROM "{name}" WHERE ({text})').transform(put)
    found = query.find(exp.Where)
    assert found is not None
    return str(found.this.sql(dialect="duckdb"))


def names_in(sql: str) -> set[str]:
    """All names of columns in a query, of whichever table."""
    from sqlglot import exp

    return {column.name for column in dialect.parse(sql).find_all(exp.Column)}
