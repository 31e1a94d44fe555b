"""Which cells must be withheld so that nobody can compute the small ones.

Primary cells hold a number below the site's minimum: learners, a count among them, or the rest.
Complementary cells are withheld with them. The rule is not a pattern but a proof: for each number
of a withheld cell there are *worlds*, tables of whole numbers that agree with everything published
(even before rounding), with every sum, and with nothing being negative, in which the number is
another. Together they span

- for a number below the minimum, all of 0 … minimum - 1: nothing is learnt but that it is small;
- for any other, minimum - 1 at least.

A world is found by mixed-integer programming (HiGHS, in SciPy), which also chooses what else to
withhold, the smallest cells first; it is then checked in whole numbers, and what cannot be proved
is withheld altogether. Optimal suppression is too slow for tables of this size; one cell at a time
is the usual heuristic (Hundepool et al., Statistical Disclosure Control, 2012, §4).
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix, hstack

from studium.jobs.disclosure.cells import Cells, Coordinate, Variable

_SECONDS = 20.0
"""For one world; without one by then the tables are withheld."""

PATIENCE = 300.0
"""Seconds for all worlds of a release; what is not proved by then is withheld."""

World = Mapping[Variable, int]
"""Differences from the true numbers; those not named are as they are."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Cells to withhold, and the range proved for each number of theirs."""

    withheld: frozenset[Coordinate]
    ranges: Mapping[Variable, tuple[int, int]]


def suppress(
    cells: Cells, minimum: int, complementary: bool = True, assume_totals: bool = True
) -> Pattern:
    """The cells to withhold, of all that have a number that was not published earlier."""
    deadline = time.monotonic() + PATIENCE
    primary = {one for (one, _), value in cells.values.items() if value < minimum}
    withheld = primary | cells.forced
    if not complementary:
        return Pattern(frozenset(withheld), {})
    ranges: dict[Variable, tuple[int, int]] = {}
    layers = cells.layers()
    own = {coordinate for coordinate, _ in cells.own - cells.known}
    relations = [*cells.relations, *(cells.assumed if assume_totals else ())]
    for component, lines in _components(cells, relations):
        # Earlier releases by themselves are proved.
        if not withheld & component or not own & component:
            continue
        # Margins that are assumed to be known may leave no room at all: then those that no table
        # of a release has are let go.
        sure = [one for place, one in lines if place < len(cells.relations)]
        every = [one for _, one in lines]
        for chosen in [every, sure] if len(sure) < len(every) else [every]:
            search = _Search(
                cells, layers, component, chosen, withheld & component, minimum, deadline
            )
            if search.run():
                withheld |= search.withheld
                ranges |= search.ranges
                break
        else:
            withheld |= component
    return Pattern(frozenset(withheld), ranges)


def _components(
    cells: Cells, relations: Sequence[Mapping[Variable, int]]
) -> list[tuple[set[Coordinate], list[tuple[int, Mapping[Variable, int]]]]]:
    """Cells that no relation links to others are apart, each group with its relations and their
    places. Known numbers link nothing: they do not move."""
    parent = {one[0]: one[0] for one in cells.values if one not in cells.known}

    def root(one: Coordinate) -> Coordinate:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    open_ = [[one[0] for one in relation if one not in cells.known] for relation in relations]
    for found in open_:
        for other in found[1:]:
            parent[root(other)] = root(found[0])
    groups: dict[Coordinate, set[Coordinate]] = defaultdict(set)
    for one in parent:
        groups[root(one)].add(one)
    lines: dict[Coordinate, list[tuple[int, Mapping[Variable, int]]]] = defaultdict(list)
    for place, (found, relation) in enumerate(zip(open_, relations, strict=True)):
        if found:
            lines[root(found[0])].append((place, relation))
    return [(group, lines[one]) for one, group in groups.items()]


