"""Images that want to be root and to write everywhere, as those with a database server do.

Their root is a user of the machine without rights (a user namespace), and what they write goes to a
storage of their own on a tmpfs of limited size, gone at the end. It counts as their memory, too.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from studium.errors import LaunchError
from studium.jobs.launchers.container.isolation import LEGACY_IDS, legacy_flags
from studium.jobs.launchers.container.runtime import (
    Runtime,
    call,
    environment,
    last_line,
    run_folder,
)
from studium.jobs.launchers.protocol import Limits
from studium.jobs.launchers.uids import BLOCKS

# Podman mounts the folder of its layers upon itself. Its clean-up of a killed container may come
# after the unmounting and make folders anew.
_CLOSE = """
folder=$1 run=$2; shift 2; "$@"
umount -l "$folder/store/overlay" 2>/dev/null
umount -l "$folder" 2>/dev/null
mountpoint -q "$folder" || rm -rf --one-file-system "$folder" "$run"
"""
_TRY = """
read -r inside outside count </proc/self/uid_map && echo "root is $outside"
text=0123456789abcdef; n=0
while [ $n -lt 12 ]; do text=$text$text; n=$((n+1)); done
n=0
while [ $n -lt 160 ]; do echo "$text" >/made$n || break; n=$((n+1)); done 2>/dev/null
echo "wrote $n"
"""
_TRY_ID = BLOCKS - LEGACY_IDS
_TRY_BYTES = 2**20
_BOOKKEEPING = 4 * 2**20  # bytes of the storage that are Podman's own


def storage_of(runtime: Runtime, name: str) -> Path:
    """Where a legacy unit's container is kept."""
    assert runtime.store
    return run_folder(runtime.store) / "legacy" / name


def open_storage(runtime: Runtime, name: str, size: int) -> Path:
    """Mount it, with room for ``size`` bytes. Raises LaunchError."""
    folder = storage_of(runtime, name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_mount():
        return folder
    options = f"size={size + _BOOKKEEPING},mode=700"
    done = _mount("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    if done.returncode:
        raise LaunchError(f"No storage could be mounted: {last_line(done.stderr)}")
    return folder


def close_storage(runtime: Runtime, name: str) -> None:
    """Unmount it; what was written is gone. Idempotent."""
    folder = storage_of(runtime, name)
    _mount(*close_after(("true",), folder))
    if folder.is_dir():
        raise LaunchError(f"{folder} could not be unmounted.", "Look who has a file open in it.")


def close_after(words: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """A command that runs ``words``, then unmounts a storage and removes its folders."""
    return ("sh", "-c", _CLOSE, "sh", str(folder), str(run_folder(folder)), *words)


def try_legacy(runtime: Runtime, image: str, limits: Limits) -> str:
    """Why this machine runs no legacy units, empty if it does: one is run that writes too much."""
    if runtime.kind == "docker":
        return "Docker maps users for all containers or none: legacy images need Podman."
    if os.geteuid() != 0:
        return "legacy images need a worker that is root, to mount their storage."
    try:
        store = open_storage(runtime, "probe", _TRY_BYTES)
        flags = legacy_flags(runtime, limits, _TRY_ID)
        words = ("run", "--rm", *flags, image, "/bin/sh", "-c", _TRY)
        done = call(runtime.command(*words, store=store), folder=store)
        close_storage(runtime, "probe")
    except LaunchError as error:
        return error.message
    said = re.fullmatch(r"root is (\d+)\nwrote (\d+)\n", done.stdout)
    if not said:
        return f"legacy images cannot be run: {last_line(done.stderr)}"
    if int(said[1]) != _TRY_ID:
        return "root of a legacy image would be root of this machine."
    if not 0 < int(said[2]) < 160:
        return "what a legacy image writes could not be limited."
    return ""


def _mount(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, env=environment(), check=False)
