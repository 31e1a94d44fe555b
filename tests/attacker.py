"""Somebody who has all that was released and a solver: how well do they know a withheld number?

Works from the released files alone, and shares no code with what it attacks: every number is a sum
of *atoms*, the learners with one value of each key, who passed or did not. The attacker knows which
atoms can be anybody at all, that there are whole numbers of learners, and how numbers are rounded.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

Keys = Mapping[str, str]
ALL = "all"


@dataclass(frozen=True)
class Cells:
    """True numbers: learners of each atom who passed, and who did not."""

    keys: tuple[str, ...]
    atoms: Mapping[tuple[str, ...], tuple[int, int]]

    def fits(self, atom: tuple[str, ...], keys: Keys) -> bool:
        return all(
            keys.get(name, ALL) in (ALL, value) for name, value in zip(self.keys, atom, strict=True)
        )

    def number(self, keys: Keys, column: str) -> int:
        return sum(
            {"n": sum(two), "passed": two[0], "failed": two[1]}[column]
            for atom, two in self.atoms.items()
            if self.fits(atom, keys)
        )


@dataclass(frozen=True)
class Published:
    """A table that was released: its columns and the rows that are left."""

    keys: tuple[str, ...]
    columns: tuple[str, ...]
    rows: Mapping[tuple[str, ...], Mapping[str, int]]


def read(path: Path, keys: tuple[str, ...], columns: tuple[str, ...]) -> Published:
    with path.open(newline="") as file:
        rows = {
            tuple(row[key] for key in keys): {name: int(row[name]) for name in columns}
            for row in csv.DictReader(file)
        }
    return Published(keys, columns, rows)


class Attacker:
    """``slack``: how far a published number may be from the true one; with 0 the attacker knows
    what published numbers were before rounding, which is more than anybody can."""

    def __init__(self, cells: Cells, published: Sequence[Published], base: int, minimum: int):
        self._cells = cells
        self._atoms = list(cells.atoms)
        lines, low, high = [], [], []
        for table in published:
            for values, numbers in table.rows.items():
                for name, number in numbers.items():
                    keys = dict(zip(table.keys, values, strict=True))
                    lines.append(self._line(keys, name))
                    if base == 0:
                        number = cells.number(keys, name)
                        low.append(number)
                        high.append(number)
                    else:
                        low.append(max(number - base // 2, minimum))
                        high.append(number + (base - 1) // 2)
        self._constraints = [LinearConstraint(np.array(lines), low, high)] if lines else []

    def _line(self, keys: Keys, column: str) -> list[int]:
        passed, failed = column in ("n", "passed"), column in ("n", "failed")
        return [
            int(kind and self._cells.fits(atom, keys))
            for atom in self._atoms
            for kind in (passed, failed)
        ]

    def range(self, keys: Keys, column: str) -> tuple[float, float]:
        """The smallest and the largest that the number can be."""
        line = np.array(self._line(keys, column), dtype=float)
        return self._end(line, 1), self._end(line, -1)

    def _end(self, line: np.ndarray, sign: int) -> float:
        found = milp(
            sign * line,
            integrality=np.ones(line.size),
            bounds=Bounds(0, np.full(line.size, 10_000)),
            constraints=self._constraints,
        )
        assert found.x is not None, found.message  # the true numbers are always possible
        return round(float(line @ found.x))
