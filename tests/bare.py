"""Real units without walls: the supervisor of every launcher, around a plain command.

What tests of workers need many of, and quickly. A site, jobs on it, and workers that can be killed
at any point (``tests.children`` starts them).
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

import studium
from studium.errors import LaunchError
from studium.jobs import folder as folders
from studium.jobs import table, units
from studium.jobs.description import parse_spec
from studium.jobs.launchers import units as supervised
from studium.jobs.launchers.plan import Plan
from studium.jobs.launchers.protocol import (
    GUARANTEES,
    Capabilities,
    Seen,
    Stream,
    Unit,
)
from studium.jobs.names import new_name
from studium.jobs.states import Failure
from studium.jobs.states import State as JobState
from studium.jobs.table import Job
from studium.jobs.worker.service import serve
from studium.site import Site
from studium.state import State
from tests.children import Child, Nursery

_PATIENCE = 120.0


class Bare:
    """A launcher that guarantees nothing.

    Files in the site's folder ``trouble`` make it fail: named for one of its methods, they say how:
    ``hang``, ``die``, ``raise``, ``break`` (as a mistake would), or ``die N`` for N times.
    """

    name = "bare"

    def __init__(self, root: Path) -> None:
        self._trouble = root / "trouble"

    def capabilities(self) -> Capabilities:
        return Capabilities(True, frozenset(), dict.fromkeys(GUARANTEES, "there are no walls"))

    def validate(self, unit: Unit) -> list[str]:
        self._meet("validate")
        return ["image: it runs none"] if unit.image else []

    def submit(self, unit: Unit) -> str:
        self._meet("submit")
        outputs = {"STUDIUM_OUTPUT": str(unit.folder.resolve() / "outputs")}
        given = {"PATH": os.defpath, "JOB": unit.key.rpartition("-a")[0], **unit.environment}
        plan = Plan(unit.command, {**given, **outputs}, unit.limits, grace=1.0)
        hit("before submit")
        supervised.start(unit.folder, plan)
        hit("after submit")
        return unit.key

    def status(self, natives: Mapping[str, Path]) -> dict[str, Seen]:
        self._meet("status")
        return supervised.see(natives)

    def cancel(self, native: str, folder: Path) -> None:
        self._meet("cancel")
        supervised.request_cancel(folder)

    def tail(self, native: str, folder: Path, stream: Stream, offset: int, limit: int) -> bytes:
        return supervised.read_stream(folder, stream, offset, limit)

    def fetch(self, native: str, folder: Path) -> None:
        self._meet("fetch")

    def cleanup(self, native: str, folder: Path) -> None:
        self._meet("cleanup")

    def _meet(self, what: str) -> None:
        try:
            how, _, count = (self._trouble / what).read_text().partition(" ")
        except FileNotFoundError:
            return
        if count == "0":
            return
        if count:
            (self._trouble / what).write_text(f"{how} {int(count) - 1}")
        if how == "hang":
            signal.pause()
        if how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "break":
            raise RuntimeError(f"{what} has a mistake")
        raise LaunchError(f"{what} was told to fail")


class Points:
    """Moments of a worker's own process (not of its children) at which it may be killed."""

    def __init__(self) -> None:
        self.process = 0
        self.count = 0
        self.kill_at = 0

    def hit(self, name: str) -> None:
        if os.getpid() != self.process:
            return
        self.count += 1
        if self.count == self.kill_at:
            os.kill(self.process, signal.SIGKILL)


POINTS = Points()
hit = POINTS.hit


@contextmanager
def watched(kill_at: int) -> Iterator[None]:
    """Every commit and every hand-over, just before and just after it; renames after."""
    POINTS.process, POINTS.count, POINTS.kill_at = os.getpid(), 0, kill_at
    committed, renamed = State.begin, os.replace

    @contextmanager
    def begin(state: State) -> Iterator[Connection]:
        with committed(state) as conn:
            yield conn
            hit("before commit")
        hit("after commit")

    def replace(*args: Any) -> None:
        renamed(*args)
        hit("after rename")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(State, "begin", begin)
        patch.setattr(os, "replace", replace)
        yield


