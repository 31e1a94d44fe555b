"""Database servers by URL: the driver that reaches one, whose password, and what went wrong.

A URL may leave out what the operator keeps elsewhere: a credentials file in the form of the edX
pipeline (JSON with ``host``, ``port``, ``username``, ``password``) or an environment variable
gives the rest (specs/edx-enrollment-geography §4.1).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from studium.errors import StudiumError, advise_install
from studium.urls import mask_password

if TYPE_CHECKING:
    from sqlalchemy import URL

DRIVERS: Mapping[str, tuple[str, str, str]] = {
    "postgresql": ("postgresql+psycopg", "psycopg", "postgres"),
    "mysql": ("mysql+pymysql", "pymysql", "mysql"),
    "mariadb": ("mariadb+pymysql", "pymysql", "mysql"),
}
"""Kind of server → SQLAlchemy's name with the driver, its module, the extra that brings it."""

# Outside of texts: people leave a comma behind the last entry.
_LAST_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])', re.DOTALL)


def is_server(text: str) -> bool:
    """Whether ``text`` is the URL of a database server, rather than a path."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme.partition("+")[0] in DRIVERS


def server_url(
    text: str,
    key: str,
    error: type[StudiumError],
    credentials: Path | None = None,
    variable: str | None = None,
) -> URL:
    """The URL of a server, with the driver that Studium uses unless it names another.

    What it lacks of host, port, user and password is taken from ``credentials``; then a missing
    password from the environment ``variable``. ``key`` is the setting that it is from. Raises
    ``error`` if it is no such URL, if the driver is not installed (naming the extra that brings
    it), or if the credentials cannot be read.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    shown = mask_password(text)
    try:
        url = make_url(text)
        kind = url.get_backend_name()
        if kind not in DRIVERS:
            raise NoSuchModuleError(kind)
        name, module, extra = DRIVERS[kind]
        if "+" not in url.drivername:
            url = url.set(drivername=name)
        url.get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError, ValueError):  # a port that is no number
        raise error(
            f"{key} = {shown} is not the URL of a database server.",
            "Write postgresql://user@host/database or mysql://user@host/database.",
        ) from None
    except ImportError as missing:
        if getattr(missing, "name", None) != module:
            raise error(
                f"{key} = {shown} names a driver that is not installed: {missing}.",
                f"Install it, or write {kind}:// for the one that Studium brings.",
            ) from None
        raise error(
            f"{key} = {shown} needs {module}, which is not installed.", advise_install(extra)
        ) from None
    if credentials is not None:
        url = _completed(url, read_credentials(credentials, error), credentials, error)
    if variable and not url.password and os.environ.get(variable):
        url = url.set(password=os.environ[variable])
    return url


def read_credentials(path: Path, error: type[StudiumError]) -> Mapping[str, object]:
    """The object in a credentials file; a comma behind the last entry is passed over."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        try:
            found = json.loads(text)
        except ValueError:
            found = json.loads(_LAST_COMMA.sub(lambda part: part[1] or "", text))
    except OSError as problem:
        raise error(
            f"The credentials {path} cannot be read: {problem.strerror or problem}.",
            "Check the path, and that this user may read the file.",
        ) from None
    except ValueError:  # its text would quote the file
        found = None
    if not isinstance(found, dict):
        raise error(
            f"The credentials {path} are not a JSON object.",
            'Write {"host": "…", "port": 3306, "username": "…", "password": "…"}.',
        )
    return found


def _completed(url: URL, given: Mapping[str, object], path: Path, error: type[StudiumError]) -> URL:
    port = given.get("port")
    try:
        number = None if port is None else int(str(port))
    except ValueError:
        raise error(
            f"The port in the credentials {path} is not a number.", "Correct it: 3306."
        ) from None

    def text(name: str) -> str | None:
        return None if given.get(name) is None else str(given[name])

    # A password belongs to the user beside it: that of another user would only be refused.
    same = url.username is None or text("username") in (None, url.username)
    return url.set(
        host=url.host or text("host"),
        port=url.port or number,
        username=url.username or text("username"),
        password=url.password or (text("password") if same else None),
        database=url.database or text("database"),
    )


def reason(error: BaseException) -> str:
    """What the driver said, without the wrapping of SQLAlchemy, passwords or line ends."""
    cause = getattr(error, "orig", None) or error
    said = cause.args[1] if len(cause.args) == 2 and isinstance(cause.args[0], int) else cause
    lines = [line.strip() for line in mask_password(str(said)).splitlines() if line.strip()]
    # libpq says first what failed and then, indented, what may be the matter.
    return "; ".join(lines).replace(":; ", ": ").rstrip(".") or type(cause).__name__
