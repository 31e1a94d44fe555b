"""``run`` and its steps ``ingest``, ``build``, ``publish``, and ``plan``, which only looks."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studium.autopilot import Step
from studium.cli.context import open_chosen_site, writing
from studium.cli.output import Progress
from studium.cli.reports import (
    built_json,
    ingest_json,
    plan_json,
    print_built,
    print_imported,
    print_ingest,
    print_json,
    print_left_out,
    print_plan,
    print_published,
    print_withdrawn,
    published_json,
)
from studium.errors import DONE, FAILED, REJECTS
from studium.servers import is_server

if TYPE_CHECKING:
    from studium.clock import Interval
    from studium.lake.build import Built
    from studium.lake.plan import Scope
    from studium.lake.store import Lake
    from studium.lake.tables import Table
    from studium.site import Site
    from studium.sources.edx.ingest import Choice, IngestReport

Names = Annotated[
    list[str] | None, typer.Argument(metavar="LENS|TABLE", help="Lenses or tables; default all.")
]
Source = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Log files: a file, a glob in quotes or a folder, here or in S3 (s3://bucket/prefix); "
        "may be repeated. "
        "Default: edx.source in studium.toml.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="DAY", help="First UTC day, YYYY-MM-DD. Default: site.start."),
]
Until = Annotated[
    str | None, typer.Option(metavar="DAY", help="UTC day after the last. Default: today.")
]
Lms = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|URL",
        help="Folder of LMS tables, a MySQL dump of them, or the URL of the LMS's database. "
        "Default: lms.source in studium.toml.",
    ),
]
Geoip = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.mmdb", help="Country database. Default: geography.database in studium.toml."
    ),
]
Lookback = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="Read and build the last N days again, changed or not."),
]
Engine = Annotated[
    str | None, typer.Option(metavar="NAME", help="duckdb or spark. Default: engine.name.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Again = Annotated[bool, typer.Option("--again", help="Build even what has not changed.")]


def register(app: typer.Typer) -> None:
    for command in (run, plan, ingest, build, publish):
        app.command()(command)


def run(
    context: typer.Context,
    lenses: Names = None,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    lms: Lms = None,
    geoip: Geoip = None,
    lookback: Lookback = None,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Ingest new log files, build what they changed, publish it: the nightly job.

    Exit code 0: done; 1: failed, or a file could not be read to its end (everything else was
    done); 3: done, with more refused lines than run.max_reject_share.
    """
    from studium.autopilot.steps import choose_tables

    with _site(context, source, lms, lookback, engine, geoip) as site:
        tables = choose_tables(lenses or ())
        scope = _scope(site, _interval(site, since, until))
        raise typer.Exit(do_steps(site, "run", tables, scope, as_json=as_json))


def ingest(
    context: typer.Context,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    lms: Lms = None,
    lookback: Lookback = None,
    as_json: Json = False,
    follow: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Follow this live log until SIGTERM or Ctrl-C."),
    ] = None,
    every: Annotated[
        float, typer.Option(min=0.1, metavar="S", help="With --follow: look every S seconds.")
    ] = 10.0,
    build_every: Annotated[
        float,
        typer.Option(
            min=0.0,
            metavar="S",
            help="With --follow: build and publish every S seconds if anything came; 0: never.",
        ),
    ] = 0.0,
) -> None:
    """Read new and changed log files into the lake; or follow a live one."""
    if follow is not None:
        from studium.cli.follow import follow_log

        with _site(context, None, None, None, None) as site:
            follow_log(site, follow, every, build_every)
        return
    with _site(context, source, lms, lookback, None) as site:
        scope = _scope(site, _interval(site, since, until))
        do = (Step.LMS, Step.INGEST)
        raise typer.Exit(do_steps(site, "ingest", (), scope, do, as_json))


def build(
    context: typer.Context,
    tables: Names = None,
    since: Since = None,
    until: Until = None,
    geoip: Geoip = None,
    lookback: Lookback = None,
    engine: Engine = None,
    again: Again = False,
    as_json: Json = False,
) -> None:
    """Build the tables whose inputs, SQL or parameters have changed."""
    from studium.autopilot.steps import choose_tables

    with _site(context, None, None, lookback, engine, geoip) as site:
        chosen = choose_tables(tables or ())
        scope = _scope(site, _interval(site, since, until), tables if again else None, again)
        raise typer.Exit(do_steps(site, "build", chosen, scope, (Step.BUILD,), as_json))


