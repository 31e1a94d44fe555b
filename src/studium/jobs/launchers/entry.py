"""The way into a unit: what a child of the supervisor does between its fork and its exec."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from studium.jobs.launchers.plan import Plan
from studium.jobs.launchers.processes import die_with, libc

_NEWNS, _NEWUSER = 0x20000, 0x10000000
_REC, _PRIVATE, _RDONLY, _NOSUID, _NODEV = 0x4000, 0x40000, 1, 2, 4
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the same on every architecture
_CLONE, _RECURSIVE, _CLOEXEC, _EMPTY_PATH = 1, 0x8000, 0o2000000, 0x1000
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV, _ATTR_IDMAP = 1, 2, 4, 0x100000
_FROM_EMPTY_PATH = 4
_HERE = -100


@dataclass(frozen=True, slots=True)
class Door:
    """What the child needs beside the plan."""

    folder: Path
    uid: int | None  # to become; None: stay
    bounded: bool  # its cgroup bounds memory
    stdout: int
    stderr: int
    status: int | None


def enter(plan: Plan, door: Door, parent: int) -> None:
    """Become the runtime; never returns, raises OSError if that fails. The cgroup is joined."""
    os.setsid()
    os.umask(0o022)
    known: dict[str, str] = {}
    for name, text in plan.texts.items():
        known[name] = _memory(name, text.replace("{uid}", str(door.uid or os.geteuid())))
    for name, path in plan.files.items():
        descriptor = os.open(path, os.O_RDONLY)
        os.set_inheritable(descriptor, True)
        known[name] = str(descriptor)
    if door.status is not None:
        os.set_inheritable(door.status, True)
        known["status"] = str(door.status)
    if door.uid is None or not plan.binds:
        known |= {bind.name: bind.source for bind in plan.binds}
    else:
        known |= _stage(plan, door.uid)
    if plan.rlimits:
        _limit(plan, door)
    if door.uid is not None and plan.become:
        os.setgroups([])
        os.setresgid(door.uid, door.uid, door.uid)
        os.setresuid(door.uid, door.uid, door.uid)
    die_with(parent)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (door.stdout, 1), (door.stderr, 2)):
        os.dup2(source, target)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
        signal.signal(number, signal.SIG_DFL)
    known["uid"] = str(door.uid if door.uid is not None else os.geteuid())
    argv = _fill(plan, known)
    os.chdir("/")
    os.execvpe(argv[0], argv, plan.environment)


def _fill(plan: Plan, known: Mapping[str, str]) -> list[str]:
    def fill(word: str) -> str:
        return re.sub(r"\{([a-z0-9]+)\}", lambda match: known.get(match[1], match[0]), word)

    return [*map(fill, plan.argv[: plan.filled]), *plan.argv[plan.filled :]]


def _memory(name: str, text: str) -> str:
    """A descriptor that reads ``text``."""
    descriptor = os.memfd_create(name, 0)
    os.write(descriptor, text.encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return str(descriptor)


def _limit(plan: Plan, door: Door) -> None:
    limits = plan.limits
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: limits.files,
        # A byte more than allowed, so that who writes too much is noticed rather than refused.
        resource.RLIMIT_FSIZE: max(limits.output, limits.scratch) + 1,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if door.uid is not None:  # counted by user: the unit has this one to itself
        wanted[resource.RLIMIT_NPROC] = limits.processes + 4
    if not door.bounded:
        wanted[resource.RLIMIT_AS] = limits.memory
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (least, least))


def _stage(plan: Plan, uid: int) -> Mapping[str, str]:
    """Mount each where the unit's user can reach it; nobody else sees these mounts."""
    binds, stage = plan.binds, plan.stage
    trees = {}
    users: dict[tuple[int, int], int] = {}
    for bind in binds:
        flags = _CLONE | _CLOEXEC | (0 if bind.own or bind.write else _RECURSIVE)
        tree = _call(_OPEN_TREE, _HERE, bind.source.encode(), flags)
        if bind.own:
            found = os.stat(bind.source)
            owner = (found.st_uid, found.st_gid)
            if owner not in users:
                users[owner] = _map(owner, uid)
            _give(tree, users[owner])
        trees[bind.name] = tree
    _check(libc.unshare(_NEWNS))
    _check(libc.mount(None, b"/", None, _REC | _PRIVATE, None))
    _check(libc.mount(b"tmpfs", stage.encode(), b"tmpfs", _NOSUID | _NODEV, b"size=1m,mode=755"))
    places = {}
    for number, bind in enumerate(binds):
        place = f"{stage}/{number}"
        if _is_folder(trees[bind.name]):
            os.mkdir(place)
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o644))
        _call(_MOVE_MOUNT, trees[bind.name], b"", _HERE, place.encode(), _FROM_EMPTY_PATH)
        places[bind.name] = place
    return places


def _is_folder(tree: int) -> bool:
    return os.path.isdir(f"/proc/self/fd/{tree}")


def _map(owner: tuple[int, int], uid: int) -> int:
    """A user namespace in which ``owner`` (user, group) is ``uid``; its descriptor."""
    ready, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        failed = libc.unshare(_NEWUSER)
        os.write(ready[1], b"!" if failed else b".")
        os.close(go[1])
        os.read(go[0], 1)
        os._exit(0)
    os.close(go[0])
    try:
        if os.read(ready[0], 1) != b".":
            raise OSError("no user namespace can be made")
        Path(f"/proc/{pid}/uid_map").write_text(f"{owner[0]} {uid} 1\n")
        Path(f"/proc/{pid}/gid_map").write_text(f"{owner[1]} {uid} 1\n")
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(go[1])
        os.close(ready[0])
        os.close(ready[1])
        os.waitpid(pid, 0)


def _give(tree: int, users: int) -> None:
    """Make a detached mount read-only, and what belongs to the owner belong to the unit's user.

    Some file systems (NFS, Lustre) have no such mounts: there only what others may read is read.
    """
    plain = _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV
    try:
        _set_attributes(tree, plain | _ATTR_IDMAP, users)
    except OSError as error:
        print(f"no idmapped mount: {error}", file=sys.stderr)
        _set_attributes(tree, plain, 0)


def _set_attributes(tree: int, attributes: int, users: int) -> None:
    packed = struct.pack("QQQQ", attributes, 0, 0, users)
    _call(_MOUNT_SETATTR, tree, b"", _EMPTY_PATH, packed, len(packed))


def _call(number: int, *arguments: object) -> int:
    return _check(int(libc.syscall(ctypes.c_long(number), *arguments)))


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
