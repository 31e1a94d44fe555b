"""The counts of all tables of a release as one system of cells and the sums between them.

A cell is what a row counts, at its coordinate: the keys that it fixes, e.g. ``{week: 3, country:
FR}``. A row that is a margin fixes fewer; so does a row of a table with fewer keys. Rows of several
tables with the same coordinate are the same cell, which is how linked tables are seen: a table by
country is the margin of one by week and country.

Each cell has a number per *layer*: the learners, each count among them, and the rest (learners who
are not in that count), which nobody publishes but everybody can compute.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from studium.jobs.disclosure.model import Output

Coordinate = frozenset[tuple[str, str]]
Variable = tuple[Coordinate, str]
LEARNERS = "learners"
_MARGINS = frozenset({"", "all", "total", "(all)", "*"})


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it was read: ``rows`` hold keys as text and numbers, in the order of
    ``output.columns``; ``name`` is the file's."""

    name: str
    output: Output
    rows: Sequence[tuple[object, ...]]

    def coordinates(self) -> list[Coordinate]:
        """Of each row; a key that is empty, ``total`` or a usual word for it fixes nothing."""
        margins = _MARGINS | {self.output.total.lower()}
        return [
            frozenset(
                (key, str(cell))
                for key, cell in zip(self.output.keys, row, strict=False)
                if str(cell).strip().lower() not in margins
            )
            for row in self.rows
        ]


def _number(cell: object) -> int:
    return cell if isinstance(cell, int) else 0


def unmarked_totals(
    values: Mapping[Coordinate, int], keys: Sequence[str]
) -> Iterator[tuple[Coordinate, list[Coordinate]]]:
    """Rows that are the sum of others, though no word says so: (total, parts).

    A key is a total if it is the sum of all others wherever it stands among three or more. Two
    equal numbers beside zeros look so by chance; to allow for one sum too many does no harm.
    """
    for key in keys:
        groups: dict[Coordinate, dict[str, Coordinate]] = defaultdict(dict)
        for one in values:
            named = dict(one)
            if key in named:
                groups[one - {(key, named[key])}][named[key]] = one
        large = [group for group in groups.values() if len(group) >= 3]
        if not large:
            continue
        sums = [sum(values[one] for one in group.values()) for group in large]
        totals = set.intersection(
            *(
                {text for text, one in group.items() if 2 * values[one] == total}
                for group, total in zip(large, sums, strict=True)
            )
        )
        for text in sorted(totals):
            for group in large:
                yield group[text], [one for name, one in group.items() if name != text]


@dataclass(slots=True)
class Cells:
    """Numbers by coordinate and layer, and what holds among them.

    ``relations``: sums of coefficient × number that every reader knows to be fixed. ``assumed``:
    the same for margins that no table has and a reader may know from elsewhere. ``orders``: pairs
    of which the first is never more than the second.
    """

    values: dict[Variable, int] = field(default_factory=dict)
    relations: list[dict[Variable, int]] = field(default_factory=list)
    assumed: list[dict[Variable, int]] = field(default_factory=list)
    orders: list[tuple[Variable, Variable]] = field(default_factory=list)

    def layers(self) -> dict[Coordinate, list[Variable]]:
        """The numbers of each cell."""
        found: dict[Coordinate, list[Variable]] = defaultdict(list)
        for variable in self.values:
            found[variable[0]].append(variable)
        return found


def gather(tables: Sequence[Table], minimum: int, told: Collection[Variable] = ()) -> Cells:
    """The cells of all tables together; ``told`` are numbers that earlier releases published."""
    cells = Cells()
    splits: list[tuple[str, str, str]] = []
    for table in tables:
        splits += _add(cells, table)
    by_layer: dict[str, dict[Coordinate, int]] = defaultdict(dict)
    for (coordinate, layer), value in cells.values.items():
        by_layer[layer][coordinate] = value
    for layer, values in by_layer.items():
        keys = sorted({key for coordinate in values for key, _ in coordinate})
        for total, parts in unmarked_totals(values, keys):
            cells.relations.append({**{(one, layer): 1 for one in parts}, (total, layer): -1})
        _relate(cells, layer, values, minimum, told)
    for whole, part, rest in dict.fromkeys(splits):
        for coordinate in by_layer[part]:
            if coordinate in by_layer[whole] and coordinate in by_layer[rest]:
                cells.relations.append(
                    {(coordinate, part): 1, (coordinate, rest): 1, (coordinate, whole): -1}
                )
    return cells


def _add(cells: Cells, table: Table) -> Iterator[tuple[str, str, str]]:
    """Add the table's numbers; gives (whole, part, rest) of layers."""
    output = table.output
    width = len(output.keys)
    names = [LEARNERS, *output.counts]
    coordinates = table.coordinates()
    columns = [[_number(row[width + place]) for row in table.rows] for place in range(len(names))]
    # The same name and coordinate with another number: not the same thing.
    clash = any(
        cells.values.get((coordinate, name), value) != value
        for name, column in zip(names, columns, strict=True)
        for coordinate, value in zip(coordinates, column, strict=True)
    )
    layers = [f"{table.name}: {name}" if clash else name for name in names]
    for layer, column in zip(layers, columns, strict=True):
        for coordinate, value in zip(coordinates, column, strict=True):
            cells.values[coordinate, layer] = value
    learners = columns[0]
    for layer, column in zip(layers[1:], columns[1:], strict=True):
        rest = [n - part for n, part in zip(learners, column, strict=True)]
        if any(value < 0 for value in rest):
            continue  # not learners among the learners
        twins = [one for one, other in zip(layers, columns, strict=True) if other == rest]
        if not twins:
            twins = [f"{layers[0]} without {layer}"]
            for coordinate, value in zip(coordinates, rest, strict=True):
                cells.values[coordinate, twins[0]] = value
        yield layers[0], layer, twins[0]


def _relate(
    cells: Cells,
    layer: str,
    values: Mapping[Coordinate, int],
    minimum: int,
    told: Collection[Variable],
) -> None:
    """Sums over every set of keys, to every margin that there is or may be."""
    shapes: dict[frozenset[str], list[Coordinate]] = defaultdict(list)
    for coordinate in values:
        shapes[frozenset(key for key, _ in coordinate)].append(coordinate)
    for shape, coordinates in shapes.items():
        for size in range(len(shape)):
            for kept in map(frozenset, combinations(sorted(shape), size)):
                groups: dict[Coordinate, list[Coordinate]] = defaultdict(list)
                for one in coordinates:
                    groups[frozenset(item for item in one if item[0] in kept)].append(one)
                near = size == len(shape) - 1 or size == 0
                for parent, children in groups.items():
                    if parent not in values and (parent, layer) in told:
                        cells.relations.append({(child, layer): 1 for child in children})
                    else:
                        _sum(cells, layer, values, parent, children, near, minimum)


def _sum(
    cells: Cells,
    layer: str,
    values: Mapping[Coordinate, int],
    parent: Coordinate,
    children: Sequence[Coordinate],
    near: bool,
    minimum: int,
) -> None:
    relation = {(child, layer): 1 for child in children}
    total = sum(values[child] for child in children)
    if parent in values:
        # Of distinct learners the margin may be less than the sum. Keeping their difference as it
        # is allows less than a reader has to allow for, so it errs on the safe side.
        cells.relations.append({**relation, (parent, layer): -1})
        if total != values[parent]:
            cells.orders += [
                ((child, layer), (parent, layer))
                for child in children
                if values[child] <= values[parent]
            ]
    elif near and len(children) > 1 and total >= minimum:
        cells.assumed.append(relation)
