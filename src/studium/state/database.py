"""The one engine of the state, its transactions, and how it is opened.

SQLite by default, PostgreSQL by URL. SQLite runs with a write-ahead log, so that readers and the
writer do not wait for each other, and ``synchronous = FULL``: NORMAL may lose the last commits
when the power fails. The ledger could bear that, as it is an index over the lake; the truths kept
here (coverage, facts, later keys and the status of jobs) could not, and commits are few.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    InternalError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)

from studium.errors import StateError
from studium.servers import reason, server_url
from studium.state.mounts import network_filesystem, read_mounts
from studium.urls import mask_password

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
    from sqlalchemy.pool import ConnectionPoolEntry

BUSY_TIMEOUT = 30_000
"""Milliseconds that a write transaction waits for another process's."""

PASSWORD = "STUDIUM_STATE_PASSWORD"
"""The environment variable for a password that state.url does not hold."""

_WRITES = "studium_writes"  # the execution option that tells begin() from read()
_WRITER = 0x73747564  # an advisory lock of PostgreSQL: a number that nothing else there uses


@dataclass(frozen=True, slots=True)
class State:
    """The open state; ``engine`` is the only way into it."""

    engine: Engine

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction that may write, the only one: committed at the end, rolled back on error.

        Keep it short: other processes wait for it.
        """
        with self.engine.connect().execution_options(**{_WRITES: True}) as conn, conn.begin():
            yield conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one moment throughout, and in which writing is an error."""
        with self.engine.connect() as conn:
            yield conn

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()


def open_state(url: str, root: Path, mounts: str | None = None) -> State:
    """Open the state at ``url`` (a relative SQLite path starts at ``root``), made or migrated.

    ``mounts`` stands in for the text of ``/proc/mounts``. Raises StateError if the database is on
    a network file system, cannot be opened, or is newer than this program.
    """
    shown = mask_password(url)
    try:
        kind = url.partition("://")[0].partition("+")[0]
        if kind == "postgresql":
            target = server_url(url, "state.url", StateError, variable=PASSWORD)
        elif kind == "sqlite":
            target = _place_file(make_url(url), root, read_mounts() if mounts is None else mounts)
        else:
            raise ArgumentError("neither SQLite nor PostgreSQL")
        engine = _make_engine(target, shown)
    except (ArgumentError, NoSuchModuleError) as error:
        raise StateError(
            f"state.url = {shown} cannot be used: {mask_password(str(error))}.",
            "Give a sqlite:/// URL, or a postgresql:// one.",
        ) from None
    try:
        _bring_to_head(State(engine))
    except SQLAlchemyError as error:
        engine.dispose()
        raise StateError(
            f"The state {shown} cannot be opened: {reason(error)}.",
            "Check state.url and that the database is there and may be written to.",
        ) from error
    except BaseException:
        engine.dispose()
        raise
    return State(engine)


def _place_file(url: URL, root: Path, mounts: str) -> URL:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise StateError(
            f"state.url = {url.render_as_string()} names no file, and the state must last.",
            "Write sqlite:///state.db, or a postgresql:// URL.",
        )
    path = (root / url.database).resolve()
    kind = network_filesystem(path, mounts)
    if kind:
        raise StateError(
            f"The state {path} is on a network file system ({kind}), where SQLite loses data.",
            "Move the file to a local disk and set state.url = "
            '"sqlite:////local/folder/state.db", or use PostgreSQL.',
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(
            f"The folder {path.parent} of the state cannot be made: {error.strerror or error}.",
            "Correct state.url.",
        ) from None
    return url.set(database=str(path))


def _make_engine(url: URL, shown: str) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, hide_parameters=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        # A name that an administrator sees in pg_stat_activity; a dead server is soon noticed.
        arguments = {"application_name": "studium", "connect_timeout": 15}
        engine = create_engine(
            url, pool_pre_ping=True, hide_parameters=True,
            connect_args={k: v for k, v in arguments.items() if k not in url.query},
        )  # fmt: skip
        event.listen(engine, "begin", _begin_postgresql)

    def explain(context: ExceptionContext) -> None:
        # Locked for too long, a full disk, a lost connection: nothing that a traceback explains.
        error = context.sqlalchemy_exception
        if isinstance(error, (OperationalError, InternalError)) and not context.is_pre_ping:
            raise StateError(
                f"The state {shown} cannot be used: {reason(error)}.",
                "Check state.url, the disk and the server; then run the command again.",
            ) from error

    event.listen(engine, "handle_error", explain)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    # The driver's own transactions begin before the first write only and commit before DDL.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


# Writers go one at a time, and each takes its place before it reads: one that reads first could
# write what another has made untrue meanwhile. What is written while reading is an error, as it
# would be rolled back in silence.


def _begin_sqlite(conn: Connection) -> None:
    writes = _writes(conn)
    conn.exec_driver_sql(f"PRAGMA query_only = {'OFF' if writes else 'ON'}")
    conn.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgresql(conn: Connection) -> None:
    if _writes(conn):
        conn.exec_driver_sql(f"SET LOCAL lock_timeout = {BUSY_TIMEOUT}")
        conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER})")
    else:
        conn.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _writes(conn: Connection) -> bool:
    return bool(conn.get_execution_options().get(_WRITES, False))


def _bring_to_head(state: State) -> None:
    from studium.state.schema import HEAD

    with state.read() as conn:
        if revision_of(conn) == HEAD:
            return
    # Alembic is slow to import, and ordinary commands find the schema at its head.
    from studium.state.migrate import migrate

    with state.begin() as conn:
        migrate(conn)


def revision_of(conn: Connection) -> str | None:
    """The revision that the database is at; None for an empty one."""
    if not conn.dialect.has_table(conn, "alembic_version"):
        return None
    revision: Any = conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if revision is None else str(revision)
