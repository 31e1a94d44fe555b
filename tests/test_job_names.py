"""Names of jobs are canonical once and for ever; sizes and times are read once."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studium.jobs.names import LENGTH, canonical, is_name, new_name, unit_key
from studium.jobs.quantities import parse_bytes, parse_seconds, show_bytes, show_seconds

NASTY = ["", "-", "../../etc", "a;b\nc", "x" * 10_000, "\u202eevil", "Ünïcode Straße", "a--b", "İ"]


@given(st.one_of(st.text(), st.sampled_from(NASTY)))
def test_what_is_canonical_stays_as_it_is(text: str) -> None:
    once = canonical(text)
    assert canonical(once) == once
    assert len(once) <= LENGTH
    assert re.fullmatch(r"|[a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9]", once)
    assert is_name(once) is (once != "")


@given(st.one_of(st.text(), st.sampled_from(NASTY)))
def test_a_new_name_is_canonical_and_never_the_same(prefix: str) -> None:
    one, other = new_name(prefix), new_name(prefix)
    assert one != other
    assert is_name(one)
    assert canonical(one) == one
    assert re.fullmatch(r"(.+-)?[a-z2-7]{13}", one)  # 65 bits
    assert re.fullmatch(r"[a-z0-9-]{1,80}", unit_key(one, 9_999, 99_999))


@given(st.text())
def test_only_canonical_text_is_a_name(text: str) -> None:
    assert is_name(text) is (text != "" and canonical(text) == text)


@pytest.mark.parametrize("text", NASTY)
def test_what_could_leave_a_folder_is_no_name(text: str) -> None:
    assert not is_name(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("12GiB", 12 * 2**30), ("12G", 12 * 2**30), ("500MB", 500 * 10**6), ("4096", 4096),
     (4096, 4096), ("1.5 kib", 1536), ("7b", 7)],
)  # fmt: skip
def test_sizes(text: str | int, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), (90, 90), (0.2, 1), ("1h30m", 5_400), ("2d", 172_800), ("45:00", 2_700),
     ("01:30:00", 5_400), ("2-12:00:00", 216_000), ("30s", 30)],
)  # fmt: skip
def test_times(text: str | float, seconds: int) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "GiB", "1e9", "1X", "٣GB", True, None, "9" * 30])
def test_what_is_no_size(text: str | int) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_bytes(text)


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "1x", "1m1h", "1:99", "9999d", True, None, float("nan"), float("inf")]
)
def test_what_is_no_time(text: str | float) -> None:
    with pytest.raises(ValueError, match="time"):
        parse_seconds(text)


@given(st.integers(1, 2**50))
def test_a_size_in_whole_units_is_shown_as_it_is_read(size: int) -> None:
    shown = show_bytes(size)
    assert "." in shown or parse_bytes(shown) == size


@given(st.integers(1, 10**8))
def test_a_time_is_shown_as_it_is_read(seconds: int) -> None:
    assert parse_seconds(show_seconds(seconds)) == seconds
