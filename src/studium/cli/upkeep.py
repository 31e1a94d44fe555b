"""``vacuum`` and ``doctor``: keeping a site clean and sound."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from studium.cli.context import open_chosen_site, writing
from studium.cli.output import plural, print_table
from studium.errors import FAILED

if TYPE_CHECKING:
    from studium.site import Site


def register(app: typer.Typer) -> None:
    app.command()(vacuum)
    app.command()(doctor)


def vacuum(
    context: typer.Context,
    keep_hours: Annotated[
        int,
        typer.Option(min=0, metavar="H", help="Keep what was replaced in the last H hours."),
    ] = 168,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Delete files that no table needs any more, and jobs that ended long ago (jobs.keep)."""
    from studium.jobs.inputs import pinned
    from studium.jobs.upkeep import expired_jobs
    from studium.lake.store import Lake
    from studium.lake.vacuum import vacuum_tables
    from studium.sources.edx.rejects import drop_superseded

    with open_chosen_site(context) as site, writing(site, "vacuum"):
        lake = Lake(site.lake_dir)
        superseded = 0 if dry_run else drop_superseded(site, lake)
        with site.state.read() as conn:
            kept = pinned(conn)
        tables = vacuum_tables(lake, keep_hours, dry_run, pinned=kept)
        done = [one for one in tables if one.files]
        if not dry_run:
            shutil.rmtree(site.scratch, ignore_errors=True)
        old = [job.name for job in expired_jobs(site)]
        if not dry_run:
            old = [name for name in old if _deleted(site, name)]
    verb = "would go" if dry_run else "deleted"
    if done:
        print_table(
            ["table", "files", "bytes"], [[one.table, one.files, one.bytes] for one in done]
        )
    files, size = sum(one.files for one in done), sum(one.bytes for one in done)
    typer.echo(f"{plural(files, 'file')}, {size / 1e6:,.1f} MB {verb}.")
    if old:
        typer.echo(f"{plural(len(old), 'job')} {verb} that ended long ago.")
    if superseded:
        typer.echo(f"{plural(superseded, 'refused line')} of earlier readings forgotten.")


def _deleted(site: Site, name: str) -> bool:
    from studium.errors import JobError
    from studium.jobs.upkeep import delete_job

    try:
        delete_job(site, name, "vacuum", operator=True)
    except JobError:  # a worker has not tidied up after it yet: next time
        return False
    return True


def doctor(
    context: typer.Context,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="First make the ledger anew from the lake, and lost jobs from their folders.",
        ),
    ] = False,
    jobs: Annotated[
        bool, typer.Option("--jobs", help="Try the launchers of jobs too: some seconds.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """Check the site and say what to do about what is wrong. Exit code 1 if anything is."""
    from dataclasses import asdict

    from studium.autopilot.checks import examine, examine_launchers, rebuild_ledger
    from studium.jobs.upkeep import repair_lost

    with open_chosen_site(context) as site:
        if repair:
            with writing(site, "doctor --repair"):
                made = rebuild_ledger(site)
                lost = repair_lost(site)
            if not as_json:
                typer.echo(
                    f"Ledger made anew: {plural(len(made.fresh), 'partition')} known to be fresh, "
                    f"{len(made.unsure):,} to be built again by the next run."
                )
                if lost.any:
                    typer.echo(
                        f"Jobs: {len(lost.rowless) - len(lost.broken):,} rows made anew, "
                        f"{len(lost.abandoned) + len(lost.folderless):,} left-overs removed."
                    )
        findings = [*examine(site), *(examine_launchers(site) if jobs else ())]
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in findings], indent=2))
    else:
        print_table(
            ["", "check", "found"],
            [["ok" if one.ok else "WRONG", one.check, one.found] for one in findings],
        )
        for one in findings:
            if not one.ok:
                typer.echo(f"{one.check}: {one.cure}")
    if not all(one.ok for one in findings):
        raise typer.Exit(FAILED)
