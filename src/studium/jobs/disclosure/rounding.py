"""Round what is published: counts to a base, other numbers to decimals (specs/morf.md §7.5).

Every published number is rounded by itself. Suppression is proved against readers who know the
numbers before rounding, so rounding, whose result they could compute, tells them nothing more; it
blurs the difference that one learner makes from one release to the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

DIGITS = 6
"""Significant digits of a measure: 16 digits are enough to tell the counts that it was made of."""


def round_count(value: int, base: int) -> int:
    """The nearest multiple of ``base``; halves go up."""
    return (2 * value + base) // (2 * base) * base


def round_measures(
    values: Sequence[float | int | None], base: int, decimals: int
) -> list[float | int | None]:
    """One column of the rows that leave. What is not finite becomes None.

    If every number is whole, however it is written, they count something and are rounded as counts.
    Otherwise none of them is: 1 and 0 among rates are rates. Both kinds keep six significant
    digits.
    """
    finite = [None if one is None or not math.isfinite(one) else one for one in values]
    whole = all(one is None or one == int(one) for one in finite)
    return [
        None if one is None else _count(int(one), base) if whole else _other(one, decimals)
        for one in finite
    ]


def _count(value: int, base: int) -> int:
    rounded = round_count(abs(value), base) * (1 if value >= 0 else -1)
    return int(float(f"{rounded:.{DIGITS}g}"))


def _other(value: float, decimals: int) -> float:
    return round(float(f"{value:.{DIGITS}g}"), decimals) + 0.0  # no minus zero
