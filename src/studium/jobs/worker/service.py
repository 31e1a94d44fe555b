"""A worker as a process: settings in, signals heard."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from studium.errors import SettingsError
from studium.jobs.disclosure.model import Policy
from studium.jobs.launchers.protocol import Launcher
from studium.jobs.launchers.registry import wanted_guarantees
from studium.jobs.notify.receivers import read_policy
from studium.jobs.worker.advance import Say
from studium.jobs.worker.choice import Bounds
from studium.jobs.worker.worker import Stop, Worker
from studium.site import Site

_BOUND = re.compile(r"([a-z0-9-]+)=([0-9]+)")


def serve(
    site: Site,
    launchers: Mapping[str, Launcher],
    *,
    refusals: Callable[[str], list[str]],
    say: Say,
    slots: int = 0,
    once: bool = False,
    until_idle: bool = False,
) -> None:
    """Run one worker until SIGTERM or SIGINT; it then drains.

    ``slots`` above 0 takes the place of ``worker.slots``. Raises SettingsError before it begins.
    """
    settings = site.settings.worker
    Policy.of(site.settings.disclosure)
    wanted_guarantees(site)
    read_policy(site.settings.notify.callbacks, site.settings.notify.networks)
    worker = Worker(
        site,
        launchers,
        slots or settings.slots or os.cpu_count() or 1,
        bounds_of(settings.per_owner, settings.per_launcher),
        refusals,
        say,
    )
    with _stopping() as stop:
        worker.run(stop, once=once, until_idle=until_idle)


def bounds_of(owner: int, launchers: Sequence[str]) -> Bounds:
    """The bounds that ``worker.per_owner`` and ``worker.per_launcher`` say."""
    found = {}
    for text in launchers:
        match = _BOUND.fullmatch(text)
        if match is None:
            raise SettingsError(
                f"worker.per_launcher: {text!r} is not a bound.", "Write NAME=NUMBER: container=4."
            )
        found[match[1]] = int(match[2])
    return Bounds(owner, found)


@contextmanager
def _stopping() -> Iterator[Stop]:
    """Ends on SIGTERM and SIGINT are asked for, and wake the worker."""
    reading, writing = os.pipe()
    for descriptor in (reading, writing):
        os.set_blocking(descriptor, False)
    stop = Stop(pipe=reading)

    def ask(number: int, frame: FrameType | None) -> None:
        stop.asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)
