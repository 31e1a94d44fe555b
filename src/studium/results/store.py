"""Opening the result store, publishing into it, and asking what it holds."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError

from studium.errors import ResultsError
from studium.results.database import Database, find_database
from studium.results.publication import Publication, Published
from studium.results.register import read_register
from studium.servers import is_server, reason, server_url
from studium.urls import mask_password

PASSWORD: Final = "STUDIUM_RESULTS_PASSWORD"
"""The environment variable with the password that the URL leaves out."""

_EXAMPLES: Final = (
    "Write it like sqlite:///results.db (a path from the site's directory), "
    "postgresql://user@host/database or mysql://user@host/database."
)


@dataclass(frozen=True)
class ResultStore:
    """An open result store; `name` is its URL without any password."""

    name: str
    engine: sa.Engine
    database: Database

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()


def open_results(
    url: str, root: Path, mounts: str | None = None, credentials: str = ""
) -> ResultStore:
    """Open the result store of a site; an SQLite file is made if need be.

    Relative paths start at `root`, the site's directory. `mounts` stands in for the text of
    `/proc/mounts`. The JSON file `credentials` has what the URL of a server leaves out.

    Raises:
        ResultsError: not the URL of a database that Studium publishes to, or not usable.
    """
    try:
        if is_server(url):
            held = root / credentials if credentials else None
            parsed = server_url(url, "results.url", ResultsError, held, PASSWORD)
        else:
            parsed = sa.make_url(url)
    except ArgumentError:
        raise ResultsError(
            f"results.url = {mask_password(url)} is not a database URL.", _EXAMPLES
        ) from None
    plain = parsed.set(drivername=parsed.drivername.partition("+")[0])
    name = mask_password(plain.render_as_string(hide_password=True))
    database = find_database(parsed)
    if database is None:
        raise ResultsError(
            f"Cannot publish to {parsed.drivername}: Studium publishes to SQLite, PostgreSQL "
            "(psycopg), MariaDB and MySQL (PyMySQL) only.",
            _EXAMPLES,
        )
    try:
        return ResultStore(name, database.connect(parsed, root, mounts), database)
    except DBAPIError as error:
        raise _unusable(name, database, error) from error


def publish(
    store: ResultStore,
    publications: Sequence[Publication],
    published_at: datetime,
    withdrawn: Collection[str] = (),
) -> list[Published]:
    """Replace tables by new ones, all together: a reader sees all old ones or all new ones.

    Tables of the store that are not named stay as they are, the `withdrawn` ones go, if they were
    published. `published_at` (aware) is also the `created` of every row, in UTC. Errors of a
    publication's `data` pass through; whatever the error, and if the process dies, the old tables
    stay.

    Raises:
        ResultsError: values that do not fit their columns, a grain that is not unique, a table of
            someone else in the way, or a database that cannot be written.
    """
    if published_at.tzinfo is None:
        raise ValueError("published_at needs a time zone")
    for name, times in Counter(publication.name for publication in publications).items():
        if times > 1:
            raise ResultsError(
                f"{times} tables would be published as {name!r}.",
                "Change `publish` in the header of all but one of them.",
            )
    if not publications and not withdrawn:
        return []
    with _told(store):
        return store.database.replace_tables(
            store.engine, publications, withdrawn, published_at.astimezone(UTC)
        )


def published(store: ResultStore) -> dict[str, Published]:
    """What the store holds, by table; empty before anything was published.

    Raises:
        ResultsError: the database cannot be read.
    """
    with _told(store), store.engine.begin() as connection:
        return read_register(connection)


def row_counts(store: ResultStore, names: Collection[str]) -> dict[str, int]:
    """The rows that tables of the store have now; one that is gone is left out.

    Raises:
        ResultsError: the database cannot be read.
    """
    with _told(store), store.engine.begin() as connection:
        there = set(sa.inspect(connection).get_table_names())
        return {
            name: connection.execute(
                sa.select(sa.func.count()).select_from(sa.table(name))
            ).scalar_one()
            for name in names
            if name in there
        }


@contextmanager
def _told(store: ResultStore) -> Iterator[None]:
    # Bulk loading goes past SQLAlchemy, so that errors of the driver come as they are, too.
    own = store.engine.dialect.loaded_dbapi.Error
    try:
        yield
    except (DBAPIError, own) as error:
        raise _unusable(store.name, store.database, error) from error


def scrub_results(store: ResultStore) -> None:
    """Leave no bytes of rows that were replaced: SQLite keeps them in free pages and in its log.

    A server frees a dropped table's files by itself.

    Raises:
        ResultsError: the database cannot be written.
    """
    if store.engine.dialect.name == "sqlite":
        from studium.results import sqlite

        with _told(store):
            sqlite.scrub(store.engine)


def _unusable(name: str, database: Database, error: BaseException) -> ResultsError:
    advice = database.advise(getattr(error, "orig", None) or error)
    return ResultsError(f"The result store {name} cannot be used: {reason(error)}.", advice)
