"""The result store in a PostgreSQL database: the first schema on the search path.

Everything is one transaction: rows are loaded into new tables that only the publisher sees, which
take the names of the old ones at its end. Rows are loaded frozen, that is, visible to snapshots
older than they are: a reader whose transaction began long ago finds a new table full, not empty.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.schema import CreateIndex, CreateTable

from studium.errors import ResultsError
from studium.results import patience
from studium.results.copytext import copy_text
from studium.results.publication import REGISTER, Publication, Published, as_published
from studium.results.register import next_entries, read_register, refuse_foreign, register_rows
from studium.results.repeats import refuse_repeats
from studium.results.schema import (
    further_indexes,
    grain_indexes,
    index_name,
    published_table,
    register_table,
    staging_name,
)
from studium.results.sorting import load_in_order

# PostgreSQL cannot keep the character U+0000.
_NUL: Final = "\ufffd"

# SQLSTATEs of a lock that was not had: a timeout, a deadlock that was broken.
_HELD: Final = ("55P03", "57014", "40P01")

_UTC_NOW: Final = sa.text("(now() AT TIME ZONE 'UTC')")

_NOTHING: Final = "Nothing was changed."
_AWAY: Final = (
    "The old tables stay. Is the server running, and can it be reached from here? Then run "
    "`studium publish` again."
)


def connect(url: sa.URL, root: Path, mounts: str | None) -> sa.Engine:
    """An engine over a database (`Database.connect`)."""
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        poolclass=sa.NullPool,
        connect_args={
            "application_name": "studium",
            "client_encoding": "utf8",
            **({} if "connect_timeout" in url.query else {"connect_timeout": 10}),
        },
    )
    with engine.connect() as connection:
        schema = connection.scalar(sa.text("SELECT current_schema()"))
    if schema is None:
        raise ResultsError(
            "The result store has no schema that its user may use.",
            'Make one: CREATE SCHEMA results AUTHORIZATION "the user", and '
            'ALTER ROLE "the user" SET search_path = results.',
        )
    return engine


def replace_tables(
    engine: sa.Engine,
    publications: Sequence[Publication],
    withdrawn: Collection[str],
    published_at: datetime,
) -> list[Published]:
    """Replace the tables and the register in one transaction (`Database.replace_tables`)."""
    with engine.connect() as connection, connection.begin():
        schema = _prepare(connection)
        there = read_register(connection)
        present = _relations(connection, schema)
        refuse_foreign(publications, present, there)
        fresh = []
        for publication in publications:
            rows = _load(connection, publication, published_at)
            fresh.append(as_published(publication, rows, published_at))
        gone = there.keys() & set(withdrawn) & present
        _load_register(connection, next_entries(there, fresh, set(withdrawn)))
        _flip(connection, publications, gone, present)
    return fresh


def advise(error: BaseException) -> str:
    """What to do about an error of psycopg (`Database.advise`)."""
    said, state = str(error), getattr(error, "sqlstate", None) or ""
    if state == "42501":
        return (
            f"{_NOTHING} Its user must be allowed to make tables: GRANT USAGE, CREATE ON SCHEMA … "
            "TO …; and tables published before must be its own."
        )
    if state == "2BP01":
        return (
            f"{_NOTHING} Tables are replaced by new ones, which a view does not follow: drop the "
            "view, and ask its question in the tool that reads."
        )
    # libpq gives no SQLSTATE for what fails before there is a connection.
    if state[:2] == "28" or "authentication failed" in said or "no password supplied" in said:
        return (
            "Check the user in results.url, and its password in the environment variable "
            "STUDIUM_RESULTS_PASSWORD or in ~/.pgpass."
        )
    if state == "3D000" or ("database" in said and "does not exist" in said):
        return "Make the database (CREATE DATABASE …), or correct results.url."
    if state[:2] == "53":
        return f"{_NOTHING} Make room on the server, then run `studium publish` again."
    if not state or state[:2] in ("08", "57"):
        return _AWAY
    return f"{_NOTHING} See the log of the server."


def _prepare(connection: sa.Connection) -> str:
    """Settings of the transaction, and its turn among publishers; gives the schema."""
    schema = str(connection.scalar(sa.text("SELECT current_schema()")))
    limits = {
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "lock_timeout": f"{int(patience.PATIENCE.whole * 1000)}",
        "timezone": "UTC",
        "search_path": connection.dialect.identifier_preparer.quote(schema),
    }
    for name, value in limits.items():
        connection.execute(sa.select(sa.func.set_config(name, value, True)))
    digest = hashlib.sha256(f"studium results {schema}".encode()).digest()
    key = int.from_bytes(digest[:8], signed=True)
    try:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _HELD:
            raise ResultsError(
                "Another command is publishing to the result store.",
                "Nothing was changed. Run `studium publish` again when it has ended.",
            ) from error
        raise
    return schema


def _relations(connection: sa.Connection, schema: str) -> set[str]:
    names = connection.execute(
        sa.text(
            "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE nspname = :schema AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')"
        ),
        {"schema": schema},
    )
    return set(names.scalars())


def _load(connection: sa.Connection, publication: Publication, published_at: datetime) -> int:
    """Load the rows into the staging table and make its indexes; gives their number."""
    table = published_table(publication, staging_name(publication.name), now=_UTC_NOW)
    names = (*(column.name for column in publication.columns), "created")
    created = f"{published_at:%Y-%m-%d %H:%M:%S}"

    def load(batches: Iterator[pa.RecordBatch]) -> None:
        connection.exec_driver_sql(f'DROP TABLE IF EXISTS "{table.name}"')
        connection.execute(CreateTable(table))
        _copy(connection, table, names, batches, created)

    rows, unique = load_in_order(publication, load)
    if not unique:
        refuse_repeats(connection, publication, table)
    try:
        with connection.begin_nested():
            for number, index in enumerate(_indexes(publication, table)):
                index.name = sa.quoted_name(_staged_index(table, number), True)
                connection.execute(CreateIndex(index))
    except IntegrityError:
        refuse_repeats(connection, publication, table)
        raise
    connection.exec_driver_sql(f'ANALYZE "{table.name}"')
    return rows


def _load_register(connection: sa.Connection, entries: Sequence[Published]) -> None:
    table = register_table(staging_name(REGISTER))
    connection.execute(CreateTable(table))
    names = [column.name for column in table.columns]
    rows = register_rows(entries)
    if rows:
        text = {name: [None if row[name] is None else str(row[name]) for row in rows]
                for name in names}  # fmt: skip
        schema = pa.schema([(name, pa.string()) for name in names])
        _copy(connection, table, names, [pa.record_batch(text, schema)], None)


def _copy(
    connection: sa.Connection,
    table: sa.Table,
    names: Sequence[str],
    batches: Iterator[pa.RecordBatch] | Sequence[pa.RecordBatch],
    created: str | None,
) -> None:
    columns = ", ".join(f'"{name}"' for name in names)
    cursor = connection.connection.cursor()
    with (
        cursor,  # type: ignore[attr-defined]
        cursor.copy(f'COPY "{table.name}" ({columns}) FROM STDIN WITH (FREEZE)') as copy,
    ):
        for _, text in copy_text(batches, _NUL, created):
            copy.write(text)


def _flip(
    connection: sa.Connection,
    publications: Sequence[Publication],
    gone: Collection[str],
    present: Collection[str],
) -> None:
    """Let the new tables take the names of the old ones; waits until no reader holds one."""
    coming = (*(publication.name for publication in publications), REGISTER)
    old = sorted((set(coming) & set(present)) | set(gone))
    for wait in patience.PATIENCE.turns():
        try:
            with connection.begin_nested():
                _lock(connection, old, wait)
                for name in old:
                    if name in coming:
                        _copy_grants(connection, name, staging_name(name))
                    connection.exec_driver_sql(f'DROP TABLE "{name}"')
                for publication in publications:
                    _take_names(connection, publication)
                _take_register_names(connection)
            return
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _HELD:
                raise
    raise patience.readers_stay(patience.PATIENCE.whole, "SELECT * FROM pg_stat_activity")


def _lock(connection: sa.Connection, names: Sequence[str], wait: float) -> None:
    if not names:
        return
    tables = ", ".join(f'"{name}"' for name in names)
    # One limit for all: below deadlock_timeout (1 s), at first, so that of a reader and a
    # publisher that wait for each other the publisher gives way.
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(wait * 1000)}")
    connection.exec_driver_sql(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")


def _copy_grants(connection: sa.Connection, old: str, new: str) -> None:
    """The rights of the old table, and none besides: default privileges have given the new one
    what somebody may have revoked."""
    for grantee in {grantee for grantee, _, _ in _grants(connection, new)}:
        connection.exec_driver_sql(f'REVOKE ALL ON "{new}" FROM {grantee}')
    for grantee, privilege, grantable in _grants(connection, old):
        option = " WITH GRANT OPTION" if grantable else ""
        connection.exec_driver_sql(f'GRANT {privilege} ON "{new}" TO {grantee}{option}')


def _grants(connection: sa.Connection, table: str) -> list[tuple[str, str, bool]]:
    """Who but the owner may do what, and grant it to others."""
    found = connection.execute(
        sa.text(
            "SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(rolname) END, "
            "privilege_type, is_grantable "
            "FROM pg_class, aclexplode(relacl) LEFT JOIN pg_roles r ON r.oid = grantee "
            "WHERE pg_class.oid = to_regclass(quote_ident(:name)) AND grantee <> relowner"
        ),
        {"name": table},
    )
    return [(who, right, may_grant) for who, right, may_grant in found]


def _take_names(connection: sa.Connection, publication: Publication) -> None:
    name, staged = publication.name, staging_name(publication.name)
    table = published_table(publication)
    sequence = index_name("sq", name, ("id",))
    for statement in (
        f'ALTER TABLE "{staged}" RENAME TO "{name}"',
        f'ALTER INDEX "{staged}_pkey" RENAME TO "{index_name("pk", name, ("id",))}"',
        f'ALTER SEQUENCE "{staged}_id_seq" RENAME TO "{sequence}"',
    ):
        connection.exec_driver_sql(statement)
    for number, index in enumerate(_indexes(publication, table)):
        connection.exec_driver_sql(
            f'ALTER INDEX "{_staged_index(staged, number)}" RENAME TO "{index.name}"'
        )


def _take_register_names(connection: sa.Connection) -> None:
    staged = staging_name(REGISTER)
    connection.exec_driver_sql(f'ALTER TABLE "{staged}" RENAME TO "{REGISTER}"')
    connection.exec_driver_sql(f'ALTER INDEX "{staged}_pkey" RENAME TO "{REGISTER}_pkey"')


def _indexes(publication: Publication, table: sa.Table) -> list[sa.Index]:
    return [*grain_indexes(publication, table), *further_indexes(publication, table)]


def _staged_index(table: sa.Table | str, number: int) -> str:
    return f"{table if isinstance(table, str) else table.name}_{number}"
