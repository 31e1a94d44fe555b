"""Published tables as SQLAlchemy sees them: types, indexes and their names.

Every table has `id` first and `created` last, as its readers expect
(`specs/edx-enrollment-geography §2.12`); the unique index over the grain is what the old tables
lacked (§7.5).
"""

import hashlib
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from studium.columns import Column
from studium.results.publication import ASIDE, REGISTER, STAGING, Publication

# PostgreSQL's limit; the lowest of the databases.
_LONGEST_NAME: Final = 63

# MySQL rounds fractions of a second away, and cuts TEXT at 64 KB, if not told otherwise.
_INSTANT: Final = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")

_PLAIN: Final[dict[str, Any]] = {
    "smallint": sa.SmallInteger(),
    "integer": sa.Integer(),
    "bigint": sa.BigInteger(),
    "double": sa.Double(),
    "text": sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb"),
    "date": sa.Date(),
    "datetime": _INSTANT,
    "boolean": sa.Boolean(),
}


def staging_name(table: str) -> str:
    """The name of a table while its rows are loaded; short, however long its own is."""
    return STAGING + hashlib.sha256(table.encode()).hexdigest()[:12]


def aside_name(table: str) -> str:
    """The name of the table that is replaced, until it is dropped."""
    return ASIDE + hashlib.sha256(table.encode()).hexdigest()[:12]


def published_table(
    publication: Publication,
    name: str = "",
    now: "sa.ColumnElement[Any] | sa.TextClause | None" = None,
    **options: Any,
) -> sa.Table:
    """The table of a publication, without its indexes: those come after the rows.

    `name` stands in for its own; `now` is the default of `created`, `options` are a dialect's.
    """
    return sa.Table(
        name or publication.name,
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
            "created",
            sa.TIMESTAMP,
            nullable=False,
            server_default=sa.func.current_timestamp() if now is None else now,
        ),
        quote=True,
        sqlite_autoincrement=True,
        **options,
    )


def grain_indexes(publication: Publication, table: sa.Table) -> list[sa.Index]:
    """The unique index over the grain; none if texts of any length are part of it.

    No database has an index for those, and the rows were seen to be unique when they were loaded.
    """
    columns = {column.name: column for column in publication.columns}
    if any(columns[name].type == "text" for name in publication.grain):
        return []
    name = index_name("uq", publication.name, publication.grain)
    return [sa.Index(name, *(table.c[column] for column in publication.grain), unique=True)]


def further_indexes(publication: Publication, table: sa.Table) -> list[sa.Index]:
    """The declared indexes, without one over exactly the grain, which has its unique index."""
    keys = dict.fromkeys(key for key in publication.indexes if key != publication.grain)
    return [
        sa.Index(index_name("ix", publication.name, key), *(table.c[column] for column in key))
        for key in keys
    ]


def register_table(name: str = REGISTER, **options: Any) -> sa.Table:
    """`studium_published`: what each published table holds, `published_at` in UTC."""
    return sa.Table(
        name,
        sa.MetaData(),
        sa.Column("table_name", sa.String(63), primary_key=True),
        sa.Column("data_until", sa.Date, nullable=True),
        sa.Column("build", sa.String(64), nullable=False),
        sa.Column("row_count", sa.BigInteger, nullable=False),
        sa.Column("published_at", _INSTANT, nullable=False),
        sa.Column("definition", sa.String(64), nullable=False, server_default=""),
        **options,
    )


def _storage(column: Column) -> Any:
    return sa.String(column.length) if column.length else _PLAIN[column.type]


def index_name(prefix: str, table: str, key: tuple[str, ...]) -> str:
    """A name within every database's limit, that no other key of any table has."""
    name = "_".join((prefix, table, *key))
    if len(name) <= _LONGEST_NAME:
        return name
    # Only the digest tells ("a", "b_c") of one table from ("a_b", "c") of another when cut.
    digest = hashlib.sha256("\0".join((table, *key)).encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9]}_{digest}"
