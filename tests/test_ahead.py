"""Items that a thread makes ahead are the same items; an error and an early end reach it."""

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studium.sources.edx.ahead import read_ahead


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


@given(st.lists(st.one_of(st.none(), st.integers())))
def test_the_same_items_in_their_order(items: list[int | None]) -> None:
    assert list(read_ahead(iter(items))) == items
    assert not threads()


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    found = read_ahead(items())
    assert next(found) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(found)
    assert not threads()


def test_a_few_are_made_ahead_and_no_more() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    found = read_ahead(items())
    assert next(found) == 0
    deadline = time.monotonic() + 30
    while len(made) < 4 and time.monotonic() < deadline:  # one used, two ready, one in the hand
        time.sleep(0.001)
    time.sleep(0.05)
    assert len(made) == 4
    found.close()
    assert not threads()
    assert len(made) < 10


def test_one_that_is_never_asked_starts_nothing() -> None:
    read_ahead(iter([1]))
    assert not threads()
