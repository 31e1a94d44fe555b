"""What a worker has in mind of a job that it holds. All of it can be read again from the state."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from studium.jobs.launchers.protocol import Launcher
from studium.jobs.states import Failure, State
from studium.jobs.table import Job
from studium.jobs.worker.children import Child


@dataclass(slots=True)
class Active:
    """A unit that was handed over, or is about to be (then it has no native id)."""

    folder: Path
    native: str | None = None
    refusals: int = 0  # how often the launcher could not start it
    again: float = 0.0  # of time.monotonic(): when it is tried again
    missing: float | None = None  # since when its launcher does not know it
    asked: bool = False  # to end


@dataclass(slots=True)
class Held:
    """One job."""

    job: Job
    launcher: Launcher
    active: dict[int, Active] = field(default_factory=dict)
    waiting: int = 0  # units that were not handed over
    failure: Failure | None = None  # why it fails, once nothing of it runs
    cancelled: bool = False  # its end was asked for
    child: Child | None = None  # the step that runs
    crashes: int = 0  # of that step, seen by this worker
    again: float = 0.0  # of time.monotonic(): no step before
    pause: float = 0.0  # of time.monotonic(): nothing before
    tidy: bool = False  # nothing of it is left at its launcher

    @property
    def name(self) -> str:
        return self.job.name

    @property
    def state(self) -> State:
        return self.job.state

    @property
    def over(self) -> bool:
        """Whether there is nothing more to do for it."""
        return self.state.ended and self.tidy

    @property
    def stopping(self) -> bool:
        """Whether nothing more of it is to start."""
        return self.cancelled or self.failure is not None

    @property
    def slots(self) -> int:
        """What it uses of its worker's slots."""
        return len(self.active) + (self.child is not None)

    @property
    def room(self) -> int:
        """Units that may be handed over now."""
        if self.stopping or self.job.state is not State.RUNNING:
            return 0
        bound = self.job.spec.units.at_once
        return min(self.waiting, bound - len(self.active)) if bound else self.waiting
