"""Text for people: tables and progress, richer on a terminal, plain in a pipe or a cron mail."""

from __future__ import annotations

import sys
import time
import unicodedata
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import rich.progress

Cell = object

_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[Cell]], grouped: bool = True
) -> None:
    """A table; numbers are set flush right, with thousands separated if ``grouped``: counts are,
    values of a table, among them years and ids, are not."""
    texts = [[_text(cell, grouped) for cell in row] for row in rows]
    right = [
        any(_is_number(row[index]) for row in rows)
        and all(row[index] is None or _is_number(row[index]) for row in rows)
        for index in range(len(headers))
    ]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, header_style="bold", pad_edge=False)
        for header, flush in zip(headers, right, strict=True):
            table.add_column(header, justify="right" if flush else "left", overflow="fold")
        for line in texts:
            table.add_row(*(_escape(text) for text in line))
        Console().print(table)
        return
    widths = [
        max(len(text) for text in (header, *(line[index] for line in texts)))
        for index, header in enumerate(headers)
    ]
    for line in ([*headers], *texts):
        cells = [
            text.rjust(width) if flush else text.ljust(width)
            for text, width, flush in zip(line, widths, right, strict=True)
        ]
        typer.echo("  ".join(cells).rstrip())


def sparkline(values: Sequence[int]) -> str:
    """A line of blocks, the largest value the tallest."""
    blocks = "▁▂▃▄▅▆▇█"
    top = max(values, default=0) or 1
    return "".join(blocks[min(7, value * 8 // (top + 1))] for value in values)


def plural(count: int, noun: str) -> str:
    """``1 file``, ``2,000 files``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class Progress:
    """A progress bar, shown on a terminal once the work has taken a second.

    ``unit`` is "bytes", or what is counted, in the plural.
    """

    def __init__(self, label: str, unit: str) -> None:
        self._label, self._unit = label, unit
        self._total = 0
        self._done = 0
        self._started = time.monotonic()
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

    def expect(self, total: int) -> None:
        """Say how much there is to do."""
        self._total = total

    def advance(self, count: int = 1) -> None:
        """``count`` more have been done."""
        self.reach(self._done + count)

    def reach(self, done: int) -> None:
        """``done`` have been done in all."""
        self._done = done
        if self._bar is None:
            if not sys.stderr.isatty() or time.monotonic() - self._started < 1:
                return
            self._start()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done)

    def _start(self) -> None:
        import rich.console
        import rich.progress as parts

        done = (
            parts.DownloadColumn()
            if self._unit == "bytes"
            else parts.TextColumn("{task.completed:,} of {task.total:,} " + self._unit)
        )
        self._bar = parts.Progress(
            parts.TextColumn("{task.description}"),
            parts.BarColumn(),
            done,
            parts.TimeRemainingColumn(),
            console=rich.console.Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(self._label, total=self._total)
        self._bar.start()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _text(cell: Cell, grouped: bool) -> str:
    if cell is None:
        return ""
    if isinstance(cell, int) and not isinstance(cell, bool):
        return f"{cell:,}" if grouped else str(cell)
    return printable(str(cell))


def printable(text: str) -> str:
    """``text`` with what moves the cursor or turns the reading direction written as ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(_escaped(char) for char in text)


def _escaped(char: str) -> str:
    # Other marks that do not print by themselves, such as joiners, belong to names.
    if unicodedata.category(char) not in _CONTROL and char not in _TURNING:
        return char
    return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
