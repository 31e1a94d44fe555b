"""``alerts``, and the watch over ``run`` that tells somebody when a night has failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

from studium.cli.context import open_chosen_site
from studium.errors import DONE, FAILED, REJECTS, StudiumError, UsageError

if TYPE_CHECKING:
    from studium.autopilot.alerts import Concern
    from studium.clock import Interval
    from studium.site import Site
    from studium.sources.edx.ingest import IngestReport


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Mail and webhooks for the failed night.")
    group.callback()(_group)
    group.command()(test)
    app.add_typer(group, name="alerts")


def _group() -> None:
    """Mail and webhooks for the failed night."""


def test(context: typer.Context) -> None:
    """Send a message to every address of alerts.urls. Exit code 1 if one could not be reached."""
    from studium.messages import send_message

    with open_chosen_site(context) as site:
        urls = site.settings.alerts.urls
        if not urls:
            raise UsageError(
                "alerts.urls is empty.", "Set STUDIUM_ALERTS__URLS; see docs/how-to/alerts.md."
            )
        body = f"This is a test from the site {site.root}. Nothing is wrong.\n"
        troubles = send_message(urls, "Studium: a test of alerts", body, "alerts.urls")
    for trouble in troubles:
        typer.echo(f"Error: {trouble}.", err=True)
    typer.echo(f"Addresses reached: {len(urls) - len(troubles)} of {len(urls)}.")
    if troubles:
        raise typer.Exit(FAILED)


@dataclass
class Night:
    """What a run came to, as far as it got."""

    report: IngestReport | None = None
    code: int = DONE
    doubts: list[str] = field(default_factory=list)


@contextmanager
def watched(site: Site, command: str, interval: Interval) -> Iterator[Night]:
    """Tell the addresses of ``alerts.urls`` if what is done here fails or leaves doubts.

    An alert that cannot be delivered is said and changes nothing else.
    """
    if not site.settings.alerts.urls:
        yield Night()
        return
    from studium.autopilot.alerts import Concern

    night = Night()
    try:
        yield night
    except Exception as error:
        text = str(error) if isinstance(error, (StudiumError, OSError)) else repr(error)
        _tell(site, command, [Concern(text, "studium doctor")], failed=True)
        raise
    concerns = _concerns(site, night)
    if night.report and night.code in (DONE, REJECTS):
        concerns += _odd_data(site, interval)
    _tell(site, command, concerns, failed=night.code == FAILED)


def _concerns(site: Site, night: Night) -> list[Concern]:
    from studium.autopilot.alerts import Concern

    found = [Concern(doubt, "studium doctor") for doubt in night.doubts]
    report = night.report
    if report is None:
        return found
    found += [
        Concern(f"{file.path}: {file.error}. Everything else was done.", "studium doctor")
        for file in report.failed
    ]
    if night.code == REJECTS:
        found.append(
            Concern(
                f"{report.rejects:,} of {report.lines:,} lines were refused "
                f"({report.rejects / report.lines:.1%}); run.max_reject_share = "
                f"{site.settings.run.max_reject_share:g}.",
                "studium rejects",
            )
        )
    return found


def _odd_data(site: Site, interval: Interval) -> list[Concern]:
    from studium.autopilot.alerts import look_at_data
    from studium.lake.store import Lake

    return look_at_data(site, Lake(site.lake_dir), interval)


def _tell(site: Site, command: str, concerns: list[Concern], failed: bool) -> None:
    from studium.autopilot.alerts import say

    try:
        troubles = say(site, command, concerns, failed)
    except StudiumError as error:
        troubles = [str(error)]
    except Exception as error:  # whatever a messenger does must not spoil the night's work
        troubles = [f"alerts: {type(error).__name__}"]
    for trouble in troubles:
        typer.echo(f"Alert not delivered: {trouble}.", err=True)
