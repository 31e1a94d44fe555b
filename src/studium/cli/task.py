"""``studium task``: the command lines of the edX analytics pipeline, for cron jobs that exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from studium.cli.context import open_chosen_site
from studium.cli.output import print_table
from studium.cli.reports import print_json, print_plan
from studium.errors import FAILED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studium.migrate.lines import Line
    from studium.migrate.tasks import Task
    from studium.migrate.translate import Order
    from studium.site import Site

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME [OPTION]...",
        help="The old line: a task and its options, with launch-task or remote-task before it or "
        "not.",
    ),
]
All = Annotated[bool, typer.Option("--list", help="Show every task and what it does here.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    # What follows the task belongs to it, --help too.
    app.command("task", context_settings={"allow_interspersed_args": False})(task)


def task(
    context: typer.Context, words: Words = None, every: All = False, as_json: Json = False
) -> None:
    """Do what a task of the edX analytics pipeline did.

    `studium task NAME --help` shows its options. Those that mean nothing here are named on standard
    error and passed over; one that would mislead is refused with exit code 2. Exit codes are those
    of `studium run`.
    """
    if every:
        _print_list(as_json)
        return
    words = words or []
    if any(word in ("-h", "--help") for word in words):
        _print_help(words)
        return
    from studium.clock import today
    from studium.migrate.lines import read_line
    from studium.migrate.translate import choose_tables, make_order

    line = read_line(words)
    tables = choose_tables(line.task)
    with open_chosen_site(context) as site:
        order = make_order(line, site.settings, today())
    with open_chosen_site(context, order.overrides) as site:
        for note in (*order.notes, *_reached(site, order, line.task)):
            typer.echo(note, err=True)
        raise typer.Exit(_do(site, line, order, [table.name for table in tables], as_json))


def _do(site: Site, line: Line, order: Order, tables: Sequence[str], as_json: bool) -> int:
    from studium.autopilot.steps import choose_tables, plan_step, possible_tables
    from studium.cli.reports import plan_json
    from studium.cli.run import do_steps
    from studium.lake.plan import Scope
    from studium.lake.store import Lake

    chosen = choose_tables(tables) if tables else []
    possible_tables(site, chosen)  # told before anything is read
    scope = Scope(order.interval, site.settings.run.lookback, frozenset())
    if order.plan:
        planned = plan_step(site, Lake(site.lake_dir), chosen, scope)
        if as_json:
            print_json(plan_json(planned))
        else:
            print_plan(planned)
        return 0
    code = do_steps(site, f"task {line.task.name}", chosen, scope, line.task.steps, as_json)
    if code != FAILED and line.task.report:
        _write_report(site, line.task, as_json)
    return code


def _write_report(site: Site, task: Task, as_json: bool) -> None:
    from studium.autopilot.reporting import report_folder, write_report
    from studium.cli.report import print_written
    from studium.lake.store import Lake

    if not site.settings.answers.report_folder:
        typer.echo("no files are written: no --output-root, no answers.report_folder", err=True)
        return
    folder = report_folder(site)
    written = write_report(site, Lake(site.lake_dir), task.report, folder)
    if not as_json:
        print_written(written, folder)


def _reached(site: Site, order: Order, task: Task) -> list[str]:
    """What differs from the old task if tables reach beyond the interval already."""
    from studium.autopilot import Step
    from studium.autopilot.steps import UNTIL
    from studium.state.facts import get_fact

    with site.state.read() as conn:
        until = get_fact(conn, UNTIL)
    if Step.BUILD not in task.steps or not until or until <= str(order.interval.until):
        return []
    return [f"whole tables reach until {until} already, and never cover less than before"]


def _print_help(words: Sequence[str]) -> None:
    from studium.migrate.lines import read_task
    from studium.migrate.options import Fate

    task = read_task([word for word in words if word not in ("-h", "--help")])
    typer.echo(f"{task.name}: {task.does}.")
    rows = []
    for option in sorted(task.options.values(), key=lambda o: (list(Fate).index(o.fate), o.name)):
        value = "" if option.flag else " VALUE"
        needed = " (needed)" if option.required else ""
        rows.append([f"--{option.name}{value}", f"{option.fate}{needed}", option.says])
    print_table(["option", "", ""], rows)


def _print_list(as_json: bool) -> None:
    from studium.migrate.tasks import TASKS
    from studium.migrate.translate import missing_parts

    rows = []
    for task in TASKS.values():
        missing = missing_parts(task)
        state = "not yet" if missing else "ready"
        rows.append((task, state, missing))
    if as_json:
        print_json(
            [
                {"task": t.name, "lens": t.lens, "state": state, "missing": missing, "does": t.does}
                for t, state, missing in rows
            ]
        )
        return
    print_table(
        ["task", "lens", "", "does"], [[t.name, t.lens, state, t.does] for t, state, _ in rows]
    )
