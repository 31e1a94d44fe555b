"""What a module for one kind of database gives to the result store."""

from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from studium.results.publication import Publication, Published


class Database(Protocol):
    """One kind of database: `sqlite`, `postgresql` and `mysql` are the modules that there are."""

    def connect(self, url: sa.URL, root: Path, mounts: str | None) -> sa.Engine:
        """An engine over the database, which was reached once.

        `root` is where relative paths start; `mounts` stands in for the text of `/proc/mounts`.

        Raises:
            ResultsError: what can never be a result store.
            sqlalchemy.exc.DBAPIError: it cannot be reached.
        """

    def replace_tables(
        self,
        engine: sa.Engine,
        publications: Sequence[Publication],
        withdrawn: Collection[str],
        published_at: datetime,
    ) -> list[Published]:
        """Replace tables, drop the `withdrawn` ones and set the register, in one act.

        Whatever fails, the old tables stay. `published_at` is in UTC.

        Raises:
            ResultsError: values that do not fit, a grain that is not unique, tables of others,
                readers that stay.
            sqlalchemy.exc.DBAPIError, or the driver's own error: the database fails.
        """

    def advise(self, error: BaseException) -> str:
        """What to do about an error of the driver."""


def find_database(url: sa.URL) -> Database | None:
    """The module for a URL; None if there is none."""
    match url.drivername:
        case "sqlite" | "sqlite+pysqlite":
            from studium.results import sqlite

            return sqlite
        case "postgresql" | "postgresql+psycopg":
            from studium.results import postgresql

            return postgresql
        case "mysql" | "mariadb" | "mysql+pymysql" | "mariadb+pymysql":
            from studium.results import mysql

            return mysql
    return None
