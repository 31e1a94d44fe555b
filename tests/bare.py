"""Real units without walls: the supervisor of every launcher, around a plain command.

What tests of workers need many of, and quickly. A site, jobs on it, and workers that can be killed
at any point (``tests.children`` starts them).
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import studium
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
from studium.jobs.states import State
from studium.jobs.table import Job
from studium.jobs.worker.service import serve
from studium.site import Site


class Bare:
    """A launcher that guarantees nothing."""

    name = "bare"

    def capabilities(self) -> Capabilities:
        return Capabilities(True, frozenset(), dict.fromkeys(GUARANTEES, "there are no walls"))

    def validate(self, unit: Unit) -> list[str]:
        return ["image: it runs none"] if unit.image else []

    def submit(self, unit: Unit) -> str:
        outputs = {"STUDIUM_OUTPUT": str(unit.folder.resolve() / "outputs")}
        environment = {"PATH": os.defpath, **unit.environment, **outputs}
        plan = Plan(unit.command, environment, unit.limits, grace=1.0)
        supervised.start(unit.folder, plan)
        return unit.key

    def status(self, natives: Mapping[str, Path]) -> dict[str, Seen]:
        return supervised.see(natives)

    def cancel(self, native: str, folder: Path) -> None:
        supervised.request_cancel(folder)

    def tail(self, native: str, folder: Path, stream: Stream, offset: int, limit: int) -> bytes:
        return supervised.read_stream(folder, stream, offset, limit)

    def fetch(self, native: str, folder: Path) -> None: ...

    def cleanup(self, native: str, folder: Path) -> None: ...


def make_site(folder: Path, **settings: object) -> Path:
    """A site whose data are open, so that its jobs need no disclosure control."""
    given = {"jobs.data": "open", "jobs.guarantees": [], "worker.grace": 0.2}
    given |= {name.replace("__", "."): value for name, value in settings.items()}
    studium.init(folder, given).close()
    return folder


COUNT = 'echo "$STUDIUM_JOB $STUDIUM_UNIT" >> "$COUNTER"; echo a > "$STUDIUM_OUTPUT/a.txt"'
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


def states_of(site: Site, names: Sequence[str]) -> list[State]:
    return [job_of(site, name).state for name in names]


def unit_states(site: Site, name: str) -> list[State]:
    with site.state.read() as conn:
        return [one.state for one in units.units(conn, name, job_of(site, name).attempt)]


def main() -> None:
    """``bare-worker [--until-idle] [--once] [--slots N]`` on the site of STUDIUM_SITE."""
    arguments = sys.argv[2:]
    slots = int(arguments[arguments.index("--slots") + 1]) if "--slots" in arguments else 2
    with studium.open(os.environ["STUDIUM_SITE"]) as site:
        serve(
            site,
            {"bare": Bare()},
            refusals=lambda name: json.loads(os.environ.get("BARE_REFUSALS", "[]")),
            say=lambda text: print(text, flush=True),
            slots=slots,
            once="--once" in arguments,
            until_idle="--until-idle" in arguments,
        )


if __name__ == "__main__":
    main()
