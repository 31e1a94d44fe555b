"""Which days of which tables the named files and folders of a warehouse hold."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from studium.clock import Interval
from studium.errors import SourceError
from studium.sources.edx.files import SourceFile, find_files
from studium.sources.history.warehouse import BY_FOLDER, WarehouseTable

_DAY = re.compile(r"dt=(\d{4}-\d\d-\d\d)")


@dataclass(frozen=True)
class DayFolder:
    """One day of one table: all files of its folder, by name."""

    table: WarehouseTable
    day: date
    files: tuple[SourceFile, ...]


@dataclass
class Found:
    """``days`` in the order of table and day; ``others`` counts days, by table, that are of no
    use here; ``strange`` are folders of the tables whose name is no day; ``outside`` counts days
    that were not asked for."""

    days: list[DayFolder] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    outside: int = 0


def find_days(paths: Sequence[str], wanted: Interval, only: Collection[str]) -> Found:
    """The days below ``paths`` that lie in ``wanted``, of the tables ``only`` (none: all).

    A path is a warehouse, a table, a day's folder or a file of it; a file stands for its folder, as
    a day is imported as a whole.
    """
    found = Found()
    grouped: dict[tuple[str, date], list[SourceFile]] = {}
    for file in find_files([_widened(path) for path in paths]):
        path = Path(file.path)
        # Hive's and Hadoop's own files: _SUCCESS, _metadata, .part-00000.crc.
        if path.name.startswith(("_", ".")):
            continue
        place = path.parent
        while place.name and not place.name.startswith("dt="):
            place = place.parent
        if not place.name:
            found.others["files outside of a folder dt=…"] += 1
            continue
        name, day = place.parent.name, _day(place.name)
        if name not in BY_FOLDER:
            found.others[name] += 1
        elif only and not set(only) & set(BY_FOLDER[name].folders):
            found.outside += 1
        elif day is None:
            found.strange.append(str(place))
        elif day not in wanted:
            found.outside += 1
        else:
            grouped.setdefault((BY_FOLDER[name].name, day), []).append(file)
    found.days = [
        DayFolder(BY_FOLDER[name], day, tuple(sorted(files, key=lambda file: file.path)))
        for (name, day), files in sorted(grouped.items())
    ]
    if not found.days and not found.others and not found.outside and not found.strange:
        raise SourceError(
            f"there is no file in {', '.join(paths)}.",
            "Name a warehouse, or a folder such as course_enrollment_events/ or "
            "course_enrollment_events/dt=2020-12-31/.",
        )
    return found


def _widened(path: str) -> str:
    """The folder of a file's day; every other path as it is."""
    place = Path(os.path.abspath(os.path.expanduser(path)))
    if place.is_file() and place.parent.name.startswith("dt="):
        return str(place.parent)
    return str(place)


def _day(name: str) -> date | None:
    match = _DAY.fullmatch(name)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None
