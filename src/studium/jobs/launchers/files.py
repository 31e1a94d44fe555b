"""Files that are there whole or not at all, and folders that a stranger has filled."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

DEPTH = 12
"""How deep folders of outputs may be nested; so no path within them is too long for the kernel."""
UNKNOWN = 1 << 62
"""Entries of what cannot be looked into: more than anybody may have."""

_HERE = -100
ROOM = 4096  # bytes kept on the disk for an exit.json, so that a full disk cannot prevent it


def write_atomically(path: Path, content: bytes, durable: bool = True, mode: int = 0o666) -> None:
    """Write ``path`` so that a reader, or a crash, also of power, finds the old content or the new;
    ``mode`` is what the umask leaves of it."""
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(handle, "wb") as file:
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
    has. Links are not followed. Stops early beyond ``enough`` bytes. What cannot be looked into,
    as it is nested more than ``DEPTH`` deep or closed, counts as ``UNKNOWN`` entries.
    """
    size = count = 0
    seen: set[int] = set()
    try:
        top = _open(folder)
    except OSError:
        return 0, UNKNOWN
    for entry in _walk(top, 1):
        count += 1 if entry else UNKNOWN
        with suppress(OSError):
            if entry is None:
                break
            found = entry.stat(follow_symlinks=False)
            if found.st_ino in seen:
                continue
            if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                seen.add(found.st_ino)
            size += max(found.st_size, found.st_blocks * 512)
        if size > enough:
            break
    return size, count


def measure_unlinked(pids: Iterable[int], folder: Path) -> int:
    """Bytes of files without a name that processes hold on the disk of ``folder``."""
    held: dict[int, int] = {}
    try:
        device = os.stat(folder).st_dev
    except OSError:  # it cannot be measured either
        return 0
    for pid in pids:
        paths = [f"/proc/{pid}/map_files/{one}" for one in _deleted_maps(pid)]
        with suppress(OSError):
            paths += [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
        for path in paths:
            with suppress(OSError):
                found = os.stat(path)
                if found.st_nlink == 0 and found.st_dev == device:
                    held[found.st_ino] = found.st_blocks * 512
    return sum(held.values())


def _deleted_maps(pid: int) -> list[str]:
    """Names in map_files, one for each file; what is in memory only (dev 00:01) is left out."""
    found: dict[bytes, bytes] = {}
    with suppress(OSError), open(f"/proc/{pid}/maps", "rb") as maps:
        for line in maps:
            if line.endswith(b" (deleted)\n"):
                where, _, _, device, inode, _ = line.split(None, 5)
                if device != b"00:01":
                    found.setdefault(device + inode, where)
    # Where the kernel writes maps with leading zeros, map_files has none.
    return ["-".join(f"{int(one, 16):x}" for one in where.split(b"-")) for where in found.values()]


def take_over(folder: Path) -> None:
    """Make everything below ours: owner, and permissions 0700 and 0600.

    To be called when none of its writers lives. Links are left as they are; set-user-ID bits go.
    What is nested more than ``DEPTH`` deep is moved to the top, so that every path can be used.
    """
    _own(str(folder), _HERE, folder=True)
    top = _open(folder)
    try:
        waiting = _take(top, top, 1)
        while waiting:
            inner = _open(waiting.pop(), top)
            try:
                waiting += _take(inner, top, 2)
            finally:
                os.close(inner)
    finally:
        os.close(top)


def _take(folder: int, top: int, depth: int) -> list[str]:
    """Take over what is in an open folder; names at the top of what was moved there."""
    moved = []
    for name in os.listdir(folder):
        kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        with suppress(OSError):
            _own(name, folder, stat.S_ISDIR(kind), stat.S_ISREG(kind))
        if not stat.S_ISDIR(kind):
            continue
        if depth < DEPTH:
            inner = _open(name, folder)
            try:
                moved += _take(inner, top, depth + 1)
            finally:
                os.close(inner)
        else:
            new = f"deep-{secrets.token_hex(8)}"
            os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)
            moved.append(new)
    return moved


def _own(name: str, above: int, folder: bool, plain: bool = False) -> None:
    place = None if above == _HERE else above
    if os.geteuid() == 0:
        os.chown(name, 0, os.getegid(), dir_fd=place, follow_symlinks=False)
    if folder or plain:
        os.chmod(name, 0o700 if folder else 0o600, dir_fd=place)


def _open(path: str | Path, above: int | None = None) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, dir_fd=above)


def _walk(folder: int, depth: int) -> Iterator[os.DirEntry[str] | None]:
    """Entries below an open folder, which is closed; None for a folder that stays unknown.

    By descriptors: a path may be longer than any call takes, and is swapped on the way.
    """
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield entry
                if not entry.is_dir(follow_symlinks=False):
                    continue
                if depth >= DEPTH:
                    yield None
                    continue
                try:
                    inner = _open(entry.name, folder)
                except (FileNotFoundError, NotADirectoryError):  # gone meanwhile
                    continue
                except OSError as error:
                    if error.errno != errno.ELOOP:
                        yield None
                    continue
                yield from _walk(inner, depth + 1)
    finally:
        os.close(folder)
