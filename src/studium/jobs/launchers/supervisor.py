"""The process that stays with a unit until its end, whatever becomes of the worker.

::

    python -I -S -c "…" FOLDER

It claims the unit (``claim.json``), runs what ``plan.json`` says, and writes ``exit.json`` last. It
forks once, so that nobody waits for it; the first process ends when the unit is claimed. Standard
library only, and little of it: it starts for every unit. If it is killed itself, the unit is killed
with it, by the kernel or by a guardian, and no ``exit.json`` is written: the unit is lost.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from studium.jobs.launchers import cgroups, entry, processes, uids
from studium.jobs.launchers.claim import HEARTBEAT, claim
from studium.jobs.launchers.ends import give_back_room, judge, make_room, unstarted, write_exit
from studium.jobs.launchers.logs import Log
from studium.jobs.launchers.plan import Plan, read_plan
from studium.jobs.launchers.protocol import Exit
from studium.jobs.launchers.watch import CANCEL, OUTPUTS, Watch, run_command, watch_unit


def main(folder: Path) -> None:
    """Claim and run the unit in ``folder``; says what is wrong on stderr, with code 1."""
    told, tell = os.pipe()
    if os.fork():
        os.close(tell)
        word = os.read(told, 4096)
        if word not in (b"claimed", b"taken"):
            os.write(2, word or b"the supervisor has died")
            os._exit(1)
        os._exit(0)
    os.close(told)
    os.setsid()
    wakeup = _listen()  # before the claim: who reads it may send TERM at once
    try:
        plan = read_plan(folder)
        make_room(folder)
        taken = not claim(folder)
        if taken:
            give_back_room(folder)
    except Exception as error:
        os.write(tell, f"{type(error).__name__}: {error}".encode()[:4096])
        os._exit(1)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.write(tell, b"taken" if taken else b"claimed")
    os.close(tell)
    if not taken:
        supervise(folder, plan, wakeup)


def _listen() -> int:
    """Let signals end nothing here, but be read from the descriptor that is returned."""
    wakeup, poke = os.pipe()
    for descriptor in (wakeup, poke):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(poke, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return wakeup


def supervise(folder: Path, plan: Plan, wakeup: int) -> None:
    """Run a claimed unit to its end; then ``exit.json`` is there."""
    os.chdir("/")
    processes.adopt_orphans()
    (folder / OUTPUTS).mkdir(exist_ok=True)
    (folder / HEARTBEAT).touch()
    group = lock = hold = None
    started = datetime.now(UTC)
    try:
        if (folder / CANCEL).exists():
            write_exit(folder, unstarted("cancelled", started, ""))
            return
        uid = None
        if plan.uids:
            uid, lock = uids.take_uid(*plan.uids)
            if plan.ids > 1:
                uid = uids.block_of(uid, plan.uids[0], plan.ids)
            os.chown(folder / OUTPUTS, uid, uid)
            os.chmod(folder / OUTPUTS, 0o700)
        if plan.group:
            group = cgroups.make_group(cgroups.find_tree(), plan.group, plan.limits)
        guardian, hold = _guard(plan)
        end = _run_unit(folder, plan, group, uid, wakeup, guardian)
        if hold is not None:  # nothing is left to guard
            os.write(hold, b".")
        write_exit(folder, end)
    except Exception as error:
        # A unit must end: what went wrong is for the operator, in its exit.json.
        text = f"{type(error).__name__}: {error}"
        write_exit(folder, unstarted("not started", started, text))
    finally:
        if group:
            group.remove()
        if lock is not None:
            os.close(lock)


def _run_unit(
    folder: Path,
    plan: Plan,
    group: cgroups.Group | None,
    uid: int | None,
    wakeup: int,
    guardian: int | None,
) -> Exit:
    logs = (
        Log(folder / "stdout", plan.limits.log),
        Log(folder / "stderr", plan.limits.log),
    )
    status, status_writer = os.pipe()
    broken, breaking = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            if group:
                group.join()
            bounded = group is not None and group.bounds("memory")
            door = entry.Door(
                folder, uid, bounded, logs[0].writer, logs[1].writer,
                status_writer if plan.status else None,
            )  # fmt: skip
            entry.enter(plan, door, parent)
        except BaseException as error:
            os.write(breaking, f"{type(error).__name__}: {error}".encode()[:4096])
        os._exit(127)
    for descriptor in (logs[0].writer, logs[1].writer, status_writer, breaking):
        os.close(descriptor)
    watch = Watch(folder, plan, group, uid, pid, logs, wakeup, guardian)
    watch_unit(watch)
    refusal = os.read(broken, 4096).decode("utf-8", "replace")
    said = _read_all(status) if plan.status else b""
    for descriptor in (status, broken, logs[0].descriptor, logs[1].descriptor):
        with suppress(OSError):
            os.close(descriptor)
    return judge(watch, refusal, said)


def _guard(plan: Plan) -> tuple[int | None, int | None]:
    """A process that runs the plan's ``kill`` if this one is killed, and what it watches.

    The kernel kills the children of a killed supervisor, but a container is nobody's child.
    """
    if not plan.kill:
        return None, None
    life, hold = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.close(hold)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if os.read(life, 1) == b"":
            run_command(plan.kill)
        os._exit(0)
    os.close(life)
    return pid, hold


def _read_all(descriptor: int) -> bytes:
    os.set_blocking(descriptor, False)
    with suppress(BlockingIOError):
        return os.read(descriptor, 1 << 16)
    return b""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
