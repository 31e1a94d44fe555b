"""Documented differences from the old pipeline, as rules over differing rows and cells.

Each lens may have a ``differences.toml``. An entry says which differences between Studium's tables
and the old result store follow from an item of ``docs/explanation/differences.md``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from studium.errors import TableError

KINDS: Final = ("only here", "only there", "cell", "twice there")
"""What may differ: a row that only one side has, a cell, a key that is there more than once."""


@dataclass(frozen=True)
class Difference:
    """One rule. ``id`` is that of the page; ``kind`` one of ``KINDS``; ``tables`` are published
    names; ``columns`` the cells it is about (none: any).

    ``condition`` is SQL over the row ``differing``, its columns by name (``here``, ``there``: the
    values of the cell; ``$start``: the site's first day). It may look things up in the tables of
    the lake, or the evidence, that ``reads`` names.
    """

    id: str
    kind: str
    tables: tuple[str, ...]
    condition: str
    why: str
    columns: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What rules look up that is no table: ``sql`` over the tables of the lake it ``reads``, or
    over both sides, ``here`` and ``there``, of the published table it is ``of``; run once."""

    name: str
    reads: tuple[str, ...]
    sql: str
    of: str = ""


@cache
def documented() -> tuple[Difference, ...]:
    """All rules, by lens; of several that fit, the first explains."""
    return tuple(rule for rules, _ in _files() for rule in rules)


@cache
def evidence() -> tuple[Evidence, ...]:
    """All evidence, by lens."""
    return tuple(one for _, found in _files() for one in found)


def _files() -> list[tuple[list[Difference], list[Evidence]]]:
    folders = sorted(files(__package__).iterdir(), key=lambda one: one.name)
    there = ((folder.name, folder / "differences.toml") for folder in folders)
    return [_read(name, file.read_text(encoding="utf-8")) for name, file in there if file.is_file()]


def _read(lens: str, text: str) -> tuple[list[Difference], list[Evidence]]:
    try:
        document = tomllib.loads(text)
        return (
            [_rule(entry) for entry in document["difference"]],
            [
                Evidence(name, tuple(entry.get("reads", ())), entry["sql"], entry.get("of", ""))
                for name, entry in document.get("evidence", {}).items()
            ],
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise TableError(
            f"{lens}/differences.toml cannot be read: {error!r}. Compare it with another one."
        ) from None


def _rule(entry: Mapping[str, Any]) -> Difference:
    rule = Difference(
        id=entry["id"],
        kind=entry["kind"],
        tables=tuple(entry["tables"]),
        condition=" ".join(entry["condition"].split()),
        why=entry["why"],
        columns=tuple(entry.get("columns", ())),
        reads=tuple(entry.get("reads", ())),
    )
    if rule.kind not in KINDS:
        raise ValueError(f"kind {rule.kind!r}")
    return rule
