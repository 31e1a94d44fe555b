"""What a unit's container may do: one list of flags, read from top to bottom.

Rules: design §3.5; specs/anchors C.2; specs/morf §7.5.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from pathlib import Path

from studium.jobs.launchers.container.runtime import Runtime
from studium.jobs.launchers.protocol import Limits

LEGACY_CAPABILITIES = ("chown", "dac_override", "fowner", "kill", "setgid", "setuid")
"""What a database server that starts as root and steps down needs, inside its own user namespace:
they hold over the ids of the unit, not over the machine's."""

LEGACY_IDS = 65536
"""Ids of a legacy unit: its root and the users of its image, each an id of the machine without
any rights."""

FILTER = Path(__file__).with_name("seccomp.json")
"""The sandbox's list of system calls. The programs' own lists allow namespaces, in which a user is
root over more of the kernel, and sockets to the hypervisor, which know no network namespaces."""

_SHARED_MEMORY = 64 * 2**20


def strict_flags(runtime: Runtime, limits: Limits, uid: int | str) -> list[str]:
    """Flags of ``run`` for a unit as user ``uid``, without any right or any writable root."""
    return [
        *_walls(runtime, limits),
        f"--user={uid}:{uid}",
        "--cap-drop=all",
        "--read-only",
        *_limits(runtime, limits),
        f"--ulimit=nproc={_at_most(resource.RLIMIT_NPROC, limits.processes)}",
        *_as_ourselves(runtime),
    ]


def legacy_flags(runtime: Runtime, limits: Limits, first_id: int | str) -> list[str]:
    """Flags of ``run`` for an image that wants to be root: root is ``first_id`` outside.

    Its root can be written; the caller gives it a storage of limited size.
    """
    return [
        *_walls(runtime, limits),
        f"--uidmap=0:{first_id}:{LEGACY_IDS}",
        f"--gidmap=0:{first_id}:{LEGACY_IDS}",
        "--cap-drop=all",
        *(f"--cap-add={name}" for name in LEGACY_CAPABILITIES),
        *_limits(runtime, limits),
        # Each of its users has a count of its own: the limit of the unit is that of its cgroup.
        f"--ulimit=nproc={_at_most(resource.RLIMIT_NPROC, limits.processes)}",
    ]


def _walls(runtime: Runtime, limits: Limits) -> list[str]:
    """What holds for both profiles."""
    flags = [
        "--pull=never",
        "--network=none",
        "--security-opt=no-new-privileges",
        f"--security-opt=seccomp={FILTER}",
        "--ipc=private",
        "--hostname=studium",
        f"--shm-size={min(limits.scratch, _SHARED_MEMORY)}",
        f"--tmpfs=/tmp:rw,nosuid,nodev,exec,mode=1777,size={limits.scratch}"
        # Podman copies the image's /tmp into it otherwise. (runc gives it that folder's mode.)
        + (",notmpcopyup" if runtime.kind == "podman" else ""),
        "--log-driver=none",  # the supervisor reads what it writes, up to a limit
        "--no-healthcheck",
    ]
    if runtime.kind == "podman":
        flags += [
            "--read-only-tmpfs=false",  # /run and /var/tmp of any size otherwise
            "--image-volume=ignore",  # no anonymous volumes: they are on disk, of any size
            "--http-proxy=false",  # takes the machine's proxies into the environment otherwise
            "--no-hosts",  # the names in the machine's /etc/hosts are nobody's business
            "--pid=private",
            "--uts=private",
        ]
    else:  # what ~/.docker/config.json would put into the environment
        names = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
        flags += [f"--env={form}=" for name in names for form in (name, name.upper())]
    if os.path.exists("/sys/fs/selinux/enforce"):
        flags.append("--security-opt=label=disable")  # inputs keep the labels that they have
    return flags


def _limits(runtime: Runtime, limits: Limits) -> list[str]:
    flags = [
        f"--ulimit=nofile={_at_most(resource.RLIMIT_NOFILE, limits.files)}",
        f"--ulimit=fsize={_at_most(resource.RLIMIT_FSIZE, max(limits.output, limits.scratch) + 1)}",
        "--ulimit=core=0:0",
    ]
    if "cgroups" in runtime.without:
        return [*flags, "--cgroups=disabled"] if runtime.kind == "podman" else flags
    flags += [f"--memory={limits.memory}", f"--pids-limit={limits.processes}"]
    if "swap" not in runtime.without:
        flags.append(f"--memory-swap={limits.memory}")
    if "cpu" not in runtime.without:
        flags.append(f"--cpus={limits.cpus:g}")
    if "cgroup namespace" in runtime.without:
        flags.append("--cgroupns=host")
    return flags


def _as_ourselves(runtime: Runtime) -> list[str]:
    """Without root there is one user to give: who starts it, as whom it can write its outputs."""
    return ["--userns=keep-id"] if runtime.kind == "podman" and os.geteuid() != 0 else []


def mount_flags(mounts: Iterable[tuple[str, str, bool]]) -> list[str]:
    """``--mount`` of (source, target, whether it is read-only); what is mounted below stays out."""
    return [
        f"--mount=type=bind,source={source},target={target},bind-nonrecursive=true"
        + (",readonly" if read_only else "")
        for source, target, read_only in mounts
    ]


def _at_most(kind: int, wanted: int) -> str:
    """Soft and hard limit: more than this process has itself is refused by the kernel."""
    _soft, hard = resource.getrlimit(kind)
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    return f"{value}:{value}"
