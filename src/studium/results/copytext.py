r"""Rows as the text that databases load fastest: tabs between values, ``\N`` for NULL.

PostgreSQL's ``COPY`` and MariaDB's ``LOAD DATA`` read the same text by default.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

_MOST_BYTES: Final = 16 * 2**20
"""Bytes of rows that are made text at once; text takes a few times as much."""

# The backslash first: the others bring new ones.
_ESCAPES: Final = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


def copy_text(
    batches: Iterable[pa.RecordBatch], nul: str, suffix: str | None = None
) -> Iterator[tuple[int, memoryview]]:
    """The rows, piece by piece, each a line of UTF-8: how many, and their text.

    `nul` is written for the character U+0000; `suffix` is one more value of every row.
    """
    for batch in batches:
        pieces = batch.nbytes // _MOST_BYTES + 1
        step = -(-batch.num_rows // pieces) or 1
        for start in range(0, batch.num_rows, step):
            piece = batch.slice(start, step)
            yield piece.num_rows, _lines(piece, nul, suffix)


def _lines(batch: pa.RecordBatch, nul: str, suffix: str | None) -> memoryview:
    columns: list[pa.Array | pa.Scalar] = [_text(values, nul) for values in batch.columns]
    if suffix is not None:
        columns.append(pa.scalar(suffix))
    lines = pc.binary_join_element_wise(
        *columns, "\t", null_handling="replace", null_replacement="\\N"
    )
    ended = pc.binary_join_element_wise(lines, "", "\n")
    if isinstance(ended, pa.ChunkedArray):
        ended = ended.combine_chunks()
    # The values of an array of texts lie one behind the other.
    offsets = memoryview(ended.buffers()[1]).cast("i")
    first, last = offsets[ended.offset], offsets[ended.offset + len(ended)]
    return memoryview(ended.buffers()[2])[first:last]


def _text(values: pa.Array, nul: str) -> pa.Array:
    if pa.types.is_boolean(values.type):
        return values.cast(pa.int8()).cast(pa.string())
    if not pa.types.is_string(values.type):
        return values.cast(pa.string())
    if not pc.any(pc.match_substring_regex(values, "[\\\\\t\n\r\0]")).as_py():
        return values
    for raw, escaped in (*_ESCAPES, ("\0", nul)):
        values = pc.replace_substring(values, raw, escaped)
    return values
