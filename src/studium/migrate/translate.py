"""An old line as what ``studium run`` is told: days, look-back, settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from studium.autopilot import Step
from studium.clock import Interval, parse_day
from studium.errors import UsageError
from studium.lake.tables import Table
from studium.lenses import tables as lens_tables
from studium.lenses.engagement.windows import whole_weeks
from studium.migrate.config import read_config
from studium.migrate.files import (
    choose_files,
    choose_root,
    local_path,
    read_list,
    read_manifest,
)
from studium.migrate.intervals import parse_interval, parse_span
from studium.migrate.lines import Line
from studium.migrate.sections import translate_config
from studium.migrate.tasks import Part, Task
from studium.servers import is_server, read_credentials
from studium.settings import Settings
from studium.sources.lms.tables import TABLES as LMS_TABLES

TWO_WEEKS = timedelta(days=14)


@dataclass(frozen=True)
class Order:
    """What a line asks of the site. ``overrides`` are settings by dotted key and may hold a
    password; ``plan`` asks to be shown the work only."""

    overrides: Mapping[str, object]
    interval: Interval
    notes: tuple[str, ...]
    plan: bool = False


def missing_parts(task: Task) -> list[str]:
    """What this version lacks to do ``task``: tables that no lens makes, snapshots not taken."""
    made = {name for table in lens_tables() for name in (table.name, table.publish)}
    taken = {table.name for table in LMS_TABLES}
    return [name for name in task.tables if name not in made] + [
        name for name in task.lms if name not in taken
    ]


def choose_tables(task: Task) -> list[Table]:
    """The tables that ``task`` builds, with everything they read, inputs first; a UsageError that
    says so if they are not there yet."""
    if missing := missing_parts(task):
        what = f"the lens {task.lens}" if task.lens else "the import of the LMS"
        raise UsageError(
            f"{task.name} cannot be done yet: {what} of this version does not make "
            f"{', '.join(missing)}.",
            "The task works as soon as a version of Studium makes them: `studium task --list`.",
        )
    every = lens_tables()
    wanted = {t.name for t in every if t.name in task.tables or t.publish in task.tables}
    if task.part is Part.DAYS:
        lenses = {table.lens for table in every if table.name in wanted}
        # A lens without such tables has only the whole ones to build.
        wanted = {t.name for t in every if t.lens in lenses and t.kind == "day"} or wanted
    for table in reversed(every):  # readers before what they read
        if table.name in wanted:
            wanted |= set(table.inputs)
    return [table for table in every if table.name in wanted]


def make_order(line: Line, settings: Settings, today: date) -> Order:
    """What ``line`` asks of a site with ``settings``. Raises UsageError for values that are wrong
    or would mislead."""
    lms = settings.lms
    if line.task.lms and not (lms.source or lms.courses or lms.api_url):
        raise UsageError(
            f"{line.task.name} takes {', '.join(line.task.lms)} from the LMS, and none is named.",
            "Set lms.api_url or lms.courses in studium.toml.",
        )
    interval, notes = _interval(line, settings, today)
    overrides = dict(_overrides(line, settings, interval))
    manifest = line.one("manifest")
    if manifest and read_manifest(manifest) is None:
        notes.append("--manifest: passed over; the state database keeps account of files")
    return Order(
        overrides, interval, (*line.notes, *notes), line.one("dependency-tree") is not None
    )


def _interval(line: Line, settings: Settings, today: date) -> tuple[Interval, list[str]]:
    notes: list[str] = []
    start, options = settings.site.start, line.task.options
    since, until, given = start, today, True
    if text := line.one("interval"):
        whole = parse_interval(text)
        since, until = whole.since, whole.until
    elif "weeks" in options:
        until = _day(line, "end-date") or today
        weeks = _count(line, "weeks", settings.engagement.weeks)
        if weeks < 1:
            raise UsageError(f"--weeks {weeks} makes no window.", "Give 1 or more.")
        window = whole_weeks(until, weeks)
        since, given = max(window.since, min(start, until)), False
    elif day := _day(line, "date"):
        since, until, given = max(day - TWO_WEEKS, min(start, day)), day, False
    else:
        since = _day(line, "interval-start") or start
        until = _day(line, "interval-end") or today
    tomorrow = today + timedelta(days=1)
    if until > tomorrow:
        notes.append(f"days from {tomorrow} on are left out: they have not begun")
        since, until = min(since, tomorrow), tomorrow
    if since < start and given:
        raise UsageError(
            f"The interval begins on {since}, but the site on {start}: earlier events are refused.",
            f"Set site.start = {since} in studium.toml, or begin the interval there.",
        )
    if since > start and given and Step.PUBLISH in line.task.steps:
        notes.append(
            f"published tables cover every day from {start} (site.start) on, not from {since} only"
        )
    if until < since:
        raise UsageError(
            f"The interval ends on {until}, before it begins on {since}.", "Correct the line."
        )
    return Interval(since, until), notes


def _overrides(line: Line, settings: Settings, interval: Interval) -> Iterator[tuple[str, object]]:
    if configs := line.values.get("additional-config"):
        made = translate_config(
            read_config([Path(local_path(c, "--additional-config")) for c in configs])
        )
        # Where the site lies and begins is not a line's to say.
        yield from (
            (key, value)
            for key, value in made.values.items()
            if key.partition(".")[0] in ("answers", "edx", "lms", "results", "run")
        )
    if sources := _sources(line, settings):
        yield "edx.source", sources
    if form := line.one("date-pattern"):
        yield "edx.date_format", form
    if span := line.one("expand-interval"):
        yield "edx.window_days", parse_span(span)
    if (days := _look_back(line, interval)) is not None:
        yield "run.lookback", days
    if line.one("credentials") or line.one("database"):
        yield "results.url", _results_url(line, settings)
    if line.task.report and (place := line.one("output-root")):
        yield "answers.report_folder", local_path(place, "--output-root")
    if place := line.one("geolocation-data"):
        yield "geography.database", _country_file(place)
    if url := line.one("api-root-url"):
        yield "lms.discovery_url", url
    if line.one("api-page-size"):
        yield "lms.page_size", _count(line, "api-page-size", 1)
    if partners := line.values.get("partner-short-codes"):
        yield "lms.partners", read_list(partners, "--partner-short-codes")
    if line.one("weeks"):
        yield "engagement.weeks", _count(line, "weeks", 1)


def _sources(line: Line, settings: Settings) -> list[str]:
    if (manifest := line.one("manifest")) and (listed := read_manifest(manifest)):
        return listed
    name = "src" if "src" in line.values else "source"
    roots = [
        choose_root(root, f"--{name}") for root in read_list(line.values.get(name, ()), f"--{name}")
    ]
    patterns = read_list(line.values.get("pattern", ()), "--pattern")
    globs = read_list(line.values.get("include", ()), "--include")
    if not roots and not patterns:
        return []
    return choose_files(roots or settings.edx.source, patterns, globs)


def _look_back(line: Line, interval: Interval) -> int | None:
    if line.one("overwrite"):
        return len(interval)
    if day := _day(line, "overwrite-from-date"):
        return max(0, (interval.until - day).days)
    return _count(line, "overwrite-n-days", 0) if line.one("overwrite-n-days") else None


def _results_url(line: Line, settings: Settings) -> str:
    known = settings.results.url if is_server(settings.results.url) else ""
    database = line.one("database") or known.partition("?")[0].rpartition("/")[2]
    if not database:
        raise UsageError(
            "--credentials names a server, but no database.", "Add --database NAME to the line."
        )
    if place := line.one("credentials"):
        path = Path(local_path(place, "--credentials"))
        held: Mapping[str, Any] = read_credentials(path, UsageError)
        user = quote(str(held.get("username") or ""), safe="")
        word = quote(str(held.get("password") or ""), safe="")
        server = f"{held.get('host') or 'localhost'}:{held.get('port') or 3306}"
        return f"mysql://{user}{f':{word}' if word else ''}{'@' if user else ''}{server}/{database}"
    if not known:
        raise UsageError(
            f"--database {database}: the result store is {settings.results.url}, a file.",
            "Set results.url in studium.toml, or add --credentials FILE to the line.",
        )
    place, question, query = known.partition("?")
    return f"{place.rpartition('/')[0]}/{database}{question}{query}"


def _country_file(place: str) -> str:
    path = local_path(place, "--geolocation-data")
    if not path.endswith(".mmdb"):
        raise UsageError(
            f"--geolocation-data {place} is no .mmdb file: the old format is no longer published.",
            "Get a country database in MaxMind's DB format (GeoLite2 Country, DB-IP Lite).",
        )
    return path


def _day(line: Line, name: str) -> date | None:
    text = line.one(name)
    return parse_day(text) if text else None


def _count(line: Line, name: str, default: int) -> int:
    text = line.one(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"--{name} {text} is not a number.", "Write a whole number, 0 or more.")
    # Nothing here counts further than the calendar goes.
    return min(int(text), date.max.toordinal()) if len(text) < 19 else date.max.toordinal()
