"""The result store in a MariaDB or MySQL database.

Changes of tables are no part of transactions there. So rows are loaded into tables of other names,
and one `RENAME TABLE` gives all of them, the register too, the names of the old ones, which go
aside and are dropped. What a publisher leaves behind when it dies, the next one drops.

Types and names are those of the old result store (`specs/edx-enrollment-geography §2.12`). Texts
compare by their characters: two course runs that differ in case, or in an accent, are two.
"""

import hashlib
import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.schema import CreateTable

from studium.errors import ResultsError
from studium.results import patience
from studium.results.bulk import Loader, choose_loader
from studium.results.keys import key_columns
from studium.results.publication import (
    ASIDE,
    REGISTER,
    STAGING,
    Publication,
    Published,
    as_published,
)
from studium.results.register import next_entries, read_register, refuse_foreign, register_rows
from studium.results.repeats import refuse_repeats
from studium.results.schema import (
    aside_name,
    further_indexes,
    grain_indexes,
    published_table,
    register_table,
    staging_name,
)
from studium.results.sorting import load_in_order

_LEFTOVER: Final = re.compile(rf"({STAGING}|{ASIDE})[0-9a-f]{{12}}")

# Errors of a lock that was not had: a timeout, a deadlock that was broken.
_HELD: Final = (1205, 1213)

# Whole characters, and blanks at the end count: what tells keys apart elsewhere, does here.
_COLLATIONS: Final = ("utf8mb4_nopad_bin", "utf8mb4_0900_bin", "utf8mb4_bin")

# Seconds between two tries to find no reader: a busy one leaves gaps of a millisecond.
_PAUSE: Final = 0.002

_NOTHING: Final = "Nothing was changed."
_AWAY: Final = (
    "The old tables stay. Is the server running, and can it be reached from here? Then run "
    "`studium publish` again."
)


def connect(url: sa.URL, root: Path, mounts: str | None) -> sa.Engine:
    """An engine over a database (`Database.connect`)."""
    if not url.database:
        raise ResultsError(
            f"The result store {url.render_as_string()} names no database.",
            "Write it like mysql://user@host/database.",
        )
    engine = sa.create_engine(
        url.set(drivername="mysql+pymysql"),
        hide_parameters=True,
        poolclass=sa.NullPool,
        connect_args={
            "charset": "utf8mb4",
            "local_infile": True,
            # Set before SQLAlchemy asks how to quote: servers may have other defaults.
            "sql_mode": "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION",
            "init_command": "SET SESSION time_zone = '+00:00'",
        },
    )
    with engine.connect():
        return engine


def replace_tables(
    engine: sa.Engine,
    publications: Sequence[Publication],
    withdrawn: Collection[str],
    published_at: datetime,
) -> list[Published]:
    """Replace the tables and the register by one RENAME (`Database.replace_tables`)."""
    with _turn(engine) as connection:
        _drop_leftovers(connection)
        there, present = read_register(connection), _tables(connection)
        refuse_foreign(publications, present, there)
        options: dict[str, Any] = {
            "mysql_engine": "InnoDB",
            "mysql_row_format": "DYNAMIC",
            "mysql_charset": "utf8mb4",
            "mysql_collate": _collation(connection),
        }
        try:
            loader = choose_loader(connection)
            fresh = []
            for publication in publications:
                rows = _load(connection, publication, published_at, loader, options)
                fresh.append(as_published(publication, rows, published_at))
            register = register_table(staging_name(REGISTER), **options)
            connection.execute(CreateTable(register))
            if entries := next_entries(there, fresh, set(withdrawn)):
                connection.execute(sa.insert(register), register_rows(entries))
            gone = there.keys() & set(withdrawn) & present
            _flip(connection, {one.name for one in publications} | {REGISTER}, gone, present)
        finally:
            # Whatever cannot be dropped now, the next publisher drops.
            with suppress(SQLAlchemyError):
                connection.exec_driver_sql("SET SESSION lock_wait_timeout = 60")
                _drop_leftovers(connection)
    return fresh


def advise(error: BaseException) -> str:
    """What to do about an error of PyMySQL (`Database.advise`)."""
    code = error.args[0] if error.args else 0
    if code in (1045, 1698):
        return (
            "Check the user in results.url, and its password in the environment variable "
            "STUDIUM_RESULTS_PASSWORD."
        )
    if code == 1049:
        return "Make the database (CREATE DATABASE …), or correct results.url."
    if code in (1044, 1142, 1143, 1227, 1370):
        return (
            f"{_NOTHING} The database must be there, and its user needs GRANT SELECT, INSERT, "
            "CREATE, ALTER, INDEX, DROP on it."
        )
    if code in (1021, 1026, 1041, 1114):
        return f"{_NOTHING} Make room on the server, then run `studium publish` again."
    if code in (0, 1053, 1077, 1927, 4031) or 2000 <= code < 2100:
        return _AWAY
    return f"{_NOTHING} See the log of the server."


