"""The register: what the result store says that it holds."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC

import sqlalchemy as sa

from studium.errors import ResultsError
from studium.results.publication import REGISTER, Publication, Published
from studium.results.schema import register_table


def read_register(connection: sa.Connection) -> dict[str, Published]:
    """What is published, by table; empty if nothing ever was."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(REGISTER):
        return {}
    register = register_table()
    there = {column["name"] for column in inspector.get_columns(REGISTER)}
    # Stores of older versions lack columns; they read as empty.
    columns = [
        column if column.name in there else sa.literal("").label(column.name)
        for column in register.columns
    ]
    rows = connection.execute(sa.select(*columns).order_by(register.c.table_name)).all()
    return {
        row.table_name: Published(
            row.table_name,
            row.data_until,
            row.build,
            row.row_count,
            row.published_at.replace(tzinfo=UTC),
            row.definition,
        )
        for row in rows
    }


def register_rows(entries: Iterable[Published]) -> list[dict[str, object]]:
    """The entries as rows of the register's table."""
    return [
        {
            "table_name": entry.table,
            "data_until": entry.data_until,
            "build": entry.build,
            "row_count": entry.rows,
            "published_at": entry.published_at.replace(tzinfo=None),
            "definition": entry.definition,
        }
        for entry in entries
    ]


def next_entries(
    there: Mapping[str, Published], fresh: Iterable[Published], withdrawn: Collection[str]
) -> list[Published]:
    """What the register will say after `fresh` tables came and `withdrawn` ones went."""
    after = {**there, **{entry.table: entry for entry in fresh}}
    return [entry for name, entry in sorted(after.items()) if name not in withdrawn]


def refuse_foreign(
    publications: Iterable[Publication], present: Collection[str], ours: Collection[str]
) -> None:
    """Refuse to publish over tables that are `present` and not `ours`.

    Raises:
        ResultsError: with all of them.
    """
    foreign = [one.name for one in publications if one.name in present and one.name not in ours]
    if foreign:
        raise ResultsError(
            f"The result store has tables that Studium did not publish: {', '.join(foreign)}.",
            "Nothing was changed. Rename or drop them, or give Studium a database of its own "
            "(results.url).",
        )
