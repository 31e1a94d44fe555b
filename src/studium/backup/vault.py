"""A backup folder: objects named by their SHA-256, and one manifest for each backup.

::

    <folder>/studium-backups          marks the folder
             objects/ab/abcdef…       one file of a site, under the SHA-256 of its bytes
             backups/<name>.json      which object lies where in the site; the last thing written

A manifest's name ends in the beginning of its own SHA-256. Objects never change, so a second backup
costs only what is new, and a backup that was broken off has no manifest: it is not one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from studium.clock import utcnow
from studium.errors import BackupError, UsageError
from studium.state.lock import writer_lock

FORMAT = 1
MARK = "studium-backups"
_NAME = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{12}")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a site: where it lies (``lake/…``, ``state.db``), and its bytes."""

    path: str
    sha256: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup; ``made`` is an ISO 8601 instant in UTC, ``entries`` are sorted by path."""

    name: str
    made: str
    studium: str
    entries: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.entries)


@dataclass(frozen=True)
class Vault:
    """An open backup folder. Writing needs ``writing``."""

    folder: Path

    def object_path(self, sha256: str) -> Path:
        """Where the object with that hash lies, or would."""
        return self.folder / "objects" / sha256[:2] / sha256

    def names(self) -> list[str]:
        """The backups, oldest first."""
        found = (path.stem for path in (self.folder / "backups").glob("*.json"))
        return sorted(name for name in found if _NAME.fullmatch(name))

    def read(self, name: str | None = None) -> Backup:
        """The backup ``name``, the newest by default; BackupError if damaged or not there."""
        names = self.names()
        if not names:
            raise BackupError(
                f"{self.folder} holds no finished backup.", "Make one with `studium backup`."
            )
        chosen = names[-1] if name is None else name
        if chosen not in names:
            raise BackupError(
                f"{self.folder} holds no backup {chosen}.",
                f"See `studium restore {self.folder} --list`.",
            )
        place = self.folder / "backups" / f"{chosen}.json"
        content = place.read_bytes()
        if hashlib.sha256(content).hexdigest()[:12] != chosen[-12:]:
            raise BackupError(
                f"The list of files of backup {chosen}, {place}, is damaged.",
                "Delete it, so that the one before it is the newest; or choose with --backup.",
            )
        body = json.loads(content)
        if body["format"] != FORMAT:
            raise BackupError(
                f"Backup {chosen} has format {body['format']}, which this version of Studium does "
                "not know.",
                "It was made by a newer version: install that one.",
            )
        entries = tuple(Entry(*row) for row in body["entries"])
        return Backup(chosen, body["made"], body["studium"], entries)

    def write(self, entries: Sequence[Entry], version: str) -> Backup:
        """Seal a backup: from here on it is one."""
        now = utcnow()
        ordered = tuple(sorted(entries, key=lambda entry: entry.path))
        body = {
            "format": FORMAT,
            "made": now.isoformat(timespec="seconds"),
            "studium": version,
            "entries": [list(asdict(entry).values()) for entry in ordered],
        }
        content = json.dumps(body, indent=1).encode()
        stamp = f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z"
        name = f"{stamp}-{hashlib.sha256(content).hexdigest()[:12]}"
        for folder in {self.object_path(entry.sha256).parent for entry in ordered}:
            _sync(folder)
        place = self.folder / "backups" / f"{name}.json"
        partial = place.with_name("writing.partial")
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, place)
        _sync(place.parent)
        return Backup(name, str(body["made"]), version, ordered)

    def add(self, source: Path, path: str) -> tuple[Entry, bool]:
        """Take in one file as ``path``; and whether its bytes were new here."""
        about = source.stat()
        partial = self.folder / "objects" / "adding.partial"
        with source.open("rb") as file, partial.open("wb") as copy:
            sha256, size = copy_hashed(file, copy)
            copy.flush()
            os.fsync(copy.fileno())
        place = self.object_path(sha256)
        new = not place.is_file() or place.stat().st_size != size
        if new:
            place.parent.mkdir(exist_ok=True)
            os.replace(partial, place)
        else:
            partial.unlink()
        return Entry(path, sha256, size, about.st_mtime_ns), new

    def holds(self, entry: Entry) -> bool:
        """Is the object there, with its size? Its bytes are not looked at."""
        try:
            return self.object_path(entry.sha256).stat().st_size == entry.size
        except FileNotFoundError:
            return False

    def known(self) -> Mapping[str, Entry]:
        """The newest backup's entries by path, those whose objects are there; none if damaged."""
        try:
            entries = self.read().entries
        except BackupError:
            return {}
        return {entry.path: entry for entry in entries if self.holds(entry)}

    def damaged(self, backup: Backup) -> list[Entry]:
        """Entries whose objects are missing or are not what they were: every byte is read."""
        wrong = []
        for entry in backup.entries:
            try:
                with self.object_path(entry.sha256).open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError:
                found = ""
            if found != entry.sha256:
                wrong.append(entry)
        return wrong

    def prune(self, keep: int) -> int:
        """Delete all but the newest ``keep`` backups and what only they needed; how many."""
        names = self.names()
        old = names[:-keep]
        kept = {entry.sha256 for name in names[-keep:] for entry in self.read(name).entries}
        for name in old:
            (self.folder / "backups" / f"{name}.json").unlink()
        for path in (self.folder / "objects").glob("*/*"):
            if path.name not in kept:
                path.unlink()
        return len(old)


def copy_hashed(source: BinaryIO, target: BinaryIO) -> tuple[str, int]:
    """Copy to the end; the SHA-256 of what was copied, and how many bytes."""
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        target.write(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def open_vault(folder: Path) -> Vault:
    """The backup folder at ``folder``; UsageError if it is none."""
    root = folder.expanduser().resolve()
    if not (root / MARK).is_file():
        raise UsageError(
            f"{root} is not a folder of Studium backups.", "Make one with `studium backup DIR`."
        )
    return Vault(root)


@contextmanager
def vault_for_writing(folder: Path, wait: float) -> Iterator[Vault]:
    """The backup folder at ``folder``, made if need be, locked against other backups.

    Only its owner may look into it: it holds what the site holds. Raises UsageError if there is
    something else in it, LockedError if a backup into it goes on for longer than ``wait`` seconds.
    """
    root = folder.expanduser().resolve()
    if not (root / MARK).is_file():
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise UsageError(
                f"{root} is not a folder of Studium backups, and not empty.",
                "Choose a new or empty folder.",
            )
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o700)
        (root / MARK).write_text("Made by `studium backup`; `studium restore` reads it.\n")
    with writer_lock(root, "backup", wait):
        for name in ("objects", "backups"):
            (root / name).mkdir(exist_ok=True)
            for partial in (root / name).glob("*.partial"):  # of one that was broken off
                partial.unlink()
        yield Vault(root)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
