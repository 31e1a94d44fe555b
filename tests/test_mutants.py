"""Seeded faults are caught (``tests.mutants``): a few of them here, all by `make prove`."""

from pathlib import Path

import pytest

from tests.mutants import MUTANTS, Mutant, mutate, try_mutant

_NAMES = [one.name for one in MUTANTS]


def test_there_are_enough_and_each_has_a_name() -> None:
    assert len(MUTANTS) >= 18
    assert len(set(_NAMES)) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=_NAMES)
def test_the_words_of_a_mutant_are_still_there(mutant: Mutant, tmp_path: Path) -> None:
    copy = mutate(mutant, tmp_path) / "studium"
    for edit in mutant.edits:
        text = (copy / edit.file).read_text(encoding="utf-8")
        assert edit.new in text
        if edit.file.endswith(".py"):
            compile(text, edit.file, "exec")


@pytest.mark.parametrize(
    "mutant", [one for one in MUTANTS if one.cheap], ids=lambda mutant: mutant.name
)
def test_a_mutant_is_caught(mutant: Mutant) -> None:
    trial = try_mutant(mutant)
    assert trial.caught, f"{mutant.name} survived:\n{trial.said}"
