"""``run`` and its steps ``ingest``, ``build``, ``publish``, and ``plan``, which only looks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from studium.cli.context import open_chosen_site
from studium.cli.output import ByteProgress, plural, print_table
from studium.errors import DONE, FAILED, REJECTS

if TYPE_CHECKING:
    from studium.autopilot.steps import Planned
    from studium.clock import Interval
    from studium.lake.build import Built
    from studium.lake.plan import Reason, Scope
    from studium.lake.store import Lake
    from studium.lake.tables import Table
    from studium.results.publication import Published
    from studium.site import Site
    from studium.sources.edx.ingest import Choice, IngestReport
    from studium.sources.lms.importer import Imported

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[LENS|TABLE]…", help="Lenses or tables; default all.")
]
Source = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Log files: a file, a glob in quotes or a folder; may be repeated. "
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
    typer.Option(metavar="DIR", help="Folder of LMS tables. Default: lms.source in studium.toml."),
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
    lookback: Lookback = None,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Ingest new log files, build what they changed, publish it: the nightly job.

    Exit code 0: done; 1: failed, or a file could not be read to its end (everything else was
    done); 3: done, with more refused lines than run.max_reject_share.
    """
    from studium.autopilot import steps
    from studium.lake.store import Lake

    with _site(context, source, lms, lookback, engine) as site:
        tables = steps.choose_tables(lenses or ())
        interval = _interval(site, since, until)
        with site.writer("run"):
            lake = Lake(site.lake_dir)
            imported = _lms(site, lake)
            report = _ingest(site, lake, interval)
            if not as_json:
                print_imported(imported)
                print_ingest(report)
            built = _build(site, lake, tables, _scope(site, interval))
            if not as_json:
                print_built(built)
            out = steps.publish_step(site, lake, tables)
        if as_json:
            _print_json(
                {
                    **_ingest_json(report),
                    "built": _built_json(built),
                    "published": _published_json(out),
                }
            )
        else:
            print_published(site, out)
        raise typer.Exit(_exit_code(site, report))


def ingest(
    context: typer.Context,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    lms: Lms = None,
    lookback: Lookback = None,
    as_json: Json = False,
) -> None:
    """Read new and changed log files into the lake."""
    from studium.lake.store import Lake

    with _site(context, source, lms, lookback, None) as site:
        interval = _interval(site, since, until)
        with site.writer("ingest"):
            lake = Lake(site.lake_dir)
            imported = _lms(site, lake)
            report = _ingest(site, lake, interval)
        if as_json:
            _print_json(_ingest_json(report))
        else:
            print_imported(imported)
            print_ingest(report)
        raise typer.Exit(_exit_code(site, report))


def build(
    context: typer.Context,
    tables: Names = None,
    since: Since = None,
    until: Until = None,
    lookback: Lookback = None,
    engine: Engine = None,
    again: Again = False,
    as_json: Json = False,
) -> None:
    """Build the tables whose inputs, SQL or parameters have changed."""
    from studium.autopilot import steps
    from studium.lake.store import Lake

    with _site(context, None, None, lookback, engine) as site:
        chosen = steps.choose_tables(tables or ())
        scope = _scope(site, _interval(site, since, until), tables if again else None, again)
        with site.writer("build"):
            built = _build(site, Lake(site.lake_dir), chosen, scope)
        if as_json:
            _print_json({"built": _built_json(built)})
        else:
            print_built(built)


def publish(context: typer.Context, tables: Names = None, as_json: Json = False) -> None:
    """Bring the built tables into the result store, all together."""
    from studium.autopilot import steps
    from studium.lake.store import Lake

    with open_chosen_site(context) as site:
        chosen = steps.choose_tables(tables or ())
        with site.writer("publish"):
            out = steps.publish_step(site, Lake(site.lake_dir), chosen)
        if as_json:
            _print_json({"published": _published_json(out)})
        else:
            print_published(site, out)


