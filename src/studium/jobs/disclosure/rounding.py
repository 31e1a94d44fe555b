"""Round what is published: counts to a base, other numbers to decimals (specs/morf.md §7.5).

Every published number is rounded by itself. Suppression is proved against readers who know the
numbers before rounding, so rounding, whose result they could compute, tells them nothing more; it
blurs the difference that one learner makes from one release to the next.
"""

from __future__ import annotations

import math

DIGITS = 6
"""Significant digits of a measure: 16 digits are enough to tell the counts that it was made of."""


def round_count(value: int, base: int) -> int:
    """The nearest multiple of ``base``; halves go up."""
    return (2 * value + base) // (2 * base) * base


def round_measure(value: float | int | None, base: int, decimals: int) -> float | int | None:
    """Whole numbers count something, so they are rounded as counts; others to ``decimals`` and six
    significant digits. What is not finite becomes None."""
    if isinstance(value, int):
        return round_count(abs(value), base) * (1 if value >= 0 else -1)
    if value is None or not math.isfinite(value):
        return None
    return round(float(f"{value:.{DIGITS}g}"), decimals) + 0.0  # no minus zero