@contextmanager
def _turn(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection that commits every statement, and its turn among publishers."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        name = f"studium {hashlib.sha256(str(engine.url.database).encode()).hexdigest()[:32]}"
        wait = int(patience.PATIENCE.whole)
        had = connection.scalar(
            sa.text("SELECT GET_LOCK(:name, :wait)"), {"name": name, "wait": wait}
        )
        if had != 1:
            raise ResultsError(
                "Another command is publishing to the result store.",
                "Nothing was changed. Run `studium publish` again when it has ended.",
            )
        # It goes with the connection.
        yield connection


def _tables(connection: sa.Connection) -> set[str]:
    """Tables and views, by name."""
    return set(
        connection.scalars(
            sa.text(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = database()"
            )
        )
    )


def _drop_leftovers(connection: sa.Connection) -> None:
    names = sorted(name for name in _tables(connection) if _LEFTOVER.fullmatch(name))
    if names:
        connection.exec_driver_sql(f"DROP TABLE {', '.join(f'`{name}`' for name in names)}")


def _collation(connection: sa.Connection) -> str:
    there = set(
        connection.scalars(
            sa.text(
                "SELECT collation_name FROM information_schema.collations "
                "WHERE collation_name LIKE 'utf8mb4%bin'"
            )
        )
    )
    return next(name for name in _COLLATIONS if name in there)


def _load(
    connection: sa.Connection,
    publication: Publication,
    published_at: datetime,
    loader: Loader,
    options: dict[str, Any],
) -> int:
    """Load the rows into the staging table and make its indexes; gives their number."""
    table = published_table(publication, staging_name(publication.name), **options)
    created = f"{published_at:%Y-%m-%d %H:%M:%S}"

    def load(batches: Iterator[pa.RecordBatch]) -> None:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS `{table.name}`")
        connection.execute(CreateTable(table))
        loader(connection, table, batches, created)

    rows, unique = load_in_order(publication, load)
    if not unique:
        refuse_repeats(connection, publication, table)
    clauses = []
    for index in (*grain_indexes(publication, table), *further_indexes(publication, table)):
        columns, whole = key_columns(publication, [column.name for column in index.columns])
        kind = "UNIQUE INDEX" if index.unique and whole else "INDEX"
        clauses.append(f"ADD {kind} `{index.name}` ({columns})")
    try:
        connection.exec_driver_sql(f"ALTER TABLE `{table.name}` {', '.join(clauses)}")
    except IntegrityError:
        refuse_repeats(connection, publication, table)
        raise
    return rows


def _flip(
    connection: sa.Connection,
    coming: Collection[str],
    gone: Collection[str],
    present: Collection[str],
) -> None:
    """Let the new tables take the names of the old ones; waits until no reader holds one."""
    moves = []
    for name in sorted({*coming, *gone}):
        if name in present:
            moves.append(f"`{name}` TO `{aside_name(name)}`")
        if name in coming:
            moves.append(f"`{staging_name(name)}` TO `{name}`")
    rename = f"RENAME TABLE {', '.join(moves)}"
    until = time.monotonic() + patience.PATIENCE.polite
    for wait in patience.PATIENCE.turns():
        polite = time.monotonic() < until
        if _rename_at_once(connection, rename, wait) or (
            not polite and _rename_in_line(connection, rename, wait)
        ):
            return
    raise patience.readers_stay(patience.PATIENCE.whole, "SHOW FULL PROCESSLIST")


def _rename_at_once(connection: sa.Connection, rename: str, wait: float) -> bool:
    """Try for a while to find a moment without readers, keeping none of them waiting."""
    connection.exec_driver_sql("SET SESSION lock_wait_timeout = 0")  # MySQL makes it 1
    until = time.monotonic() + wait
    while not _done(connection, rename):
        if time.monotonic() > until:
            return False
        time.sleep(_PAUSE)
    return True


def _rename_in_line(connection: sa.Connection, rename: str, wait: float) -> bool:
    """Wait in line, and new readers behind. One that holds a table and wants another may then be
    told of a deadlock: the server makes it give way."""
    connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {max(1, int(wait))}")
    return _done(connection, rename)


def _done(connection: sa.Connection, rename: str) -> bool:
    try:
        connection.exec_driver_sql(rename)
    except DBAPIError as error:
        if error.orig is None or error.orig.args[0] not in _HELD:
            raise
        return False
    return True
