"""What the steps of the main job did, as text for people and as JSON for machines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING

import typer

from studium.cli.output import plural, print_table

if TYPE_CHECKING:
    from studium.autopilot.steps import Planned
    from studium.clock import Interval
    from studium.lake.build import Built
    from studium.lake.plan import Reason
    from studium.lenses.parameters import LeftOut
    from studium.results.publication import Published
    from studium.site import Site
    from studium.sources.edx.ingest import FileReport, IngestReport
    from studium.sources.lms.importer import Imported


def print_imported(imported: Sequence[Imported]) -> None:
    """What was taken from the LMS, and what is missing there."""
    for one in imported:
        if one.found:
            state = "new snapshot" if one.changed else "unchanged"
            refused = f", {plural(one.refused, 'row')} refused" if one.refused else ""
            replaced = f", {plural(one.replaced, 'text')} not UTF-8" if one.replaced else ""
            typer.echo(f"{one.table.name}: {plural(one.rows, 'row')}, {state}{refused}{replaced}")
        elif one.table.meanwhile:
            typer.echo(f"{one.table.name}: no such file; {one.table.meanwhile}")


def print_left_out(waiting: Sequence[LeftOut]) -> None:
    """Lenses that were passed over, and why."""
    for one in waiting:
        prefix = "Error: the" if one.wrong else "The"
        typer.echo(f"{prefix} lens {one.lens} is left out: {one.reason}", err=one.wrong)


def print_ingest(report: IngestReport, most: int | None = None) -> None:
    """The sum of every file: lines = kept + duplicates + rejects (+ forgotten, if there are); or
    only of the ``most`` files with the most refused lines, and the total."""
    if report.files:
        names = ["lines", "kept", "duplicates", "rejects", "new"]
        headers = ["file", "lines", "= kept", "+ duplicates", "+ rejects", "new events", ""]
        if any(file.forgotten for file in report.files):
            names.insert(4, "forgotten")
            headers.insert(5, "+ forgotten")
        rows: list[list[object]] = [
            [PurePath(f.path).name, *(getattr(f, name) for name in names), f.error or ""]
            for f in _shown(report.files, most)
        ]
        if len(report.files) > 1:
            sums = (sum(getattr(f, name) for f in report.files) for name in names)
            rows.append([plural(len(report.files), "file"), *sums, ""])
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


def _shown(files: Sequence[FileReport], most: int | None) -> Sequence[FileReport]:
    if most is None or len(files) <= most:
        return files
    worst = sorted(files, key=lambda file: -file.rejects)[:most]
    return [file for file in files if file in worst]


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
    for one in built:
        if one.kept:
            typer.echo(
                f"{one.work.table.name}: {plural(len(one.kept), 'imported day')} kept, as raw logs "
                f"give fewer rows: {days_text(one.kept)}."
            )


def print_published(site: Site, out: Sequence[Published]) -> None:
    """Which tables readers see anew."""
    from studium.urls import mask_password

    url = mask_password(site.settings.results.url)
    if not out:
        typer.echo(f"Nothing to publish: {url} is up to date.")
        return
    rows = sum(one.rows for one in out)
    until = max((one.data_until for one in out if one.data_until), default=None)
    typer.echo(
        f"Published {plural(len(out), 'table')}, {plural(rows, 'row')} to {url}, "
        f"data until {until or 'the snapshot of the LMS'}."
    )


def print_withdrawn(table: str) -> None:
    """A table that readers no longer find; on standard error, as JSON may be on the other."""
    typer.echo(
        f"Dropped {table} from the result store: no table file declares it any more.", err=True
    )


def print_plan(planned: Planned) -> None:
    """Work by table and reason, then the holes in the history."""
    typer.echo(f"Days {planned.scope.window}; whole tables until {planned.until}.")
    rows: list[list[object]] = []
    if planned.stale_shredder:
        rows.append(["events", "code changed", len(planned.stale_shredder),
                     days_text(planned.stale_shredder)])  # fmt: skip
    for work in planned.work:
        for reason in dict.fromkeys(work.reasons.values()):
            days = [day for day, why in work.reasons.items() if why is reason]
            rows.append([work.table.name, reason.value, len(days), days_text(days)])
    if rows:
        print_table(["table", "why", "partitions", "days"], rows)
    else:
        typer.echo("Nothing to build.")
    for table, taken in planned.imported.items():
        typer.echo(f"Imported into {table}: {plural(len(taken), 'day')}: {days_text(taken)}.")
    if planned.missing:
        count = sum(len(run) for run in planned.missing)
        typer.echo(f"Never ingested: {plural(count, 'day')}: {_runs(planned.missing)}.")


def _why(reasons: Iterable[Reason]) -> str:
    counts = Counter(str(reason.value) for reason in reasons)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common())


def days_text(days: Sequence[date | None]) -> str:
    """Days as runs, the first few of them."""
    from studium.clock import Interval
    from studium.lake.plan import missing_days

    known = sorted(day for day in days if day is not None)
    if not known:
        return "whole table"
    span = Interval(known[0], known[-1] + timedelta(days=1))
    absent = set(span) - set(known)
    return _runs(missing_days(absent, span))


def _runs(runs: Sequence[Interval], most: int = 5) -> str:
    texts = [
        str(run.since) if len(run) == 1 else f"{run.since} … {run.until - timedelta(days=1)}"
        for run in runs[:most]
    ]
    more = f", and {len(runs) - most:,} more runs" if len(runs) > most else ""
    return ", ".join(texts) + more


def print_json(document: object) -> None:
    typer.echo(json.dumps(document, default=str, ensure_ascii=False, indent=2))


def ingest_json(report: IngestReport) -> dict[str, object]:
    return {
        "interval": [str(report.interval.since), str(report.interval.until)],
        "files": [asdict(file) for file in report.files],
        "unchanged": report.unchanged,
        "outside": report.outside,
        "reasons": dict(report.reasons),
    }


def built_json(built: Sequence[Built]) -> list[dict[str, object]]:
    return [
        {
            "table": one.work.table.name,
            "reasons": dict(Counter(reason.value for reason in one.work.reasons.values())),
            "changed": one.changed,
            "rows": one.rows,
            "kept_imported": list(one.kept),
        }
        for one in built
    ]


def published_json(out: Sequence[Published]) -> list[dict[str, object]]:
    return [asdict(one) for one in out]


def plan_json(planned: Planned) -> dict[str, object]:
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
        "imported": planned.imported,
        "never_ingested": [[run.since, run.until] for run in planned.missing],
    }
