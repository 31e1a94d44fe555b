"""Files that are there whole or not at all, and folders that a stranger has filled."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOM = 4096  # bytes kept on the disk for an exit.json, so that a full disk cannot prevent it


def write_atomically(path: Path, content: bytes, durable: bool = True) -> None:
    """Write ``path`` so that a reader, or a crash, finds the old content or the new."""
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in it last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reserve(path: Path) -> None:
    """Take ``ROOM`` for a file that is to be written by ``fill``."""
    with path.open("wb") as file:
        file.write(b" " * ROOM)
        file.flush()
        os.fsync(file.fileno())


def fill(draft: Path, path: Path, content: bytes) -> None:
    """Write JSON into the room of ``draft`` and give it its name; blanks follow it."""
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.ljust(ROOM))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def measure(folder: Path, enough: int = 1 << 62) -> tuple[int, int]:
    """Bytes and entries below a folder that somebody else may be writing to.

    A file counts with its length or its blocks, whichever is more, and once however many names it
    has. Links are not followed. Stops early beyond ``enough`` bytes.
    """
    size = count = 0
    seen: set[int] = set()
    for entry in _walk(str(folder)):
        count += 1
        with suppress(OSError):
            found = entry.stat(follow_symlinks=False)
            if found.st_ino in seen:
                continue
            if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                seen.add(found.st_ino)
            size += max(found.st_size, found.st_blocks * 512)
        if size > enough:
            break
    return size, count


def _walk(folder: str) -> Iterator[os.DirEntry[str]]:
    folders = [folder]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                yield entry
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)


def take_over(folder: Path) -> None:
    """Make everything below ours: owner, and permissions 0700 and 0600.

    To be called when none of its writers lives. Links are left as they are; set-user-ID bits go.
    """
    uid, gid = os.geteuid(), os.getegid()
    folders = [str(folder)]
    while folders:
        path = folders.pop()
        with suppress(OSError):
            if uid == 0:
                os.chown(path, uid, gid, follow_symlinks=False)
            os.chmod(path, 0o700)
        with suppress(OSError), os.scandir(path) as entries:
            for entry in entries:
                with suppress(OSError):
                    if uid == 0:
                        os.chown(entry.path, uid, gid, follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        os.chmod(entry.path, 0o600)
