"""A little of what `make prove` does for minutes: random bytes for the readers (``tests.fuzz``)."""

from collections import Counter
from pathlib import Path

from tests.fuzz import fuzz_dumps, fuzz_lines


def test_files_of_any_bytes(tmp_path: Path) -> None:
    done: Counter[str] = Counter()
    fuzz_lines(tmp_path, done, examples=25)
    assert done["files"] >= 25
    assert done["lines"] > done["events"] > 0


def test_dumps_of_any_bytes() -> None:
    done: Counter[str] = Counter()
    fuzz_dumps(done, examples=200)
    assert done["rows"] > 0
    assert done["dumps"] > done["dumps refused"] > 0
