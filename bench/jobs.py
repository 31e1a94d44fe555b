"""Workers under load: a long queue with kills in between, and an array of units.

    python -m bench.jobs [--jobs N] [--units N]

The queue is of short jobs on PostgreSQL, through two workers of which one is killed three times and
replaced. Units of it run without walls, so that each can say in one file that it ran: none may be
missing, none may be there twice. Units of the array run in the sandbox (or without walls where
there is none) and keep a core busy; two cores should take half the time of one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import studium
from studium.jobs import table
from studium.jobs.states import State
from studium.site import Site
from tests import bare
from tests.databases import run_postgres

ROOT = Path(__file__).resolve().parent.parent
KILLS = 3
_OWNERS = 7
_BURN = ("sh", "-c", "i=0; while [ $i -lt {turns} ]; do i=$((i+1)); done; echo a > {output}")


def measure_queue(root: Path, count: int) -> dict[str, float]:
    """``count`` jobs through two workers: seconds and jobs a second; stops if one is lost."""
    site_root = bare.make_site(root / "queue", worker__lease=5)
    with run_postgres() as server:
        url = server.fresh()
        with studium.open(site_root, {"state.url": url}) as site:
            names = [bare.submit(site, owner=f"owner-{n % _OWNERS}") for n in range(count)]
            start = time.monotonic()
            workers = [_worker(site_root, url), _worker(site_root, url)]
            for kill in range(1, KILLS + 1):
                _wait_for(lambda kill=kill: _done(site) >= kill * count // (KILLS + 1), workers)  # type: ignore[misc]
                killed = workers.pop(0)
                killed.kill()
                killed.wait()
                workers.append(_worker(site_root, url))
            for worker in workers:
                if worker.wait():
                    raise SystemExit(f"a worker ended with code {worker.returncode}")
            seconds = time.monotonic() - start
            with site.state.read() as conn:
                states = Counter(table.read(conn, name).state for name in names)
            runs = bare.runs(site)
    if states != {State.SUCCEEDED: count} or runs != sorted(f"{name} 0" for name in names):
        raise SystemExit(f"{count} jobs: {dict(states)}, {len(runs)} runs of {len(set(runs))}")
    return {
        "jobs": count, "workers": 2, "kills": KILLS, "lost": 0, "twice": 0,
        "seconds": round(seconds, 1), "jobs_a_second": round(count / seconds, 2),
    }  # fmt: skip


def measure_array(root: Path, count: int) -> dict[str, float]:
    """An array of ``count`` units of half a second by one worker: seconds, those of the same
    commands bare one after the other, shared by the cores, and the ratio."""
    cores = os.cpu_count() or 1
    turns = 200_000
    walls = shutil.which("bwrap") is not None and os.geteuid() == 0
    site_root = bare.make_site(root / "array")
    output = "/output/a.txt" if walls else '"$STUDIUM_OUTPUT/a.txt"'
    command = [word.format(turns=turns, output=output) for word in _BURN]
    with studium.open(site_root) as site:
        name = bare.submit(
            site, units={"count": count}, command=command, environment={},
            launcher="sandbox" if walls else "bare",
        )  # fmt: skip
        taken = [_bare_seconds(root, turns) for _ in range(5)]
        start = time.monotonic()
        if walls:
            words = [sys.executable, "-m", "studium", "--site", str(site_root), "worker"]
            subprocess.run([*words, "--until-idle", "--slots", str(cores)], check=True,
                           stdout=subprocess.DEVNULL)  # fmt: skip
        else:
            _worker(site_root, "", str(cores)).wait()
        seconds = time.monotonic() - start
        taken += [_bare_seconds(root, turns) for _ in range(5)]
        if bare.job_of(site, name).state is not State.SUCCEEDED:
            raise SystemExit(f"the array is {bare.job_of(site, name)}")
    ideal = count * sorted(taken)[len(taken) // 2] / cores
    return {
        "units": count, "cores": cores, "walls": walls, "seconds": round(seconds, 1),
        "ideal": round(ideal, 1), "ratio": round(seconds / ideal, 2),
    }  # fmt: skip


def _bare_seconds(root: Path, turns: int) -> float:
    start = time.monotonic()
    subprocess.run(
        [word.format(turns=turns, output=root / "bare.txt") for word in _BURN], check=True
    )
    return time.monotonic() - start


def _worker(site: Path, url: str, slots: str = "2") -> subprocess.Popen[bytes]:
    environment = {**os.environ, "STUDIUM_SITE": str(site)}
    if url:
        environment["STUDIUM_STATE__URL"] = url
    command: Sequence[str] = ("bare-worker", "--until-idle", "--slots", slots)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bare", *command],
        cwd=ROOT, env=environment, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _done(site: Site) -> int:
    with site.state.read() as conn:
        return len(table.listing(conn, states=[State.SUCCEEDED]))


def _wait_for(true: Any, workers: Sequence[subprocess.Popen[bytes]]) -> None:
    while not true():
        if any(worker.poll() is not None for worker in workers):
            raise SystemExit("a worker has ended before its time")
        time.sleep(0.5)


def measure_jobs(root: Path, jobs: int = 1_000, units: int = 200) -> dict[str, dict[str, float]]:
    """Both measurements, below ``root``."""
    return {"queue": measure_queue(root, jobs), "array": measure_array(root, units)}


def print_jobs(found: dict[str, dict[str, float]]) -> None:
    """For people."""
    queue, array = found["queue"], found["array"]
    print(
        f"{queue['jobs']:,} short jobs, two workers on PostgreSQL, {queue['kills']} kills: "
        f"{queue['seconds']:,} s, {queue['jobs_a_second']} jobs a second, none lost, none twice"
    )
    print(
        f"array of {array['units']} units on {array['cores']} cores: {array['seconds']} s, "
        f"{array['ratio']} times the ideal"
    )


def main() -> None:
    """Measure, and write ``bench/jobs.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.jobs")
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--units", type=int, default=200)
    wanted = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        found = measure_jobs(Path(folder), wanted.jobs, wanted.units)
    print_jobs(found)
    results = {**found, "load": {"before": load, "after": os.getloadavg()[0]}}
    Path(__file__).with_name("jobs.json").write_text(json.dumps(results, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