def publish(
    context: typer.Context,
    tables: Names = None,
    again: Annotated[
        bool, typer.Option("--again", help="Publish even what has not changed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring the built tables into the result store, all together."""
    from studium.autopilot.steps import choose_tables

    with open_chosen_site(context) as site:
        chosen = choose_tables(tables or ())
        scope = _scope(site, _interval(site, None, None), None, again)
        do_steps(site, "publish", chosen, scope, (Step.PUBLISH,), as_json)


def plan(
    context: typer.Context,
    tables: Names = None,
    since: Since = None,
    until: Until = None,
    geoip: Geoip = None,
    lookback: Lookback = None,
    again: Again = False,
    as_json: Json = False,
) -> None:
    """Show what would be built and why, and the days never ingested. Changes nothing."""
    from studium.autopilot import steps
    from studium.lake.store import Lake

    with _site(context, None, None, lookback, None, geoip) as site:
        chosen = steps.choose_tables(tables or ())
        scope = _scope(site, _interval(site, since, until), tables if again else None, again)
        planned = steps.plan_step(site, Lake(site.lake_dir), chosen, scope)
        if as_json:
            print_json(plan_json(planned))
        else:
            print_plan(planned)
            print_left_out(steps.left_out(site, chosen))


def do_steps(
    site: Site,
    command: str,
    tables: Sequence[Table],
    scope: Scope,
    do: Collection[Step] = tuple(Step),
    as_json: bool = False,
) -> int:
    """The steps ``do`` for ``tables`` under one lock, each said when it is done; the exit code.

    Every command that writes tables comes here, so that whatever the main job does, all do.
    """
    from studium.autopilot import steps
    from studium.cli.alerts import watched
    from studium.cli.privacy import drop_old_days
    from studium.lake.store import Lake

    report = None
    document: dict[str, object] = {}
    with watched(site, command, scope.window) as night, writing(site, command):
        lake = Lake(site.lake_dir)
        # Logs first: they are kept whatever becomes of an LMS that is away.
        if Step.INGEST in do:
            report = night.report = ingest_logs(site, lake, scope.window)
            document |= ingest_json(report)
            if not as_json:
                print_ingest(report)
        if Step.LMS in do:
            imported = steps.lms_step(site, lake, _say)
            if not as_json:
                print_imported(imported)
        if Step.BUILD in do:
            built = build_all(site, lake, tables, scope)
            document["built"] = built_json(built)
            if not as_json:
                print_built(built)
        if Step.PUBLISH in do:
            # `run` and `build` ask for tables to be built; what is equal then is published already.
            again = command == "publish" and bool(scope.asked)
            out = steps.publish_step(site, lake, tables, print_withdrawn, again)
            document["published"] = published_json(out)
            if not as_json:
                print_published(site, out)
        if Step.INGEST in do and Step.PUBLISH in do and site.settings.retention.raw_days:
            document["dropped"] = drop_old_days(site, lake, as_json)
        waiting = steps.left_out(site, tables) if Step.BUILD in do else []
        if not as_json:
            print_left_out(waiting)
        code = _exit_code(site, report) if report else DONE
        night.code = code or (FAILED if any(one.wrong for one in waiting) else DONE)
        night.doubts = [
            f"The lens {one.lens} is left out: {one.reason}" for one in waiting if one.wrong
        ]
    if as_json:
        print_json(document)
    return night.code


def _site(
    context: typer.Context,
    source: list[str] | None,
    lms: str | None,
    lookback: int | None,
    engine: str | None,
    geoip: str | None = None,
) -> Site:
    given: dict[str, object] = {
        # From the command line paths start here; in studium.toml they start at the site.
        "edx.source": [path if "://" in path else _path(path) for path in source or ()] or None,
        "lms.source": lms if not lms or is_server(lms) else _path(lms),
        "geography.database": _path(geoip) if geoip else None,
        "run.lookback": lookback,
        "engine.name": engine,
    }
    return open_chosen_site(
        context, {key: value for key, value in given.items() if value is not None}
    )


def _path(text: str) -> str:
    return os.path.abspath(os.path.expanduser(text))


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _interval(site: Site, since: str | None, until: str | None) -> Interval:
    from studium.autopilot.steps import choose_interval
    from studium.clock import parse_day

    return choose_interval(
        site, parse_day(since) if since else None, parse_day(until) if until else None
    )


def _scope(
    site: Site, interval: Interval, tables: list[str] | None = None, again: bool = False
) -> Scope:
    from studium.autopilot.steps import choose_tables
    from studium.lake.plan import Scope

    every = [table.name for table in choose_tables(())]
    lenses = {table.lens: table for table in choose_tables(())}
    asked: set[str] = set()
    for name in tables or (every if again else ()):
        asked |= {t.name for t in choose_tables([name])} if name in lenses else {name}
    return Scope(interval, site.settings.run.lookback, frozenset(asked))


def ingest_logs(site: Site, lake: Lake, interval: Interval) -> IngestReport:
    from studium.autopilot.steps import ingest_step

    with Progress("Reading logs", "bytes") as progress:

        def expect(choice: Choice) -> None:
            progress.expect(sum(file.size for file in choice.files))

        return ingest_step(
            site,
            lake,
            interval,
            on_choice=expect,
            on_bytes=progress.advance,
        )


def build_all(site: Site, lake: Lake, tables: Sequence[Table], scope: Scope) -> list[Built]:
    from studium.autopilot.steps import build_step

    with Progress("Building", "tables") as progress:
        progress.expect(len(tables))
        return build_step(site, lake, tables, scope, lambda table: progress.advance())


def _exit_code(site: Site, report: IngestReport) -> int:
    if report.failed:
        for file in report.failed:
            typer.echo(f"Error: {file.path}: {file.error}.", err=True)
        typer.echo(
            "       Everything else was done. Bring the file again, whole, and repeat the command.",
            err=True,
        )
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
