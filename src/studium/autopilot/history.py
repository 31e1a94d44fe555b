"""Importing history: the old warehouse's days into the tables that the lenses have for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date

from studium.clock import Interval, today
from studium.errors import SourceError, UsageError
from studium.lake.store import Lake
from studium.lenses import tables as lens_tables
from studium.site import Site
from studium.sources.history.folders import DayFolder, find_days
from studium.sources.history.importer import TableReport, check_target, import_days
from studium.sources.history.warehouse import BY_FOLDER


@dataclass
class HistoryReport:
    """What one import did: a report per table; ``refused`` says why a table was not imported;
    ``others`` counts files, by folder, that are not imported as Studium makes those tables itself;
    ``strange`` are folders whose name is no day."""

    tables: list[TableReport] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    outside: int = 0

    @property
    def failed(self) -> bool:
        return bool(self.refused or self.strange or any(one.errors for one in self.tables))

    @property
    def lines(self) -> int:
        return sum(one.lines for one in self.tables)

    @property
    def rejects(self) -> int:
        return sum(one.rejects for one in self.tables)


def import_history(
    site: Site,
    lake: Lake,
    paths: Sequence[str],
    since: date | None = None,
    until: date | None = None,
    only: Collection[str] = (),
    again: bool = False,
    on_size: Callable[[int], None] = lambda size: None,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> HistoryReport:
    """Import what lies below ``paths``, of the days ``[since, until)``. Needs the writer lock.

    Raises SourceError if nothing there is of use, UsageError for an unknown table, or for days
    before ``site.start``, which no whole table would count.
    """
    for name in only:
        if name not in BY_FOLDER:
            raise UsageError(
                f"--table {name} is none of the warehouse's daily facts.",
                f"Those are {', '.join(sorted(BY_FOLDER))}.",
            )
    window = Interval(since or date.min, max(since or date.min, until or today()))
    found = find_days(paths, window, only)
    report = HistoryReport(others=found.others, strange=found.strange, outside=found.outside)
    grouped: dict[str, list[DayFolder]] = {}
    for day in found.days:
        grouped.setdefault(day.table.name, []).append(day)
    _refuse_early(site, found.days)
    known = {table.name: table for table in lens_tables()}
    wanted = []
    for name, days in grouped.items():
        source = BY_FOLDER[name]
        try:
            wanted.append((check_target(source, known.get(source.target)), days))
        except SourceError as error:
            report.refused.append(f"{error.message} {error.hint}")
    if report.refused and not wanted:
        raise SourceError(" ".join(report.refused))
    if not found.days and not found.strange and not found.outside:
        raise SourceError(
            f"nothing to import: {', '.join(sorted(found.others))} are made anew by Studium.",
            f"Name folders of {', '.join(sorted(BY_FOLDER))}.",
        )
    on_size(sum(file.size for _, days in wanted for day in days for file in day.files))
    for target, days in wanted:
        report.tables.append(import_days(site, lake, target, days, again, on_bytes))
    return report


def _refuse_early(site: Site, days: Sequence[DayFolder]) -> None:
    start = site.settings.site.start
    early = sorted({day.day for day in days if day.day < start})
    if early:
        raise UsageError(
            f"{len(early):,} of the days, the first {early[0]}, lie before site.start = "
            f"{start}; whole tables would not count them. Nothing was imported.",
            f'Set site.start = "{early[0]}" in studium.toml, or give --since {start}.',
        )
