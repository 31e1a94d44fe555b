"""``job list``, ``show``, ``status`` and ``logs``: what there is and what happens."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studium.cli.context import open_chosen_site
from studium.cli.output import plural, print_table, printable
from studium.errors import FAILED, JobError

if TYPE_CHECKING:
    from studium.jobs.launchers.protocol import Stream
    from studium.jobs.table import Event, Job
    from studium.site import Site

_TOLD = ("unit", "code", "step", "output", "why")
_PART = 1 << 20  # bytes of a log that are asked for at once
_LOOK = 0.3  # seconds between two looks of --watch


def list_jobs(
    context: typer.Context,
    owner: Annotated[str | None, typer.Option(help="Only jobs of this account.")] = None,
    state: Annotated[
        list[str] | None, typer.Option(metavar="STATE", help="Only jobs in this state; repeated.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="The last N submitted; 0: all.")
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """List jobs, the last submitted first."""
    from studium.errors import UsageError
    from studium.jobs import table
    from studium.jobs.quantities import show_bytes
    from studium.jobs.states import State

    try:
        states = [State(one) for one in state] if state else None
    except ValueError:
        raise UsageError(
            f"{', '.join(state or [])}: not all of these are states.",
            f"Choose from {', '.join(State)}.",
        ) from None
    with open_chosen_site(context) as site, site.state.read() as conn:
        found = table.listing(conn, owner, states, limit or None)
    if as_json:
        typer.echo(json.dumps([as_document(job) for job in found], indent=2))
        return
    print_table(
        ["job", "owner", "state", "units", "submitted", "took", "size"],
        [
            [
                job.name,
                job.owner,
                f"{job.state}: {job.failure}" if job.failure else str(job.state),
                f"{job.units_done}/{job.units}",
                job.submitted_at[:16].replace("T", " "),
                _took(job),
                show_bytes(job.bytes),
            ]
            for job in found
        ],
        grouped=False,
    )


def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="JOB", help="Name of the job.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show a job: what it runs and reads, where it is, and everything that happened to it."""
    from studium.jobs import table, units
    from studium.jobs.folder import folder_of

    with open_chosen_site(context) as site, site.state.read() as conn:
        job = table.read(conn, name)
        events = table.history(conn, name)
        counts = units.counts(conn, name, job.attempt)
        folder = folder_of(site.jobs_dir, name)
    if as_json:
        document = as_document(job) | {
            "spec": job.spec.model_dump(mode="json"),
            "unit_states": counts,
            "history": [_event_document(one) for one in events],
            "folder": str(folder.path),
        }
        typer.echo(json.dumps(document, indent=2))
        return
    rows = [
        ("state", f"{job.state}: {job.failure}" if job.failure else str(job.state)),
        ("owner", job.owner),
        ("attempt", str(job.attempt)),
        ("launcher", f"{job.launcher}, {job.spec.profile}"),
        ("data", job.spec.privacy),
        ("command", printable(" ".join(job.spec.command)) or "the image's own"),
    ]
    if job.spec.image:
        rows.append(("image", printable(job.spec.image)))
    rows += [
        ("reads", f"{key}: {printable(_described(one))}") for key, one in job.spec.inputs.items()
    ]
    for one in job.spec.outputs.values():
        goes = "leaves, checked" if one.level == "aggregate" else "stays"
        rows.append(("writes", f"{one.file}: {one.type}, {goes}"))
    rows += [("units", _progress(job)), ("folder", str(folder.path))]
    for label, text in rows:
        typer.echo(f"{label:<8}  {text}")
    typer.echo("")
    _print_events(events)


def status(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="JOB", help="Name of the job.")],
    watch: Annotated[bool, typer.Option("--watch", help="Until it has ended.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say where a job is. With --watch, exit code 1 if it ends otherwise than well."""
    from studium.jobs import table

    with open_chosen_site(context) as site:
        if watch:
            watch_job(site, name, as_json)
            return
        with site.state.read() as conn:
            job = table.read(conn, name)
    typer.echo(json.dumps(as_document(job)) if as_json else _line(job))


def watch_job(site: Site, name: str, as_json: bool = False, quiet: bool = False) -> None:
    """Follow a job to its end: a line that changes on a terminal, else a line for each change;
    ``quiet``: none."""
    if quiet:
        *_, job = _looks(site, name)
    elif sys.stdout.isatty() and not as_json:
        from rich.console import Console

        with Console().status("") as shown:
            for job in _looks(site, name):
                shown.update(_line(job))
        typer.echo(_line(job))
    else:
        for job in _looks(site, name):
            typer.echo(json.dumps(as_document(job)) if as_json else _line(job))
    from studium.jobs.states import State

    if job.state is not State.SUCCEEDED:
        raise typer.Exit(FAILED)


def logs(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="JOB", help="Name of the job.")],
    unit: Annotated[int, typer.Option(min=0, metavar="N", help="Which unit, from 0.")] = 0,
    attempt: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Which attempt; default: the last.")
    ] = None,
    stderr: Annotated[bool, typer.Option("--stderr", help="What it wrote to stderr.")] = False,
    build: Annotated[
        bool,
        typer.Option("--build", help="What the build of its image wrote, before any data."),
    ] = False,
    operator: Annotated[
        bool,
        typer.Option(
            "--operator",
            help="Also if it is of protected data, for those who may see it; this is recorded.",
        ),
    ] = False,
) -> None:
    """Show what a unit wrote. Of jobs on protected data, only what Studium itself knows of them,
    and with --build how their image was built."""
    from studium.cli.job import account, is_operator
    from studium.jobs import table
    from studium.jobs.audit import record
    from studium.jobs.intake import own_job

    stream: Stream = "stderr" if stderr else "stdout"
    with open_chosen_site(context) as site:
        with site.state.read() as conn:
            job = own_job(conn, name, account(), is_operator(site))
            events = table.history(conn, name)
        if build:
            print_log(_build_log(site, name))
            return
        if job.protected and not operator:
            _print_events(events)
            raise JobError(
                f"Job {name} reads protected data: its log may hold some, and is not shown.",
                "`studium job try` runs it on synthetic data with its full log.",
            )
        if job.protected:
            with site.state.begin() as conn:
                details = {"unit": unit, "attempt": attempt or job.attempt, "stream": stream}
                record(conn, account(), "read log", name, details)
        print_log(_stream(site, job, attempt or job.attempt, unit, stream))


