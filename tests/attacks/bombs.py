"""Attacks that use things up, or that do not end: one unit each, and its bounded control."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studium.jobs.launchers.protocol import Limits
from tests.attacks.world import LIMITS, Ended, World, limited

_MEBI = 2**20
_GRACE_AND_MORE = 6.0  # seconds after its time in which a unit must be gone, on a busy machine


@dataclass(frozen=True)
class Bomb:
    """``kept`` asserts that a unit was held; ``free`` says whether a control was not."""

    name: str
    kept: Callable[[World, Ended], bool]
    free: Callable[[World, str], bool]
    limits: Limits = LIMITS
    needs: str = ""  # the guarantee without which the launcher promises nothing
    more: dict[str, Any] = field(default_factory=dict)


def _got_less(limit: int) -> Callable[[World, Ended], bool]:
    return lambda world, ended: (ended.got or 0) < limit


def _got(most: int) -> Callable[[World, str], bool]:
    """The control gets all it asks for."""
    return lambda world, name: world.unguarded([name]).got == most


def _got_alone(most: int) -> Callable[[World, str], bool]:
    return lambda world, name: world.unguarded([name], alone=True).got == most


def _ended(reason: str, within: float = 60.0) -> Callable[[World, Ended], bool]:
    def kept(world: World, ended: Ended) -> bool:
        assert ended.exit
        return ended.exit.reason == reason and ended.exit.seconds < within

    return kept


def _nothing_left(world: World, ended: Ended) -> bool:
    return ended.got == "left" and world.left() == []


def _log_is_short(world: World, ended: Ended) -> bool:
    assert ended.exit
    assert ended.folder
    kept = (ended.folder / "stdout").stat().st_size
    return kept <= LIMITS.log and ended.exit.stdout >= 256 * _MEBI and ended.exit.code == 0


def _file_is_short(world: World, ended: Ended) -> bool:
    assert ended.folder
    path = ended.folder / "outputs" / "sparse"
    return ended.got is None and (not path.exists() or path.stat().st_size <= LIMITS.output + 1)


def _stays(world: World, name: str) -> bool:
    """A daemon is still there when its parent has ended."""
    child = world.start_unguarded(name)
    assert child.stdout
    child.stdout.readline()
    _until(lambda: bool(world.left()))
    child.wait()
    found = bool(world.left())
    world.stop()
    return found


def _hears_nothing(world: World, name: str) -> bool:
    child = world.start_unguarded(name)
    assert child.stdout
    child.stdout.readline()
    child.terminate()
    try:
        child.wait(0.5)
    except subprocess.TimeoutExpired:
        return True
    finally:
        world.stop()
    return False


def _stands_still(world: World, name: str) -> bool:
    """Its parent is stopped for good: here a shell that waits for it."""
    place = world.folder / "code" / "programs.py"
    shell = subprocess.Popen(
        ["sh", "-c", '"$@"; true', "sh", os.path.realpath("/usr/bin/env"),
         f"STUDIUM_TARGETS={world.targets(alone=True)}", "python3", str(place), name],
        stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    world.children.append(shell)
    assert shell.stdout
    shell.stdout.readline()
    _until(lambda: b") T " in Path(f"/proc/{shell.pid}/stat").read_bytes())
    os.kill(shell.pid, signal.SIGTERM)  # it is not even told
    found = shell.poll() is None
    world.stop()
    return found


def _fills_a_file(world: World, name: str) -> bool:
    child = world.start_unguarded(name)
    assert child.stdout
    count = 0
    while data := child.stdout.read(_MEBI):
        count += len(data)
    world.stop()
    return count == 16 * _MEBI


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


_SHORT = limited(seconds=1.0)
BOMBS = (
    Bomb("fork_bomb", _got_less(60), _got(150), needs="process limit"),
    Bomb("thread_bomb", _got_less(60), _got(150), needs="process limit"),
    Bomb(
        "memory_bomb", _got_less(64 * _MEBI), _got(256 * _MEBI), limited(memory=64 * _MEBI),
        needs="memory limit",
    ),
    Bomb(
        "hidden_memory_bomb", _got_less(64 * _MEBI), _got(256 * _MEBI),
        limited(memory=64 * _MEBI, output=2**30), needs="memory limit",
    ),
    Bomb("fill_outputs", _ended("output too large"), _got(128 * _MEBI), needs="output limit"),
    Bomb("fill_nameless", _ended("output too large"), _got(128 * _MEBI), needs="output limit"),
    Bomb("fill_mapped", _ended("output too large"), _got(128 * _MEBI), needs="output limit"),
    Bomb("fill_deep", _ended("output too large"), _got(128 * _MEBI), needs="output limit"),
    Bomb(
        "fill_in_grace", _got_less(100 * _MEBI), _got_alone(128 * _MEBI), limited(seconds=1.0),
        needs="output limit",
    ),
    Bomb("sparse_output", _file_is_short, _got(2**40), needs="output limit"),
    Bomb("fill_elsewhere", _got_less(5 * _MEBI), _got(40 * _MEBI), needs="scratch limit"),
    Bomb("flood", _log_is_short, _fills_a_file),
    Bomb("deaf", _ended("timeout", 1 + _GRACE_AND_MORE), _hears_nothing, _SHORT),
    Bomb("daemon", _nothing_left, _stays),
    Bomb("daemon_with_stdout", _nothing_left, _stays),
    Bomb("freeze", _ended("timeout", 1 + _GRACE_AND_MORE), _stands_still, _SHORT),
)  # fmt: skip
LONG = (
    Bomb("many_files", _ended("output too large"), _got(110_000), needs="output limit"),
)  # fmt: skip
