"""Jobs that are kept too long, deleted, or lost: what becomes of folders and rows."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from studium.clock import utcnow
from studium.errors import JobError
from studium.jobs import table
from studium.jobs.audit import record
from studium.jobs.folder import (
    LOG,
    JobFolder,
    folder_of,
    folders,
    measure,
    rebuild,
    remove,
    save_status,
)
from studium.jobs.inputs import drop_inputs
from studium.jobs.intake import own_job
from studium.jobs.names import is_name
from studium.jobs.notify import tell_move
from studium.jobs.states import State
from studium.jobs.worker.leases import end_lease, has_lease, lease_of, take_lease
from studium.jobs.worker.provenance import drop_files
from studium.site import Site

_ABANDONED = timedelta(days=1)
_UNDER_WAY = (State.PREPARING, State.RUNNING, State.COLLECTING)
_FORGET = "forget"  # the holder of leases of jobs that wait while rows of theirs are erased
_LONGEST = 600.0  # seconds for which such a lease outlives who died with it


@dataclass(frozen=True, slots=True)
class Lost:
    """Where folders and rows disagree.

    ``rowless``: folders of jobs whose row is gone. ``abandoned``: folders of submissions that broke
    off a day ago or more; nobody was told their names. ``folderless``: rows of jobs that have ended
    without a folder. ``broken``: folders, or rows of jobs under way, that nothing can be made of,
    each with why.
    """

    rowless: list[JobFolder] = field(default_factory=list)
    abandoned: list[JobFolder] = field(default_factory=list)
    folderless: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def any(self) -> bool:
        return bool(self.rowless or self.abandoned or self.folderless or self.broken)


def delete_job(site: Site, name: str, who: str, operator: bool = False) -> int:
    """Delete a job that has ended, folder first; the bytes that were freed. The audit log keeps
    what was read and released. JobError while anything of it is under way, or if it is another's
    (``intake``)."""
    folder = folder_of(site.jobs_dir, name)
    with site.state.read() as conn:
        job = own_job(conn, name, who, operator)
        _check_ended(job)
        if lease_of(conn, name) is not None:
            raise JobError(
                f"A worker has not tidied up after job {name} yet.",
                "Wait a moment, or start `studium worker`, and delete it then.",
            )
    remove(folder)
    with site.state.begin() as conn:
        if table.drop(conn, name):
            record(conn, who, "delete job", name, {"owner": job.owner, "state": str(job.state)})
    return job.bytes


def expired_jobs(site: Site, now: datetime | None = None) -> list[table.Job]:
    """Jobs that ended more than ``jobs.keep`` days ago, the oldest first; none if that is 0."""
    if not site.settings.jobs.keep:
        return []
    before = (now or utcnow()) - timedelta(days=site.settings.jobs.keep)
    line = before.isoformat(timespec="microseconds")
    with site.state.read() as conn:
        ended = table.listing(conn, states=[one for one in State if one.ended])
    return [job for job in reversed(ended) if (job.ended_at or job.submitted_at) < line]


def find_lost(site: Site) -> Lost:
    """Compare the folders of jobs with their rows. Changes nothing."""
    # Folders before rows: a job that is submitted now has either none of both, or both.
    there = {one.name: one for one in folders(site.jobs_dir)}
    with site.state.read() as conn:
        known = {job.name: job for job in table.listing(conn)}
    lost = Lost()
    for name, folder in there.items():
        if name in known:
            continue
        if folder.status.exists():
            lost.rowless.append(folder)
        elif _is_old(folder):
            lost.abandoned.append(folder)
    for name, job in known.items():
        if name not in there and not folder_of(site.jobs_dir, name).path.is_dir():
            why = f"job {name} is {job.state}, and its folder is gone"
            (lost.folderless if job.state.ended else lost.broken).append(
                name if job.state.ended else why
            )
    return lost


def repair_lost(site: Site) -> Lost:
    """Make lost rows anew, remove what was abandoned and rows without a folder, and end jobs whose
    folder is gone; what could not be repaired is ``broken``."""
    found = find_lost(site)
    broken = []
    for folder in found.rowless:
        try:
            with site.state.begin() as conn:
                rebuild(conn, folder)
            save_status(site.state, folder)
        except JobError as error:
            broken.append(error.message)
    for folder in found.abandoned:
        remove(folder)
    with site.state.begin() as conn:
        for name in found.folderless:
            table.drop(conn, name)
        for job in table.listing(conn, states=[State.CREATED, State.QUEUED]):
            if not folder_of(site.jobs_dir, job.name).path.is_dir():
                table.ask_cancel(conn, job.name, "doctor")
                tell_move(conn, table.read(conn, job.name), site.settings.notify)
    return Lost(found.rowless, found.abandoned, found.folderless, broken)


@dataclass(frozen=True, slots=True)
class Erased:
    """Jobs whose rows about learners were deleted, and jobs under way that still read them."""

    done: list[str]
    busy: list[str]


def erase_rows(site: Site) -> Erased:
    """Delete what jobs on protected data wrote row by row, their logs, and what was staged for
    them: nobody can tell whom it is about. What was released holds no rows of learners and stays.

    For ``studium forget``. A job that waits is kept from workers meanwhile. Idempotent.
    """
    erased = Erased([], [])
    with site.state.read() as conn:
        known = table.listing(conn)
    for job in known:
        if not (job.protected and job.spec.inputs):
            continue
        folder = folder_of(site.jobs_dir, job.name)
        if job.state in _UNDER_WAY or not _keep_from_workers(site, job.name):
            erased.busy.append(job.name)
            continue
        try:
            if _erase(site, folder):
                erased.done.append(job.name)
        finally:
            with site.state.begin() as conn:
                if has_lease(conn, job.name, _FORGET):
                    end_lease(conn, job.name)
    return erased


def _keep_from_workers(site: Site, name: str) -> bool:
    """Have the job if it waits; False if a worker has begun it meanwhile. One that has ended needs
    nobody to be kept from it."""
    with site.state.begin() as conn:
        job = table.find(conn, name)
        if job is None or job.state.ended:
            return True
        return job.state not in _UNDER_WAY and take_lease(conn, name, _FORGET, utcnow(), _LONGEST)


def _erase(site: Site, folder: JobFolder) -> bool:
    """Whether there was anything."""
    left = [
        path
        for pattern in ("attempts", "inputs", ".inputs*", LOG)
        for path in folder.path.glob(pattern)
    ]
    if not left:
        return False
    with site.state.begin() as conn:
        record(conn, "forget", "erase outputs", folder.name)
        table.erase_texts(conn, folder.name)
    drop_inputs(folder)
    for path in left:
        if path.name == LOG:
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path, ignore_errors=path.name != "attempts")
    drop_files(folder)
    with site.state.begin() as conn:
        table.set_bytes(conn, folder.name, measure(folder))
    save_status(site.state, folder)
    return True


def _check_ended(job: table.Job) -> None:
    if not job.state.ended:
        raise JobError(
            f"Job {job.name} is {job.state}.", f"`studium job cancel {job.name}` ends it."
        )


def _is_old(folder: JobFolder) -> bool:
    try:
        made = datetime.fromtimestamp(folder.path.stat().st_mtime, utcnow().tzinfo)
    except FileNotFoundError:
        return False
    return is_name(folder.name) and utcnow() - made > _ABANDONED
