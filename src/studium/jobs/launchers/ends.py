"""How a unit ended, from what its watch has seen; ``exit.json``."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from studium.jobs.launchers import files
from studium.jobs.launchers.protocol import Exit, Reason
from studium.jobs.launchers.watch import ENTRIES, OUTPUTS, Watch

EXIT = "exit.json"


def make_room(folder: Path) -> None:
    """Before the command starts: room on the disk to write its end to, for this process."""
    files.reserve(_room(folder))


def give_back_room(folder: Path) -> None:
    """Another process has the unit."""
    _room(folder).unlink(missing_ok=True)


def _room(folder: Path) -> Path:
    return folder / f".{EXIT}.{os.getpid()}"


def judge(watch: Watch, refusal: str, said: bytes) -> Exit:
    """What it died of; its outputs are made ours."""
    assert watch.wait_status is not None
    plan, group = watch.plan, watch.group
    code: int | None = os.waitstatus_to_exitcode(watch.wait_status)
    reason: Reason = "exit"
    number: int | None = None
    text = refusal
    assert code is not None
    if plan.status:
        told = _told(said)
        if told is None and watch.cause is None and code > 0:
            refusal = refusal or _tail(watch.folder / "stderr")
        elif told is not None:
            code = told
    if plan.refused is not None and code == plan.refused and not watch.ran:
        refusal = refusal or _tail(watch.folder / "stderr")
    if watch.cause is None and group and group.oom_kills():
        watch.cause = "out of memory"
    files.take_over(watch.folder / OUTPUTS)  # first, as what is closed cannot be measured
    size, entries = files.measure(watch.folder / OUTPUTS)
    too_large = size > plan.limits.output or entries > ENTRIES
    if watch.cause is not None:
        reason, code = watch.cause, None
    elif refusal:
        reason, code, text = "not started", None, refusal
    elif too_large:
        reason, code = "output too large", None
    elif code < 0 or code > 128:
        reason, number, code = "signal", -code if code < 0 else code - 128, None
    ended = datetime.now(UTC)
    return Exit(
        reason=reason,
        code=code,
        signal=number,
        started=watch.started.isoformat(),
        ended=ended.isoformat(),
        seconds=round(time.monotonic() - watch.began, 3),
        cpu_seconds=group.cpu_seconds() if group else None,
        peak_memory=group.peak_memory() if group else None,
        stdout=watch.logs[0].count,
        stderr=watch.logs[1].count,
        text=text,
    )


def unstarted(reason: Reason, started: datetime, text: str) -> Exit:
    """The end of a unit whose command never ran."""
    ended = datetime.now(UTC)
    return Exit(
        reason, None, None, started.isoformat(), ended.isoformat(), 0.0, None, None, 0, 0, text
    )


def write_exit(folder: Path, end: Exit) -> None:
    """Write the end; what is written now was made room for before the command started."""
    content = json.dumps(asdict(end) | {"text": end.text[:1000]}).encode()
    files.fill(_room(folder), folder / EXIT, content)


def _told(said: bytes) -> int | None:
    """The exit code among the JSON documents that bwrap wrote; None: nothing was started."""
    for line in said.splitlines():
        with suppress(ValueError):
            found = json.loads(line)
            if "exit-code" in found:
                return int(found["exit-code"])
    return None


def _tail(path: Path) -> str:
    with suppress(OSError):
        return path.read_bytes()[-1000:].decode("utf-8", "replace").strip()
    return ""
