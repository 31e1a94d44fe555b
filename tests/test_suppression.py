"""No withheld number can be computed from what was released: shown with a solver.

For each number of each withheld row, the attacker's range must hold all of 0 … minimum - 1 if it is
small, and be as wide if it is not. The same attacker, with complementary suppression switched off,
does pin small numbers down.
"""

import csv
import itertools
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from studium.jobs.disclosure import suppression
from studium.jobs.disclosure.cells import unmarked_totals
from studium.jobs.disclosure.model import Output, Policy, Reason, Refused
from studium.jobs.disclosure.release import release
from tests.attacker import ALL, Attacker, Cells, Published, read

POLICY = Policy()
FEW = settings(max_examples=settings().max_examples // 5)
COUNT = st.one_of(st.integers(0, 12), st.integers(8, 60), st.just(0))
Shape = Sequence[tuple[str, ...]]


def rows_of(cells: Cells, shape: tuple[str, ...], margins: bool) -> Iterator[dict[str, str]]:
    """Keys of a table's rows: every atom's, and every margin's."""
    values = {
        key: sorted({atom[cells.keys.index(key)] for atom in cells.atoms}) + [ALL] * margins
        for key in shape
    }
    for line in itertools.product(*values.values()):
        keys = dict(zip(shape, line, strict=True))
        if any(cells.fits(atom, keys) for atom in cells.atoms):
            yield keys


def publish(
    cells: Cells,
    shapes: Shape,
    columns: tuple[str, ...],
    policy: Policy,
    margins: bool = True,
    earlier: Sequence[tuple[str, ...]] = (),
    earlier_margins: bool = False,
) -> tuple[list[Published], list[dict[str, str]]]:
    """Release a table of each shape; gives what left, and the keys of rows that were withheld.

    ``earlier`` shapes are released before, by a job on the same data.
    """
    left, withheld = [], []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        records: list[Path] = []
        jobs = [(earlier, earlier_margins), (shapes, margins)]
        for number, (part, all_) in enumerate(jobs if earlier else jobs[1:]):
            job = place / str(number)
            (job / "outputs").mkdir(parents=True)
            declared, rows = [], {}
            for shape in part:
                name = "-".join(shape) + ".csv"
                rows[shape] = list(rows_of(cells, shape, all_))
                with (job / "outputs" / name).open("w", newline="") as file:
                    writer = csv.writer(file)
                    writer.writerow([*shape, *columns])
                    for keys in rows[shape]:
                        numbers = [cells.number(keys, column) for column in columns]
                        writer.writerow([*keys.values(), *numbers])
                declared.append(
                    Output(name, "csv", "aggregate", keys=shape, learners="n", counts=columns[1:])
                )
            record = job / "record.json"
            try:
                release(
                    job / "outputs", job / "out", declared, policy, records, record,
                    ["table learners"], b"of the site",
                )  # fmt: skip
            except Refused as error:
                if error.reason is not Reason.FEW or (job / "out").exists():
                    raise
                continue
            records.append(record)
            for shape, wanted in rows.items():
                table = read(job / "out" / f"{'-'.join(shape)}.csv", shape, columns)
                left.append(table)
                withheld += [one for one in wanted if tuple(one.values()) not in table.rows]
    return left, withheld


def disclosed(
    cells: Cells,
    shapes: Shape,
    columns: tuple[str, ...] = ("n",),
    policy: Policy = POLICY,
    margins: bool = True,
    earlier: Sequence[tuple[str, ...]] = (),
    earlier_margins: bool = False,
    bases: Sequence[int] = (0,),
) -> list[tuple[float, float, int]]:
    """Ranges of withheld numbers that are too narrow, with the true number.

    By default the attacker knows published numbers from before rounding (base 0), which is more
    than to know them rounded.
    """
    published, withheld = publish(cells, shapes, columns, policy, margins, earlier, earlier_margins)
    narrow = []
    for base in bases:
        attacker = Attacker(cells, published, base, policy.minimum)
        for keys, column in itertools.product(withheld, columns):
            true = cells.number(keys, column)
            low, high = attacker.range(keys, column)
            assert low <= true <= high
            enough = policy.minimum - 1
            fine = low == 0 and high >= enough if true < policy.minimum else high - low >= enough
            if not fine:
                narrow.append((low, high, true))
    return narrow


def table(sizes: Sequence[int], learners: Sequence[int], passed: Sequence[int] = ()) -> Cells:
    names = ("week", "country", "gender")[: len(sizes)]
    atoms = itertools.product(*([f"{name[0]}{n}" for n in range(size)]
                                for name, size in zip(names, sizes, strict=True)))  # fmt: skip
    share = passed or [0] * len(learners)
    return Cells(
        names,
        {
            atom: (min(some, n), n - min(some, n))
            for atom, n, some in zip(atoms, learners, share, strict=False)
        },
    )


WEEKS = (("week", "country"),)


@FEW
@given(st.lists(COUNT, min_size=12, max_size=12))
@example([3, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40])
@example([5, 100, 200, 3, 0, 0, 0, 0, 0, 0, 0, 0])
@example([9] * 12)
def test_two_dimensions_with_all_margins(learners: list[int]) -> None:
    assert disclosed(table((3, 4), learners), WEEKS, bases=[0, POLICY.rounding]) == []


@FEW
@given(st.lists(COUNT, min_size=12, max_size=12))
@example([4, *[50] * 11])
def test_three_dimensions_with_all_margins(learners: list[int]) -> None:
    assert disclosed(table((2, 3, 2), learners), [("week", "country", "gender")]) == []


@FEW
@given(st.lists(COUNT, min_size=9, max_size=9))
@example([7, 30, 30, 30, 30, 30, 30, 30, 30])
def test_tables_of_a_release_are_margins_of_each_other(learners: list[int]) -> None:
    shapes = [("week", "country"), ("week",), ("country",)]
    assert disclosed(table((3, 3), learners), shapes, margins=False) == []


@FEW
@given(st.lists(COUNT, min_size=9, max_size=9))
@example([7, 30, 30, 30, 30, 30, 30, 30, 30])
@example([0, 0, 10, 0, 0, 0, 10, 0, 0])
def test_earlier_releases_count_too(learners: list[int]) -> None:
    cells = table((3, 3), learners)
    shapes = [("week", "country")]
    assert disclosed(cells, shapes, margins=False, earlier=[("week",), ("country",)]) == []


@FEW
@given(st.lists(COUNT, min_size=8, max_size=8))
@example([10, 10, 20, 20, 12, 3, 40, 40])
def test_margins_that_no_table_has_but_two_tables_tell(learners: list[int]) -> None:
    """Of weeks by country and weeks by gender: the weeks, which one tells of the other."""
    cells = table((2, 2, 2), learners)
    first, then = ("week", "country"), ("week", "gender")
    assert disclosed(cells, [first, then], margins=False) == []
    assert disclosed(cells, [then], margins=False, earlier=[first]) == []


COUNTRIES = [2, 12, 25, 2, 12, 25]  # A=4, B=24, C=50 by gender


@FEW
@given(st.lists(COUNT, min_size=6, max_size=6), st.booleans(), st.booleans())
@example(COUNTRIES, False, True)
@example(COUNTRIES, True, False)
@example(COUNTRIES, False, False)
def test_parts_of_what_an_earlier_release_withheld(
    learners: list[int], margins: bool, earlier_margins: bool
) -> None:
    """B = 24 was withheld so that A = 4 is not found; its parts would tell it, or the other way."""
    cells = table((2, 3), learners)
    parts, whole = [("week", "country")], [("country",)]
    for first, then in ((whole, parts), (parts, whole)):
        found = disclosed(
            cells, then, margins=margins, earlier=first, earlier_margins=earlier_margins
        )
        assert found == []


@FEW
@given(
    st.lists(COUNT, min_size=6, max_size=6), st.lists(st.integers(0, 60), min_size=6, max_size=6)
)
@example([40] * 6, [20, 20, 3, 20, 20, 20])
@example([40] * 6, [20, 20, 38, 20, 20, 20])
def test_counts_among_the_learners_and_the_rest(learners: list[int], passed: list[int]) -> None:
    cells = table((2, 3), learners, passed)
    assert disclosed(cells, WEEKS, ("n", "passed")) == []
    assert disclosed(cells, WEEKS, ("n", "passed", "failed")) == []


@FEW
@given(st.lists(COUNT, min_size=7, max_size=7))
@example([5, 40, 40, 40, 40, 40, 40])
@example([40, 40, 40, 40, 40, 40, 5])
def test_a_hierarchy(learners: list[int]) -> None:
    """Courses of institutions, one of which has a single course."""
    atoms = [
        ("A", "a1"),
        ("A", "a2"),
        ("A", "a3"),
        ("B", "b1"),
        ("B", "b2"),
        ("B", "b3"),
        ("C", "c"),
    ]
    cells = Cells(
        ("org", "course"), {atom: (0, n) for atom, n in zip(atoms, learners, strict=True)}
    )
    assert disclosed(cells, [("org", "course"), ("org",)], margins=False) == []


def test_a_total_that_nobody_marked() -> None:
    """Its key is no word for a total, but it is the sum of the others."""
    numbers = {"FR": 30, "DE": 25, "VA": 4, "Everywhere": 59}
    values = {frozenset({("country", name)}): number for name, number in numbers.items()}
    *parts, total = values
    assert list(unmarked_totals(values, ["country"])) == [(total, parts)]
    assert list(unmarked_totals({**values, total: 60}, ["country"])) == []


def test_a_large_table_stays_useful() -> None:
    numbers = random.Random(7)
    cells = table((12, 10), [numbers.choice([3, 15, 40, 90]) for _ in range(120)])
    small = sum(sum(two) < POLICY.minimum for two in cells.atoms.values())
    published, withheld = publish(cells, WEEKS, ("n",), POLICY)
    assert small <= len(withheld) <= 2 * small
    assert len(published[0].rows) + len(withheld) == 13 * 11


def test_what_cannot_be_proved_in_time_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = table((3, 4), [3, *[40] * 11])
    assert publish(cells, WEEKS, ("n",), POLICY)[0]
    monkeypatch.setattr(suppression, "PATIENCE", -1.0)
    assert publish(cells, WEEKS, ("n",), POLICY) == ([], [])


# The control: without complementary suppression the attacker wins.


@pytest.mark.parametrize(
    ("cells", "shapes", "columns"),
    [
        (table((3, 4), [3, *[40] * 11]), WEEKS, ("n",)),
        (table((2, 3, 2), [4, *[50] * 11]), [("week", "country", "gender")], ("n",)),
        (table((2, 3), [40] * 6, [20, 20, 3, 20, 20, 20]), WEEKS, ("n", "passed")),
    ],
)
def test_without_complementary_suppression_small_numbers_are_pinned_down(
    cells: Cells, shapes: Shape, columns: tuple[str, ...]
) -> None:
    off = Policy(complementary=False)
    found = disclosed(cells, shapes, columns, off, bases=[0])
    assert [one for one in found if one[0] == one[1] < POLICY.minimum]
    assert disclosed(cells, shapes, columns) == []


def test_without_history_a_second_release_pins_down_what_the_first_withheld() -> None:
    cells = table((2, 3), COUNTRIES)
    alone = [
        publish(cells, shapes, ("n",), POLICY, margins)
        for shapes, margins in (([("country",)], True), (WEEKS, False))
    ]
    attacker = Attacker(cells, [one for published, _ in alone for one in published], 0, 10)
    assert attacker.range({"country": "c0"}, "n") == (4, 4)


def test_rounding_alone_does_not_protect() -> None:
    """1 of 12 learners: 11 and 12 are both published as 10, where 10 to 12 stand."""
    cells = table((2,), [1, 11])
    off = Policy(complementary=False)
    assert disclosed(cells, [("week",)], policy=off, bases=[5]) == [(0, 2, 1)]
    assert disclosed(cells, [("week",)], bases=[5]) == []


def test_linked_tables_are_pinned_down_when_they_are_not_seen_as_linked() -> None:
    """The control of the test above: each table protected by itself."""
    cells = table((3, 3), [7, *[30] * 8])
    alone = Policy(complementary=False, assume_totals=False)
    shapes = [("week", "country"), ("week",), ("country",)]
    assert disclosed(cells, shapes, policy=alone, margins=False, bases=[0]) == [(7, 7, 7)]
