"""Telling which keys are there more than once."""

import sqlalchemy as sa

from studium.errors import ResultsError
from studium.results.publication import Publication


def refuse_repeats(connection: sa.Connection, publication: Publication, table: sa.Table) -> None:
    """Refuse rows of `table` whose grain is not unique, NULL counting as a value.

    Raises:
        ResultsError: with the number of such keys, and the first.
    """
    grain = [table.c[name] for name in publication.grain]
    times = sa.func.count().label("times")
    # GROUP BY holds NULLs for equal.
    repeats = sa.select(*grain, times).group_by(*grain).having(sa.func.count() > 1)
    first = connection.execute(repeats.order_by(*grain).limit(1)).first()
    if first is None:
        return
    number = connection.scalar(sa.select(sa.func.count()).select_from(repeats.subquery()))
    *key, count = first
    shown = ", ".join(
        f"{name} = {'NULL' if value is None else repr(value)}"
        for name, value in zip(publication.grain, key, strict=True)
    )
    raise ResultsError(
        f"Table {publication.name} has {number} keys more than once, the first "
        f"({shown}) {count} times.",
        f"Nothing was published. Its grain must be unique ({', '.join(publication.grain)}): "
        "change it in the table's header, or the SQL.",
    )
