"""``report``: CSV files for course teams, one for each course."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studium.cli.context import open_chosen_site
from studium.cli.output import plural, print_table
from studium.cli.reports import print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studium.lenses.answers.reports import Written


def register(app: typer.Typer) -> None:
    app.command()(report)


def report(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="REPORT", help="answer_distribution or problem_response.")
    ],
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="Where to; default: answers.report_folder."),
    ] = None,
    course: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Only this course run; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a CSV file for each course, as course teams know them.

    answer_distribution: how many learners gave which answer. problem_response: what each learner
    answered last, with names of users; keep its files where only those may read them who should.
    """
    from studium.autopilot.reporting import report_folder, write_report
    from studium.lake.store import Lake

    with open_chosen_site(context) as site:
        place = report_folder(site, folder)
        written = write_report(site, Lake(site.lake_dir), name, place, course or ())
    if as_json:
        print_json(report_json(written))
    else:
        print_written(written, place)


def print_written(written: Sequence[Written], folder: Path) -> None:
    """The files of a report, each with its lines."""
    print_table(
        ["course", "lines", "file"],
        [[one.course_id, one.lines, str(one.path.relative_to(folder))] for one in written],
    )
    typer.echo(f"Wrote {plural(len(written), 'file')} to {folder}.")


def report_json(written: Sequence[Written]) -> list[dict[str, object]]:
    """The same as JSON has it."""
    return [
        {"course_id": one.course_id, "lines": one.lines, "file": str(one.path)} for one in written
    ]
