"""Whose turn it is: a pure function of who waits and what runs.

Fair between owners, not between jobs: a free slot goes to the owner of whom the least runs, and of
those to the one who was served the longest ago; within an owner to the job of the highest priority,
and of those to the one that has waited the longest. So one owner with a thousand units delays
another one's single job by one unit at most, and priorities help nobody against other owners.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Candidate:
    """A job that could use a slot now."""

    job: str
    owner: str
    launcher: str
    priority: int
    since: str  # when it was queued, as text whose order is that of time
    room: int  # units that it may start now: pending ones, within its at_once


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many units may run at once over all workers; 0 or a missing name: no bound."""

    owner: int = 0
    launchers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Load:
    """What runs on all workers, and in which order owners were served last (larger is later)."""

    owners: Mapping[str, int] = field(default_factory=dict)
    launchers: Mapping[str, int] = field(default_factory=dict)
    served: Mapping[str, float] = field(default_factory=dict)


def choose(candidates: Iterable[Candidate], load: Load, bounds: Bounds, free: int) -> list[str]:
    """The jobs that get the ``free`` slots, in order; a job once for each unit it may start."""
    owners, launchers = Counter(load.owners), Counter(load.launchers)
    served = dict(load.served)
    latest = max(served.values(), default=0.0)
    queues: dict[str, list[Candidate]] = {}
    for one in sorted(candidates, key=lambda one: (-one.priority, one.since, one.job)):
        queues.setdefault(one.owner, []).append(one)
    room = {one.job: one.room for queue in queues.values() for one in queue}

    def fits(one: Candidate) -> bool:
        bound = bounds.launchers.get(one.launcher, 0)
        return room[one.job] > 0 and (not bound or launchers[one.launcher] < bound)

    chosen: list[str] = []
    while len(chosen) < free:
        turns = []
        for owner, queue in queues.items():
            first = next((one for one in queue if fits(one)), None)
            if first is not None and (not bounds.owner or owners[owner] < bounds.owner):
                turns.append((owners[owner], served.get(owner, 0.0), owner, first))
        if not turns:
            break
        _, _, owner, one = min(turns, key=lambda turn: turn[:3])
        chosen.append(one.job)
        room[one.job] -= 1
        owners[owner] += 1
        launchers[one.launcher] += 1
        latest += 1
        served[owner] = latest
    return chosen
