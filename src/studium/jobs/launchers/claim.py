"""Who supervises a unit, told so that no later process with the same number is taken for it."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

CLAIM = "claim.json"
HEARTBEAT = "heartbeat"
SILENCE = 120.0
"""Seconds without a heartbeat after which a supervisor on another machine is taken for dead."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A process: its number means something only on this boot and with this start."""

    boot: str
    pid: int
    start: int  # clock ticks since the boot


def claim(folder: Path) -> bool:
    """Claim the unit for this process; False if one has claimed it, dead or alive.

    Atomic, and never half-written: a link is made or not.
    """
    me = Claim(_boot(), os.getpid(), _start(os.getpid()) or 0)
    draft = folder / f".{CLAIM}.{me.pid}"
    try:
        with draft.open("w", encoding="utf-8") as file:
            json.dump(asdict(me), file)
            file.flush()
            os.fsync(file.fileno())  # a power cut must not leave a claim of nobody
        os.link(draft, folder / CLAIM)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def read_claim(folder: Path) -> Claim | None:
    """Who has claimed it, if anybody; somebody unknown if it is damaged, who lives as long as he
    beats."""
    try:
        return Claim(**json.loads((folder / CLAIM).read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return Claim("", 0, 0)


def alive(folder: Path, holder: Claim) -> bool:
    """Whether the process lives; of another machine, or boot, whether it still beats."""
    if holder.boot == _boot():
        return _start(holder.pid) == holder.start
    try:
        return time.time() - (folder / HEARTBEAT).stat().st_mtime < SILENCE
    except OSError:
        return False


def wake(holder: Claim) -> None:
    """Send it TERM, if it lives on this machine; never to another process."""
    if holder.boot != _boot():
        return
    try:
        descriptor = os.pidfd_open(holder.pid)
    except OSError:
        return
    try:
        if _start(holder.pid) == holder.start:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def _start(pid: int) -> int | None:
    """When a process started, None if it is gone or only waits to be reaped."""
    try:
        # The name, in parentheses, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
