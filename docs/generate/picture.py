"""Enrollment per course as a picture, from the published table alone.

python -m docs.generate.picture RESULTS.db > enrollment.svg
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import date
from html import escape
from itertools import pairwise
from pathlib import Path

WIDTH, HEIGHT = 900, 380
LEFT, RIGHT, TOP, BOTTOM = 48, 320, 46, 40
# Okabe and Ito's colours: told apart by nearly everyone.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
LABEL = 15

Curve = Sequence[tuple[date, int]]


def read_curves(path: Path) -> dict[str, Curve]:
    """Course → (day, learners enrolled at its end), the largest course first."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        rows = db.execute(
            "SELECT course_id, date, count FROM course_enrollment_daily ORDER BY course_id, date"
        ).fetchall()
    curves: dict[str, list[tuple[date, int]]] = {}
    for course, day, count in rows:
        curves.setdefault(course, []).append((date.fromisoformat(day), count))
    return dict(sorted(curves.items(), key=lambda item: -item[1][-1][1]))


def draw(curves: Mapping[str, Curve]) -> str:
    """An SVG of one line a course, each named at its end."""
    first = min(curve[0][0] for curve in curves.values())
    last = max(curve[-1][0] for curve in curves.values())
    top = max(count for curve in curves.values() for _, count in curve)
    step = _step(top)
    ceiling = max(top * 1.05, step)

    def x(day: date) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (day - first).days / max((last - first).days, 1)

    def y(count: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * count / ceiling

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="system-ui, sans-serif" font-size="12">',
        "<title>Learners enrolled at the end of each day, per course</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="15" fill="#222222">'
        "Learners enrolled at the end of each day, per course</text>",
    ]
    for count in range(0, int(ceiling) + 1, step):
        parts += [
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(count):.1f}" y2="{y(count):.1f}" '
            f'stroke="{"#888888" if count == 0 else "#e4e4e4"}"/>',
            f'<text x="{LEFT - 8}" y="{y(count) + 4:.1f}" text-anchor="end" fill="#666666">'
            f"{count:,}</text>",
        ]
    for day in _months(first, last):
        parts += [
            f'<line x1="{x(day):.1f}" x2="{x(day):.1f}" y1="{HEIGHT - BOTTOM}" '
            f'y2="{HEIGHT - BOTTOM + 5}" stroke="#888888"/>',
            f'<text x="{x(day):.1f}" y="{HEIGHT - BOTTOM + 20}" fill="#666666">{day:%b %Y}</text>',
        ]
    places = _spread([y(curve[-1][1]) for curve in curves.values()])
    for number, (course, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x(day):.1f},{y(count):.1f}" for day, count in curve)
        parts += [
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
            f'<text x="{WIDTH - RIGHT + 8}" y="{places[number] + 4:.1f}" fill="{colour}">'
            f"{curve[-1][1]:,}  {escape(course)}</text>",
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _step(top: int) -> int:
    """Of the round numbers, the one that makes about five lines."""
    return next(
        size * unit
        for unit in (1, 10, 100, 1_000, 10_000, 100_000)
        for size in (1, 2, 5)
        if top <= 6 * size * unit
    )


def _months(first: date, last: date) -> list[date]:
    months = [(year, month) for year in range(first.year, last.year + 1) for month in range(1, 13)]
    return [day for day in (date(*month, 1) for month in months) if first <= day <= last]


def _spread(heights: Sequence[float]) -> list[float]:
    """Labels from the top down, moved so that none covers another."""
    placed = list(heights)
    for above, below in pairwise(range(len(placed))):
        placed[below] = max(placed[below], placed[above] + LABEL)
    return placed


if __name__ == "__main__":
    sys.stdout.write(draw(read_curves(Path(sys.argv[1]))))
