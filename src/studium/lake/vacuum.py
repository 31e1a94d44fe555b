"""Vacuum: files that no longer belong to a table are deleted, once nobody can be reading them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from studium.lake.store import Lake


@dataclass(frozen=True)
class Vacuumed:
    """Files of one table that were deleted, or would be."""

    table: str
    files: int
    bytes: int


def vacuum_tables(
    lake: Lake,
    keep_hours: int,
    dry_run: bool,
    names: Collection[str] | None = None,
    pinned: Mapping[str, Collection[int]] | None = None,
) -> list[Vacuumed]:
    """Delete files replaced or left behind by a crash more than ``keep_hours`` ago,
    of all tables or of ``names``; those of versions that are ``pinned``, by table, stay.

    Needs the site's writer lock: a file that is staged but not yet committed looks left behind.
    """
    done = []
    for name in lake.names():
        if names is not None and name not in names:
            continue
        delta = lake.delta(name)
        if delta is None:  # a crash before the first commit
            continue
        versions = sorted((pinned or {}).get(name, ())) or None
        with lake.explained(name):
            named = delta.vacuum(
                retention_hours=keep_hours,
                dry_run=True,
                enforce_retention_duration=False,
                full=True,
                keep_versions=versions,
            )
        # The log goes on naming files that an earlier vacuum deleted.
        there = lake.place.sizes(name) if named else {}
        found = [file for file in named if file in there]
        size = sum(there[file] for file in found)
        if found and not dry_run:
            with lake.explained(name):
                delta.vacuum(
                    retention_hours=keep_hours,
                    dry_run=False,
                    enforce_retention_duration=False,
                    full=True,
                    keep_versions=versions,
                )
                lake_delta = lake.delta(name)
                assert lake_delta is not None
                lake_delta.create_checkpoint()
            lake.place.drop(name, found)
        done.append(Vacuumed(name, len(found), size))
    return done


def unreferenced_files(lake: Lake, name: str) -> int:
    """Parquet files in a table's folder that its current version does not name."""
    return len(lake.place.sizes(name).keys() - {file.path for file in lake.snapshot(name).files})
