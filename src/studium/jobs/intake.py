"""What owners do with jobs: submit, cancel, submit again.

Each is a few checks, one transaction, and the status in the folder; it is what the command line
calls, and every other face. ``operator``: who asks may do it to everybody's jobs; else ``who`` is
the owner, or it is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sqlalchemy import Connection

from studium.errors import JobError, SpecError
from studium.jobs import table
from studium.jobs.ceilings import check_ceilings
from studium.jobs.folder import folder_of, make_folder, measure, read_spec, remove, save_status
from studium.jobs.inputs import settle_inputs
from studium.jobs.launchers.registry import LAUNCHERS
from studium.jobs.names import new_name
from studium.jobs.notify import check_receivers, tell_move
from studium.jobs.orders import write_script
from studium.jobs.quantities import show_bytes
from studium.jobs.spec import JobSpec
from studium.jobs.submission import source_of, take_code
from studium.settings import parse_size
from studium.site import Site


def submit_job(
    site: Site,
    spec: JobSpec,
    base: Path,
    who: str,
    restricted: Collection[str],
    operator: bool = False,
) -> table.Job:
    """Take a job in and queue it; ``base`` is the folder that ``spec.code`` is in.

    ``who`` submits it and owns it unless the spec names another; ``restricted`` are the tables that
    no job may read. Whatever is wrong leaves nothing behind: SpecError for a launcher that is none
    and for inputs, JobError for code that is not taken, for another owner and for one who has no
    room left.
    """
    spec = _settled(site, spec, who, restricted, operator)
    name = new_name(spec.name)
    folder = make_folder(site.jobs_dir, name, spec)
    try:
        if spec.code:
            source = source_of(base, spec.code)
            made = take_code(source, folder, parse_size(site.settings.jobs.submission))
            if spec.dockerfile and spec.dockerfile not in {file.path for file in made.files}:
                raise SpecError(f"dockerfile: there is no {spec.dockerfile} in {source}.")
        write_script(folder, spec)
        size = measure(folder)
        _check_room(site, spec.owner, size)
        with site.state.begin() as conn:
            table.create(conn, name, spec, who)
            table.set_bytes(conn, name, size)
            table.queue(conn, name, who)
            tell_move(conn, table.read(conn, name), site.settings.notify)
    except BaseException:
        remove(folder)
        raise
    return _saved(site, name)


def cancel_job(site: Site, name: str, who: str, operator: bool = False) -> table.Job:
    """Ask for the end of a job; one that no worker has is CANCELLED at once. Idempotent."""
    with site.state.begin() as conn:
        came = own_job(conn, name, who, operator).state
        if table.ask_cancel(conn, name, who) is not came:
            tell_move(conn, table.read(conn, name), site.settings.notify)
    return _saved(site, name)


def resubmit_job(site: Site, name: str, who: str, operator: bool = False) -> table.Job:
    """Queue a job that has failed or was cancelled, as a new attempt with the same code and the
    same versions of its inputs. JobError if it has not ended so, or its owner has no room."""
    with site.state.read() as conn:
        _check_room(site, own_job(conn, name, who, operator).owner, 0)
    with site.state.begin() as conn:
        table.resubmit(conn, name, who)
        tell_move(conn, table.read(conn, name), site.settings.notify)
    return _saved(site, name)


def clone_job(
    site: Site, name: str, who: str, restricted: Collection[str], operator: bool = False
) -> table.Job:
    """A new job with the code and the spec of another, which keeps the versions of its inputs. It
    belongs to ``who``, and reads what they may."""
    folder = folder_of(site.jobs_dir, name)
    with site.state.read() as conn:
        own_job(conn, name, who, operator)
    code = "code" if folder.code.is_dir() else ""
    spec = read_spec(folder).model_copy(update={"code": code, "owner": who})
    return submit_job(site, spec, folder.path, who, restricted, operator)


def own_job(conn: Connection, name: str, who: str, operator: bool) -> table.Job:
    """The job, if ``who`` may do something to it; else JobError."""
    job = table.read(conn, name)
    _check_owner(job.owner, who, operator, f"Job {name} is")
    return job


def _check_owner(owner: str, who: str, operator: bool, what: str) -> None:
    if owner != who and not operator:
        raise JobError(
            f"{what} {owner}'s, and you are {who}.", "Its owner may do this, or an operator."
        )


def _settled(
    site: Site, spec: JobSpec, who: str, restricted: Collection[str], operator: bool
) -> JobSpec:
    given = {
        "owner": spec.owner or who,
        "launcher": spec.launcher or site.settings.jobs.launcher,
    }
    _check_owner(given["owner"], who, operator, "The job would be")
    _check_launcher(given["launcher"], spec)
    check_receivers(spec.notify, site.settings.notify)
    check_ceilings(spec.resources, site.settings.jobs)
    with site.state.read() as conn:
        return settle_inputs(site, conn, spec.model_copy(update=given), restricted)


def _check_launcher(name: str, spec: JobSpec) -> None:
    if name not in LAUNCHERS:
        raise SpecError(
            f"launcher: there is none named {name!r}.", f"Choose from {', '.join(LAUNCHERS)}."
        )
    if name == "sandbox" and (spec.image or spec.dockerfile):
        raise SpecError(
            f"{'image' if spec.image else 'dockerfile'}: the sandbox runs no images.",
            'Write launcher = "container".',
        )


def _saved(site: Site, name: str) -> table.Job:
    save_status(site.state, folder_of(site.jobs_dir, name))
    with site.state.read() as conn:
        return table.read(conn, name)


def _check_room(site: Site, owner: str, size: int) -> None:
    quota = parse_size(site.settings.jobs.quota)
    with site.state.read() as conn:
        used = table.usage(conn, owner)
    if used + size > quota:
        raise JobError(
            f"The jobs of {owner} take {show_bytes(used)} of {show_bytes(quota)}, and this one "
            f"{show_bytes(size)} more.",
            "Delete some with `studium job delete NAME`, or have jobs.quota raised.",
        )
