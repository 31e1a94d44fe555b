"""What a worker does next with a job that it holds, state by state.

Every function gives True if something has changed. The state is written before a launcher is told:
a unit is RUNNING before it is handed over, and one that is found so without a native id is handed
over again, which starts it once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from studium.errors import LaunchError
from studium.jobs.launchers.protocol import Exit, Phase
from studium.jobs.states import FailedError, Failure, State
from studium.jobs.worker import moves, steps
from studium.jobs.worker.children import start_child
from studium.jobs.worker.hand import Hand
from studium.jobs.worker.held import Held

_LONGEST_PAUSE = 60.0

Outcome = Exit | Failure
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Context:
    """Who works; ``refusals`` says of a launcher why the site's policy forbids it, ``renew`` renews
    the leases if it is time."""

    hand: Hand
    refusals: Callable[[str], list[str]]
    say: Say
    renew: Callable[[], None]
    draining: bool

    @property
    def tries(self) -> int:
        return self.hand.site.settings.worker.tries


def advance(context: Context, held: Held, ended: Mapping[int, Outcome]) -> bool:
    """Do what can be done now; ``ended`` are its units that have ended since the last time."""
    match held.state:
        case State.PREPARING:
            return _prepare(context, held)
        case State.RUNNING:
            return _run(context, held, ended)
        case State.COLLECTING:
            return _collect(context, held)
    return _tidy(context, held)


def poll(all_held: Iterable[Held], grace: float, say: Say) -> dict[str, dict[int, Outcome]]:
    """Ask each launcher once for all its units: those that have ended, by job and number.

    What a launcher cannot say changes nothing (specs/jobs-hpc §7.32).
    """
    found: dict[str, dict[int, Outcome]] = {}
    by_launcher: dict[str, list[Held]] = {}
    for held in all_held:
        if any(one.native for one in held.active.values()):
            by_launcher.setdefault(held.job.launcher, []).append(held)
    for name, group in by_launcher.items():
        natives = {
            one.native: one.folder for held in group for one in held.active.values() if one.native
        }
        try:
            seen = group[0].launcher.status(natives)
        except Exception as error:  # whatever a launcher's outside world throws
            say(f"launcher {name} cannot be asked: {type(error).__name__}: {error}")
            continue
        now = time.monotonic()
        for held in group:
            for number, active in held.active.items():
                one = seen.get(active.native) if active.native else None
                if one is None or one.phase in (Phase.PENDING, Phase.RUNNING):
                    active.missing = None
                elif one.exit is not None:
                    found.setdefault(held.name, {})[number] = one.exit
                else:
                    active.missing = active.missing or now
                    if now - active.missing >= grace:
                        found.setdefault(held.name, {})[number] = Failure.LOST
    return found


def recover(context: Context, held: Held) -> None:
    """After an error that nobody has thought of: a pause, which counts as a try, and at the last
    an end. Units that run are asked to end before; a second such error does not wait for them."""
    count = moves.begin_step(context.hand, held.name)
    held.pause = time.monotonic() + _pause(count - 1)
    if count < context.tries:
        return
    _drop_child(held)
    if held.state.ended:
        held.tidy = True
        return
    _ask_to_end(context, held)
    if any(one.native for one in held.active.values()) and held.failure is None:
        held.failure = Failure.INTERNAL
        return
    if held.active:
        _end_units(context, held, dict.fromkeys(held.active, Failure.INTERNAL))
    _finish(context, held, State.FAILED, Failure.INTERNAL)


def _hand_over(context: Context, held: Held) -> bool:
    """Hand over its units that have no native id yet and whose time has come."""
    due = [
        number
        for number, one in held.active.items()
        if one.native is None and one.again <= time.monotonic()
    ]
    if not due:
        return False
    natives: dict[int, str] = {}
    refused: dict[int, Outcome] = {}
    for number in due:
        context.renew()  # a launcher may take its time
        active = held.active[number]
        try:
            unit = steps.unit_of(context.hand, held.job, number)
            active.folder.mkdir(parents=True, exist_ok=True)
            natives[number] = active.native = held.launcher.submit(unit)
        except FailedError as error:  # an input that is gone since it was staged
            context.say(f"{held.name}: unit {number} cannot be started: {error}")
            refused[number] = error.failure
        except (LaunchError, OSError) as error:
            active.refusals += 1
            active.again = time.monotonic() + _pause(active.refusals)
            context.say(f"{held.name}: unit {number} was not started: {error}")
            if active.refusals >= context.tries:
                refused[number] = Failure.REFUSED
    if natives:
        moves.note_natives(context.hand, held.job, natives)
    if refused:
        _end_units(context, held, refused)
    return True


def _prepare(context: Context, held: Held) -> bool:
    if held.cancelled:
        return _stop_step(context, held)
    refusals = context.refusals(held.job.launcher)
    if refusals:
        context.say(f"{held.name}: {held.job.launcher} is below the policy: {'; '.join(refusals)}")
        return _finish(context, held, State.FAILED, Failure.REFUSED)
    answer = _step(context, held, "prepare", steps.prepare)
    if answer is None:
        return False
    if "failure" in answer:
        return _fail(context, held, answer)
    held.job = moves.run(context.hand, held.job)
    held.waiting = held.job.units
    context.say(f"{held.name}: {held.state}")
    return True


def _run(context: Context, held: Held, ended: Mapping[int, Outcome]) -> bool:
    news = bool(ended)
    late = not held.stopping and moves.overdue(held.job)
    if late and any(isinstance(how, Exit) and how.reason == "cancelled" for how in ended.values()):
        held.failure = Failure.TIMEOUT  # by a worker that has died since
    if ended:
        _end_units(context, held, ended)
    # One without a native id was not asked for yet: it may have ended in time.
    left = held.waiting or any(one.native for one in held.active.values())
    if late and not held.stopping and left:
        held.failure = Failure.TIMEOUT
    news |= _hand_over(context, held)
    if held.stopping:
        _ask_to_end(context, held)
    if held.active or (held.waiting and not held.stopping):
        return news
    if held.cancelled:
        return _finish(context, held, State.CANCELLED)
    if held.failure:
        return _finish(context, held, State.FAILED, held.failure)
    held.job = moves.collect(context.hand, held.job)
    context.say(f"{held.name}: {held.state}")
    return True


def _collect(context: Context, held: Held) -> bool:
    if held.cancelled:
        return _stop_step(context, held)
    answer = _step(context, held, "collect", steps.collect)
    if answer is None:
        return False
    if "failure" in answer:
        return _fail(context, held, answer)
    if not context.hand.folder(held.name).released_manifest.exists():
        return _finish(context, held, State.FAILED, Failure.INTERNAL)
    held.tidy = True  # collecting ends with it
    return _finish(context, held, State.SUCCEEDED)


def _tidy(context: Context, held: Held) -> bool:
    """After the end: nothing that happens here changes how the job has ended."""
    if not held.tidy:
        answer = _step(context, held, "tidy", steps.tidy)
        held.tidy = answer is not None
    return held.tidy


def _step(context: Context, held: Held, what: str, do: steps.Step) -> steps.Answer | None:
    """Have a step done by a child; its answer once it is there. A step that crashed is tried again;
    its tries are counted before they begin, so that one that kills the worker, too, comes to an
    end."""
    child = held.child
    if child is None:
        if context.draining or time.monotonic() < held.again:
            return None
        count = moves.begin_step(context.hand, held.name)
        if count > context.tries:
            return {"failure": str(Failure.INTERNAL), "step": what}
        work = partial(steps.in_child, do, context.hand, held.job, held.launcher)
        limit = context.hand.site.settings.worker.step
        held.child = start_child(work, limit, str(context.hand.log(held.name)))
        return None
    if not child.ended():
        if time.monotonic() > child.deadline:
            child.stop()
        return None
    answer = child.finish()
    held.child = None
    if answer.crash:
        held.crashes += 1
        if held.crashes < context.tries:  # else the next look ends it
            held.again = time.monotonic() + _pause(held.crashes - 1)
        context.say(f"{held.name}: {what} broke off: {answer.crash}")
        return None
    held.crashes = 0
    found: steps.Answer = answer.value
    return found


def _stop_step(context: Context, held: Held) -> bool:
    _drop_child(held)
    return _finish(context, held, State.CANCELLED)


def _drop_child(held: Held) -> None:
    if held.child:
        held.child.stop()
        held.child.finish()
        held.child = None


def _fail(context: Context, held: Held, answer: steps.Answer) -> bool:
    why = answer.pop("failure")
    text = answer.pop("text", "")  # for operators: it may hold names that the job chose
    if text:
        context.say(f"{held.name}: {text}")
    return _finish(context, held, State.FAILED, Failure(why), answer)


def _finish(
    context: Context,
    held: Held,
    goes: State,
    failure: Failure | None = None,
    details: Mapping[str, str] | None = None,
) -> bool:
    held.job = moves.finish(context.hand, held.job, goes, failure, details)
    held.waiting = 0
    held.again = 0.0
    context.say(f"{held.name}: {held.state}{f', {failure}' if failure else ''}")
    return True


def _end_units(context: Context, held: Held, ended: Mapping[int, Outcome]) -> None:
    failure = moves.end_units(context.hand, held.job, ended, held.stopping)
    for number in ended:
        del held.active[number]
    if failure and not held.stopping:
        held.failure = failure


def _ask_to_end(context: Context, held: Held) -> None:
    for active in held.active.values():
        if active.native and not active.asked:
            try:
                held.launcher.cancel(active.native, active.folder)
                active.asked = True
            except Exception as error:  # asked again at the next look
                context.say(f"{held.name}: a unit could not be asked to end: {error}")


def _pause(count: int) -> float:
    return float(min(_LONGEST_PAUSE, 0.5 * 4**count))
