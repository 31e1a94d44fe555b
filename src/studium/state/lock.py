"""The writer lock: one command at a time writes to a site.

An operating-system lock on ``writer.lock``: it goes with the process that held it, so a killed
one leaves nothing behind. The JSON in the file only says who holds it. (Processes that the holder
forked without exec share its lock until they end.)
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from studium.clock import utcnow
from studium.errors import LockedError

FILE = "writer.lock"
_POLL = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock; ``since`` is an ISO 8601 instant in UTC."""

    pid: int
    command: str
    since: str
    host: str

    def __str__(self) -> str:
        return f"`{self.command}` (process {self.pid} on {self.host}, since {self.since})"


OnWait = Callable[[Holder | None], None]

_held: dict[Path, tuple[int, Holder]] = {}  # by file: the process, as a fork inherits the dict
_guard = threading.Lock()


@contextmanager
def writer_lock(
    root: Path, command: str, wait: float, on_wait: OnWait = lambda holder: None
) -> Iterator[None]:
    """Hold the writer lock of the site at ``root`` for ``command``.

    Waits up to ``wait`` seconds for another process, then raises LockedError with its pid, command
    and start; raises it at once if this process holds the lock already. ``on_wait`` is told once
    whom it waits for.
    """
    path = root.resolve() / FILE
    me = Holder(os.getpid(), command, utcnow().isoformat(timespec="seconds"), socket.gethostname())
    with _guard:
        pid, holder = _held.get(path, (0, me))
        if pid == os.getpid():
            raise LockedError(
                f"This process is writing to {root} already: {holder}.",
                "Let that end first; the lock cannot be taken twice.",
            )
        _held[path] = (os.getpid(), me)
    try:
        with _locked(path, wait, on_wait) as descriptor:
            _write(descriptor, json.dumps(asdict(me)))
            try:
                yield
            finally:
                _write(descriptor, "")
    finally:
        with _guard:
            del _held[path]


def lock_holder(root: Path) -> Holder | None:
    """Who wrote its name into the lock last and did not take it out; None if nobody.

    After a kill the name stays though the lock is free.
    """
    try:
        return Holder(**json.loads((root / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def _locked(path: Path, wait: float, on_wait: OnWait) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o664)
    except OSError as error:
        raise LockedError(
            f"The lock {path} cannot be opened: {error.strerror or error}.",
            "Run the command as a user that may write to the site.",
        ) from None
    try:
        deadline = time.monotonic() + wait
        waiting = False
        while not _try_lock(descriptor):
            if not waiting and wait > 0:
                waiting = True
                on_wait(lock_holder(path.parent))
            if time.monotonic() >= deadline:
                who = lock_holder(path.parent) or "another process"
                raise LockedError(
                    f"{who} is writing to {path.parent}; waited {wait:g} seconds.",
                    "Try again when it has ended, or raise site.lock_wait.",
                )
            time.sleep(_POLL)
        yield descriptor
    finally:
        os.close(descriptor)  # and with it the lock


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
