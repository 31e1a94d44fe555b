"""Every attack by name: what it tries, what keeps it out, and how its control is let in."""

from __future__ import annotations

from dataclasses import dataclass

from tests.attacks import programs


@dataclass(frozen=True)
class Attack:
    """A line of the table."""

    name: str
    tries: str
    guard: str
    control: str


_BARE = "the same program as a process of the worker"
_BOMB = "the same program without limits; it stops by itself"

_GUARDS = {
    "a network namespace of its own": (
        "dns", "host_service", "metadata", "abstract_socket", "interfaces",
    ),
    "only what it needs is mounted": (
        "path_socket", "shadow", "state_database", "other_input", "climb", "watch_files",
    ),
    "no capabilities": (
        "raw_socket", "remount", "set_user", "capabilities", "priority", "become_root",
        "kernel_memory",
    ),
    "list of system calls": (
        "packet_socket", "vsock", "by_handle", "mount_proc", "user_namespace",
        "user_namespace_clone", "other_namespaces", "change_root", "keyrings", "bpf", "perf",
        "userfaultfd", "io_uring",
    ),
    "list of system calls, for one architecture": ("other_architecture",),
    "read-only mounts": ("write_input", "write_code", "unit_folder", "sysctl", "control_groups"),
    "a mount for each input": ("link_input",),
    "a process namespace of its own": (
        "environment", "process_roots", "neighbours", "signal_neighbour", "trace_neighbour",
        "neighbour_memory",
    ),
    "files are closed before the supervisor starts": ("inherited_files",),
    "/dev has no other nodes": ("devices", "device_files", "kernel_log"),
    "an IPC namespace of its own": ("shared_memory",),
    "a session without a terminal": ("terminal",),
    "/dev/null as standard input": ("standard_input",),
    "hard limits of processes": ("raise_limits",),
}  # fmt: skip

PROBES = tuple(
    Attack(name, (getattr(programs, name).__doc__ or "").rstrip("."), guard, _BARE)
    for guard, names in _GUARDS.items()
    for name in names
)

_ENDS = {
    "fork_bomb": "limit of processes (cgroup, user)",
    "thread_bomb": "limit of processes (cgroup, user)",
    "memory_bomb": "limit of memory (cgroup)",
    "hidden_memory_bomb": "limit of memory (cgroup)",
    "fill_outputs": "outputs are measured, the unit is killed",
    "fill_nameless": "files that processes hold are measured, too",
    "fill_mapped": "files that processes hold are measured, too",
    "fill_deep": "folders too deep to be measured are not allowed",
    "fill_in_grace": "outputs are measured until the end",
    "sparse_output": "limit of a file's length",
    "fill_elsewhere": "tmpfs of limited size; nothing else can be written",
    "many_files": "outputs are counted, the unit is killed",
    "flood": "a log of limited length; the rest is dropped",
    "deaf": "TERM, then KILL after a grace",
    "daemon": "everything dies with the first process of the namespace",
    "daemon_with_stdout": "everything dies with the first process of the namespace",
    "freeze": "the supervisor is outside, and KILL needs no consent",
}
BOMBS = tuple(
    Attack(name, (getattr(programs, name).__doc__ or "").rstrip("."), guard, _BOMB)
    for name, guard in _ENDS.items()
)
