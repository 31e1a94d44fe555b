"""Log files as servers leave them: compressed in several ways, with the damage of real ones.

What is wrong with lines in real logs: specs/edx-enrollment-geography §1.1–1.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Protocol

BROKEN = 0.001
DUPLICATED = 0.002
PREFIXED = 0.008
RAGGED = 0.003

PACK_LINES = 100
"""Lines packed at once; more would only fall out of the processor's cache."""

SYSLOG_LIMIT = 2043
"""Characters after which an old syslog cuts a line off (§1.1)."""


class Packer(Protocol):
    """What isal and zstandard have in common."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


@dataclass(slots=True)
class Log:
    """The log being written, file after file, and what it came to.

    ``events`` counts distinct whole events, ``lines`` all lines, ``broken`` those that no reader
    can use. ``again`` are lines that the next file repeats.
    """

    random: Random
    events: int = 0
    lines: int = 0
    broken: int = 0
    again: list[str] = field(default_factory=list)
    _append: Callable[[bytes], None] | None = None
    _begun: bool = False

    @contextmanager
    def rotate(self, path: Path, *, cut: bool = False) -> Iterator[None]:
        """Write to ``path``, whose ending says how. With ``cut`` the last line has no newline."""
        with _open(path) as append:
            self._append, self._begun = append, False
            again, self.again = self.again, []
            self.write_whole(again, new=False)
            yield
            append(b"" if cut or not self._begun else b"\n")
        self._append = None

    def write(self, lines: list[str], clock: str) -> None:
        """Write new events; some of them suffer. ``clock`` is the time as syslog writes it."""
        draw = self.random.random
        odd = BROKEN + DUPLICATED + PREFIXED + RAGGED
        out: list[str] = []
        broken = 0
        for line in lines:
            if draw() >= odd:
                out.append(line)
                continue
            mark = draw() * odd
            if mark < BROKEN:
                broken += 1
                out.append(_spoil(self.random, line))
            elif mark < BROKEN + DUPLICATED:
                out.append(line)
                if mark < BROKEN + DUPLICATED / 2:
                    self.again.append(line)
                else:
                    out.append(_prefix(line, clock))
            elif mark < BROKEN + DUPLICATED + PREFIXED:
                out.append(_prefix(line, clock))
            else:
                out.append(line + ("\r" if draw() < 0.5 else " \t "))
        self.events += len(lines) - broken
        self.broken += broken
        self._put(out)

    def write_whole(self, lines: list[str], *, new: bool) -> None:
        """Write lines unharmed: new events, or repetitions."""
        self.events += len(lines) if new else 0
        self._put(lines)

    def _put(self, lines: list[str]) -> None:
        if self._append is None:
            return
        self.lines += len(lines)
        for start in range(0, len(lines), PACK_LINES):
            # Line by line, because one emoji would make every character of a joined text four
            # bytes wide. Half a character is a lone surrogate until here.
            pieces = [
                line.encode("utf-8", "surrogateescape")
                for line in lines[start : start + PACK_LINES]
            ]
            if self._begun:
                pieces.insert(0, b"")
            self._begun = True
            self._append(b"\n".join(pieces))


def _spoil(random: Random, line: str) -> str:
    """A line that holds no event any more, in one of the ways of real logs."""
    draw = random.random
    kind, place = draw(), 20 + int(draw() * (len(line) - 40))
    if kind < 0.35:
        return line[:SYSLOG_LIMIT] if len(line) > SYSLOG_LIMIT + 40 else line[:place]
    if kind < 0.6:
        return line[:place]
    if kind < 0.7:  # cut in the middle of a character
        return line[:place] + "\udcd9"
    if kind < 0.8:  # two writers at once
        return line[:place] + line
    if kind < 0.9:
        return line.replace('"time": ', '"sent": ', 1)
    return ("null", "[]", '"tracking"', "-")[int(draw() * 4)]


def _prefix(line: str, clock: str) -> str:
    return (
        f"{clock} lms-1 [service_variant=lms][tracking][env:prod] INFO "
        f"[lms-1  2117] [logger.py:41] - {line}"
    )


@contextmanager
def _open(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Append to a new file by its ending: ``.gz`` (no time in its header), ``.zst``, or plain."""
    with open(path, "wb") as raw:
        if path.suffix not in (".gz", ".zst"):
            yield lambda data: (raw.write(data), None)[1]
            return
        if path.suffix == ".gz":
            from isal import isal_zlib

            packer: Packer = isal_zlib.compressobj(level=1, wbits=31)
        else:
            import zstandard

            packer = zstandard.ZstdCompressor(level=3).compressobj()
        yield lambda data: (raw.write(packer.compress(data)), None)[1]
        raw.write(packer.flush())
