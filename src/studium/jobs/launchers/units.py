"""What launchers share on the worker's side: starting supervisors, asking what became of units."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

from studium.errors import LaunchError
from studium.jobs.launchers.claim import alive, read_claim, wake
from studium.jobs.launchers.ends import EXIT
from studium.jobs.launchers.plan import PLAN, Plan, write_plan
from studium.jobs.launchers.protocol import Exit, Phase, Seen, Stream
from studium.jobs.launchers.watch import CANCEL

_PATIENCE = 60.0  # seconds for a supervisor to claim its unit on a machine that is very busy
_SUPERVISE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from studium.jobs.launchers.supervisor import main
main(Path(sys.argv[2]))
"""


def native_name(folder: Path, key: str) -> str:
    """Of a unit's cgroup or container: the same for the same unit, another in another site."""
    place = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]
    return f"studium-{place}-{key}"


def is_native(native: str, folder: Path) -> bool:
    """Whether it is the name of a unit in ``folder``."""
    return native.startswith(native_name(folder, ""))


def start(folder: Path, plan: Plan) -> None:
    """Hand a unit to a supervisor, unless one has claimed it already; else a LaunchError.

    When this returns the unit is claimed: whatever becomes of this process, it goes on.
    """
    if read_claim(folder):
        return
    try:
        write_plan(folder, plan)
    except OSError as error:
        raise LaunchError(f"No plan could be written to {folder}: {error}.") from error
    source = Path(__file__).parents[3]
    # Neither the environment nor the site's packages: it starts in a third of the time.
    command = [sys.executable, "-I", "-S", "-c", _SUPERVISE, str(source), str(folder.resolve())]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
            cwd="/",
            timeout=_PATIENCE,
            check=False,
            start_new_session=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise LaunchError(f"No supervisor could be started in {folder}: {error}.") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-500:]
        raise LaunchError(f"The supervisor of {folder} did not start: {said}")


def see(natives: Mapping[str, Path]) -> dict[str, Seen]:
    """Where each unit is, as far as it can be seen: one that cannot now is left out."""
    seen = {}
    for native, folder in natives.items():
        with suppress(OSError):
            seen[native] = _see(folder)
    return seen


def request_cancel(folder: Path) -> None:
    """Leave word that the unit is to end, and wake its supervisor; nothing if it has ended."""
    if not folder.is_dir() or (folder / EXIT).exists():
        return
    (folder / CANCEL).touch()
    holder = read_claim(folder)
    if holder:
        wake(holder)


def read_stream(folder: Path, stream: Stream, offset: int, limit: int) -> bytes:
    """Up to ``limit`` bytes of what was kept of a stream, from ``offset``."""
    try:
        with (folder / stream).open("rb") as file:
            file.seek(offset)
            return file.read(limit)
    except FileNotFoundError:
        return b""


def read_exit(folder: Path) -> Exit | None:
    """How it ended, None as long as it has not, or if what was written is damaged."""
    try:
        data = json.loads((folder / EXIT).read_bytes())
        return Exit(**{one.name: data[one.name] for one in fields(Exit)})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _see(folder: Path) -> Seen:
    end = read_exit(folder)
    if end:
        return Seen(Phase.ENDED, end)
    holder = read_claim(folder)
    if holder is None:
        return Seen(Phase.PENDING if _fresh(folder / PLAN) else Phase.LOST)
    if alive(folder, holder):
        return Seen(Phase.RUNNING)
    end = read_exit(folder)  # it may have ended between the two looks
    return Seen(Phase.ENDED, end) if end else Seen(Phase.LOST)


def _fresh(path: Path) -> bool:
    """Whether a supervisor may still be on its way to claim it."""
    try:
        return time.time() - path.stat().st_mtime < _PATIENCE
    except OSError:
        return False
