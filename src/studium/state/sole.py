"""The writer lock of a state on PostgreSQL, which machines may share: one writer over all of them.

A session's advisory lock beside the lock on the site's folder, which another machine may not see.
It goes with the connection, and so with the process that held it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from studium.errors import LockedError, StateError
from studium.servers import reason
from studium.state.database import State
from studium.state.lock import Holder, OnWait

_SITE = 0x7374756469756D  # an advisory lock: a number that nothing else in the database uses
_POLL = 0.2  # seconds

_HOLDER = """
SELECT application_name, backend_start FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND database = (
  SELECT oid FROM pg_database WHERE datname = current_database()
) AND (classid::bigint << 32) + objid::bigint = %s
"""


@contextmanager
def sole_writer(
    state: State, command: str, wait: float, on_wait: OnWait = lambda holder: None
) -> Iterator[None]:
    """Be the only writer to a state on PostgreSQL for ``command``.

    Waits up to ``wait`` seconds for another one, then raises LockedError with who it is;
    ``on_wait`` is told once whom it waits for.
    """
    import psycopg

    # Of its own: the lock must not go back into a pool.
    _, arguments = state.engine.dialect.create_connect_args(state.engine.url)
    name = f"studium {command} {os.getpid()} {socket.gethostname()}"[:63]
    given: dict[str, Any] = {"connect_timeout": 15, **arguments, "application_name": name}
    with ExitStack() as held:
        try:
            connection = held.enter_context(closing(psycopg.connect(**given, autocommit=True)))
            _take(connection, wait, on_wait)
        except psycopg.Error as error:
            raise StateError(
                f"The state cannot be locked: {reason(error)}.", "Check state.url and the server."
            ) from None
        yield  # the end of the connection is that of the lock


def _take(connection: Any, wait: float, on_wait: OnWait) -> None:
    deadline = time.monotonic() + wait
    waiting = False
    while not connection.execute("SELECT pg_try_advisory_lock(%s)", (_SITE,)).fetchone()[0]:
        holder = _holder(connection)
        if not waiting and wait > 0:
            waiting = True
            on_wait(holder)
        if time.monotonic() >= deadline:
            raise LockedError(
                f"{holder or 'another process'} is writing with the same state; "
                f"waited {wait:g} seconds.",
                "Try again when it has ended, or raise site.lock_wait.",
            )
        time.sleep(_POLL)


def _holder(connection: Any) -> Holder | None:
    found = connection.execute(_HOLDER, (_SITE,)).fetchone()
    parts = [] if found is None else str(found[0]).removeprefix("studium ").rsplit(" ", 2)
    if len(parts) != 3 or not parts[1].isdecimal():
        return None
    return Holder(int(parts[1]), parts[0], found[1].isoformat(timespec="seconds"), parts[2])
