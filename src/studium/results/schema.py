"""Published tables as SQLAlchemy sees them: types, indexes and their names.

Every table has `id` first and `created` last, as its readers expect
(`specs/edx-enrollment-geography §2.12`); the unique index over the grain is what the old tables
lacked (§7.5).
"""

import hashlib
from typing import Any, Final

import sqlalchemy as sa

from studium.columns import Column
from studium.results.publication import REGISTER, Publication

# PostgreSQL's limit; the lowest of the databases.
_LONGEST_NAME: Final = 63

_PLAIN: Final[dict[str, Any]] = {
    "smallint": sa.SmallInteger,
    "integer": sa.Integer,
    "bigint": sa.BigInteger,
    "double": sa.Double,
    "text": sa.Text,
    "date": sa.Date,
    "datetime": sa.DateTime,
    "boolean": sa.Boolean,
}


def published_table(publication: Publication) -> sa.Table:
    """The table of a publication, without its indexes: those come after the rows."""
    return sa.Table(
        publication.name,
        sa.MetaData(),
        sa.Column(
            "id",
            # SQLite counts up only what is called INTEGER; its integers have 64 bits anyway.
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        *(
            # SQLAlchemy does not know every word that some database reserves.
            sa.Column(column.name, _storage(column), nullable=column.nullable, quote=True)
            for column in publication.columns
        ),
        sa.Column(
            "created", sa.TIMESTAMP, nullable=False, server_default=sa.func.current_timestamp()
        ),
        quote=True,
        sqlite_autoincrement=True,
    )


def grain_index(publication: Publication, table: sa.Table) -> sa.Index:
    """The unique index over the grain."""
    name = _index_name("uq", publication.name, publication.grain)
    return sa.Index(name, *(table.c[column] for column in publication.grain), unique=True)


def further_indexes(publication: Publication, table: sa.Table) -> list[sa.Index]:
    """The declared indexes, without one over exactly the grain, which has its unique index."""
    keys = dict.fromkeys(key for key in publication.indexes if key != publication.grain)
    return [
        sa.Index(_index_name("ix", publication.name, key), *(table.c[column] for column in key))
        for key in keys
    ]


def register_table() -> sa.Table:
    """`studium_published`: what each published table holds, `published_at` in UTC."""
    return sa.Table(
        REGISTER,
        sa.MetaData(),
        sa.Column("table_name", sa.String(63), primary_key=True),
        sa.Column("data_until", sa.Date, nullable=True),
        sa.Column("build", sa.String(64), nullable=False),
        sa.Column("row_count", sa.BigInteger, nullable=False),
        sa.Column("published_at", sa.DateTime, nullable=False),
    )


def _storage(column: Column) -> Any:
    return sa.String(column.length) if column.length else _PLAIN[column.type]()


def _index_name(prefix: str, table: str, key: tuple[str, ...]) -> str:
    name = "_".join((prefix, table, *key))
    if len(name) <= _LONGEST_NAME:
        return name
    # Only the digest tells ("a", "b_c") of one table from ("a_b", "c") of another when cut.
    digest = hashlib.sha256("\0".join((table, *key)).encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9]}_{digest}"