def plan(
    context: typer.Context,
    tables: Names = None,
    since: Since = None,
    until: Until = None,
    lookback: Lookback = None,
    again: Again = False,
    as_json: Json = False,
) -> None:
    """Show what would be built and why, and the days never ingested. Changes nothing."""
    from studium.autopilot import steps
    from studium.lake.store import Lake

    with _site(context, None, None, lookback, None) as site:
        chosen = steps.choose_tables(tables or ())
        scope = _scope(site, _interval(site, since, until), tables if again else None, again)
        planned = steps.plan_step(site, Lake(site.lake_dir), chosen, scope)
        if as_json:
            _print_json(_plan_json(planned))
        else:
            print_plan(planned)


def print_imported(imported: Sequence[Imported]) -> None:
    """What was taken from the LMS, and what is missing there."""
    for one in imported:
        if one.found:
            state = "new snapshot" if one.changed else "unchanged"
            refused = f", {plural(one.refused, 'row')} refused" if one.refused else ""
            typer.echo(f"{one.table.name}: {plural(one.rows, 'row')}, {state}{refused}")
        elif one.table.meanwhile:
            typer.echo(f"{one.table.name}: no such file; {one.table.meanwhile}")


def print_ingest(report: IngestReport) -> None:
    """The sum of every file: lines = kept + duplicates + rejects."""
    from pathlib import PurePath

    if report.files:
        rows = [
            [PurePath(f.path).name, f.lines, f.kept, f.duplicates, f.rejects, f.new, f.error or ""]
            for f in report.files
        ]
        total = [sum(row[index] for row in rows) for index in range(1, 6)]  # type: ignore[misc]
        if len(rows) > 1:
            rows.append([f"{len(rows)} files", *total, ""])
        headers = ["file", "lines", "= kept", "+ duplicates", "+ rejects", "new events", ""]
        if not any(row[-1] for row in rows):
            headers, rows = headers[:-1], [row[:-1] for row in rows]
        print_table(headers, rows)
    passed = [f"{report.unchanged:,} unchanged" if report.unchanged else ""]
    passed.append(f"{report.outside:,} outside {report.interval}" if report.outside else "")
    said = " and ".join(filter(None, passed))
    if not report.files:
        typer.echo(f"No new or changed log file{f' ({said})' if said else ''}.")
    elif said:
        typer.echo(f"Not read: {said}.")
    if report.reasons:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in report.reasons.most_common())
        typer.echo(f"Refused: {reasons}. See `studium rejects`.")


def print_built(built: Sequence[Built]) -> None:
    """Each table that was built, why, and whether its rows changed."""
    if not built:
        typer.echo("Nothing to build.")
        return
    print_table(
        ["built", "why", "partitions", "changed", "rows"],
        [
            [one.work.table.name, _why(one.work.reasons.values()), len(one.work.reasons),
             one.changed, one.rows]
            for one in built
        ],
    )  # fmt: skip


def print_published(site: Site, out: Sequence[Published]) -> None:
    """Which tables readers see anew."""
    from studium.urls import mask_password

    url = mask_password(site.settings.results.url)
    if not out:
        typer.echo(f"Nothing to publish: {url} is up to date.")
        return
    rows = sum(one.rows for one in out)
    typer.echo(
        f"Published {plural(len(out), 'table')}, {plural(rows, 'row')} to {url}, "
        f"data until {out[0].data_until}."
    )


def print_plan(planned: Planned) -> None:
    """Work by table and reason, then the holes in the history."""
    typer.echo(f"Days {planned.scope.window}; whole tables until {planned.until}.")
    rows: list[list[object]] = []
    if planned.stale_shredder:
        rows.append(["events", "code changed", len(planned.stale_shredder),
                     _days(planned.stale_shredder)])  # fmt: skip
    for work in planned.work:
        for reason in dict.fromkeys(work.reasons.values()):
            days = [day for day, why in work.reasons.items() if why is reason]
            rows.append([work.table.name, reason.value, len(days), _days(days)])
    if rows:
        print_table(["table", "why", "partitions", "days"], rows)
    else:
        typer.echo("Nothing to build.")
    if planned.missing:
        count = sum(len(run) for run in planned.missing)
        typer.echo(f"Never ingested: {plural(count, 'day')}: {_runs(planned.missing)}.")


