"""Running a command as a child process: how long, how much work, how much memory."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

_TO_MB = 1e6 if sys.platform == "darwin" else 1e6 / 1024  # ru_maxrss: bytes there, KiB here


@dataclass(frozen=True)
class Cost:
    """Wall-clock and processor seconds, and what memory was resident at most, in MB (10^6); Linux
    counts that of the starting process in, so it is never below the bench's own."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def run(
    command: Sequence[str | Path], folder: Path, settings: Mapping[str, str] | None = None
) -> Cost:
    """Run a command to its end; it must succeed. Its output goes to ``folder/output.txt``.
    ``settings`` are variables of its environment."""
    with (folder / "output.txt").open("ab") as output:
        start = time.perf_counter()
        child = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=output,
            env={**_environment(folder), **(settings or {})},
        )
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        text = (folder / "output.txt").read_text("utf-8", "replace")
        raise SystemExit(f"{command} failed with code {child.returncode}:\n{text[-2000:]}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / _TO_MB)


def _environment(folder: Path) -> dict[str, str]:
    """Modules are compiled once and kept, as in any installation."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("STUDIUM_", "PYTHON"))}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}


def median(costs: Sequence[Cost]) -> Cost:
    """Of each figure the median; of the memory the most."""
    return Cost(
        statistics.median(cost.seconds for cost in costs),
        statistics.median(cost.cpu_seconds for cost in costs),
        max(cost.peak_mb for cost in costs),
    )


def plus(*costs: Cost) -> Cost:
    """One command after the other."""
    return Cost(
        sum(cost.seconds for cost in costs),
        sum(cost.cpu_seconds for cost in costs),
        max(cost.peak_mb for cost in costs),
    )


def describe_machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("duckdb", "deltalake", "pyarrow", "orjson")},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
