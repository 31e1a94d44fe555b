"""Sizes and times as people write them, read once into bytes and seconds (specs/jobs-hpc §7.36)."""

from __future__ import annotations

import re

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}  # as Slurm and Docker have it
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMGT]I?B|[KMGT]|B|)", re.IGNORECASE | re.ASCII)

_SPANS = re.compile(
    r"(?:(?P<d>\d{1,6})d)?(?:(?P<h>\d{1,9})h)?(?:(?P<m>\d{1,9})m)?(?:(?P<s>\d{1,9})s)?", re.ASCII
)
_CLOCK = re.compile(
    r"(?:(?:(?P<d>\d{1,6})-)?(?P<h>\d{1,6}):)?(?P<m>[0-5]?\d):(?P<s>[0-5]\d)", re.ASCII
)

SIZES = "a number of bytes, or with a unit: 512MiB, 12GB, 12G (= 12GiB)"
TIMES = "seconds, or as in 90, 1h30m, 2d, 45:00 (minutes:seconds), 01:30:00, 2-12:00:00"


def parse_bytes(value: str | int) -> int:
    """Bytes in ``12GiB``, ``12G`` (the same), ``500MB`` (10^6 each), ``4096``; else ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"not a size: write {SIZES}")
        size = int(float(match[1]) * _UNITS[match[2].upper()])
    if not 0 < size < 2**60:
        raise ValueError("not a size above 0 that a machine could have")
    return size


def parse_seconds(value: str | float) -> int:
    """Seconds in ``90``, ``1h30m``, ``01:30:00``, ``2-12:00:00``; fractions rounded up.

    Raises ValueError for anything else, and for nothing and more than ten years.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = -int(-value // 1) if abs(value) < 2**40 else -1
    else:
        seconds = _read_seconds(value.strip()) if isinstance(value, str) else -1
    if not 0 < seconds <= 3_653 * 86_400:
        raise ValueError(f"not a time: write {TIMES}")
    return seconds


def _read_seconds(text: str) -> int:
    if re.fullmatch(r"\d{1,12}", text, re.ASCII):
        return int(text)
    match = (_SPANS.fullmatch(text) or _CLOCK.fullmatch(text)) if text else None
    if match is None:
        return -1
    parts = {name: int(number) for name, number in match.groupdict().items() if number}
    scale = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
    return sum(scale[name] * number for name, number in parts.items())


def show_bytes(size: int) -> str:
    """``size`` in the largest binary unit that is exact, else with one decimal: ``12GiB``."""
    for unit, scale in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= scale:
            return f"{size // scale}{unit}" if size % scale == 0 else f"{size / scale:.1f}{unit}"
    return f"{size}B"


def show_seconds(seconds: float) -> str:
    """``seconds`` as ``1h30m``, ``2d``, ``45s``; below a minute with one decimal if it has one."""
    if seconds < 60:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, rest = divmod(rest, 60)
    parts = ((days, "d"), (hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)
