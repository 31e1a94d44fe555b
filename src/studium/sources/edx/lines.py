"""Bytes of log files → numbered lines of text, in Arrow batches, losing none.

Every line of a file comes out exactly once: in a batch, or as ``Refused`` because it cannot be
text that a JSON parser may see. Memory is bounded by the chunk and the longest line allowed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol

from studium.errors import S3Error
from studium.s3 import DEFAULT_WAITS, Waits, is_s3
from studium.sources.edx.decompress import DamagedFileError, read_blocks
from studium.sources.edx.files import SourceFile
from studium.sources.edx.objects import open_log

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_LINES = 8192
# DuckDB works on up to 2,048 lines at once and keeps several copies of them: lines of a kilobyte
# are as many bytes as this, longer ones come in smaller batches.
_BATCH_BYTES = 2 << 20
KEPT_OF_LONG_LINE = 64 << 10

NOT_UTF8 = "not UTF-8"
TOO_LONG = "line too long"
CUT_OFF = "file ends in the middle of this line"


@dataclass(frozen=True)
class Refused:
    """A line that is not kept. ``raw`` is its bytes without the final newline."""

    file_id: int
    line_no: int
    reason: str
    raw: bytes


@dataclass
class Reading:
    """What reading one file came to. ``error`` tells why it could not be read to its end;
    ``again`` that it may be, another time."""

    file: SourceFile
    lines: int = 0
    bytes: int = 0
    done: bool = False
    error: str | None = None
    again: bool = False


class Sink(Protocol):
    """Where refused lines go."""

    def append(self, refused: Refused, /) -> None: ...


@dataclass
class LineReader:
    """Reads files one after the other; ``batches`` may be called again after it stopped early.

    Once a store cannot be reached any more, no further file is tried: ``stopped`` says why."""

    files: list[SourceFile]
    max_line_bytes: int
    on_bytes: Callable[[int], None] = lambda count: None
    refused: Sink = field(default_factory=list[Refused])
    readings: list[Reading] = field(default_factory=list)
    waits: Waits = DEFAULT_WAITS
    stopped: S3Error | None = None
    _batches: Iterator[pa.RecordBatch] | None = None

    def batches(self, max_lines: int, max_bytes: int | None = None) -> Iterator[pa.RecordBatch]:
        """Batches of (file_id BIGINT, line_no BIGINT, line VARCHAR, with its newline) until
        ``max_lines`` or ``max_bytes`` have been read, or a little more, or the files end."""
        if self._batches is None:
            self._batches = self._all()
        seen = size = 0
        for batch in self._batches:
            yield batch
            seen += batch.num_rows
            size += batch.nbytes
            if seen >= max_lines or (max_bytes is not None and size >= max_bytes):
                return

    @property
    def exhausted(self) -> bool:
        return self.stopped is not None or (
            len(self.readings) == len(self.files) and (not self.readings or self.readings[-1].done)
        )

    def _all(self) -> Iterator[pa.RecordBatch]:
        for file in self.files:
            reading = Reading(file, lines=file.earlier.lines if file.earlier else 0)
            self.readings.append(reading)
            try:
                with self._open(file) as raw:
                    yield from self._lines(raw, reading)
            except (OSError, DamagedFileError) as error:
                reading.error = _explain(error)
            except S3Error as error:
                reading.error, reading.again, self.stopped = error.message, True, error
            reading.done = True
            if self.stopped is not None:
                return

    def _open(self, file: SourceFile) -> BinaryIO:
        if is_s3(file.path):
            return open_log(file, self.waits)
        place = file.place or file.path
        if not stat.S_ISREG(os.stat(place).st_mode):
            raise OSError("not a regular file")  # opening a pipe would wait for a writer
        return open(place, "rb")

    def _lines(self, raw: BinaryIO, reading: Reading) -> Iterator[pa.RecordBatch]:
        rest = b""  # the beginning of a line whose end has not been read yet
        too_long = 0  # bytes of it so far, once they are too many; ``rest`` is then what is kept
        blocks = read_blocks(raw)
        failure: DamagedFileError | OSError | None = None
        while True:
            try:
                block = next(blocks, b"")
            except (DamagedFileError, OSError) as error:
                block, failure = b"", error
            self.on_bytes(raw.tell() - reading.bytes)
            reading.bytes = raw.tell()
            if not block:
                break
            if too_long:
                head, newline, block = block.partition(b"\n")
                too_long += len(head)
                rest += head[: KEPT_OF_LONG_LINE - len(rest)]
                if not newline:
                    continue
                self._refuse_long(reading, rest, too_long)
                rest, too_long = b"", 0
            cut = block.rfind(b"\n") + 1
            if cut:
                yield from self._split(rest + block[:cut], reading)
                rest = block[cut:]
            else:
                rest += block
            if len(rest) > self.max_line_bytes:
                rest, too_long = rest[:KEPT_OF_LONG_LINE], len(rest)
        if too_long:
            self._refuse_long(reading, rest, too_long)
        elif rest and failure is None:
            yield from self._split(rest, reading)
        elif rest:
            self._refuse(reading, CUT_OFF, rest)
        if failure is not None:
            raise failure

    def _split(self, block: bytes, reading: Reading) -> Iterator[pa.RecordBatch]:
        import numpy as np
        import pyarrow as pa

        ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == 10) + 1
        if not len(ends) or ends[-1] != len(block):
            ends = np.append(ends, len(block))
        offsets = np.empty(len(ends) + 1, dtype=np.int32)
        offsets[0] = 0
        offsets[1:] = ends
        lines = pa.Array.from_buffers(
            pa.string(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(block)]
        )
        numbers = np.arange(reading.lines + 1, reading.lines + 1 + len(ends), dtype=np.int64)
        reading.lines += len(ends)
        good = self._good(block, offsets, numbers, lines, reading)
        ids = np.full(len(numbers), reading.file.file_id, dtype=np.int64)
        batch = pa.record_batch([pa.array(ids), pa.array(numbers), lines], schema=schema())
        if good is not None:
            batch = batch.filter(pa.array(good))
        count = max(1, min(BATCH_LINES, _BATCH_BYTES * len(ends) // len(block)))
        if count > 2048:
            count = BATCH_LINES
        for start in range(0, batch.num_rows, count):
            yield batch.slice(start, count)

    def _good(
        self, block: bytes, offsets: object, numbers: object, lines: pa.Array, reading: Reading
    ) -> object | None:
        """Which lines may go on (numpy booleans); ``None`` if all may. The others are refused."""
        import numpy as np

        starts = np.asarray(offsets)
        sizes = np.diff(starts) - 1
        if not block.endswith(b"\n"):
            sizes[-1] += 1
        long = sizes > self.max_line_bytes
        try:
            lines.validate(full=True)
            if not long.any():
                return None
            suspects = np.flatnonzero(long)
        except ValueError:  # pyarrow.ArrowInvalid: some line is not UTF-8
            suspects = np.flatnonzero(long | np.isin(np.arange(len(sizes)), list(_not_utf8(lines))))
        good = np.ones(len(sizes), dtype=bool)
        for index in suspects:
            raw = block[starts[index] : starts[index + 1]]
            number = int(np.asarray(numbers)[index])
            if long[index]:
                self._refuse_long(reading, raw, int(sizes[index]), number)
            else:
                self._refuse(reading, NOT_UTF8, raw, number)
            good[index] = False
        return good

    def _refuse(self, reading: Reading, reason: str, raw: bytes, number: int | None = None) -> None:
        """Refuse line ``number``, or the one after those counted so far."""
        if number is None:
            reading.lines += 1
            number = reading.lines
        line = raw.removesuffix(b"\n")
        self.refused.append(Refused(reading.file.file_id, number, reason, line))

    def _refuse_long(
        self, reading: Reading, raw: bytes, size: int, number: int | None = None
    ) -> None:
        reason = (
            f"{TOO_LONG}: {size} bytes, more than {self.max_line_bytes}; "
            f"its first {KEPT_OF_LONG_LINE} are kept here"
        )
        self._refuse(reading, reason, raw[:KEPT_OF_LONG_LINE], number)


def schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("file_id", pa.int64()), ("line_no", pa.int64()), ("line", pa.string())])


def _not_utf8(lines: pa.Array, first: int = 0) -> Iterator[int]:
    """Places of lines that are not UTF-8, by halves: such lines are few, if any."""
    try:
        lines.validate(full=True)
    except ValueError:
        middle = len(lines) // 2
        if not middle:
            yield first
            return
        yield from _not_utf8(lines.slice(0, middle), first)
        yield from _not_utf8(lines.slice(middle), first + middle)


def _explain(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
