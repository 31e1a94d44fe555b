"""What is told of a job, in words and as JSON: nothing in it comes from what the job wrote."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from studium.jobs.states import Failure


class Event(StrEnum):
    """What somebody may want to hear of (specs/morf §1.4)."""

    QUEUED = "queued"
    STARTED = "started"
    PROGRESS = "progress"
    FAILED = "failed"
    RESULT = "result ready"
    CANCELLED = "cancelled"


PROGRESS_MARKS = (25, 50, 75)
"""Per cent of the units at which progress is told."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One event of one job."""

    job: str
    event: Event
    at: str  # ISO 8601, UTC: when it happened
    attempt: int = 1
    failure: Failure | None = None
    done: int | None = None  # units that have ended, for progress
    units: int | None = None
    mark: int | None = None  # per cent, for progress

    @property
    def key(self) -> str:
        """What tells it from other notices of the job: told at most once."""
        mark = "" if self.mark is None else f" {self.mark}"
        return f"{self.attempt} {self.event}{mark}"


def progress_marks(before: int, now: int, units: int) -> list[int]:
    """The marks that are passed when ``now`` of the ``units`` have ended and ``before`` had.

    A job of fewer than four units has no quarters; its end is told anyway.
    """
    if units < 4:
        return []
    return [mark for mark in PROGRESS_MARKS if 100 * before < mark * units <= 100 * now]


def to_json(notice: Notice) -> str:
    """The body of a callback, and how a notice is kept."""
    return json.dumps({k: v for k, v in asdict(notice).items() if v is not None})


def from_json(text: str) -> Notice:
    """The notice that ``to_json`` wrote."""
    given = json.loads(text)
    failure = given.pop("failure", None)
    event = Event(given.pop("event"))
    return Notice(**given, event=event, failure=Failure(failure) if failure else None)


def title_of(notice: Notice) -> str:
    """A line for people."""
    return f"Studium: job {notice.job}: {notice.event}"


def text_of(notice: Notice) -> str:
    """Sentences for people, with the command to look."""
    match notice.event:
        case Event.QUEUED:
            said = "It was accepted and waits for its turn."
        case Event.STARTED:
            said = "It has started."
        case Event.PROGRESS:
            said = f"{notice.done:,} of {notice.units:,} units are done."
        case Event.FAILED:
            said = f"It failed: {notice.failure}."
        case Event.RESULT:
            said = "Its results are ready."
        case Event.CANCELLED:
            said = "It was cancelled."
    verb = "results" if notice.event is Event.RESULT else "show"
    return f"{said}\nLook: studium job {verb} {notice.job}\n\n{notice.at}\n"
