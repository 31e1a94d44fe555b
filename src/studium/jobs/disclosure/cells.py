"""The counts of all tables of a release as one system of cells and the sums between them.

A cell is what a row counts, at its coordinate: the keys that it fixes, e.g. ``{week: 3, country:
FR}``. A row that is a margin fixes fewer; so does a row of a table with fewer keys. Rows of several
tables with the same coordinate are the same cell, which is how linked tables are seen: a table by
country is the margin of one by week and country.

Each cell has a number per *layer*: the learners, each count among them, and the rest (learners who
are not in that count), which nobody publishes but everybody can compute.

Cells of earlier releases take part: what is published now may be the sum that an older withheld
number was short of. They are linked by what the numbers say, not by who submitted the job.
"""

from __future__ import annotations

import hmac
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from studium.jobs.disclosure.model import Output

Coordinate = frozenset[tuple[str, str]]
Variable = tuple[Coordinate, str]
Split = tuple[str, str, str]
"""Layers of which the first is the sum of the others."""
LEARNERS = "learners"
_OTHER = "\0"  # no column's name: marks a cell of an earlier release that has other numbers now
_MARGINS = frozenset({"", "all", "total", "(all)", "*"})


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it was read: ``rows`` hold keys as text and numbers, in the order of
    ``output.columns``; ``name`` is the file's. With a ``secret``, coordinates hold no key as it
    is, so that they can be kept."""

    name: str
    output: Output
    rows: Sequence[tuple[object, ...]]
    secret: bytes = b""

    def coordinates(self) -> list[Coordinate]:
        """Of each row; a key that is empty, ``total`` or a usual word for it fixes nothing."""
        margins = _MARGINS | {self.output.total.lower()}
        return [
            frozenset(
                (key, self._blind(str(cell)))
                for key, cell in zip(self.output.keys, row, strict=False)
                if str(cell).strip().lower() not in margins
            )
            for row in self.rows
        ]

    def _blind(self, text: str) -> str:
        return hmac.digest(self.secret, text.encode(), "sha256").hex() if self.secret else text


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier release: its numbers, which of its cells were withheld, and how layers add up."""

    values: Mapping[Variable, int]
    withheld: frozenset[Coordinate]
    splits: Sequence[Split]


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
    of which the first is never more than the second. ``own`` are the numbers of this release's
    tables, the others are of earlier ones. ``known`` were published earlier and cannot be withheld
    any more; cells at ``forced`` were withheld and are withheld still.
    """

    values: dict[Variable, int] = field(default_factory=dict)
    relations: list[dict[Variable, int]] = field(default_factory=list)
    assumed: list[dict[Variable, int]] = field(default_factory=list)
    orders: list[tuple[Variable, Variable]] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)
    own: set[Variable] = field(default_factory=set)
    known: set[Variable] = field(default_factory=set)
    forced: set[Coordinate] = field(default_factory=set)

    def layers(self) -> dict[Coordinate, list[Variable]]:
        """The numbers of each cell."""
        found: dict[Coordinate, list[Variable]] = defaultdict(list)
        for variable in self.values:
            found[variable[0]].append(variable)
        return found


@dataclass(frozen=True, slots=True)
class _Part:
    """Numbers that somebody sees together: of one release, or of all.

    ``layers`` have numbers by coordinate; ``names`` say what a cell is called in the whole.
    """

    layers: Mapping[str, Mapping[Coordinate, int]]
    names: Mapping[Coordinate, Coordinate]
    splits: Sequence[Split] = ()
    mixed: bool = False


def gather(tables: Sequence[Table], minimum: int, earlier: Sequence[Earlier] = ()) -> Cells:
    """The cells of all tables together, with those of earlier releases."""
    cells = Cells()
    for table in tables:
        cells.splits += _add(cells, table)
    cells.own = set(cells.values)
    parts = [_part(cells.values, {one: one for one, _ in cells.own}, cells.splits)]
    parts += [_join(cells, one) for one in earlier]
    if earlier:
        _match(cells, earlier, parts[1:])
        plain = {v: x for v, x in cells.values.items() if not any(k == _OTHER for k, _ in v[0])}
        parts.append(_part(plain, {one: one for one, _ in plain}, (), mixed=True))
    _relate_all(cells, parts, minimum)
    for part in parts:
        for whole, some, rest in dict.fromkeys(part.splits):
            for at in part.layers.get(some, ()):
                if at in part.layers.get(whole, ()) and at in part.layers.get(rest, ()):
                    name = part.names[at]
                    cells.relations.append({(name, some): 1, (name, rest): 1, (name, whole): -1})
    return cells


def _part(
    values: Mapping[Variable, int],
    names: Mapping[Coordinate, Coordinate],
    splits: Sequence[Split],
    mixed: bool = False,
) -> _Part:
    layers: dict[str, dict[Coordinate, int]] = defaultdict(dict)
    for (coordinate, layer), value in values.items():
        layers[layer][coordinate] = value
    return _Part(layers, names, splits, mixed)


def _join(cells: Cells, one: Earlier) -> _Part:
    """Take in the cells of an earlier release. One that has another number by now, of other data
    or other learners, is another cell: its name gets the numbers added."""
    numbers: dict[Coordinate, list[tuple[str, int]]] = defaultdict(list)
    for (coordinate, layer), value in one.values.items():
        numbers[coordinate].append((layer, value))
    names = {}
    for coordinate, found in numbers.items():
        same = all(cells.values.get((coordinate, layer), value) == value for layer, value in found)
        name = coordinate if same else coordinate | {(_OTHER, repr(sorted(found)))}
        names[coordinate] = name
        for layer, value in found:
            cells.values[name, layer] = value
    return _part(one.values, names, one.splits)


def _match(cells: Cells, earlier: Sequence[Earlier], parts: Sequence[_Part]) -> None:
    """A number that is as it was is the same thing: what was said cannot be taken back, and what
    was withheld is withheld still."""
    hidden: set[Variable] = set()
    for one, part in zip(earlier, parts, strict=True):
        for (at, layer), value in one.values.items():
            same = {(part.names[at], layer)}
            if cells.values.get((at, layer)) == value:
                same.add((at, layer))
            (hidden if at in one.withheld else cells.known).update(same)
    cells.forced = {at for at, layer in hidden - cells.known}


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


def _relate_all(cells: Cells, parts: Sequence[_Part], minimum: int) -> None:
    """Sums over every set of keys, to every margin that there is or may be in any part."""
    named: dict[Variable, set[Coordinate]] = defaultdict(set)
    for part in parts:
        for layer, values in part.layers.items():
            for coordinate in values:
                named[coordinate, layer].add(part.names[coordinate])
    for (coordinate, layer), names in named.items():
        # The same number with others beside it.
        first = (coordinate, layer)
        for name in names - {coordinate}:
            if cells.values.get(first) == cells.values[name, layer]:
                cells.relations.append({first: 1, (name, layer): -1})
    fine: set[tuple[Variable, frozenset[str]]] = set()
    loose = []
    unnamed: dict[tuple[Coordinate, str, int], list[dict[Variable, int]]] = defaultdict(list)
    for part in parts:
        for layer, values in part.layers.items():
            keys = sorted({key for coordinate in values for key, _ in coordinate})
            for total, parted in () if part.mixed else unmarked_totals(values, keys):
                relation = {(part.names[one], layer): 1 for one in parted}
                cells.relations.append({**relation, (part.names[total], layer): -1})
            for parent, shape, children, near in _groups(values):
                total_ = sum(values[child] for child in children)
                relation = {(part.names[child], layer): 1 for child in children}
                own = part.names[parent] if parent in values and not part.mixed else None
                sums = [
                    name
                    for name in sorted(named.get((parent, layer), ()), key=sorted)
                    if cells.values[name, layer] == total_
                ]
                for name in sums:
                    cells.relations.append({**relation, (name, layer): -1})
                    fine.add(((name, layer), shape))
                if not sums:
                    unnamed[parent, layer, total_].append(relation)
                if own is not None and own not in sums:
                    loose.append((own, shape, layer, relation))
                elif not sums and near and not part.mixed and total_ >= minimum:
                    cells.assumed += [relation] if len(children) > 1 else []
    for own, shape, layer, relation in loose:
        _bound(cells, (own, layer), relation, ((own, layer), shape) in fine)
    for same in unnamed.values():
        # A margin that no table has, and that is the sum of these and of those.
        these, *others = _once(same)
        cells.relations += [
            {**these, **dict.fromkeys(those, -1)}
            for those in others
            if these.keys().isdisjoint(those)
        ]
    cells.relations = _once(cells.relations)
    cells.assumed = _once(cells.assumed)


def _groups(
    values: Mapping[Coordinate, int],
) -> Iterator[tuple[Coordinate, frozenset[str], list[Coordinate], bool]]:
    """Margins, the keys of what they sum, the cells that they sum, and whether they are the next
    ones or the total of all."""
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
                    yield parent, shape, children, near


def _bound(
    cells: Cells, parent: Variable, relation: Mapping[Variable, int], explained: bool
) -> None:
    """A margin that is not the sum, of learners who are in several of its parts. Keeping their
    difference as it is allows less than a reader has to allow for, so it errs on the safe side;
    ``explained``: cells of other releases make up the difference."""
    if not explained:
        cells.relations.append({**relation, parent: -1})
    cells.orders += [
        (child, parent) for child in relation if cells.values[child] <= cells.values[parent]
    ]


def _once(relations: Iterable[dict[Variable, int]]) -> list[dict[Variable, int]]:
    return list({frozenset(one.items()): one for one in relations}.values())
