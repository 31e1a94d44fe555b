"""Watching a unit that runs: its streams, its limits, its cancellation, and its burial."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from studium.jobs.launchers import cgroups, files, processes
from studium.jobs.launchers.claim import HEARTBEAT
from studium.jobs.launchers.logs import Log
from studium.jobs.launchers.plan import Plan
from studium.jobs.launchers.protocol import Reason

CANCEL = "cancel"
OUTPUTS = "outputs"
ENTRIES = 100_000
"""Files and folders that outputs may have; beyond, they are "too large"."""
_TICK = 0.2  # seconds between looks at what the kernel does not enforce
_RARELY = 5.0  # a unit may not make looks at its outputs rarer than that by being large
_BEAT = 5.0
_DRAIN = 5.0  # seconds for the rest of the streams once the command has ended
_COMMAND = 60.0  # seconds that a command of the plan (kill, oom, ran, term) may take


@dataclass
class Watch:
    """A unit that runs."""

    folder: Path
    plan: Plan
    group: cgroups.Group | None
    uid: int | None
    pid: int
    logs: tuple[Log, Log]
    wakeup: int
    guardian: int | None  # pid
    began: float = field(default_factory=time.monotonic)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    cause: Reason | None = None  # why it was ended by us
    deadline: float | None = None  # of the grace after TERM
    wait_status: int | None = None
    ran: bool = False  # the runtime's word that the command ran, asked if its code says otherwise
    beaten: float = 0.0
    measured: float = 0.0  # when outputs are to be measured next

    def end(self, cause: Reason, gently: bool) -> None:
        """End it for this reason, unless it is being ended for another."""
        if self.cause is not None:
            return
        self.cause = cause
        if gently:
            self.deadline = time.monotonic() + self.plan.grace
            if self.plan.term:
                run_command(self.plan.term)
            else:  # not to the runtime itself, which would take everything with it
                processes.send(processes.descendants(self.pid), signal.SIGTERM)
        else:
            self.kill()

    def kill(self) -> None:
        """Kill it and everything that it has started."""
        self.deadline = None
        if self.plan.kill:
            run_command(self.plan.kill)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def watch_unit(watch: Watch) -> None:
    """Until the runtime has ended, its streams are read and nothing of it lives.

    What goes wrong in between ends it, too: nothing runs that nobody watches.
    """
    try:
        _watch(watch)
    except BaseException:
        watch.kill()
        _bury(watch)
        raise


def _watch(watch: Watch) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(watch.wakeup, selectors.EVENT_READ)
        for log in watch.logs:
            selector.register(log.descriptor, selectors.EVENT_READ, log)
        while watch.wait_status is None:
            _select(watch, selector)
            _look(watch)
        _bury(watch)
        patience = time.monotonic() + _DRAIN
        while len(selector.get_map()) > 1 and time.monotonic() < patience:
            _select(watch, selector)


def _select(watch: Watch, selector: selectors.BaseSelector) -> None:
    for key, _ in selector.select(_TICK):
        if key.data is None:
            with suppress(BlockingIOError):
                os.read(watch.wakeup, 4096)
        elif not key.data.drain():
            selector.unregister(key.fileobj)


def _look(watch: Watch) -> None:
    """At everything that may end it."""
    now = time.monotonic()
    limits = watch.plan.limits
    if now - watch.beaten >= _BEAT:
        watch.beaten = now
        with suppress(OSError):
            os.utime(watch.folder / HEARTBEAT)
    _reap(watch)
    if watch.wait_status is not None:
        return
    if watch.deadline is not None and now >= watch.deadline:
        watch.kill()
    if watch.cause is not None:
        if watch.deadline is not None and now >= watch.measured and _too_large(watch):
            watch.kill()  # its grace is not for writing
        return
    if now - watch.began >= limits.seconds:
        watch.end("timeout", gently=True)
    elif (watch.folder / CANCEL).exists():
        watch.end("cancelled", gently=True)
    elif watch.group and watch.group.oom_kills():
        watch.end("out of memory", gently=False)
    elif now >= watch.measured and _too_large(watch):
        watch.end("output too large", gently=False)


def _too_large(watch: Watch) -> bool:
    """Measure the outputs; the longer it takes, the rarer."""
    began = time.monotonic()
    outputs = watch.folder / OUTPUTS
    size, entries = files.measure(outputs, watch.plan.limits.output)
    size += files.measure_unlinked(_pids(watch), outputs)
    taken = time.monotonic() - began
    watch.measured = began + min(max(_TICK, 10 * taken), max(_RARELY, 2 * taken))
    return size > watch.plan.limits.output or entries > ENTRIES


def _pids(watch: Watch) -> list[int]:
    if watch.uid is not None:
        return processes.of_users(watch.uid, watch.plan.ids)
    return processes.descendants(os.getpid())


def _reap(watch: Watch) -> None:
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid == watch.pid:
                watch.wait_status = status


def _bury(watch: Watch) -> None:
    """Kill and reap whatever the runtime has left behind."""
    if watch.plan.kill:
        if watch.wait_status is not None:
            _run_oom(watch)
            _run_ran(watch)
        run_command(watch.plan.kill)
    if watch.group:
        watch.group.kill()
    patience = time.monotonic() + _DRAIN
    while time.monotonic() < patience:
        left = [pid for pid in processes.descendants(os.getpid()) if pid != watch.guardian]
        if not left:
            return
        processes.send(left, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.005)


def run_command(command: tuple[str, ...]) -> bytes:
    """What a command of the runtime prints; its failure is no news: what it ends may have ended."""
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_COMMAND, check=False
        ).stdout
    return b""


def _run_oom(watch: Watch) -> None:
    if watch.plan.oom and watch.cause is None and run_command(watch.plan.oom).strip() == b"true":
        watch.cause = "out of memory"


def _run_ran(watch: Watch) -> None:
    plan = watch.plan
    assert watch.wait_status is not None
    code = os.waitstatus_to_exitcode(watch.wait_status)
    if plan.ran and watch.cause is None and code == plan.refused:
        watch.ran = run_command(plan.ran).strip() == b"true"
