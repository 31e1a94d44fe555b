"""``ingest --follow``: a live log, taken every few seconds until somebody says stop."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from studium.cli.context import writing
from studium.cli.output import plural
from studium.errors import LockedError

if TYPE_CHECKING:
    from studium.site import Site
    from studium.sources.edx.follow import Follower

_NAP = 0.2  # seconds: how long a stop may go unnoticed
_MANY_BYTES = 8 << 20  # so much is taken at once, whatever the time


class _Stop:
    """Whether somebody said stop. An Event has a lock: a handler that runs while its own thread
    holds that would wait for it for ever."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, *_: object) -> None:
        self.asked = True


def follow_log(site: Site, path: Path, every: float, build_every: float) -> None:
    """Take what comes until SIGTERM or SIGINT; what was begun is finished then."""
    from studium.sources.edx.follow import Follower

    stop = _Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.ask)
    follower = Follower(site, path.expanduser().absolute())
    typer.echo(f"Following {follower.path}; SIGTERM or Ctrl-C ends it.")
    if not follower.path.exists():
        # It may be between two rotations, or there may be a slip in the name.
        typer.echo(f"{follower.path} is not there yet; it is waited for.", err=True)
    built = time.monotonic()
    fresh = False
    try:
        while True:
            fresh |= _tick(site, follower)
            if build_every and fresh and time.monotonic() - built >= build_every:
                _build(site)
                built, fresh = time.monotonic(), False
            if _wait(stop, follower, every):
                break
    finally:
        follower.close()
    typer.echo("Stopped.")


def _tick(site: Site, follower: Follower) -> bool:
    """Take what is there; has anything come? If another command writes, it is for the next time."""
    try:
        with writing(site, "ingest --follow"):
            reports = follower.tick()
    except LockedError as error:
        typer.echo(f"{error.message} Tried again later.", err=True)
        return False
    for one in reports:
        said = [f"{one.new:,} new"]
        said += [f"{one.duplicates:,} duplicates"] if one.duplicates else []
        said += [f"{one.rejects:,} refused"] if one.rejects else []
        said += [f"{one.forgotten:,} forgotten"] if one.forgotten else []
        typer.echo(f"{one.path.rpartition('/')[2]}: {plural(one.lines, 'line')}: {', '.join(said)}")
    return bool(reports)


def _wait(stop: _Stop, follower: Follower, every: float) -> bool:
    """Wait ``every`` seconds, or until much has come; True if it is time to stop."""
    end = time.monotonic() + every
    while not stop.asked and (left := end - time.monotonic()) > 0:
        time.sleep(min(_NAP, left))
        if follower.waiting() > _MANY_BYTES:
            break
    return stop.asked


def _build(site: Site) -> None:
    """Build and publish all tables, the present day among them."""
    from datetime import timedelta

    from studium.autopilot import Step
    from studium.autopilot.steps import choose_interval, choose_tables
    from studium.cli.run import do_steps
    from studium.clock import today
    from studium.lake.plan import Scope

    interval = choose_interval(site, None, today() + timedelta(days=1))
    do_steps(
        site, "ingest --follow", choose_tables(()), Scope(interval), (Step.BUILD, Step.PUBLISH)
    )
