"""The loop of a worker: look, move what can be moved, give out free slots, wait.

It does nothing heavy itself and keeps nothing that the state does not have: whenever it dies,
another one goes on.
"""

from __future__ import annotations

import os
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from select import select

from sqlalchemy import Connection

from studium.clock import utcnow
from studium.jobs import table, units
from studium.jobs.launchers.protocol import Launcher
from studium.jobs.notify import next_due
from studium.jobs.notify.outbox import stamp
from studium.jobs.states import State
from studium.jobs.worker import moves, queue, steps
from studium.jobs.worker.advance import Context, Say, advance, poll, recover
from studium.jobs.worker.children import Child, start_child
from studium.jobs.worker.choice import Bounds, Candidate, Load, choose
from studium.jobs.worker.hand import Hand
from studium.jobs.worker.held import Active, Held
from studium.jobs.worker.leases import has_lease, worker_name
from studium.site import Site

_QUICK, _SLOW, _BUSY = 0.01, 1.0, 0.2  # seconds between looks: after news, idle, with units
_LOOK = 0.5  # seconds between looks at what others have left or asked for
_MESSAGES = 600.0  # seconds that one round of messages may take


@dataclass(slots=True)
class Stop:
    """Whether the worker is asked to end; ``pipe`` is readable when it is (-1: there is none)."""

    asked: bool = False
    pipe: int = -1


