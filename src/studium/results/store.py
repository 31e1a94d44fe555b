"""Opening the result store, publishing into it, and asking what it holds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError

from studium.errors import ResultsError
from studium.results import sqlite
from studium.results.publication import Publication, Published
from studium.results.schema import register_table
from studium.state.mounts import network_filesystem, read_mounts
from studium.urls import mask_password


@dataclass(frozen=True)
class ResultStore:
    """An open result store; `name` is its URL without any password."""

    name: str
    engine: sa.Engine

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()


def open_results(url: str, root: Path, mounts: str | None = None) -> ResultStore:
    """Open the result store of a site, making it if need be.

    A relative path in the URL starts at `root`, the site's directory. `mounts` stands in for the
    text of `/proc/mounts`.

    Raises:
        ResultsError: not the URL of a database that Studium publishes to, or not usable.
    """
    try:
        parsed = sa.make_url(url)
    except ArgumentError:
        raise ResultsError(
            f"results.url = {mask_password(url)} is not a database URL.",
            "Write it like sqlite:///results.db (a path from the site's directory).",
        ) from None
    name = parsed.render_as_string(hide_password=True)
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise ResultsError(
            f"Cannot publish to {name}: this version publishes to SQLite only.",
            "Use a URL like sqlite:///results.db.",
        )
    database = parsed.database or ""
    if database in ("", ":memory:") or database.startswith("file:"):
        raise ResultsError(
            f"The result store {name} has no file that others could read.",
            "Use a URL like sqlite:///results.db.",
        )
    path = (root / database).resolve()
    kind = network_filesystem(path, read_mounts() if mounts is None else mounts)
    if kind:
        raise ResultsError(
            f"The result store {path} is on a network file system ({kind}), where SQLite loses "
            "data.",
            'Move it to a local disk and set results.url = "sqlite:////local/folder/results.db".',
        )
    try:
        return ResultStore(name, sqlite.connect(path, parsed))
    except DBAPIError as error:
        raise _unusable(name, error) from error


def publish(
    store: ResultStore, publications: Sequence[Publication], published_at: datetime
) -> list[Published]:
    """Replace tables by new ones, all together: a reader sees all old ones or all new ones.

    Tables of the store that are not named stay as they are. `published_at` (aware) is also the
    `created` of every row, in UTC. Errors of a publication's `data` pass through; whatever the
    error, and if the process dies, the old tables stay.

    Raises:
        ResultsError: values that do not fit their columns, a grain that is not unique, or a
            database that cannot be written.
    """
    if published_at.tzinfo is None:
        raise ValueError("published_at needs a time zone")
    for name, times in Counter(publication.name for publication in publications).items():
        if times > 1:
            raise ResultsError(
                f"{times} tables would be published as {name!r}.",
                "Change `publish` in the header of all but one of them.",
            )
    if not publications:
        return []
    try:
        return sqlite.replace_tables(store.engine, publications, published_at.astimezone(UTC))
    except DBAPIError as error:
        raise _unusable(store.name, error) from error


def published(store: ResultStore) -> dict[str, Published]:
    """What the store holds, by table; empty before anything was published.

    Raises:
        ResultsError: the database cannot be read.
    """
    register = register_table()
    try:
        with store.engine.begin() as connection:
            if not sa.inspect(connection).has_table(register.name):
                return {}
            rows = connection.execute(sa.select(register).order_by(register.c.table_name)).all()
    except DBAPIError as error:
        raise _unusable(store.name, error) from error
    return {
        row.table_name: Published(
            row.table_name,
            row.data_until,
            row.build,
            row.row_count,
            row.published_at.replace(tzinfo=UTC),
        )
        for row in rows
    }


def _unusable(name: str, error: DBAPIError) -> ResultsError:
    return ResultsError(
        f"The result store {name} cannot be used: {error.orig}.",
        "Nothing was changed. Is it a result store, may it be written, is the disk full?",
    )