def make_site(folder: Path, **settings: object) -> Path:
    """A site whose data are open, so that its jobs need no disclosure control."""
    given = {"jobs.data": "open", "jobs.guarantees": [], "worker.grace": 0.2}
    given |= {name.replace("__", "."): value for name, value in settings.items()}
    studium.init(folder, given).close()
    return folder


COUNT = 'echo "$JOB $STUDIUM_UNIT" >> "$COUNTER"; echo a > "$STUDIUM_OUTPUT/a.txt"'
"""Says in a file that it ran, and writes its output."""


def submit(site: Site, script: str = COUNT, owner: str = "ana", **more: Any) -> str:
    """Submit a job that runs ``script`` in a shell; its name."""
    document = {
        "command": ["sh", "-c", script],
        "outputs": {"a": {"file": "a.txt", "type": "text", "level": "aggregate"}},
        "environment": {"COUNTER": str(site.root / "counter")},
        "privacy": "open",
        "owner": owner,
        "launcher": "bare",
        **more,
    }
    spec = parse_spec(document)
    name = new_name("test")
    folders.make_folder(site.jobs_dir, name, spec)
    with site.state.begin() as conn:
        table.create(conn, name, spec, owner)
        table.queue(conn, name, owner)
    return name


def runs(site: Site) -> list[str]:
    """Who has run: a job's name and a number of a unit, a line for each run."""
    counter = site.root / "counter"
    return sorted(counter.read_text().splitlines()) if counter.exists() else []


def job_of(site: Site, name: str) -> Job:
    with site.state.read() as conn:
        return table.read(conn, name)


def states_of(site: Site, names: Sequence[str]) -> list[JobState]:
    return [job_of(site, name).state for name in names]


def unit_states(site: Site, name: str) -> list[JobState]:
    with site.state.read() as conn:
        return [one.state for one in units.units(conn, name, job_of(site, name).attempt)]


def failure_of(site: Site, name: str) -> Failure | None:
    """Why a job, which has failed, did."""
    job = job_of(site, name)
    assert job.state is JobState.FAILED, job.state
    return job.failure


WAIT = 'while [ ! -e "$COUNTER.go" ]; do sleep 0.02; done; '
"""Waits for ``go``."""


def go(site: Site) -> None:
    """Let units that wait go on."""
    (site.root / "counter.go").touch()


def work(nursery: Nursery, site: Site, *options: str) -> Child:
    """A worker that ends when all jobs have."""
    child = nursery.run(site.root, "bare-worker", "--until-idle", *options)
    assert child.code == 0, child.err
    return child


def until(true: Callable[[], bool], child: Child) -> None:
    """Wait for what a running worker brings about."""
    clock = threading.Event()
    for _ in range(int(_PATIENCE / 0.02)):
        if true():
            return
        clock.wait(0.02)
    raise AssertionError(f"it never came about: {child.out}{child.err}")


def trouble(root: Path, what: str, how: str | None) -> None:
    """Make a method of the launcher fail, or (None) let it be."""
    place = root / "trouble" / what
    place.parent.mkdir(exist_ok=True)
    if how is None:
        place.unlink()
    else:
        draft = place.with_name(f".{what}")
        draft.write_text(how)
        draft.rename(place)


def main() -> None:
    """``bare-worker [--until-idle] [--once] [--slots N] [--kill-at N] [--refuse]`` on the site of
    STUDIUM_SITE; says at its end how many points it has passed."""
    arguments = sys.argv[2:]

    def number(option: str, default: int) -> int:
        return int(arguments[arguments.index(option) + 1]) if option in arguments else default

    with watched(number("--kill-at", 0)), studium.open(os.environ["STUDIUM_SITE"]) as site:
        serve(
            site,
            {"bare": Bare(site.root)},
            refusals=lambda name: ["no network"] if "--refuse" in arguments else [],
            say=lambda text: print(text, flush=True),
            slots=number("--slots", 2),
            once="--once" in arguments,
            until_idle="--until-idle" in arguments,
        )
    print(f"points {POINTS.count}", flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
