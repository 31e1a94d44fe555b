"""Bring the state's tables to the newest revision. Imported only when they are not there."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from studium.errors import StateError
from studium.state.database import revision_of


def migrate(conn: Connection) -> None:
    """Run the migrations that ``conn``'s database lacks, within its transaction (``begin``).

    Of two processes that come at once, the second finds nothing left to do.

    Raises StateError if the database is at a revision that this program does not know.
    """
    config = configuration()
    script = ScriptDirectory.from_config(config)
    known = {revision.revision for revision in script.walk_revisions()}
    present = revision_of(conn)
    if present is not None and present not in known:
        raise StateError(
            f"The state is at revision {present}, which this version of Studium does not know.",
            "It was written by a newer version: install that one again.",
        )
    config.attributes["connection"] = conn
    command.upgrade(config, "head")


def configuration() -> Config:
    """Alembic's configuration, without a file."""
    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
