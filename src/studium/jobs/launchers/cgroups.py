"""Control groups of the kernel: what bounds, counts and kills a unit as a whole.

Version 1, version 2, and both at once (hybrid) are met; every controller is looked for by itself.
Groups are made below the one that this process is in, as that is what may be delegated to it. With
version 2 a group that has processes cannot pass controllers on, so in a delegated one (systemd:
``Delegate=yes``) this program's processes move to a leaf of their own first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from studium.jobs.launchers.protocol import Limits

CONTROLLERS = ("memory", "pids", "cpu")
_LEAF = "studium.main"
_PERIOD = 100_000  # microseconds
_OVERHEAD = 4  # processes of the runtime beside the unit's own


@dataclass(frozen=True, slots=True)
class Tree:
    """Where groups can be made: a folder for each controller, of either version."""

    version1: Mapping[str, Path] = field(default_factory=dict)
    version2: Path | None = None
    controllers2: frozenset[str] = frozenset()
    lost: Mapping[str, str] = field(default_factory=dict)  # controller → why there is none

    def has(self, controller: str) -> bool:
        """Whether groups made here have this controller."""
        return controller in self.version1 or controller in self.controllers2


@dataclass(frozen=True, slots=True)
class Group:
    """The cgroup of one unit, in every hierarchy."""

    version1: Mapping[str, Path]
    version2: Path | None
    controllers2: frozenset[str]

    def folders(self) -> list[Path]:
        """All its folders."""
        return [*self.version1.values(), *([self.version2] if self.version2 else [])]

    def join(self) -> None:
        """Move this process into it."""
        for folder in self.folders():
            (folder / "cgroup.procs").write_text("0")

    def bounds(self, controller: str) -> bool:
        """Whether it has this controller."""
        return controller in self.version1 or controller in self.controllers2

    def oom_kills(self) -> int:
        """Processes that were killed because the group ran out of memory."""
        if "memory" in self.version1:
            return _field(self.version1["memory"] / "memory.oom_control", "oom_kill")
        return self._read2("memory.events", "oom_kill")

    def peak_memory(self) -> int | None:
        """Bytes; None if not measured."""
        if "memory" in self.version1:
            return _number(self.version1["memory"] / "memory.max_usage_in_bytes")
        return _number(self.version2 / "memory.peak") if self.version2 else None

    def cpu_seconds(self) -> float | None:
        """Of all its processes; None if not measured."""
        if "cpuacct" in self.version1:
            used = _number(self.version1["cpuacct"] / "cpuacct.usage")
            return None if used is None else used / 1e9
        used = self._read2("cpu.stat", "usage_usec")
        return used / 1e6 if used else None

    def kill(self) -> None:
        """Kill every process in it, also those that are being made."""
        if self.version2 and (self.version2 / "cgroup.kill").exists():
            with suppress(OSError):
                (self.version2 / "cgroup.kill").write_text("1")
        for folder in self.folders():
            for _ in range(100):
                pids = _pids(folder)
                if not pids:
                    break
                for pid in pids:
                    with suppress(ProcessLookupError):
                        os.kill(pid, 9)
                time.sleep(0.01)  # for the kernel to take them away

    def remove(self) -> None:
        """Take the folders away; they are empty of processes by now, or stay."""
        for folder in self.folders():
            for _ in range(50):
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:  # the last process is still leaving
                    time.sleep(0.01)
                else:
                    break

    def _read2(self, name: str, key: str) -> int:
        return _field(self.version2 / name, key) if self.version2 else 0


def find_tree(root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc/self")) -> Tree:
    """What this process may use; tried, not assumed: a group is made and removed."""
    own = _own_groups(proc)
    version1: dict[str, Path] = {}
    lost: dict[str, str] = {}
    for mount, kind, options in _mounts(proc):
        for controller in (*CONTROLLERS, "cpuacct") if kind == "cgroup" else ():
            if controller in options:
                base = _below(mount, own.get(controller, "/"))
                why = _try(base)
                if why:
                    lost[controller] = why
                else:
                    version1[controller] = base
    version2, controllers2 = None, frozenset[str]()
    for mount, kind, _ in _mounts(proc):
        if kind == "cgroup2":
            base = _below(mount, own.get("", "/"))
            base = base.parent if base.name == _LEAF else base
            why = _try(base)
            if not why:
                version2, controllers2 = base, _pass_on(base)
            for controller in CONTROLLERS:
                if controller not in controllers2 and controller not in version1:
                    lost.setdefault(
                        controller, why or f"{base} passes no {controller} controller on"
                    )
    for controller in CONTROLLERS:
        if controller not in version1 and controller not in controllers2:
            lost.setdefault(controller, f"no {controller} controller is mounted at {root}")
    missing = {name: why for name, why in lost.items() if name in CONTROLLERS}
    return Tree(version1, version2, controllers2, missing)


def make_group(tree: Tree, name: str, limits: Limits) -> Group:
    """A new group with these limits, empty of processes; one that is left over is used again."""
    group = group_named(tree, name)
    for folder in group.folders():
        folder.mkdir(exist_ok=True)
    one, two = group.version1, group.version2
    if "memory" in one:
        _set(one["memory"] / "memory.limit_in_bytes", limits.memory)
        _set(one["memory"] / "memory.memsw.limit_in_bytes", limits.memory, optional=True)
        _set(one["memory"] / "memory.swappiness", 0, optional=True)
    elif two and "memory" in group.controllers2:
        _set(two / "memory.max", limits.memory)
        _set(two / "memory.swap.max", 0, optional=True)
        _set(two / "memory.oom.group", 1, optional=True)
    if "pids" in one:
        _set(one["pids"] / "pids.max", limits.processes + _OVERHEAD)
    elif two and "pids" in group.controllers2:
        _set(two / "pids.max", limits.processes + _OVERHEAD)
    quota = max(int(limits.cpus * _PERIOD), 1000)
    if "cpu" in one:
        _set(one["cpu"] / "cpu.cfs_period_us", _PERIOD)
        _set(one["cpu"] / "cpu.cfs_quota_us", quota)
    elif two and "cpu" in group.controllers2:
        _set(two / "cpu.max", f"{quota} {_PERIOD}")
    return group


def group_named(tree: Tree, name: str) -> Group:
    """The group of that name, whether it exists or not."""
    return Group(
        {controller: base / name for controller, base in tree.version1.items()},
        tree.version2 / name if tree.version2 else None,
        tree.controllers2,
    )


def _own_groups(proc: Path) -> dict[str, str]:
    """Controller → path within its hierarchy; version 2 has the empty name."""
    found = {}
    for line in (proc / "cgroup").read_text("utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


def _mounts(proc: Path) -> list[tuple[Path, str, list[str]]]:
    found = []
    for line in (proc / "mounts").read_text("utf-8").splitlines():
        _, place, kind, options, *_ = line.split(" ")
        if kind in ("cgroup", "cgroup2"):
            found.append((Path(place), kind, options.split(",")))
    return found


def _below(mount: Path, path: str) -> Path:
    # In a container without a cgroup namespace the path is that of the host.
    base = mount / path.lstrip("/")
    return base if base.is_dir() else mount


def _try(base: Path) -> str:
    """Why no group can be made there; empty if it can."""
    trial = base / f"studium-trial-{os.urandom(8).hex()}"  # threads try at once, too
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        return f"{base}: {error.strerror}"
    return ""


def _pass_on(base: Path) -> frozenset[str]:
    """Controllers of version 2 that groups below ``base`` have, after having asked for them."""
    with suppress(OSError):
        offered = set((base / "cgroup.controllers").read_text().split()) & set(CONTROLLERS)
        if offered - set((base / "cgroup.subtree_control").read_text().split()):
            if _pids(base) and _delegated(base):
                leaf = base / _LEAF
                leaf.mkdir(exist_ok=True)
                for pid in _pids(base):
                    with suppress(OSError):
                        (leaf / "cgroup.procs").write_text(str(pid))
            for controller in offered:
                with suppress(OSError):
                    (base / "cgroup.subtree_control").write_text(f"+{controller}")
    with suppress(OSError):
        passed = (base / "cgroup.subtree_control").read_text().split()
        return frozenset(passed) & frozenset(CONTROLLERS)
    return frozenset()


def _delegated(base: Path) -> bool:
    """Whether systemd has left this group to the service in it."""
    for name in ("trusted.delegate", "user.delegate"):
        with suppress(OSError):
            if os.getxattr(base, name) == b"1":
                return True
    return False


def _set(path: Path, value: int | str, optional: bool = False) -> None:
    try:
        path.write_text(str(value))
    except OSError:
        if not optional:
            raise


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _field(path: Path, key: str) -> int:
    with suppress(OSError):
        for line in path.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == key:
                return int(value)
    return 0


def _pids(folder: Path) -> list[int]:
    try:
        return [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []
