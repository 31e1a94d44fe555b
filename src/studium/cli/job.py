"""``job``: people's code over the lake, submitted, watched, ended, fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studium.cli import job_trial, job_views
from studium.cli.context import open_chosen_site
from studium.cli.output import plural, print_table
from studium.errors import FAILED, JobError, UsageError

if TYPE_CHECKING:
    from studium.jobs.spec import JobSpec
    from studium.jobs.table import Job
    from studium.site import Site

Name = Annotated[str, typer.Argument(metavar="JOB", help="Name of the job.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    group = typer.Typer(
        help="Other people's code over the lake: submit, watch, cancel, fetch.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command()(submit)
    group.command("try")(job_trial.try_job)
    group.command("list")(job_views.list_jobs)
    group.command()(job_views.show)
    group.command()(job_views.status)
    group.command()(job_views.logs)
    group.command()(cancel)
    group.command()(results)
    group.command()(resubmit)
    group.command()(delete)
    group.command()(token)
    app.add_typer(group, name="job")


def submit(
    context: typer.Context,
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Folder with a job.toml, or the file itself.")
    ] = Path(),
    name: Annotated[
        str | None, typer.Option(help="Start of the job's name, in place of the file's.")
    ] = None,
    owner: Annotated[
        str | None, typer.Option(help="Account it belongs to; default: yours.")
    ] = None,
    launcher: Annotated[str | None, typer.Option(help="Where it runs.")] = None,
    priority: Annotated[
        int | None, typer.Option(min=-10, max=10, help="Larger goes first.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check it, and say what would be taken.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Wait for its end.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the name alone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a job in and queue it; a worker runs it. Prints its name.

    With --watch, exit code 1 if it fails.
    """
    from studium.jobs.intake import submit_job
    from studium.lenses import restricted_tables

    given = {"name": name, "owner": owner, "launcher": launcher, "priority": priority}
    spec, base = describe(path, {key: value for key, value in given.items() if value is not None})
    if dry_run:
        _say_what_goes(spec, base, as_json)
        return
    with open_chosen_site(context) as site:
        job = submit_job(site, spec, base, account(), restricted_tables(), is_operator(site))
        _say(job, as_json, job.name if quiet else f"Job {job.name} is queued.")
        if watch:
            job_views.watch_job(site, job.name, as_json, quiet)


def cancel(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """End a job, also while it runs. One that has ended stays as it is."""
    from studium.jobs.intake import cancel_job

    with open_chosen_site(context) as site:
        job = cancel_job(site, name, account(), is_operator(site))
    said = f"is {job.state}" if job.state.ended else f"is {job.state} and will be cancelled"
    _say(job, as_json, f"Job {name} {said}.")


def resubmit(
    context: typer.Context,
    name: Name,
    clone: Annotated[
        bool, typer.Option("--clone", help="As a new job; the old one may have succeeded.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Queue a job that failed or was cancelled once more: same code, same versions of the data.

    What its earlier attempts left stays.
    """
    from studium.jobs.intake import clone_job, resubmit_job
    from studium.lenses import restricted_tables

    with open_chosen_site(context) as site:
        if clone:
            job = clone_job(site, name, account(), restricted_tables(), is_operator(site))
            said = f"Job {job.name} is queued, a clone of {name}."
        else:
            job = resubmit_job(site, name, account(), is_operator(site))
            said = f"Job {name} is queued, attempt {job.attempt}."
    _say(job, as_json, said)


def results(
    context: typer.Context,
    name: Name,
    target: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Folder to copy them to; without, they are listed."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List or fetch what has left a job after disclosure control."""
    from dataclasses import asdict

    from studium.jobs.results import fetch_results, list_results

    with open_chosen_site(context) as site:
        if target is None:
            found = list_results(site, name)
        else:
            found = fetch_results(site, name, target, account(), is_operator(site))
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    if found:
        print_table(
            ["file", "bytes", "rows", "SHA-256", ""],
            [
                [one.name, one.size, one.rows, one.sha256[:16], "rows withheld" * one.withheld]
                for one in found
            ],
        )
    place = "" if target is None else f" copied to {target}"
    typer.echo(f"{plural(len(found), 'file')}{place}.")


def delete(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="JOB…", help="Names of jobs that have ended.")
    ] = None,
    expired: Annotated[
        bool, typer.Option("--expired", help="All that ended more than jobs.keep days ago.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete jobs with all that is in their folders. What was read and released stays in the audit
    log. Exit code 1 if one of them could not be deleted; the others are."""
    from studium.jobs.quantities import show_bytes
    from studium.jobs.upkeep import delete_job, expired_jobs

    if not names and not expired:
        raise UsageError("Nothing is named to delete.", "Name jobs, or give --expired.")
    with open_chosen_site(context) as site:
        chosen = list(dict.fromkeys(names or []))
        if expired:
            chosen += [job.name for job in expired_jobs(site) if job.name not in chosen]
        if chosen and not yes:
            for name in chosen:
                typer.echo(f"  {name}")
            if not typer.confirm(f"Delete {plural(len(chosen), 'job')} with all outputs?"):
                raise typer.Exit(FAILED)
        freed, wrong = {}, {}
        for name in chosen:
            try:
                freed[name] = delete_job(site, name, account(), is_operator(site))
            except JobError as error:
                wrong[name] = str(error)
    if as_json:
        typer.echo(json.dumps({"deleted": list(freed), "bytes": sum(freed.values()),
                               "failed": wrong}))  # fmt: skip
    else:
        for text in wrong.values():
            typer.echo(f"Error: {text}", err=True)
        size = show_bytes(sum(freed.values()))
        typer.echo(f"{plural(len(freed), 'job')} deleted, {size} freed.")
    if wrong:
        raise typer.Exit(FAILED)


def account() -> str:
    """Who runs this command, as the machine knows them: not as the environment says."""
    import os
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def is_operator(site: Site) -> bool:
    """Whether who runs this command has the site, or the machine."""
    import os

    return os.getuid() in (0, site.root.stat().st_uid)


def describe(path: Path, given: dict[str, Any]) -> tuple[JobSpec, Path]:
    """The spec that ``path`` describes, with options over it, and the folder of its code."""
    from studium.jobs.description import parse_spec, read_description

    fields = {**read_description(path), **given}
    if not fields.get("image") and "code" not in fields:
        fields["code"] = "."  # a job.toml lies beside the code that it runs
    base = path if path.is_dir() else path.parent
    return parse_spec(fields, str(path / "job.toml" if path.is_dir() else path)), base


def _say(job: Job, as_json: bool, text: str) -> None:
    typer.echo(json.dumps(job_views.as_document(job)) if as_json else text)


def _say_what_goes(spec: JobSpec, base: Path, as_json: bool) -> None:
    from studium.jobs.submission import list_folder, source_of

    source = source_of(base, spec.code)
    is_folder = bool(spec.code) and source.is_dir()
    files, left_out = list_folder(source) if is_folder else ([], [])
    if spec.code and not is_folder and source.exists():
        files = [(spec.code, source.stat().st_size)]
    size = sum(size for _, size in files)
    if as_json:
        document = {"spec": spec.model_dump(mode="json"), "files": dict(files),
                    "left_out": left_out, "bytes": size}  # fmt: skip
        typer.echo(json.dumps(document, indent=2))
        return
    print_table(["file", "bytes"], files)
    for name in left_out:
        typer.echo(f"left out: {name}")
    typer.echo(f"The description is right. {plural(len(files), 'file')}, {size:,} bytes would go.")


def token(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="JOB", help="Name of the job.")],
) -> None:
    """Print the token that the job's callbacks are signed with, for their receiver."""
    from studium.jobs.intake import own_job
    from studium.jobs.notify import token_of

    with open_chosen_site(context) as site, site.state.begin() as conn:
        typer.echo(token_of(conn, own_job(conn, name, account(), is_operator(site)).name))