@dataclass(slots=True)
class Worker:
    """One worker on one site; ``refusals`` says of a launcher why the site's policy forbids it."""

    site: Site
    launchers: Mapping[str, Launcher]
    slots: int
    bounds: Bounds = field(default_factory=Bounds)
    refusals: Callable[[str], list[str]] = lambda name: []
    say: Say = lambda text: None
    name: str = field(default_factory=worker_name)
    held: dict[str, Held] = field(default_factory=dict)
    _served: dict[str, float] = field(default_factory=dict)
    _messages: Child | None = None
    _renewed: float = 0.0
    _looked: float = 0.0
    _lost: set[str] = field(default_factory=set)  # leases that another worker has

    def run(self, stop: Stop, *, once: bool = False, until_idle: bool = False) -> None:
        """Work until ``stop`` is asked for, then drain: end the steps in hand, begin nothing, and
        leave what runs to the next worker. ``once``: drain after the first look. ``until_idle``:
        end also when nothing waits and nothing runs, on this worker or another."""
        pause = _QUICK
        while True:
            news = self.look(stop.asked)
            if stop.asked and not self._children():
                break
            stop.asked = stop.asked or once
            if until_idle and not news and self._idle():
                break
            longest = _BUSY if any(one.active for one in self.held.values()) else _SLOW
            pause = _QUICK if news else min(1.5 * pause, longest)
            self._wait(stop, pause)
        for held in self.held.values():
            moves.let_go(self._hand, held.name, held.over)
        self.held.clear()

    def look(self, draining: bool = False) -> bool:
        """One round; whether anything has changed."""
        self._renew()
        for name in self._lost & self.held.keys():
            self._drop(self.held[name])
        self._lost.clear()
        news = self._look_around(draining)
        context = Context(self._hand, self.refusals, self.say, self._renew, draining)
        ended = poll(self.held.values(), self.site.settings.worker.grace, self.say)
        for held in list(self.held.values()):
            news |= self._advance(context, held, ended.get(held.name, {}))
        if not draining:
            news |= self._grant(context)
        return news

    @property
    def _hand(self) -> Hand:
        return Hand(self.site, self.name)

    @property
    def _free(self) -> int:
        return self.slots - sum(one.slots for one in self.held.values())

    def _children(self) -> list[Child]:
        found = [one.child for one in self.held.values() if one.child]
        return [*found, self._messages] if self._messages else found

    def _wait(self, stop: Stop, seconds: float) -> None:
        pipes = [child.pipe for child in self._children()]
        ready, _, _ = select([*pipes, stop.pipe] if stop.pipe >= 0 else pipes, [], [], seconds)
        if stop.pipe in ready:
            os.read(stop.pipe, 1024)

    def _idle(self) -> bool:
        if self.held or self._messages:
            return False
        with self.site.state.read() as conn:
            return not queue.any_left(conn, self.launchers.keys())

    def _renew(self) -> None:
        now = time.monotonic()
        if self.held and now - self._renewed >= self._hand.lease / 4:
            self._renewed = now
            self._lost |= self.held.keys() - moves.renew(self._hand)

    def _drop(self, held: Held) -> None:
        self.say(f"{held.name}: another worker has it")
        if held.child:
            held.child.stop()
            held.child.finish()
        self.held.pop(held.name, None)

    def _advance(self, context: Context, held: Held, ended: Mapping[int, object]) -> bool:
        """Do what can be done for one job; whatever goes wrong, the others go on."""
        if time.monotonic() < held.pause:
            return False
        try:
            news = advance(context, held, ended)  # type: ignore[arg-type]
            if held.over:
                moves.let_go(self._hand, held.name, over=True)
                del self.held[held.name]
                return True
            if held.pause and held.state is State.RUNNING:
                moves.forgive(self._hand, held.name)
                held.pause = 0.0
        except moves.LeaseLost:
            self._drop(held)
            return True
        except Exception as error:
            return self._recover(context, held, error)
        return news

    def _recover(self, context: Context, held: Held, error: Exception) -> bool:
        traceback.print_exc()
        self.say(f"{held.name}: {type(error).__name__}: it is left alone for a while")
        held.pause = time.monotonic() + _SLOW
        try:
            recover(context, held)
        except moves.LeaseLost:
            self._drop(held)
        except Exception:  # the state is out of reach, as well: nothing is counted then
            traceback.print_exc()
        return False

    def _look_around(self, draining: bool) -> bool:
        """Now and then: whose end was asked for, what dead workers have left, which messages are
        due."""
        news = self._reap_messages()
        now = time.monotonic()
        if self._looked and now - self._looked < _LOOK:
            return news
        self._looked = now
        at = utcnow()
        with self.site.state.read() as conn:
            asked = queue.asked_to_end(conn, list(self.held))
            alone = queue.orphans(
                conn, self.launchers.keys(), at, self.site.settings.worker.abandoned
            )
            due = next_due(conn)
        for name in asked:
            self.held[name].cancelled = True
        if draining:
            return news
        for name, state in alone:
            # What needs a step waits for a slot; units that run are counted as they are.
            if state is State.RUNNING or self._free > 0:
                news |= self._adopt(name)
        if due is not None and due <= stamp(at) and self._messages is None:
            self._messages = start_child(partial(steps.send_messages, self.site), _MESSAGES)
        return news

    def _reap_messages(self) -> bool:
        child = self._messages
        if child is None:
            return False
        if not child.ended():
            if time.monotonic() > child.deadline:
                child.stop()
            return False
        answer = child.finish()
        self._messages = None
        if answer.crash:
            self.say(f"messages were not sent: {answer.crash}")
        return False

    def _adopt(self, name: str) -> bool:
        job = None if name in self.held else moves.take_over(self._hand, name)
        if job is None:
            return False
        held = Held(job, self.launchers[job.launcher], cancelled=job.cancel_at is not None)
        if job.state is State.RUNNING:
            folder = self._hand.folder(name)
            with self.site.state.read() as conn:
                for row in units.units(conn, name, job.attempt, [State.RUNNING]):
                    place = folder.unit(job.attempt, row.number)
                    held.active[row.number] = Active(place, row.native)
                held.waiting = units.counts(conn, name, job.attempt).get(State.QUEUED, 0)
                held.failure = moves.first_failure(conn, job)
        self.held[name] = held
        self.say(f"{name}: taken over, {job.state}")
        return True

    def _grant(self, context: Context) -> bool:
        """Give free slots to whose turn it is: in one transaction, so that bounds hold exactly."""
        free = self._free
        own = [_candidate(one) for one in self.held.values() if one.room > 0]
        if free <= 0 or not (own or self._any_waiting()):
            return False
        begun: list[Held] = []
        with self.site.state.begin() as conn:
            owners, launchers = queue.load(conn)
            queued = queue.waiting(conn, self.launchers.keys(), free)
            attempts = {one.job: attempt for one, attempt in queued}
            turns = choose(
                [*own, *(one for one, _ in queued)],
                Load(owners, launchers, self._served), self.bounds, free,
            )  # fmt: skip
            for name, count in Counter(turns).items():
                if name not in attempts:
                    if has_lease(conn, name, self.name):
                        begun.append(self._start_units(conn, self.held[name], count))
                elif moves.claim(conn, self._hand, name, attempts[name]):
                    job = table.read(conn, name)
                    begun.append(Held(job, self.launchers[job.launcher]))
        latest = max(self._served.values(), default=0.0)
        for held in begun:
            if held.state is State.PREPARING:
                moves.save(self._hand, held.name)
            self.held[held.name] = held
            latest += 1
            self._served[held.job.owner] = latest
            self._advance(context, held, {})
        return bool(begun)

    def _any_waiting(self) -> bool:
        with self.site.state.read() as conn:
            return queue.any_waiting(conn, self.launchers.keys())

    def _start_units(self, conn: Connection, held: Held, count: int) -> Held:
        job, folder = held.job, self._hand.folder(held.name)
        for row in units.units(conn, job.name, job.attempt, [State.QUEUED], count):
            if units.start(conn, job.name, job.attempt, row.number):
                held.active[row.number] = Active(folder.unit(job.attempt, row.number))
                held.waiting -= 1
        return held


def _candidate(held: Held) -> Candidate:
    job = held.job
    return Candidate(
        job.name, job.owner, job.launcher, job.priority, job.queued_at or "", held.room
    )
