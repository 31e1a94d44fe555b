"""Do the rows fit the declared columns? Arrow in, Arrow of the column's own type out.

What does not fit is counted over the whole table rather than stopping at the first value, so that
one attempt to publish tells everything that is wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from studium.columns import Column

_INTEGERS: Final = {"smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64()}
_BITS: Final = {"smallint": 16, "integer": 32, "bigint": 64}

# Days and seconds since 1970 of 0001-01-01 and of the end of 9999: all that SQL dates can be.
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_FIRST_SECOND, _END_SECOND = _FIRST_DAY * 86_400, (_LAST_DAY + 1) * 86_400
_A_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6}

_LONGEST_EXAMPLE: Final = 80


@dataclass
class Misfits:
    """What did not fit: (column, reason) → how many values, and the first of them."""

    count: dict[tuple[str, str], int] = field(default_factory=dict)
    example: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, column: str, reason: str, values: pa.Array, wrong: pa.Array) -> None:
        """Count the values where `wrong` is true (NULL: not wrong)."""
        number = wrong.true_count
        if number:
            key = (column, reason)
            self.count[key] = self.count.get(key, 0) + number
            self.example.setdefault(key, _show(values[pc.index(wrong, True).as_py()]))

    def __bool__(self) -> bool:
        return bool(self.count)

    def __str__(self) -> str:
        return "; ".join(
            f"column {column}: {number} {'value' if number == 1 else 'values'} {reason}, "
            f"the first {self.example[column, reason]}"
            for (column, reason), number in self.count.items()
        )


def mismatch(column: Column, given: pa.DataType) -> str | None:
    """Why an Arrow type can never hold a column's values; None if it can."""
    if pa.types.is_dictionary(given):
        given = given.value_type
    accepted = pa.types.is_null(given) or any(
        is_kind(given) for is_kind in _KINDS["varchar" if column.length else column.type]
    )
    return None if accepted else f"column {column.name} is declared {column.type}, got {given}"


def fit(column: Column, values: pa.Array, misfits: Misfits) -> pa.Array:
    """Values in the Arrow type of the column's own; those that cannot be become NULL.

    Times with a zone become UTC without one; parts of a microsecond are dropped. The type must
    have passed `mismatch`.
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if not column.nullable:
        misfits.add(column.name, "missing in a not-null column", values, values.is_null())
    if column.type in _INTEGERS:
        return _fit_integer(column, values, misfits)
    if column.type == "double":
        numbers = values.cast(pa.float64(), safe=False)
        misfits.add(column.name, "not finite", values, pc.invert(pc.is_finite(numbers)))
        return numbers
    if column.type == "date":
        return _fit_date(column, values, misfits)
    if column.type == "datetime":
        return _fit_datetime(column, values, misfits)
    if column.type == "boolean":
        return values.cast(pa.bool_())
    texts = values.cast(pa.string())
    if column.length:
        too_long = pc.greater(pc.utf8_length(texts), column.length)
        misfits.add(column.name, f"longer than {column.length} characters", texts, too_long)
    return texts


def _fit_integer(column: Column, values: pa.Array, misfits: Misfits) -> pa.Array:
    target = _INTEGERS[column.type]
    try:
        return values.cast(target)
    except pa.ArrowInvalid:
        # Rare, so plain Python may count exactly what the cast only stumbled over.
        end = 1 << (_BITS[column.type] - 1)
        numbers = values.to_pylist()
        wrong = [n is not None and not (n == int(n) and -end <= n < end) for n in numbers]
        misfits.add(column.name, f"out of the range of {column.type}", values, pa.array(wrong))
        kept = [None if bad or n is None else int(n) for n, bad in zip(numbers, wrong, strict=True)]
        return pa.array(kept, target)


def _fit_date(column: Column, values: pa.Array, misfits: Misfits) -> pa.Array:
    days = values.cast(pa.date32(), safe=False)
    number = days.cast(pa.int32())
    wrong = pc.or_(pc.less(number, _FIRST_DAY), pc.greater(number, _LAST_DAY))
    misfits.add(column.name, "outside the years 1 to 9999", days, wrong)
    return pc.if_else(wrong, None, days)


def _fit_datetime(column: Column, values: pa.Array, misfits: Misfits) -> pa.Array:
    if pa.types.is_null(values.type):
        return values.cast(pa.timestamp("us"))
    if values.type.unit == "ns":
        # 64 bits of nanoseconds end in 2262: always in range.
        return values.cast(pa.timestamp("ns")).cast(pa.timestamp("us"), safe=False)
    number, second = values.cast(pa.int64()), _A_SECOND[values.type.unit]
    wrong = pc.or_(
        pc.less(number, _FIRST_SECOND * second), pc.greater_equal(number, _END_SECOND * second)
    )
    misfits.add(column.name, "outside the years 1 to 9999", values, wrong)
    # The number counts from 1970 in UTC whatever the zone.
    kept = pc.if_else(wrong, None, number)
    return kept.cast(pa.timestamp(values.type.unit)).cast(pa.timestamp("us"))


def _show(value: pa.Scalar) -> str:
    try:
        text = repr(value.as_py()) if pa.types.is_string(value.type) else str(value)
    except (ValueError, OverflowError):
        # Python has no such date; the number behind it still helps to find the row.
        text = f"{value.value} ({value.type}, counted from 1970)"
    return text if len(text) <= _LONGEST_EXAMPLE else f"{text[: _LONGEST_EXAMPLE - 1]}…"


_TEXTS: Final = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_WHOLE: Final = (pa.types.is_integer, pa.types.is_decimal)
_KINDS: Final[dict[str, tuple[Callable[[Any], bool], ...]]] = {
    "smallint": _WHOLE,
    "integer": _WHOLE,
    "bigint": _WHOLE,
    "double": (pa.types.is_floating, *_WHOLE),
    "varchar": _TEXTS,
    "text": _TEXTS,
    "date": (pa.types.is_date,),
    "datetime": (pa.types.is_timestamp,),
    "boolean": (pa.types.is_boolean,),
}
