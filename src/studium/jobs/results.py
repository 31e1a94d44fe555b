"""What has left a job: listed, checked against the manifest, and copied to who fetches it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from studium.errors import JobError
from studium.jobs import table
from studium.jobs.audit import record
from studium.jobs.folder import folder_of, write_whole
from studium.jobs.inputs import digest_of
from studium.jobs.intake import own_job
from studium.jobs.states import State
from studium.jobs.submission import check_name
from studium.site import Site


@dataclass(frozen=True, slots=True)
class Result:
    """A released file: its name below ``released/``, bytes, SHA-256, and rows if it is a table."""

    name: str
    size: int
    sha256: str
    rows: int | None = None
    withheld: bool = False  # some rows were not let out


def list_results(site: Site, name: str) -> list[Result]:
    """The released files of a job; JobError if it has not succeeded.

    Only what the manifest names is a result (specs/jobs-hpc §7.8, §7.10).
    """
    with site.state.read() as conn:
        job = table.read(conn, name)
    if job.state is not State.SUCCEEDED:
        why = f" ({job.failure})" if job.failure else ""
        raise JobError(
            f"Job {name} has no results: it is {job.state}{why}.",
            f"`studium job show {name}` tells what happened.",
        )
    manifest = folder_of(site.jobs_dir, name).released_manifest
    try:
        files = json.loads(manifest.read_bytes())["files"]
        found = [
            Result(one["name"], one["size"], one["sha256"], one.get("rows"),
                   bool(one.get("withheld")))
            for one in files
        ]  # fmt: skip
        for one in found:
            check_name(one.name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, JobError) as error:
        raise JobError(f"{manifest} cannot be read: {error}.", "Restore a backup.") from None
    return found


def fetch_results(
    site: Site, name: str, target: Path, who: str, operator: bool = False
) -> list[Result]:
    """Copy the released files to ``target``, made if need be; the fetching is in the audit log.

    Raises JobError if the job is another's (``intake``), a file is not as it was released, or would
    replace another one.
    """
    with site.state.read() as conn:
        own_job(conn, name, who, operator)
    found = list_results(site, name)
    source = folder_of(site.jobs_dir, name).released
    for one in found:
        file, place = source / one.name, target / one.name
        if not file.is_file() or file.is_symlink() or digest_of(file) != one.sha256:
            raise JobError(f"{file} is not as it was released.", "Restore it from a backup.")
        if place.exists() and digest_of(place) != one.sha256:
            raise JobError(f"{place} is there already, and another.", "Name another folder.")
    if found:
        manifest = digest_of(folder_of(site.jobs_dir, name).released_manifest)
        with site.state.begin() as conn:
            record(conn, who, "fetch", name, {"files": len(found), "manifest": manifest})
    for one in found:
        place = target / one.name
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, (source / one.name).read_bytes(), 0o666 & ~_umask())
    return found


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
