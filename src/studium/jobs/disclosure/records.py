"""Records of releases: the numbers, said or not, that later releases are checked against.

A record holds counts of withheld cells, which the proof needs, but no key as it was written: keys
are hashed with a secret of the site, as only their equality matters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import orjson

from studium.jobs.disclosure.cells import Cells, Coordinate, Earlier, Split
from studium.lake.places import sync


def write_record(
    path: Path,
    cells: Cells,
    hidden: Collection[Coordinate],
    withheld: Mapping[str, int],
    sources: Sequence[str],
) -> None:
    """Keep what a release said and did not say, whole or not at all.

    ``withheld`` are rows by file, ``sources`` what the job has read.
    """
    document = {
        "sources": sources,
        "withheld": withheld,
        "cells": [
            {
                "keys": sorted(map(list, at)),
                "layer": layer,
                "value": cells.values[at, layer],
                "withheld": at in hidden,
            }
            for at, layer in sorted(cells.own, key=lambda one: (sorted(one[0]), one[1]))
        ],
        "splits": list(dict.fromkeys(cells.splits)),
    }
    draft = path.with_name(f".{path.name}-{uuid4().hex}")
    draft.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    draft.chmod(0o600)
    sync(draft)
    draft.replace(path)
    sync(path.parent)


def read_record(path: Path) -> Earlier:
    """What ``write_record`` wrote."""
    document = orjson.loads(path.read_bytes())
    values = {}
    hidden = set()
    for cell in document["cells"]:
        at = frozenset((str(key), str(value)) for key, value in cell["keys"])
        values[at, str(cell["layer"])] = int(cell["value"])
        if cell["withheld"]:
            hidden.add(at)
    splits: list[Split] = [(str(a), str(b), str(c)) for a, b, c in document["splits"]]
    return Earlier(values, frozenset(hidden), splits)


def read_withheld(path: Path) -> dict[str, int]:
    """Rows that a release withheld, by file; none without a record."""
    if not path.exists():
        return {}
    found = orjson.loads(path.read_bytes())["withheld"]
    return {str(name): int(rows) for name, rows in found.items()}


def read_sources(path: Path) -> set[str]:
    """What the job of a record has read."""
    return set(orjson.loads(path.read_bytes())["sources"])
