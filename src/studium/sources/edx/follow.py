"""Following a live log: its complete lines are ingested as they come, through every rotation.

A log has generations, told apart by their first line: ``tracking.log#1f2e…`` is one, whatever file
holds it. How far each was read is its row in the manifest (size: bytes, lines: lines), written
after the events are in the lake; what a crash had committed before is found there again. When the
first line of the log is another one, the rest of the generation before is read from wherever it
went: the handle that is still open, a renamed file beside it, a copy, a compressed one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from studium.clock import Interval, today
from studium.engines.duckdb import connect, quote
from studium.lake.removal import remove_rows
from studium.lake.store import Lake
from studium.site import Site
from studium.sources.edx.decompress import DamagedFileError, read_blocks
from studium.sources.edx.files import SourceFile
from studium.sources.edx.ingest import SOURCE, Choice, FileReport, ingest
from studium.sources.edx.rejects import TABLE as REJECTS
from studium.state.counters import next_build
from studium.state.manifest import FileRow, known_files

SLICE_BYTES = 64 << 20
_HEAD_BYTES = 64 << 10
_REMEMBERED = 3


@dataclass
class Rest:
    """A generation that another has followed, and how long it was when last seen; ``handle`` is the
    file as it was opened when it was the log."""

    label: str
    size: int = -1
    handle: BinaryIO | None = None

    def close(self) -> None:
        if self.handle is not None:
            self.handle.close()


class Follower:
    """Follows one log; ``tick`` takes what has come. It needs the site's writer lock each time."""

    def __init__(self, site: Site, path: Path) -> None:
        self.site, self.path = site, path
        self.lake = Lake(site.lake_dir)
        self._spool = site.root / "follow"
        self._current = ""
        self._rests: list[Rest] = []
        self._handle: BinaryIO | None = None
        self._mended: set[str] = set()
        with site.state.read() as conn:
            known = known_files(conn, SOURCE)
        rows = [row for row in known.values() if row.path.startswith(f"{self.path}#")]
        # Of those before, the last few may have a rest; older ones were finished long ago.
        rows = sorted(rows, key=lambda row: row.read_at)[-_REMEMBERED:]
        self._rests = [Rest(row.path) for row in rows]

    def waiting(self) -> int:
        """Bytes of the log that have not been taken, as far as a look at its size tells."""
        try:
            size = self.path.stat().st_size
        except OSError:
            return 0
        row = self._row(self._current)
        return max(0, size - (row.size if row else 0))

    def tick(self) -> list[FileReport]:
        """Take all complete lines that are there; the report of each slice."""
        reports: list[FileReport] = []
        label = self._label_at(self.path)
        if label and label != self._current:
            if self._current:
                self._rests.append(Rest(self._current, handle=self._handle))
                self._current, self._handle = "", None
            self._rests = [rest for rest in self._rests if rest.label != label]
        for rest in list(self._rests):
            reports += self._finish(rest)
        if label:
            if label != self._current:
                self._current, self._handle = label, self.path.open("rb")
            with self.path.open("rb") as raw:
                if _label(self.path, raw) == label:  # rotated just now: the next tick sees it
                    reports += self._take(label, raw, whole=False)
        return reports

    def close(self) -> None:
        """Let go of every file."""
        for rest in self._rests:
            rest.close()
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def _finish(self, rest: Rest) -> Iterator[FileReport]:
        """The rest of a generation, wherever it is; its last line, without a newline, is taken once
        the file has not grown between two ticks."""
        for place in self._places(rest):
            try:
                size = _length(place)
                whole = size == rest.size
                rest.size = size
                yield from self._take(rest.label, place, whole)
            except (OSError, DamagedFileError):
                continue  # being compressed just now
            finally:
                if place is not rest.handle:
                    place.close()
            if whole:
                rest.close()
                self._rests.remove(rest)
            return

    def _places(self, rest: Rest) -> Iterator[BinaryIO]:
        """Open files that hold the generation: those beside the log, then the one still open."""
        folder = self.path.parent
        for entry in sorted(folder.iterdir() if folder.is_dir() else ()):
            beside = entry != self.path and entry.name.startswith(self.path.name)
            if beside and self._label_at(entry) == rest.label:
                yield entry.open("rb")
        if rest.handle is not None and _label(self.path, rest.handle) == rest.label:
            yield rest.handle

    def _label_at(self, place: Path) -> str:
        try:
            with place.open("rb") as raw:
                return _label(self.path, raw)
        except (OSError, DamagedFileError):
            return ""

    def _row(self, label: str) -> FileRow | None:
        with self.site.state.read() as conn:
            return known_files(conn, SOURCE).get(label)

    def _take(self, label: str, raw: BinaryIO, whole: bool) -> Iterator[FileReport]:
        """Ingest from where the manifest is, slice by slice."""
        while True:
            row = self._row(label)
            self._mend(label, row)
            data = _read_from(raw, row.size if row else 0, whole)
            if not data:
                return
            yield self._ingest(label, row, data)

    def _mend(self, label: str, row: FileRow | None) -> None:
        """Lines that were refused after the place in the manifest are those of a crash."""
        if label in self._mended:
            return
        self._mended.add(label)
        if row is None or not self.lake.snapshot(REJECTS).exists:
            return
        with self.site.state.begin() as conn:
            build = next_build(conn, self.lake.next_number())
        with closing(connect()) as db:
            condition = f"path = {quote(label)} AND line_no > {row.lines}"
            remove_rows(self.lake, db, REJECTS, condition, build, self.site.scratch)

    def _ingest(self, label: str, row: FileRow | None, data: bytes) -> FileReport:
        self._spool.mkdir(exist_ok=True)
        spool = self._spool / "slice"
        spool.write_bytes(data)
        size = (row.size if row else 0) + len(data)
        file = SourceFile(label, size, None, place=str(spool), earlier=row)
        try:
            report = ingest(self.site, self.lake, Choice([file], 0, 0), Interval(today(), today()))
        finally:
            spool.unlink()
        return report.files[0]


def _label(path: Path, raw: BinaryIO) -> str:
    """The generation that an open file holds; empty until its first line is complete."""
    raw.seek(0)
    head = next(read_blocks(raw), b"")[:_HEAD_BYTES]
    first, newline, _ = head.partition(b"\n")
    if not newline and len(head) < _HEAD_BYTES:
        return ""
    return f"{path}#{hashlib.md5(first, usedforsecurity=False).hexdigest()[:12]}"


def _length(raw: BinaryIO) -> int:
    """Bytes in a file, unpacked."""
    raw.seek(0)
    return sum(len(block) for block in read_blocks(raw))


def _read_from(raw: BinaryIO, offset: int, whole: bool) -> bytes:
    """The next complete lines after ``offset``, some ``SLICE_BYTES`` of them; with ``whole`` what
    follows the last newline, too."""
    raw.seek(0)
    magic = raw.read(4)
    packed = offset == 0 or magic[:2] == b"\x1f\x8b" or magic == b"\x28\xb5\x2f\xfd"
    raw.seek(0 if packed else offset)
    blocks = read_blocks(raw) if packed else iter(lambda: raw.read(SLICE_BYTES), b"")
    skip = offset if packed else 0
    found = b""
    for block in blocks:
        if skip >= len(block):
            skip -= len(block)
            continue
        found, skip = found + block[skip:], 0
        cut = found.rfind(b"\n") + 1
        if cut and len(found) >= SLICE_BYTES:
            return found[:cut]
    return found if whole else found[: found.rfind(b"\n") + 1]
