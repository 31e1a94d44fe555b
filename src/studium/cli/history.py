"""``import-history``: days of an old pipeline's warehouse, where the raw logs are gone."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from studium.cli.context import open_chosen_site, writing
from studium.cli.output import Progress, plural, print_table
from studium.cli.reports import days_text, print_json
from studium.errors import DONE, FAILED, REJECTS

if TYPE_CHECKING:
    from studium.autopilot.history import HistoryReport
    from studium.site import Site
    from studium.sources.history.importer import TableReport


def register(app: typer.Typer) -> None:
    app.command("import-history")(import_history)


def import_history(
    context: typer.Context,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="DIR…",
            help="The old warehouse, folders of its tables, of days (dt=…), or their files.",
        ),
    ],
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this table; may be repeated. Default: all."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DAY", help="First day to import. Default: all.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DAY", help="Day after the last. Default: today.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Read unchanged files again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Import day files of an old edX pipeline, for days whose raw logs are gone.

    Takes course_enrollment_events, last_ip_of_user_id, user_activity_by_user,
    video_viewing_by_date and module_engagement, as far as their lenses are built. Exit code 0:
    done; 1: something was not imported; 3: done, with more refused lines than
    run.max_reject_share.
    """
    from studium.autopilot.history import import_history as import_all
    from studium.clock import parse_day
    from studium.lake.store import Lake

    with open_chosen_site(context) as site:
        with writing(site, "import-history"), Progress("Importing", "bytes") as progress:
            report = import_all(
                site,
                Lake(site.lake_dir),
                paths,
                parse_day(since) if since else None,
                parse_day(until) if until else None,
                frozenset(table or ()),
                again,
                progress.expect,
                progress.advance,
            )
        if as_json:
            print_json(_json(report))
        else:
            _print(report)
        raise typer.Exit(_exit_code(site, report))


def _print(report: HistoryReport) -> None:
    if report.tables:
        print_table(
            ["from", "into", "days", "lines", "= kept", "+ duplicates", "+ rejects"],
            [
                [one.table, one.target, len(one.days), one.lines, one.kept, one.duplicates,
                 one.rejects]
                for one in report.tables
            ],
        )  # fmt: skip
    for one in report.tables:
        for fate in dict.fromkeys(one.days.values()):
            days = [day for day, became in one.days.items() if became is fate]
            typer.echo(f"{one.target}: {fate.value}: {days_text(days)}.")
        for reason, count in one.reasons.most_common():
            typer.echo(f"Refused: {reason} {count:,}, first {one.first.get(reason, 'not a line')}.")
        if one.forgotten:
            typer.echo(f"{one.target}: {plural(one.forgotten, 'line')} of forgotten learners.")
    if any(one.reasons for one in report.tables):
        typer.echo("`studium rejects` shows the lines.")
    if report.others:
        listed = ", ".join(f"{name} ({count:,})" for name, count in sorted(report.others.items()))
        typer.echo(f"Left, as Studium makes it itself or has no use for it: {listed}.")
    if report.outside:
        typer.echo(f"Left, as not asked for: {plural(report.outside, 'file')}.")
    if any(one.rows for one in report.tables):
        typer.echo("Now `studium build` and `studium publish`, or `studium run`.")
    for one in report.tables:
        for path, error in one.errors.items():
            typer.echo(f"Error: {path}: {error}. Its day was not imported.", err=True)
    for place in report.strange:
        typer.echo(f"Error: {place}: not a day YYYY-MM-DD; not imported.", err=True)
    for reason in report.refused:
        typer.echo(f"Error: {reason}", err=True)


def _exit_code(site: Site, report: HistoryReport) -> int:
    if report.failed:
        return FAILED
    allowed = site.settings.run.max_reject_share
    if report.lines and report.rejects / report.lines > allowed:
        typer.echo(
            f"Done, but {report.rejects:,} of {report.lines:,} lines were refused, more than "
            f"run.max_reject_share = {allowed:g} allows. See `studium rejects`.",
            err=True,
        )
        return REJECTS
    return DONE


def _json(report: HistoryReport) -> dict[str, object]:
    return {
        "tables": [_table_json(one) for one in report.tables],
        "refused": report.refused,
        "others": dict(report.others),
        "strange": report.strange,
        "outside": report.outside,
    }


def _table_json(one: TableReport) -> dict[str, object]:
    return {
        "from": one.table,
        "into": one.target,
        "days": dict(Counter(fate.value for fate in one.days.values())),
        "lines": one.lines,
        "kept": one.kept,
        "duplicates": one.duplicates,
        "rejects": one.rejects,
        "forgotten": one.forgotten,
        "rows": one.rows,
        "reasons": dict(one.reasons),
        "first": one.first,
        "errors": one.errors,
    }
