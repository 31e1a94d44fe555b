"""Heavy work in child processes: what crashes, leaks or hangs there is not the worker's death.

A child is a fork, as starting an interpreter takes longer than most steps. It gives one JSON value
back through a pipe, whose end also tells that it has ended. It dies with its worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1
_LARGEST = 1 << 20  # bytes of an answer

Work = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a child gave back: its value, or why there is none."""

    value: Any = None
    crash: str = ""  # "signal 9", "exit code 1", "no answer", or the kind of an exception


@dataclass(slots=True)
class Child:
    """A step that runs."""

    pid: int
    pipe: int  # readable when there is news; closed by ``finish``
    deadline: float  # of time.monotonic()
    _read: bytearray = field(default_factory=bytearray)
    _over: bool = False

    def ended(self) -> bool:
        """Take what is there without waiting; True once it has closed its end."""
        while True:
            try:
                part = os.read(self.pipe, 65_536)
            except BlockingIOError:
                return False
            if not part:
                return True
            if len(self._read) < _LARGEST:
                self._read += part

    def stop(self) -> None:
        """Kill it and what it has started; ``finish`` has to follow."""
        if self._over:  # its number may be another's
            return
        for target in (-self.pid, self.pid):  # its group may not be there yet
            with contextlib.suppress(ProcessLookupError):
                os.kill(target, signal.SIGKILL)

    def finish(self) -> Answer:
        """Its answer; waits for its end."""
        while not self.ended():
            time.sleep(0.005)
        os.close(self.pipe)
        _, status = os.waitpid(self.pid, 0)
        self._over = True
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            return Answer(crash=f"signal {-code}")
        if code:
            return Answer(crash=f"exit code {code}")
        try:
            given = json.loads(self._read)
        except ValueError:
            return Answer(crash="no answer")
        return Answer(given.get("value"), given.get("crash", ""))


def start_child(work: Work, seconds: float, log: str = os.devnull) -> Child:
    """Run ``work`` in a child, with what it prints added to the file ``log``.

    ``work`` must open its own connections and files: what this process has open is not for it.
    """
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.close(writing)
        return Child(pid, reading, time.monotonic() + seconds)
    try:
        os.close(reading)
        _become_child(parent, log)
        _answer(work, writing)
    finally:
        os._exit(70)


def _become_child(parent: int, log: str) -> None:
    os.setpgid(0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(71)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(number, "w", closefd=False), "utf-8", "replace")
        for number in (1, 2)
    )


def _answer(work: Work, writing: int) -> NoReturn:
    try:
        given = {"value": work()}
    except Exception as error:
        import traceback

        traceback.print_exc()
        given = {"crash": type(error).__name__}
    data = json.dumps(given).encode()
    while data:
        data = data[os.write(writing, data) :]
    sys.stdout.flush()
    sys.stderr.flush()
    # Nothing inherited is closed properly: the worker still uses it.
    os._exit(0)
