"""``studium restore``: a site from a backup, in an empty folder.

``studium.toml`` comes last, so a folder in which a restore was broken off is no site.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from studium.backup.take import LAKE, RESULTS, STATE, results_are_a_file
from studium.backup.vault import Backup, Entry, Vault, copy_hashed
from studium.errors import BackupError, SiteError, UsageError
from studium.lake.store import Lake
from studium.results.store import open_results
from studium.settings import FILE, load_settings
from studium.site import Site
from studium.state.copy import load_state, open_copy

MARK = ".restoring"


@dataclass(frozen=True)
class Restored:
    """What a restore brought back; ``results``: the result store too."""

    root: Path
    backup: Backup
    results: bool


def restore_site(vault: Vault, backup: Backup, folder: Path) -> Restored:
    """Make the site of ``backup`` in ``folder``, which must be new or empty.

    Where lake, state and results go is what its settings say, the environment's above those of
    ``studium.toml``. Every byte is checked as it is copied.

    Raises SiteError if there is something already, BackupError if the backup is damaged, StateError
    if it was made by a newer version.
    """
    root = folder.expanduser().resolve()
    _check_all_there(vault, backup)
    _refuse_full(root)
    entries = {entry.path: entry for entry in backup.entries}
    staging = root / MARK
    staging.mkdir(parents=True)
    _bring(vault, entries[FILE], staging / FILE)
    settings, origins = load_settings(staging)
    with Site(root, settings, origins) as site, tempfile.TemporaryDirectory() as scratch:
        place = site.lake_dir
        if not isinstance(place, Path):
            raise UsageError(
                f"The settings want the lake at {settings.lake.path}, the backup holds a folder.",
                "Unset STUDIUM_LAKE__PATH, restore, then copy the folder lake to the bucket.",
            )
        _refuse_full(place)
        copy = Path(scratch) / STATE
        _bring(vault, entries[STATE], copy)
        with open_copy(copy) as source:
            for entry in backup.entries:
                head, _, rest = entry.path.partition("/")
                if head == LAKE:
                    _bring(vault, entry, place / rest)
            lake = Lake(place)
            for name in lake.names():
                lake.snapshot(name)  # its log can be read
            load_state(source, site.state)
        results = RESULTS in entries and _load_results(
            site, _bring(vault, entries[RESULTS], Path(scratch) / RESULTS)
        )
    os.replace(staging / FILE, root / FILE)
    shutil.rmtree(staging)
    return Restored(root, backup, results)


def _check_all_there(vault: Vault, backup: Backup) -> None:
    gone = [entry for entry in backup.entries if not vault.holds(entry)]
    if gone:
        raise BackupError(
            f"Backup {backup.name} is damaged: {len(gone):,} of {len(backup.entries):,} files are "
            f"missing or cut, first {gone[0].path}.",
            "Nothing was restored. Choose another backup with --backup.",
        )


def _refuse_full(folder: Path) -> None:
    if not folder.exists():
        return
    if (folder / MARK).exists():
        raise SiteError(
            f"{folder} holds a restore that was broken off.",
            "Delete what is in it and restore again.",
        )
    if not folder.is_dir() or any(one.name != "lost+found" for one in folder.iterdir()):
        raise SiteError(f"{folder} is not empty.", "Restore into a new or empty folder.")


def _bring(vault: Vault, entry: Entry, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    with vault.object_path(entry.sha256).open("rb") as source, target.open("xb") as copy:
        found, _ = copy_hashed(source, copy)
        copy.flush()
        os.fsync(copy.fileno())
    if found != entry.sha256:
        raise BackupError(
            f"The backup is damaged: {entry.path} is not what it was when it was taken.",
            "The restore was broken off. Delete what it made and choose another backup with "
            "--backup.",
        )
    # The next backup knows the file by its time.
    os.utime(target, ns=(entry.mtime_ns, entry.mtime_ns))
    return target


def _load_results(site: Site, path: Path) -> bool:
    """Into the store of the settings, if it is a file: `publish` fills one on a server."""
    if not results_are_a_file(site):
        return False
    store = open_results(
        site.settings.results.url, site.root, credentials=site.settings.results.credentials
    )
    try:
        with store.engine.connect() as conn, closing(sqlite3.connect(path)) as source:
            target = conn.connection.driver_connection
            assert isinstance(target, sqlite3.Connection)
            source.backup(target)
        return True
    finally:
        store.close()