def _stream(site: Site, job: Job, attempt: int, unit: int, stream: Stream) -> bytes:
    """All that is kept of a stream, as the job's launcher has it."""
    from studium.jobs import units
    from studium.jobs.folder import folder_of
    from studium.jobs.launchers.registry import launcher_of

    with site.state.read() as conn:
        rows = units.units(conn, job.name, attempt)
    row = next((one for one in rows if one.number == unit), None)
    native = (row and row.native) or ""
    launcher, place = launcher_of(site, job.launcher), folder_of(site.jobs_dir, job.name)
    kept = b""
    while part := launcher.tail(native, place.unit(attempt, unit), stream, len(kept), _PART):
        kept += part
    if not kept and not (row and row.state.ended):
        raise JobError(f"Unit {unit} of job {job.name} has no {stream} yet.", "Try again later.")
    return kept


def _build_log(site: Site, name: str) -> bytes:
    from studium.jobs.folder import folder_of
    from studium.jobs.launchers.container import build_log

    log = build_log(folder_of(site.jobs_dir, name))
    if not log.is_file():
        raise JobError(f"No image was built for job {name}.", "It has no dockerfile, or waits.")
    return log.read_bytes()


def print_log(data: bytes) -> None:
    """A log: whole lines, without what would act on a terminal."""
    for line in data.decode("utf-8", "backslashreplace").splitlines():
        typer.echo(printable(line.expandtabs()))


def as_document(job: Job) -> dict[str, Any]:
    """A job for machines; its spec is in ``job show --json``."""
    from dataclasses import asdict

    document = asdict(job)
    del document["spec"]
    return document


def _looks(site: Site, name: str) -> Iterator[Job]:
    """The job whenever something about it has changed, last when it has ended."""
    from studium.jobs import table

    shown: tuple[object, ...] = ()
    while True:
        with site.state.read() as conn:
            job = table.read(conn, name)
        now = (job.state, job.units_done, job.attempt, job.cancel_at)
        if now != shown:
            shown = now
            yield job
        if job.state.ended:
            return
        time.sleep(_LOOK)


def _line(job: Job) -> str:
    state = f"{job.state}: {job.failure}" if job.failure else str(job.state)
    asked = ", to be cancelled" if job.cancel_at and not job.state.ended else ""
    took = f" after {_took(job)}" if job.state.ended and job.started_at else ""
    return f"{job.name}  {state}{asked}, {_progress(job)}{took}"


def _progress(job: Job) -> str:
    return f"{job.units_done:,} of {plural(job.units, 'unit')} done"


def _took(job: Job) -> str | None:
    from studium.clock import utcnow
    from studium.jobs.quantities import show_seconds

    if job.started_at is None:
        return None
    end = datetime.fromisoformat(job.ended_at) if job.ended_at else utcnow()
    return show_seconds(round((end - datetime.fromisoformat(job.started_at)).total_seconds(), 1))


def _described(one: Any) -> str:
    fields = one.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return " ".join(f"{key} {value}" for key, value in fields.items())


def _print_events(events: list[Event]) -> None:
    print_table(
        ["at", "who", "what", "attempt", ""],
        [
            [
                one.at[:19].replace("T", " "),
                one.who,
                one.what,
                one.attempt,
                ", ".join([*([str(one.failure)] if one.failure else []), *_details(one)]),
            ]
            for one in events
        ],
    )  # fmt: skip


def _details(one: Event) -> list[str]:
    """Details for whoever may see the job: what else there is may hold names that it chose."""
    return [f"{key} {one.details[key]}" for key in _TOLD if key in one.details]


def _event_document(one: Event) -> dict[str, Any]:
    from dataclasses import asdict

    told = {key: value for key, value in one.details.items() if key in _TOLD}
    return {**asdict(one), "details": told}