def _site(
    context: typer.Context,
    source: list[str] | None,
    lms: str | None,
    lookback: int | None,
    engine: str | None,
) -> Site:
    given: dict[str, object] = {
        "edx.source": source,
        "lms.source": lms,
        "run.lookback": lookback,
        "engine.name": engine,
    }
    return open_chosen_site(
        context, {key: value for key, value in given.items() if value is not None}
    )


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


def _lms(site: Site, lake: Lake) -> list[Imported]:
    from studium.autopilot.steps import lms_step

    folder = site.settings.lms.source
    return lms_step(site, lake, folder) if folder else []


def _ingest(site: Site, lake: Lake, interval: Interval) -> IngestReport:
    from studium.autopilot.steps import Watcher, ingest_step

    with ByteProgress("Reading logs") as progress:

        def expect(choice: Choice) -> None:
            progress.expect(sum(file.size for file in choice.files))

        return ingest_step(
            site,
            lake,
            site.settings.edx.source,
            interval,
            site.settings.run.lookback,
            Watcher(on_choice=expect, on_bytes=progress.advance),
        )


def _build(site: Site, lake: Lake, tables: Sequence[Table], scope: Scope) -> list[Built]:
    from studium.autopilot.steps import Watcher, build_step

    return build_step(site, lake, tables, scope, Watcher())


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


def _why(reasons: Iterable[Reason]) -> str:
    counts = Counter(str(reason.value) for reason in reasons)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common())


def _days(days: Sequence[date | None]) -> str:
    from studium.clock import Interval
    from studium.lake.plan import missing_days

    known = sorted(day for day in days if day is not None)
    if not known:
        return "whole table"
    from datetime import timedelta

    span = Interval(known[0], known[-1] + timedelta(days=1))
    absent = set(span) - set(known)
    return _runs(missing_days(absent, span))


def _runs(runs: Sequence[Interval], most: int = 5) -> str:
    from datetime import timedelta

    texts = [
        str(run.since) if len(run) == 1 else f"{run.since} … {run.until - timedelta(days=1)}"
        for run in runs[:most]
    ]
    more = f", and {len(runs) - most:,} more runs" if len(runs) > most else ""
    return ", ".join(texts) + more


def _print_json(document: object) -> None:
    typer.echo(json.dumps(document, default=str, ensure_ascii=False, indent=2))


def _ingest_json(report: IngestReport) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "interval": [str(report.interval.since), str(report.interval.until)],
        "files": [asdict(file) for file in report.files],
        "unchanged": report.unchanged,
        "outside": report.outside,
        "reasons": dict(report.reasons),
    }


def _built_json(built: Sequence[Built]) -> list[dict[str, object]]:
    return [
        {
            "table": one.work.table.name,
            "reasons": dict(Counter(reason.value for reason in one.work.reasons.values())),
            "changed": one.changed,
            "rows": one.rows,
        }
        for one in built
    ]


def _published_json(out: Sequence[Published]) -> list[dict[str, object]]:
    from dataclasses import asdict

    return [asdict(one) for one in out]


def _plan_json(planned: Planned) -> dict[str, object]:
    return {
        "since": planned.scope.window.since,
        "until": planned.scope.window.until,
        "whole_until": planned.until,
        "work": [
            {"table": work.table.name, "day": day, "reason": reason.value}
            for work in planned.work
            for day, reason in work.reasons.items()
        ],
        "reshred": planned.stale_shredder,
        "never_ingested": [[run.since, run.until] for run in planned.missing],
    }
