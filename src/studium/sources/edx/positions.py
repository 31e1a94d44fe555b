"""From a position in the log (file, line number) back to the line itself."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from typing import BinaryIO

from studium.errors import S3Error
from studium.s3 import DEFAULT_WAITS, Address, Waits, is_s3, look_at, open_object
from studium.sources.edx.decompress import DamagedFileError, read_blocks
from studium.state.manifest import FileRow

GONE = "gone"
CHANGED = "changed since it was read"
UNKNOWN = "not in the manifest"


@dataclass(frozen=True)
class Place:
    """A log file as it is now. ``path`` is None if the manifest does not know it; ``trouble`` is
    why its lines may not be those that were read, or empty."""

    path: str | None
    trouble: str = ""
    waits: Waits = DEFAULT_WAITS

    def command(self, line: int) -> str:
        """A shell command that prints a line of the file; empty if there is none."""
        if self.path is None or self.trouble in (GONE, UNKNOWN):
            return ""
        path = _short(self.path)
        program = _reader(self.path, self.waits)
        if is_s3(path):
            unpacked = f" | {program}" if program else ""
            return f"aws s3 cp {shlex.quote(path)} -{unpacked} | sed -n {line}p"
        if not program:
            return f"sed -n {line}p {shlex.quote(path)}"
        return f"{program} {shlex.quote(path)} | sed -n {line}p"

    def __str__(self) -> str:
        return _short(self.path) if self.path is not None else f"a file {UNKNOWN}"


def look_for(file: FileRow | None, waits: Waits = DEFAULT_WAITS) -> Place:
    """Where a file of the manifest is now."""
    if file is None:
        return Place(None, UNKNOWN)
    if is_s3(file.path):
        now = look_at(Address.parse(file.path), waits)
        same = now is not None and now.etag == file.etag
        return Place(file.path, GONE if now is None else "" if same else CHANGED, waits)
    try:
        status = os.stat(file.path)
    except OSError:
        return Place(file.path, GONE)
    # A log that is still being written to only grows: the lines that were read stay.
    return Place(file.path, CHANGED if status.st_size < file.size else "")


def read_lines(
    path: str, numbers: Collection[int], waits: Waits = DEFAULT_WAITS
) -> dict[int, bytes]:
    """Lines of a file by their number (from 1), without the newline, as far as it can be read."""
    found: dict[int, bytes] = {}
    last = max(numbers, default=0)
    number, rest = 0, b""
    try:
        with _open(path, waits) as raw:
            for block in read_blocks(raw):
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    number += 1
                    if number in numbers:
                        found[number] = line
                if number >= last:
                    return found
    except (OSError, DamagedFileError, S3Error):
        pass  # what could be read is there; the caller sees what is missing
    if rest and number + 1 in numbers:
        found[number + 1] = rest
    return found


def _open(path: str, waits: Waits) -> BinaryIO:
    if not is_s3(path):
        return open(path, "rb")
    found = look_at(Address.parse(path), waits)
    if found is None:
        raise OSError(GONE)
    return open_object(found, waits)


def _reader(path: str, waits: Waits) -> str:
    """What prints a compressed file, told by its first bytes as ingest tells it."""
    try:
        with _open(path, waits) as file:
            magic = file.read(4)
    except (OSError, S3Error):
        return ""
    if magic[:2] == b"\x1f\x8b":
        return "zcat"
    return "zstdcat" if magic == b"\x28\xb5\x2f\xfd" else ""


def _short(path: str) -> str:
    """Below the current directory: from there, as a shell there understands it."""
    here = os.getcwd()
    return os.path.relpath(path, here) if path.startswith(here.rstrip("/") + "/") else path
