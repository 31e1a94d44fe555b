"""From how a unit ended to why its job failed."""

from __future__ import annotations

from studium.jobs.launchers.protocol import Exit
from studium.jobs.states import Failure

_REASONS = {
    "timeout": Failure.TIMEOUT,
    "out of memory": Failure.MEMORY,
    "output too large": Failure.OUTPUT_SIZE,
    "signal": Failure.KILLED,
    "not started": Failure.REFUSED,
    # Asked for by us: then the job knows why already. By anybody else it is a kill.
    "cancelled": Failure.KILLED,
}


def failure_of(ended: Exit) -> Failure | None:
    """Why a unit failed; None if it did not."""
    if ended.reason == "exit":
        return None if ended.code == 0 else Failure.EXIT
    return _REASONS[ended.reason]
