"""Attacks by what is in the outputs: each case, what must become of it, and its control."""

from __future__ import annotations

import os
import pickle
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from studium.jobs.disclosure.model import Output, Policy, Refused
from studium.jobs.disclosure.release import release
from tests.attacks.naive import copy_out
from tests.attacks.world import World

DECLARED = (
    Output("metrics.csv", "csv", "aggregate", keys=("week",), learners="n"),
    Output("rows.csv", "csv", "row", required=False),
)
LEAVES = ("closed", "extended")
"""Cases whose content may leave: what is wrong with their files does not leave with it."""


@dataclass(frozen=True)
class Case:
    """``free`` asserts what the case does to somebody who trusts it."""

    name: str
    guard: str
    free: Callable[[World, Path, Path], bool]  # the case's folder, an empty one


def let_out(folder: Path, target: Path) -> str:
    """Release a folder of outputs: empty if it leaves, or why not."""
    try:
        release(folder, target, DECLARED, Policy())
    except Refused as refused:
        assert not target.exists()
        return f"{refused.reason.value}: {refused.detail}"
    return ""


def _carries(world: World, folder: Path, target: Path) -> bool:
    copy_out(folder, target)
    return any(
        world.secret in path.read_text("utf-8", "replace")
        for path in target.rglob("*")
        if path.is_file() and path.stat().st_size < 2**20
    )


def _carries_rows(world: World, folder: Path, target: Path) -> bool:
    shutil.copyfile(folder / "metrics.csv", target / "metrics.csv")
    return "Ada" in (target / "metrics.csv").read_text()


def _waits(world: World, folder: Path, target: Path) -> bool:
    path = folder / "metrics.csv"
    reader = threading.Thread(target=path.read_bytes)
    reader.start()
    reader.join(0.3)
    waited = reader.is_alive()
    os.close(os.open(path, os.O_WRONLY))  # lets it go
    reader.join()
    return waited


def _keeps_set_id(world: World, folder: Path, target: Path) -> bool:
    copy_out(folder, target)
    return bool((target / "metrics.csv").stat().st_mode & stat.S_ISUID)


def _keeps_attributes(world: World, folder: Path, target: Path) -> bool:
    copy_out(folder, target)
    return os.getxattr(target / "metrics.csv", "user.rows") == b"Ada"


def _is_closed(world: World, folder: Path, target: Path) -> bool:
    """Who is not root cannot read it."""
    done = subprocess.run(["cat", folder / "metrics.csv"], user=65534, capture_output=True)
    return done.returncode != 0


def _is_run(world: World, folder: Path, target: Path) -> bool:
    (name,) = os.listdir(folder)
    subprocess.run(f"cat {name}", shell=True, cwd=target, capture_output=True, check=False)
    return (target / "owned").exists()


def _forges_a_line(world: World, folder: Path, target: Path) -> bool:
    listed = "\n".join(os.listdir(folder))
    return len(listed.splitlines()) == 2 and listed.splitlines()[1].startswith("metrics.csv ")


def _looks_like_another(world: World, folder: Path, target: Path) -> bool:
    (name,) = os.listdir(folder)
    shown, _, backward = name.partition("\u202e")
    return (shown + backward[::-1]).endswith(".csv")


def _is_too_long(world: World, folder: Path, target: Path) -> bool:
    """Who uses paths does not see the file, whatever its size."""
    copy_out(folder, target)
    seen = [path for path in target.rglob("*") if path.is_file()]
    found = subprocess.run(["find", folder, "-name", "metrics.csv"], stdout=subprocess.PIPE)
    return seen == [] and found.stdout != b""


def _is_loaded(world: World, folder: Path, target: Path) -> bool:
    pickle.loads((folder / "metrics.csv").read_bytes())
    owned = world.folder / "leak" / "owned"
    found = owned.exists()
    owned.unlink(missing_ok=True)
    return found


def _is_copied_whole(world: World, folder: Path, target: Path) -> bool:
    copy_out(folder, target)
    return (target / "metrics.csv").stat().st_size == 1 << 22


def _is_no_file(world: World, folder: Path, target: Path) -> bool:
    with pytest.raises(OSError, match="No such device"):
        (folder / "metrics.csv").read_bytes()
    return True


_PLAIN = "plain files only, opened without following links"
_NAMES = "names of few characters, at most 60"
CASES = (
    Case("link", _PLAIN, _carries),
    Case("folder_link", _PLAIN, _carries),
    Case("hard_link", "files with one name only", _carries_rows),
    Case("pipe", _PLAIN, _waits),
    Case("unix_socket", _PLAIN, _is_no_file),
    Case("set_id", "list of system calls; bits are taken away; files without them", _keeps_set_id),
    Case("closed", "outputs become the worker's own", _is_closed),
    Case("extended", "what leaves is written anew", _keeps_attributes),
    Case("shell_name", f"{_NAMES}; no shell", _is_run),
    Case("broken_name", _NAMES, _forges_a_line),
    Case("backward_name", _NAMES, _looks_like_another),
    Case("long_name", _NAMES, _is_too_long),
    Case("pickled", "content is of the declared type", _is_loaded),
    Case("sparse", "content is of the declared type", _is_copied_whole),
)
