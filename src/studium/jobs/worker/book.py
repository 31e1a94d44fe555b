"""The book of a site's releases: what was let out of which data, and what was not.

::

    <site>/jobs/.releases/     a record for each release, kept when the job is deleted
      secret                   with which keys are hashed

Two jobs are of the same lineage if they have read the same tables or sources, whoever submitted
them: what one withholds could be worked out from what the other publishes.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from studium.errors import JobError
from studium.jobs.disclosure.records import read_sources
from studium.jobs.folder import folder_of, read_spec, write_whole
from studium.jobs.spec import JobSpec, PathInput, TableInput, fill
from studium.site import Site

BOOK = ".releases"


@dataclass(frozen=True, slots=True)
class Book:
    """The book while nobody else has it."""

    folder: Path
    secret: bytes

    def record(self, job: str) -> Path:
        """Where the record of a job's release is, or will be."""
        return self.folder / f"{job}.json"

    def related(self, job: str, sources: set[str]) -> list[Path]:
        """Records of other releases of the same data, the newest first."""
        found = [
            path
            for path in self.folder.glob("[!.]*.json")
            if path.stem != job and sources & read_sources(path)
        ]
        return sorted(found, key=lambda path: (-path.stat().st_mtime_ns, path.name))


@contextmanager
def opened(site: Site) -> Iterator[Book]:
    """The book, for one at a time: from reading what was let out to writing what is."""
    folder = site.jobs_dir / BOOK
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        secret = folder / "secret"
        if not secret.exists():
            write_whole(secret, secrets.token_hex(32))
        yield Book(folder, secret.read_bytes())
    finally:
        os.close(handle)


def sources_of(site: Site, spec: JobSpec, book: Book) -> set[str]:
    """The tables and ``jobs.sources`` that a job reads, also through the jobs whose outputs it
    reads."""
    found: set[str] = set()
    for one in spec.inputs.values():
        if isinstance(one, TableInput):
            found.add(f"table {one.table}")
        elif isinstance(one, PathInput):
            found |= _roots(site, spec, one)
        else:
            found |= _read_by(site, one.job, book)
    return found


def _roots(site: Site, spec: JobSpec, one: PathInput) -> set[str]:
    roots = [(site.root / source).resolve() for source in site.settings.jobs.sources]
    paths = {
        Path(fill(one.path, spec.units.parameters(number))).resolve()
        for number in range(spec.units.total if "{" in one.path else 1)
    }
    return {f"path {root}" for root in roots for path in paths if path.is_relative_to(root)}


def _read_by(site: Site, job: str, book: Book) -> set[str]:
    if book.record(job).exists():
        return read_sources(book.record(job))
    try:
        spec = read_spec(folder_of(site.jobs_dir, job))
    except JobError:  # deleted since, and it let nothing out
        return {f"job {job}"}
    return sources_of(site, spec, book)
