"""Lenses: families of tables, each answering one question.

A lens is a folder of `.sql` files; tables that Python makes are listed in its `maps.TABLES`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.resources import files

from studium.errors import UsageError
from studium.lake.tables import Table, order_tables, read_table


def _find_lenses() -> tuple[str, ...]:
    folders = (item for item in files(__name__).iterdir() if item.is_dir())
    return tuple(sorted(folder.name for folder in folders if not folder.name.startswith("_")))


#: Names of all lenses, sorted.
LENSES = _find_lenses()


def tables(lens: str | None = None) -> list[Table]:
    """List the tables of a lens and those of other lenses that they read, sources first.

    Without a lens: all tables. An unknown lens is a `UsageError`.
    """
    every = _every_table()
    if lens is None:
        return list(every)
    if lens not in LENSES:
        raise UsageError(f"There is no lens {lens!r}.", f"Choose from {', '.join(LENSES)}.")
    wanted: set[str] = set()
    for table in reversed(every):  # readers before what they read
        if table.lens == lens or table.name in wanted:
            wanted |= {table.name, *table.inputs}
    return [table for table in every if table.name in wanted]


def restricted_tables() -> frozenset[str]:
    """Names of the tables that hold names or addresses of learners, whoever makes them."""
    from studium.sources.lms.tables import RESTRICTED

    return RESTRICTED | {table.name for table in _every_table() if table.restricted}


@cache
def _every_table() -> tuple[Table, ...]:
    return tuple(order_tables(table for lens in LENSES for table in _read_lens(lens)))


def _read_lens(lens: str) -> list[Table]:
    folder = files(__name__) / lens
    found = [read_table(item, lens) for item in folder.iterdir() if item.name.endswith(".sql")]
    if (folder / "maps.py").is_file():
        found.extend(import_module(f"{__name__}.{lens}.maps").TABLES)
    return found
