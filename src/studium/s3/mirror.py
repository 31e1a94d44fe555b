"""A folder in S3 whose objects never change, with copies here of those that were read or written.

Why copies, and not readers that fetch ranges: names tell content, so a copy is exact for ever;
every engine reads it at the speed of the disk with what it has (DuckDB's httpfs is an extension
that would have to be downloaded, and a Python file system under DuckDB reads range by range
through one interpreter); a nightly run reads again mostly what it wrote the night before.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from studium.s3.address import Address
from studium.s3.objects import fetch, list_objects, upload
from studium.s3.store import Waits

_AT_ONCE = 8
# Another command may be reading a copy that was used so lately.
_LEASE_SECONDS = 3600


class Mirror:
    """Objects below ``address`` and their copies in ``folder``: up to ``limit`` bytes of them, the
    last used ones, and beyond it whatever is in use."""

    def __init__(self, address: Address, folder: Path, limit: int, waits: Waits) -> None:
        self.address, self.folder, self.limit, self.waits = address, folder, limit, waits
        self._pinned: set[Path] = set()
        self._touched: dict[Path, int] = {}
        self._size: int | None = None

    def paths(self, objects: Sequence[tuple[str, int]]) -> list[Path]:
        """Copies of objects (path below the address, size in bytes), which stay until `release`.

        Raises FileNotFoundError for an object that is not there.
        """
        wanted = [(self.folder / path, size) for path, size in objects]
        missing = [number for number, one in enumerate(wanted) if not _is_whole(*one)]
        self._pinned |= {path for path, _ in wanted}
        if missing:
            self._make_room(sum(wanted[number][1] for number in missing))
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(lambda number: self._fetch(*objects[number]), missing))
        for path, _ in wanted:
            self._touch(path)
        return [path for path, _ in wanted]

    def put(self, files: Sequence[tuple[Path, str]]) -> None:
        """Upload files, each to a path below the address, and keep them as copies."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda one: upload(one[0], self.address / one[1], self.waits), files))
        self._make_room(sum(file.stat().st_size for file, _ in files))
        for file, path in files:
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            _move(file, target)
            self._touch(target)

    def sizes(self, below: str) -> dict[str, int]:
        """Objects below a folder of the address: path from there → bytes."""
        folder = self.address / below
        start = len(folder.key) + 1
        return {one.address.key[start:]: one.size for one in list_objects(folder, self.waits)}

    def complete(self) -> Path:
        """The folder, once it has a copy of everything."""
        start = len(self.address.key) + 1 if self.address.key else 0
        self.paths(
            [(one.address.key[start:], one.size) for one in list_objects(self.address, self.waits)]
        )
        return self.folder

    def drop(self, paths: Sequence[str]) -> None:
        """Delete copies of objects that are no more."""
        for path in paths:
            (self.folder / path).unlink(missing_ok=True)
        self._size = None

    def release(self) -> None:
        """What `paths` gave so far is no longer in use."""
        self._pinned.clear()

    def _fetch(self, path: str, size: int) -> None:
        fetch(self.address / path, self.folder / path, size, self.waits)

    def _touch(self, path: Path) -> None:
        now = time.time_ns()
        os.utime(path, ns=(now, now))
        self._touched[path] = now

    def _make_room(self, more: int) -> None:
        """Delete the copies used longest ago, so that ``more`` bytes fit within the limit."""
        if self._size is not None and self._size + more <= self.limit:
            self._size += more
            return
        copies = [(path, status) for path in self.folder.rglob("*")
                  if path.is_file() and (status := path.stat())]  # fmt: skip
        self._size = more + sum(status.st_size for _, status in copies)
        recent = time.time_ns() - _LEASE_SECONDS * 10**9
        for path, status in sorted(copies, key=lambda one: one[1].st_mtime_ns):
            if self._size <= self.limit:
                return
            own = self._touched.get(path) == status.st_mtime_ns
            if path not in self._pinned and (own or status.st_mtime_ns < recent):
                path.unlink(missing_ok=True)
                self._size -= status.st_size


def _is_whole(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _move(file: Path, target: Path) -> None:
    try:
        os.replace(file, target)
    except OSError:  # another file system
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(file, partial)
        os.replace(partial, target)
        file.unlink()