class _Search:
    """Worlds for the numbers of one component, until all are proved."""

    def __init__(
        self,
        cells: Cells,
        layers: Mapping[Coordinate, Sequence[Variable]],
        component: set[Coordinate],
        relations: Sequence[Mapping[Variable, int]],
        withheld: set[Coordinate],
        minimum: int,
        deadline: float,
    ) -> None:
        self.minimum = minimum
        self._deadline = deadline
        self.withheld = set(withheld)
        self.ranges: dict[Variable, tuple[int, int]] = {}
        self._relations = relations
        known = cells.known
        chosen = {one for at in component for one in layers[at]}
        self._orders = [
            pair for pair in cells.orders if any(one in chosen and one not in known for one in pair)
        ]
        chosen.update(one for relation in relations for one in relation)
        chosen.update(one for pair in self._orders for one in pair)
        self._variables = sorted(chosen, key=lambda one: (sorted(one[0]), one[1]))
        self._at = {one: place for place, one in enumerate(self._variables)}
        self._x = np.array([cells.values[one] for one in self._variables], dtype=np.int64)
        self._fixed = np.array([one in known for one in self._variables])
        self._widest = max(len(one[0]) for one in self._variables)
        self._matrix, self._room = self._rows()
        self._random = np.random.default_rng(1)

    def _rows(self) -> tuple[csr_matrix, np.ndarray]:
        """Relations, then orders, over how much each number moves; and the room that orders leave
        (relations: none)."""
        entries = [
            (row, self._at[one], factor)
            for row, relation in enumerate(self._relations)
            for one, factor in relation.items()
        ]
        for row, (low, high) in enumerate(self._orders, len(self._relations)):
            entries += [(row, self._at[low], 1), (row, self._at[high], -1)]
        room = [int(self._x[self._at[high]] - self._x[self._at[low]]) for low, high in self._orders]
        rows = len(self._relations) + len(self._orders)
        row, column, value = np.array(entries or [(0, 0, 0)]).T
        matrix = csr_matrix((value, (row, column)), shape=(max(rows, 1), len(self._variables)))
        return matrix, np.array([0] * len(self._relations) + room or [0])

    def run(self) -> bool:
        """Prove every number of every withheld cell; False if that cannot be done."""
        done = {
            one for one, fixed in zip(self._variables, self._fixed, strict=True) if fixed
        }  # said already
        while True:
            open_ = [one for one in self._variables if one[0] in self.withheld and one not in done]
            if not open_:
                return True
            # Small ones first: what they need is withheld for others too.
            for one in sorted(open_, key=lambda one: int(self._x[self._at[one]])):
                if time.monotonic() > self._deadline or not self._prove(one):
                    return False
                done.add(one)

    def _prove(self, variable: Variable) -> bool:
        place = self._at[variable]
        value = int(self._x[place])
        low, high = self.ranges.get(variable, (value, value))
        if value < self.minimum:
            wanted = [target for target in (self.minimum - 1, 0) if not low <= target <= high]
            return all(self._world(place, target - value) for target in wanted)
        if high - low >= self.minimum - 1:
            return True
        return self._world(place, 1 - self.minimum) or self._world(place, self.minimum - 1)

    def _world(self, place: int, move: int) -> bool:
        """Find a world in which one number differs by ``move``; withhold what else moves in it."""
        hidden = np.array([one[0] in self.withheld for one in self._variables]) & ~self._fixed
        # Mostly nothing more need be withheld; then the other open numbers are moved along, so
        # that one world proves much.
        push = np.where(self._random.random(hidden.size) < 0.5, -1.0, 1.0)
        needs = np.array([self._needs(at, push[at] > 0) for at in range(hidden.size)]) & hidden
        up = np.where(needs, -push, 0.001)
        down = np.where(needs, push + 0.01, 0.001)
        if self._solve(place, move, np.flatnonzero(hidden), up, down):
            return True
        # A unit moved in a cell that is published costs more the more its withholding loses.
        price = [
            0.001
            if one[0] in self.withheld
            else (1 + math.log1p(value)) * (1 + 3 * (self._widest - len(one[0])))
            for one, value in zip(self._variables, self._x.tolist(), strict=True)
        ]
        all_ = np.flatnonzero(~self._fixed)
        return self._solve(place, move, all_, np.array(price), np.array(price))

    def _needs(self, place: int, more: bool) -> bool:
        value = int(self._x[place])
        low, high = self.ranges.get(self._variables[place], (value, value))
        if value < self.minimum:
            return high < self.minimum - 1 if more else low > 0
        return high - low < self.minimum - 1

    def _solve(
        self, place: int, move: int, free: np.ndarray, up: np.ndarray, down: np.ndarray
    ) -> bool:
        """A world in which only ``free`` numbers move, at the prices of a unit up and down."""
        if place not in free:
            return False
        most = float(4 * self.minimum)
        matrix = self._matrix[:, free]
        used = matrix.getnnz(axis=1) > 0
        matrix, room = matrix[used], self._room[used]
        equal = np.arange(self._matrix.shape[0])[used] < len(self._relations)
        size = free.size
        at = int(np.flatnonzero(free == place)[0])
        lower = np.zeros(2 * size)
        upper = np.concatenate([np.full(size, most), np.minimum(self._x[free], most)])
        lower[at] = upper[at] = max(move, 0)
        lower[size + at] = upper[size + at] = max(-move, 0)
        found = milp(
            np.concatenate([up[free], down[free]]),
            integrality=np.ones(2 * size),
            bounds=Bounds(lower, upper),
            constraints=LinearConstraint(
                hstack([matrix, -matrix]).tocsr(), np.where(equal, 0, -np.inf), room
            ),
            options={"time_limit": _SECONDS, "mip_rel_gap": 0.3},
        )
        if found.x is None:
            return False
        whole = np.rint(found.x).astype(np.int64)
        moves = np.zeros(len(self._variables), dtype=np.int64)
        moves[free] = whole[:size] - whole[size:]
        return self._accept(moves, place, move)

    def _accept(self, moves: np.ndarray, place: int, move: int) -> bool:
        """Check a world in whole numbers, then keep it."""
        new = self._x + moves
        fine = (
            moves[place] == move
            and (new >= 0).all()
            and not moves[self._fixed].any()
            and all(
                sum(factor * int(moves[self._at[one]]) for one, factor in relation.items()) == 0
                for relation in self._relations
            )
            and all(new[self._at[low]] <= new[self._at[high]] for low, high in self._orders)
        )
        if not fine:
            return False
        for other in np.flatnonzero(moves):
            variable, value = self._variables[other], int(new[other])
            old = int(self._x[other])
            low, high = self.ranges.get(variable, (old, old))
            self.ranges[variable] = (min(low, value), max(high, value))
            self.withheld.add(variable[0])
        return True
