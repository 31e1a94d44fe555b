"""The one vocabulary of states, for every launcher and every face.

::

    created ──► queued ──► preparing ──► running ──► collecting ──► succeeded
       │          │            │            │             │
       └──────────┴────────────┴────────────┴─────────────┴───────► failed · cancelled

Every move is a compare-and-set on the job's row (``jobs.table``); a state that is an end never
changes. Why a job failed is a ``Failure``, never free text (specs/jobs-hpc §7).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from studium.errors import JobError


class State(StrEnum):
    """Where a job is."""

    CREATED = "created"  # its row and folder are there, its code may not yet be
    QUEUED = "queued"  # waits for its turn
    PREPARING = "preparing"  # a worker has it: image, inputs and folder are made ready
    RUNNING = "running"  # at least one unit was handed to a launcher
    COLLECTING = "collecting"  # all units have ended: outputs are checked and released
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether it is an end: nothing follows."""
        return not _NEXT[self]

    def may_become(self, state: State) -> bool:
        """Whether ``state`` may follow."""
        return state in _NEXT[self]


class Failure(StrEnum):
    """Why a job or one of its units failed."""

    EXIT = "exit code"  # its command ended with another code than 0
    TIMEOUT = "timeout"
    MEMORY = "out of memory"
    KILLED = "killed"  # by a signal that was not ours
    OUTPUT_SIZE = "output too large"
    OUTPUT_MISSING = "output missing"
    UNDECLARED = "undeclared output"
    UNSAFE = "unsafe output"  # a link, a device, a wrong type, what disclosure control refuses
    IMAGE = "image not found"
    BUILD = "image not built"
    INPUT = "input not found"
    SUBMISSION = "unsafe submission"
    REFUSED = "refused by the launcher"
    LOST = "lost"  # its process is gone and left no exit code
    INTERNAL = "internal error"  # a step of ours broke off again and again


class FailedError(JobError):
    """A job that can go no further, and why; the message is for operators.

    ``told`` is for its owner, too: short words that the job cannot choose.
    """

    def __init__(
        self,
        failure: Failure,
        message: str,
        hint: str = "",
        told: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.failure = failure
        self.told = told or {}


_ENDS = frozenset({State.FAILED, State.CANCELLED})
_NEXT: dict[State, frozenset[State]] = {
    State.CREATED: _ENDS | {State.QUEUED},
    State.QUEUED: _ENDS | {State.PREPARING},
    State.PREPARING: _ENDS | {State.RUNNING},
    State.RUNNING: _ENDS | {State.COLLECTING},
    State.COLLECTING: _ENDS | {State.SUCCEEDED},
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}
