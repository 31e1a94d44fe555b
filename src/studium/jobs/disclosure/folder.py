"""Read a folder that hostile code wrote, without being led out of it.

Every folder and file is opened relative to the descriptor of the folder above it and without
following links, so that nothing can be swapped on the way; what it is, is asked of the open
descriptor. Sizes are checked while bytes are copied: a file may grow meanwhile.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from studium.jobs.disclosure.model import Reason, Refused

MAX_DEPTH = 4
MAX_NAME = 60
"""Characters of a path below the folder: names are chosen by the job, so they carry data out."""
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = _FILE | os.O_DIRECTORY
_CHUNK = 1 << 20


def walk(root: Path, max_files: int) -> Iterator[str]:
    """Canonical relative names of the regular files below ``root``, sorted within each folder.

    Raises Refused (``unsafe file``) for links, devices, pipes, sockets, hard links, set-id files,
    names with other characters than letters, digits, ``.``, ``_`` and ``-``, too long or too deep
    ones, and (``output too large``) for more than ``max_files`` files or folders.
    """
    descriptor = os.open(root, _FOLDER)
    try:
        yield from _walk(descriptor, "", 1, [max_files])
    finally:
        os.close(descriptor)


def _walk(folder: int, prefix: str, depth: int, left: list[int]) -> Iterator[str]:
    names = []
    with os.scandir(folder) as found:
        for entry in found:  # one by one: a folder may have a billion
            left[0] -= 1
            if left[0] < 0:
                raise Refused(Reason.SIZE, detail="more files or folders than disclosure.max_files")
            names.append(entry.name)
    for name in sorted(names):
        path = f"{prefix}{name}"
        if not set(name) <= _NAME or name.startswith((".", "-")) or len(path) > MAX_NAME:
            raise _unsafe(path, "a name with other characters than A-Z a-z 0-9 . _ -, or too long")
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            if depth >= MAX_DEPTH:
                raise _unsafe(path, f"folders nested more than {MAX_DEPTH} deep")
            inner = _open(name, folder, _FOLDER, path)
            try:
                yield from _walk(inner, f"{path}/", depth + 1, left)
            finally:
                os.close(inner)
        else:
            _check(status, path)
            yield path


def _check(status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _unsafe(path, "neither a file nor a folder")
    if status.st_nlink != 1:
        raise _unsafe(path, "a hard link")
    if status.st_mode & (stat.S_ISUID | stat.S_ISGID):
        raise _unsafe(path, "a set-user-id or set-group-id file")


@contextmanager
def opened(root: Path, name: str) -> Iterator[IO[bytes]]:
    """The file ``name`` below ``root``, checked again on its open descriptor."""
    *folders, last = name.split("/")
    descriptors = [os.open(root, _FOLDER)]
    try:
        for folder in folders:
            descriptors.append(_open(folder, descriptors[-1], _FOLDER, name))
        with os.fdopen(_open(last, descriptors[-1], _FILE, name), "rb") as file:
            _check(os.fstat(file.fileno()), name)
            yield file
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def copy(root: Path, name: str, target: Path, limit: int) -> int:
    """Copy ``name`` below ``root`` to the new file ``target``; gives its size in bytes.

    Raises Refused (``output too large``) as soon as it has more than ``limit``.
    """
    size = 0
    with opened(root, name) as source, target.open("xb") as out:
        while chunk := source.read(min(_CHUNK, limit + 1 - size)):
            size += len(chunk)
            if size > limit:
                raise Refused(Reason.SIZE, detail=f"{name} has more than {limit:,} bytes")
            out.write(chunk)
    return size


def _open(name: str, folder: int, flags: int, path: str) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        raise _unsafe(path, f"it cannot be opened: {error.strerror}") from None


def _unsafe(path: str, why: str) -> Refused:
    shown = path[:200].encode("ascii", "backslashreplace").decode()
    return Refused(Reason.UNSAFE, detail=f"{shown.encode('unicode_escape').decode()}: {why}")


def has_hidden(text: str, allowed: str = "") -> bool:
    """Does ``text`` hold control, format (bidirectional, zero-width), private or unassigned
    characters? ``allowed`` are let pass."""
    return any(unicodedata.category(one)[0] == "C" for one in text if one not in allowed)
