"""``studium backup``: a site as it is at one moment, into a backup folder.

The writer lock is held only while the state is copied and the lake's logs are read. The Parquet
files that they name never change, so they are copied afterwards, while others may write; a vacuum
leaves what was replaced in the last hours where it is.
"""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from studium.backup.vault import Backup, Entry, Vault, vault_for_writing
from studium.errors import BackupError, UsageError
from studium.lake.store import Lake
from studium.results.store import open_results
from studium.settings import FILE
from studium.site import Site
from studium.state.copy import save_state
from studium.state.lock import Holder
from studium.urls import mask_password

STATE = "state.db"
RESULTS = "results.db"
LAKE = "lake"

# What Delta never writes again once it is there.
_FOREVER = re.compile(r"\d{20}\.(json|checkpoint.*\.parquet)$")


@dataclass(frozen=True)
class Taken:
    """What a backup did: ``new`` files of ``new_bytes`` were copied; the others were there."""

    backup: Backup
    new: int
    new_bytes: int
    pruned: int


@dataclass(frozen=True)
class _Wanted:
    """A file of the lake that never changes; ``size`` as the Delta log has it, if it does."""

    source: Path
    path: str
    size: int | None


def take_backup(
    site: Site,
    folder: Path,
    *,
    results: bool = False,
    keep: int = 0,
    on_wait: Callable[[Holder | None], None] = lambda holder: None,
) -> Taken:
    """Back up state, lake and settings of ``site`` into ``folder``; ``results`` too if asked.

    ``keep`` > 0 deletes older backups so that so many stay. Whatever breaks it off, earlier backups
    stay as they are. Raises UsageError for a folder that is something else or lies in the site,
    LockedError, LakeError, and BackupError if a file of the lake is missing or cut.
    """
    lake = site.lake_dir
    if not isinstance(lake, Path):
        raise UsageError(
            f"The lake is at {site.settings.lake.path}, not in a folder.",
            "Let the object store keep it (versions, replication); the state can be made anew "
            "from it with `studium doctor --repair`.",
        )
    root = folder.expanduser().resolve()
    if root.is_relative_to(site.root) or root.is_relative_to(lake.resolve()):
        raise UsageError(
            f"{root} lies in the site that it would hold.", "Choose a folder on another disk."
        )
    with vault_for_writing(root, site.settings.site.lock_wait) as vault:
        known = vault.known()
        added: list[tuple[Entry, bool]] = []
        with site.writer("backup", on_wait):
            added.append(vault.add(site.root / FILE, FILE))
            site.scratch.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=site.scratch) as scratch:
                copy = Path(scratch) / STATE
                save_state(site.state, copy)
                added.append(vault.add(copy, STATE))
                if results:
                    added.append(vault.add(_save_results(site, Path(scratch)), RESULTS))
            wanted = _read_lake(lake, vault, known, added)
        added += [_add_forever(vault, known, one) for one in wanted]
        backup = vault.write([entry for entry, _ in added], version("studium"))
        pruned = vault.prune(keep) if keep else 0
    fresh = [entry for entry, new in added if new]
    return Taken(backup, len(fresh), sum(entry.size for entry in fresh), pruned)


def _read_lake(
    root: Path, vault: Vault, known: Mapping[str, Entry], added: list[tuple[Entry, bool]]
) -> list[_Wanted]:
    """Take in the logs of all tables; gives the data files that their present versions name."""
    lake = Lake(root)
    wanted = []
    for name in lake.names():
        snapshot = lake.snapshot(name)
        if not snapshot.exists:  # a crash before the first commit
            continue
        folder = root / name
        for path in sorted((folder / "_delta_log").iterdir()):
            if not path.is_file():
                continue
            inside = f"{LAKE}/{name}/_delta_log/{path.name}"
            if _FOREVER.fullmatch(path.name):
                added.append(_add_forever(vault, known, _Wanted(path, inside, None)))
            else:
                added.append(vault.add(path, inside))
        wanted += [
            _Wanted(folder / file.path, f"{LAKE}/{name}/{file.path}", file.size)
            for file in snapshot.files
        ]
    return wanted


def _add_forever(vault: Vault, known: Mapping[str, Entry], one: _Wanted) -> tuple[Entry, bool]:
    try:
        about = one.source.stat()
        before = known.get(one.path)
        if before and (before.size, before.mtime_ns) == (about.st_size, about.st_mtime_ns):
            return before, False
        entry, new = vault.add(one.source, one.path)
    except FileNotFoundError:
        raise BackupError(
            f"{one.source} is gone: a vacuum deleted it meanwhile, or the lake is damaged.",
            "No backup was made. Run it again; if that fails too, run `studium doctor`.",
        ) from None
    if one.size is not None and entry.size != one.size:
        raise BackupError(
            f"{one.source} has {entry.size:,} bytes, not {one.size:,}: the lake is damaged.",
            "No backup was made. Run `studium doctor`.",
        )
    return entry, new


def results_are_a_file(site: Site) -> bool:
    """Is the result store one that a backup can hold?"""
    return site.settings.results.url.startswith("sqlite")


def _save_results(site: Site, scratch: Path) -> Path:
    if not results_are_a_file(site):
        raise UsageError(
            f"The result store {mask_password(site.settings.results.url)} is on a server, whose "
            "own tools back it up.",
            "Leave out --results: `studium publish` fills it again from the lake.",
        )
    store = open_results(
        site.settings.results.url, site.root, credentials=site.settings.results.credentials
    )
    try:
        target = scratch / RESULTS
        with store.engine.connect() as conn, closing(sqlite3.connect(target)) as copy:
            source = conn.connection.driver_connection
            assert isinstance(source, sqlite3.Connection)
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        return target
    finally:
        store.close()
