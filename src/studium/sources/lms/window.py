"""A dump through a window: patterns are matched at its start, more is read when they need it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from studium.errors import SourceError

_SPACE = re.compile(rb"\s*+")
# What a statement may hold before its semicolon. It stops before anything that is not all there.
_FILLER = re.compile(
    rb"(?:[^;'\"`#/-]++|'[^'\\]*+(?:\\.[^'\\]*+)*+'|\"[^\"\\]*+(?:\\.[^\"\\]*+)*+\"|`[^`]*+`"
    rb"|/\*(?!!)[^*]*+(?:\*(?!/)[^*]*+)*+\*/|/\*!|/(?=[^*])|-(?=[^-])|--(?=\s)[^\n]*+\n|--(?=\S)"
    rb"|\#[^\n]*+\n)*+",
    re.DOTALL,
)
_INSIDE = {
    b"'": re.compile(rb"(?:[^'\\]++|\\.)*+", re.DOTALL),
    b'"': re.compile(rb"(?:[^\"\\]++|\\.)*+", re.DOTALL),
    b"`": re.compile(rb"[^`]*+"),
}
_COMMENT = 64 << 20


class Window:
    """The bytes of one file from where reading has come to; ``path`` is for messages."""

    def __init__(self, blocks: Iterable[bytes], path: Path) -> None:
        self.path = path
        self._blocks: Iterator[bytes] = iter(blocks)
        self._bytes = b""
        self._at = 0
        self._line = 1
        self._ended = False
        self._started = False

    def skip_space(self) -> bool:
        """Go to the next byte that is no white space; False if there is none."""
        while True:
            found = _SPACE.match(self._bytes, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._bytes):
                return True
            if not self._more():
                return False

    def match(self, pattern: re.Pattern[bytes], limit: int) -> re.Match[bytes] | None:
        """Match and go on behind it; None if it does not match here, however much of up to
        ``limit`` bytes is read. ``pattern`` must not match what more bytes would make longer."""
        while True:
            found = pattern.match(self._bytes, self._at)
            if found is not None:
                self._at = found.end()
                return found
            if len(self._bytes) - self._at >= limit or not self._more():
                return None

    def back(self, found: re.Match[bytes]) -> None:
        """Go back before the last match."""
        self._at -= found.end() - found.start()

    def skip_statement(self) -> None:
        """Go behind the next semicolon that is in no text and no comment."""
        start = self._line_here()
        while True:
            found = _FILLER.match(self._bytes, self._at)
            self._at = found.end() if found else self._at
            left = len(self._bytes) - self._at
            here = self._bytes[self._at : self._at + 1]
            if here == b";":
                self._at += 1
                return
            if here in _INSIDE and left > 1:
                self._at += 1
                self._skip_text(here, start)
            elif left >= _COMMENT or not self._more():
                raise self._cut_off(start)

    def error(self, what: str, hint: str = "") -> SourceError:
        """An error at this place."""
        return self._error(self._line_here(), what, hint)

    def _skip_text(self, quote: bytes, start: int) -> None:
        """Go behind the closing quote; a doubled one closes a text and opens another."""
        while True:
            found = _INSIDE[quote].match(self._bytes, self._at)
            self._at = found.end() if found else self._at
            if self._bytes[self._at : self._at + 1] == quote:
                self._at += 1
                return
            if not self._more():
                raise self._cut_off(start)

    def _more(self) -> bool:
        """Read on until there is twice as much as now, so that matching again stays linear."""
        left = len(self._bytes) - self._at
        if self._ended:
            return False
        parts = [self._bytes[self._at :]]
        self._line = self._line_here()
        self._at = 0
        read = 0
        while (read <= left or read < 3) and not self._ended:
            block = next(self._blocks, None)
            if block is None:
                self._ended = True
                # The last line may be a comment that has no end of its own.
                block = b"\n"
            parts.append(block)
            read += len(block)
        self._bytes = b"".join(parts)
        if not self._started:
            self._started = True
            if self._bytes.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise self._error(
                    1, "this is UTF-16", "Let mysqldump write the file itself: --result-file."
                )
            self._bytes = self._bytes.removeprefix(b"\xef\xbb\xbf")
        return True

    def _line_here(self) -> int:
        return self._line + self._bytes.count(b"\n", 0, self._at)

    def _cut_off(self, start: int) -> SourceError:
        return self._error(start, "the file ends within this statement", "Copy the dump again.")

    def _error(self, line: int, what: str, hint: str = "") -> SourceError:
        return SourceError(
            f"{self.path}, line {line}: {what}.",
            hint or "Dump the table again with mysqldump; nothing was imported.",
        )
