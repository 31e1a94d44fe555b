"""What every launcher can do, and what it is told.

A launcher runs *units*: one command with its inputs and limits, and a folder of its own. It never
sees the state database. Whatever happens to the worker, a unit that was handed over goes on, and
its end is written to its folder; a launcher asked again, by any process, finds it by its native id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

Stream = Literal["stdout", "stderr"]
Profile = Literal["strict", "legacy"]

INPUTS = "/input"
"""Where inputs are inside: ``/input/<name>``, read-only; in STUDIUM_INPUT."""
CODE = "/code"
"""Where the submitted folder is inside, read-only; the command starts in it."""
OUTPUTS = "/output"
"""Where outputs are written; in STUDIUM_OUTPUT. The only place that lasts."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a unit may use."""

    seconds: float  # wall clock, from the start of its command
    memory: int  # bytes
    cpus: float
    processes: int  # processes and threads together
    output: int  # bytes, of all files in the folder of outputs
    log: int  # bytes kept of stdout, and of stderr; more is dropped and counted
    scratch: int  # bytes of /tmp
    files: int = 1024  # open files of a process


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of the host that a unit reads at ``/input/<name>``."""

    name: str
    source: Path


@dataclass(frozen=True, slots=True)
class Unit:
    """One command to run.

    ``key`` is its canonical name, unique in the site: a launcher that is told the same key twice
    starts it once. ``folder`` exists and is the worker's; the launcher makes in it::

        stdout, stderr    what the command wrote, up to the limit
        outputs/          what it wrote to /output
        heartbeat         touched while it runs
        exit.json         an Exit, written last and atomically
    """

    key: str  # [a-z0-9-]{1,80}
    folder: Path
    command: tuple[str, ...]
    limits: Limits
    environment: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Mount, ...] = ()
    code: Path | None = None
    image: str | None = None  # sha256:… of an image in the launcher's storage
    profile: Profile = "strict"


class Phase(StrEnum):
    """Where a unit is, as far as its launcher knows."""

    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"  # exit.json is there
    LOST = "lost"  # gone without an exit.json: nothing will write one any more


Reason = Literal[
    "exit",
    "signal",
    "timeout",
    "out of memory",
    "output too large",
    "cancelled",
    "not started",  # the runtime refused: nothing of the command has run, ``text`` says why
]


@dataclass(frozen=True, slots=True)
class Exit:
    """How a unit ended; ``exit.json`` has these keys."""

    reason: Reason
    code: int | None  # of the command, 0 … 128; None if a signal or a limit ended it
    signal: int | None  # runtimes say 128 + n for signal n, as shells do; so does this
    started: str  # ISO 8601, UTC
    ended: str
    seconds: float
    cpu_seconds: float | None  # None: not measured here
    peak_memory: int | None  # bytes
    stdout: int  # bytes written, also those that were dropped
    stderr: int
    text: str = ""  # what the launcher itself has to say, for operators


@dataclass(frozen=True, slots=True)
class Seen:
    """What a launcher knows of a unit; ``exit`` if it has ended."""

    phase: Phase
    exit: Exit | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a launcher can guarantee on this machine, as probed.

    ``guarantees`` holds names from ``GUARANTEES``; ``lost`` says why another is missing. The
    site's policy lists those without which it does not start.
    """

    available: bool
    guarantees: frozenset[str]
    lost: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""  # why it is not available, and what to install
    details: Mapping[str, str] = field(default_factory=dict)  # versions, the runtime chosen


GUARANTEES = (
    "no network",
    "own filesystem",
    "read-only inputs",
    "unprivileged user",
    "user of its own",  # a uid that no other running unit has
    "no capabilities",
    "no new privileges",
    "system call filter",
    "memory limit",  # of the unit as a whole
    "process limit",  # of the unit as a whole
    "cpu limit",
    "output limit",
    "scratch limit",
    "time limit",
)


class Launcher(Protocol):
    """What the worker asks of every launcher. All methods may be called by any process."""

    name: str

    def capabilities(self) -> Capabilities:
        """Probed once a process; never raises."""
        ...

    def validate(self, unit: Unit) -> list[str]:
        """Why it cannot run this unit, each a sentence that names the field; empty if it can."""
        ...

    def submit(self, unit: Unit) -> str:
        """Start it and give its native id, also when it was started already (same ``key``).

        Returns at once; raises LaunchError if nothing was started.
        """
        ...

    def status(self, natives: Mapping[str, Path]) -> dict[str, Seen]:
        """By native id, of units in these folders; ids it never gave are ``LOST``."""
        ...

    def cancel(self, native: str, folder: Path) -> None:
        """Ask it to end: TERM, then KILL after a grace. Idempotent; ``status`` tells when."""
        ...

    def tail(self, native: str, folder: Path, stream: Stream, offset: int, limit: int) -> bytes:
        """Up to ``limit`` bytes of a stream from ``offset``."""
        ...

    def fetch(self, native: str, folder: Path) -> None:
        """Bring ``outputs`` into the unit's folder, if they are elsewhere. Idempotent."""
        ...

    def cleanup(self, native: str, folder: Path) -> None:
        """Remove what is left outside the unit's folder. Idempotent, after the end only."""
        ...
