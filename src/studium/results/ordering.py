"""Do the rows come in the order of the grain, each once? Told batch by batch, in Arrow."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc


@dataclass
class Ascent:
    """Watches batches go by; `strict` as long as every row's grain is above the one before.

    NULL is below every value and equal to NULL; text is ordered by its UTF-8 bytes. So a strict
    ascent is sorted and has no grain twice.
    """

    grain: tuple[str, ...]
    strict: bool = True
    _last: pa.RecordBatch | None = None

    def watch(self, batch: pa.RecordBatch) -> None:
        """Take the next batch; its columns are those of the grain, at least."""
        if not self.strict or batch.num_rows == 0:
            return
        keys = batch.select(list(self.grain))
        joined = keys if self._last is None else pa.concat_batches([self._last, keys])
        self.strict = not joined.num_rows > 1 or _ascends(joined)
        self._last = keys.slice(keys.num_rows - 1)


def _ascends(keys: pa.RecordBatch) -> bool:
    # From the last column to the first: below there, or equal there and below further on.
    below: pa.Array | None = None
    for values in reversed(keys.columns):
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.int8())
        this, following = values[:-1], values[1:]
        lower = pc.if_else(
            this.is_null(), following.is_valid(), pc.fill_null(pc.less(this, following), False)
        )
        if below is not None:
            equal = pc.if_else(
                this.is_null(), following.is_null(), pc.fill_null(pc.equal(this, following), False)
            )
            lower = pc.or_(lower, pc.and_(equal, below))
        below = lower
    return bool(pc.all(below).as_py())
