"""From handing a command to a launcher until it runs, beside starting the same command bare.

    python -m bench.launching

The command tells the time at which it runs. Launchers and the bare start take turns, as the machine
may have other work; medians count. Containers run a busybox image, which needs root and Podman.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from studium.jobs.launchers.container import ContainerLauncher
from studium.jobs.launchers.protocol import Launcher, Limits, Phase, Unit
from studium.jobs.launchers.sandbox import SandboxLauncher
from tests.containers import digest_of, storage_in

# In all of them, in hundredths of a second; `date` of busybox has nothing finer than a second.
_COMMAND = ("cat", "/proc/uptime")
_LIMITS = Limits(
    seconds=60, memory=2**28, cpus=1, processes=50, output=2**20, log=2**16, scratch=2**20
)
ROUNDS = 15


def measure_launchers(root: Path, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Median seconds to the start by launcher, and the ratio to ``bare``."""
    with ExitStack() as stack:
        starts: dict[str, Callable[[Path], float]] = {"bare": _bare}
        if shutil.which("bwrap"):
            sandbox = SandboxLauncher()
            starts["sandbox"] = lambda folder: _launched(sandbox, None, folder)
        if os.geteuid() == 0 and shutil.which("podman") and Path("/bin/busybox").is_file():
            runtime = stack.enter_context(storage_in(root / "containers"))
            assert runtime.store
            container, image = ContainerLauncher(runtime.store), digest_of(runtime)
            starts["container"] = lambda folder: _launched(container, image, folder)
        taken: dict[str, list[float]] = {name: [] for name in starts}
        for number in range(rounds + 1):
            for name, start in starts.items():
                for attempt in range(10 if name == "bare" else 1):
                    folder = root / f"{name}-{number}-{attempt}"
                    folder.mkdir()
                    seconds = start(folder)
                    if number:  # the first finds nothing warm
                        taken[name].append(seconds)
    bare = statistics.fmean(taken["bare"])  # shorter than the clock's steps: the mean is unbiased
    return {
        name: {"seconds": round(seconds, 4), "ratio": round(seconds / bare, 1)}
        for name, all_of in taken.items()
        for seconds in [bare if name == "bare" else statistics.median(all_of)]
    }


def _bare(folder: Path) -> float:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    said = subprocess.run(_COMMAND, capture_output=True, check=True).stdout
    return _since(before, said)


def _launched(launcher: Launcher, image: str | None, folder: Path) -> float:
    unit = Unit(key="bench", folder=folder, command=_COMMAND, limits=_LIMITS, image=image)
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    native = launcher.submit(unit)
    natives: Mapping[str, Path] = {native: folder}
    while (seen := launcher.status(natives)[native]).phase is Phase.RUNNING:
        time.sleep(0.01)
    if seen.exit is None or seen.exit.code != 0:
        raise SystemExit(f"{launcher.name} did not run the command: {seen}")
    return _since(before, launcher.tail(native, folder, "stdout", 0, 100))


def _since(before: float, said: bytes) -> float:
    """Seconds; the clock that the command tells has hundredths, of which a half is expected."""
    return float(said.split()[0]) + 0.005 - before


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        json.dump(measure_launchers(Path(name)), sys.stdout, indent=2)
        print()
