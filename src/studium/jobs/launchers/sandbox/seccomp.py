"""The filter of system calls, as the kernel takes it: made by libseccomp, for this architecture.

A list of what is allowed, so that a call which a later kernel invents is refused. Refused calls say
ENOSYS, on which programs fall back to older ones (glibc: ``clone3`` to ``clone``).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from functools import cache
from importlib.resources import files

from studium.errors import LaunchError

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_ENOSYS = 38
_EQ, _MASKED = 4, 7
_OPTIMIZE = 8

_NAMESPACES = 0x7E020080  # CLONE_NEW…: user, pid, net, ipc, uts, cgroup, mount, time
_SET_ID = 0o6000
_MAKES = os.O_CREAT | 0o20000000  # __O_TMPFILE
_FAMILIES = (1, 2, 10)  # unix, inet, inet6: the network has nothing but itself in it
_PERSONALITIES = (0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

# Where the mode is among the arguments of calls that make a file or change it.
_MODES = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "creat": 1, "mknod": 1, "mknodat": 2}
_OPENS = {"open": (1, 2), "openat": (2, 3)}  # flags, mode


class Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def why_missing() -> str:
    """Why no filter can be made here; empty if one can."""
    return "" if _library() else "libseccomp is not here: apt-get install libseccomp2"


@cache
def make_filter() -> bytes:
    """The program for ``bwrap --seccomp``; a LaunchError without libseccomp."""
    library = _library()
    if library is None:
        raise LaunchError("No filter of system calls can be made.", why_missing())
    context = library.seccomp_init(_ERRNO | _ENOSYS)
    if not context:
        raise LaunchError("libseccomp made no filter.")
    try:
        library.seccomp_attr_set(context, _OPTIMIZE, 2)  # a tree; a list is only slower
        for name in allowed_calls():
            _rule(library, context, _ALLOW, name)
        for name, comparisons in conditional_calls():
            _rule(library, context, _ALLOW, name, *comparisons)
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def allowed_calls() -> list[str]:
    text = (files("studium.jobs.launchers.sandbox") / "syscalls.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return " ".join(lines).split()


def conditional_calls() -> list[tuple[str, list[Comparison]]]:
    """Calls that are allowed with these arguments; several of a call: any of them."""
    found = [("clone", [Comparison(0, _MASKED, _NAMESPACES, 0)])]
    found += [("socket", [Comparison(0, _EQ, one, 0)]) for one in _FAMILIES]
    found += [("personality", [Comparison(0, _EQ, one, 0)]) for one in _PERSONALITIES]
    found += [(name, [Comparison(at, _MASKED, _SET_ID, 0)]) for name, at in _MODES.items()]
    for name, (flags, mode) in _OPENS.items():
        found.append((name, [Comparison(flags, _MASKED, _MAKES, 0)]))
        found.append((name, [Comparison(mode, _MASKED, _SET_ID, 0)]))
    return found


def _rule(
    library: ctypes.CDLL, context: int, action: int, name: str, *comparisons: Comparison
) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number < 0:  # unknown to this library, or another architecture's
        return
    array = (Comparison * len(comparisons))(*comparisons)
    failed = library.seccomp_rule_add_array(context, action, number, len(comparisons), array)
    if failed:
        raise LaunchError(f"libseccomp takes no rule for {name}: {os.strerror(-failed)}.")


def _export(library: ctypes.CDLL, context: int) -> bytes:
    descriptor = os.memfd_create("seccomp")
    try:
        failed = library.seccomp_export_bpf(context, descriptor)
        if failed:
            raise LaunchError(f"libseccomp wrote no filter: {os.strerror(-failed)}.")
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)


@cache
def _library() -> ctypes.CDLL | None:
    for name in ("libseccomp.so.2", ctypes.util.find_library("seccomp") or ""):
        if not name:
            continue
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.seccomp_init.restype = ctypes.c_void_p
        library.seccomp_init.argtypes = [ctypes.c_uint32]
        library.seccomp_release.argtypes = [ctypes.c_void_p]
        library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
        library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
        library.seccomp_rule_add_array.argtypes = [
            ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint,
            ctypes.POINTER(Comparison),
        ]  # fmt: skip
        return library
    return None
