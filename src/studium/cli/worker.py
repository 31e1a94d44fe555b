"""``worker``: run the jobs that wait."""

from __future__ import annotations

from typing import Annotated

import typer

from studium.cli.context import open_chosen_site


def register(app: typer.Typer) -> None:
    app.command()(worker)


def worker(
    context: typer.Context,
    once: Annotated[
        bool,
        typer.Option("--once", help="Begin what there is room for, finish the steps, and end."),
    ] = False,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when no job waits or runs any more.")
    ] = False,
    slots: Annotated[
        int,
        typer.Option(
            "--slots", metavar="N", min=0, help="Units to run at once; default: worker.slots."
        ),
    ] = 0,
    launcher: Annotated[
        list[str] | None,
        typer.Option(
            "--launcher", metavar="NAME", help="Only jobs of this launcher; may be repeated."
        ),
    ] = None,
) -> None:
    """Run jobs until told to end. SIGTERM or Ctrl-C drains: steps in hand are finished, units that
    run go on, and the next worker adopts them. Any number of workers may share a state."""
    from studium.jobs.launchers.registry import launcher_of, open_launchers, policy_of
    from studium.jobs.worker.service import serve

    with open_chosen_site(context) as site:
        found = {name: launcher_of(site, name) for name in launcher or ()} or open_launchers(site)
        serve(
            site,
            found,
            refusals=policy_of(site, found),
            say=typer.echo,
            slots=slots,
            once=once,
            until_idle=until_idle,
        )
