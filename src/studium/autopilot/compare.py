"""Shadow run: published tables beside an old result store, cell by cell.

Both stores are read, one moment of each, into Parquet files and joined there by the grain of each
table, so that memory stays bounded however large they are.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from shlex import quote as shell_quote
from typing import TYPE_CHECKING

from studium.autopilot import cells
from studium.engines.duckdb import connect, explain, quote, relation_sql
from studium.errors import EngineError, ResultsError, UsageError
from studium.lake.store import Lake
from studium.lake.tables import Table
from studium.lenses import tables as lens_tables
from studium.lenses.differences import Difference, documented, evidence
from studium.results.publication import REGISTER
from studium.results.reading import Reader, open_reader
from studium.results.store import PASSWORD as OWN
from studium.site import Site

if TYPE_CHECKING:
    import duckdb

PASSWORD = "STUDIUM_COMPARE_PASSWORD"
"""The environment variable that may hold the password of the other store."""

UNEXPLAINED = "unexplained"
NEWER_HERE = "newer here"
NEWER_THERE = "newer there"
_ORDER = "id"
_FORMATS = {".csv": "csv", ".json": "json", ".parquet": "parquet"}


@dataclass(frozen=True)
class Example:
    """A difference that nothing explains; ``command`` is the next thing to look at."""

    table: str
    kind: str
    column: str | None
    where: str
    here: str | None
    there: str | None
    command: str


@dataclass
class TableComparison:
    """One table: rows that ``both`` have and that only one has, ``twice`` there beside the newest,
    ``cells`` that differ; ``classes`` counts all these differences by what explains them: the
    number of a documented one, ``newer here``, ``newer there``, ``unexplained``. ``lacking`` are
    columns that the other store does not have."""

    table: str
    both: int
    only_here: int
    only_there: int
    twice: int
    cells: int
    classes: Counter[str]
    lacking: tuple[str, ...] = ()


@dataclass
class Comparison:
    """Everything. ``not_there`` and ``not_here`` are tables of one store alone; the last days are
    those of all tables with days, None without any."""

    here: str
    there: str
    tables: list[TableComparison] = field(default_factory=list)
    not_there: list[str] = field(default_factory=list)
    not_here: list[str] = field(default_factory=list)
    last_here: date | None = None
    last_there: date | None = None
    examples: list[Example] = field(default_factory=list)

    @property
    def classes(self) -> Counter[str]:
        return sum((one.classes for one in self.tables), Counter())

    @property
    def unexplained(self) -> int:
        return self.classes[UNEXPLAINED]


def compare_stores(
    site: Site,
    lake: Lake,
    url: str,
    only: Collection[str] = (),
    tolerance: float = 1e-6,
    examples: int = 3,
    output: Path | None = None,
) -> Comparison:
    """Compare the site's result store with the one at ``url``; neither is changed.

    Numbers with a fraction are equal within ``tolerance`` (relative), times within a second; a
    missing row and a row of NULLs differ. ``examples`` bounds the unexplained ones given for each
    table; ``output`` gets all differences (.csv, .json, one a line, or .parquet).

    Raises UsageError for a bad URL, table or file name, ResultsError for a store that cannot be
    read or has none of the tables.
    """
    import duckdb

    if output is not None and output.suffix not in _FORMATS:
        raise UsageError(
            f"--output {output} has no known form.", f"End it in {', '.join(_FORMATS)}."
        )
    known = {table.publish: table for table in lens_tables() if table.publish}
    for name in only:
        if name not in known:
            raise UsageError(
                f"--table {name}: Studium publishes no such table.",
                f"It publishes {', '.join(sorted(known))}.",
            )
    settings = site.settings.engine
    with tempfile.TemporaryDirectory(prefix="studium-compare-") as scratch:
        folder = Path(scratch)
        with (
            closing(connect(settings.memory, settings.threads or None, folder / "spill")) as db,
            open_reader(site.settings.results.url, site.root, "results.url", OWN) as here,
            open_reader(url, Path.cwd(), "--with", PASSWORD) as there,
        ):
            try:
                return _Comparer(site, lake, db, folder, here, there, tolerance).run(
                    [table for name, table in sorted(known.items()) if not only or name in only],
                    examples,
                    output,
                )
            except duckdb.Error as error:
                raise EngineError(
                    f"comparing stopped: {explain(error)}.",
                    "Raise engine.memory, or make room where temporary files go (TMPDIR).",
                ) from error


class _Comparer:
    def __init__(
        self,
        site: Site,
        lake: Lake,
        db: duckdb.DuckDBPyConnection,
        folder: Path,
        here: Reader,
        there: Reader,
        tolerance: float,
    ) -> None:
        self.site, self.db, self.folder = site, db, folder
        self.here, self.there, self.tolerance = here, there, tolerance
        db.execute("CREATE SCHEMA compared")
        db.execute(
            "CREATE TABLE compared.differences (table_name VARCHAR, kind VARCHAR, "
            'column_name VARCHAR, "where" VARCHAR, here VARCHAR, there VARCHAR, class VARCHAR)'
        )
        self.lake = lake
        self.rules: tuple[Difference, ...] = ()

    def run(self, tables: Sequence[Table], examples: int, output: Path | None) -> Comparison:
        report = Comparison(self.here.name, self.there.name)
        common = []
        for table in tables:
            name = str(table.publish)
            if name not in self.here.tables:
                continue
            if name in self.there.tables:
                common.append(table)
            else:
                report.not_there.append(name)
        published = {table.publish for table in lens_tables()}
        report.not_here = sorted(self.there.tables - published - {REGISTER})
        if not common:
            raise ResultsError(
                f"{self.there.name} and {self.here.name} have no table in common.",
                "Publish first (`studium run`), and name the old pipeline's result store.",
            )
        # Days first: whether data are newer on one side decides about tables without days, too.
        dated = {table.name: cells.moment(table) is not None for table in common}
        lacking = {table.name: self._stage(table) for table in common}
        ends = [self._ends(table) for table in common if dated[table.name]]
        report.last_here = max((end for end, _ in ends if end), default=None)
        report.last_there = max((end for _, end in ends if end), default=None)
        self.rules = _with_evidence(self.db, self.lake, {str(table.publish) for table in common})
        for table in common:
            one = self._compare(table, lacking[table.name], report)
            report.tables.append(one)
            report.examples += self._examples(table, examples)
        if output is not None:
            self._write(output)
        return report

    def _stage(self, table: Table) -> tuple[str, ...]:
        """Both sides as tables ``compared.here_…`` and ``there_…``; columns that are lacking."""
        name = str(table.publish)
        has = self.there.columns(name)
        names = [column.name for column in table.published_columns]
        lacking = tuple(one for one in names if one not in has)
        if set(lacking) & set(table.grain):
            raise ResultsError(
                f"Table {name} of {self.there.name} has no column {', '.join(lacking)}.",
                "Is it the result store of an edX pipeline? Leave the table out with --table.",
            )
        columns = [column for column in table.published_columns if column.name not in lacking]
        order = _ORDER if _ORDER in has else None
        for side, reader in (("here", self.here), ("there", self.there)):
            path = self.folder / f"{side}-{name}.parquet"
            reader.stage(name, columns, order if side == "there" else None, path)
            self.db.execute(
                f'CREATE VIEW compared."{side}_{name}" AS '
                f"SELECT {cells.typed(columns)}, "
                f"{cells.nth(table.grain, order) if side == 'there' else '1'} AS nth "
                f"FROM read_parquet({quote(str(path))})"
            )
        return lacking

    def _ends(self, table: Table) -> tuple[date | None, date | None]:
        moment = cells.moment(table)
        found = [
            self.db.execute(
                f'SELECT CAST(max("{moment}") AS DATE) FROM compared."{side}_{table.publish}"'
            ).fetchall()[0][0]
            for side in ("here", "there")
        ]
        return found[0], found[1]

    def _compare(self, table: Table, lacking: Sequence[str], report: Comparison) -> TableComparison:
        name = str(table.publish)
        compared = [
            column
            for column in table.published_columns
            if column.name not in table.grain and column.name not in lacking
        ]
        newer = self._newer(table, report)
        self.db.execute(
            "CREATE OR REPLACE TABLE compared.joined AS "
            + cells.joined_sql(table, compared, self.tolerance)
        )
        cases = {
            kind: cells.explained(
                [rule for rule in self.rules if rule.kind == kind and name in rule.tables],
                newer.get(kind, ()), self.site.settings.site.start,
            )
            for kind in ("only here", "only there")
        }  # fmt: skip
        for kind, case in cases.items():
            self.db.execute("INSERT INTO compared.differences " + cells.rows_sql(table, kind, case))
        twice = [rule for rule in self.rules if rule.kind == "twice there" and name in rule.tables]
        case = cells.explained(twice, (), self.site.settings.site.start)
        self.db.execute("INSERT INTO compared.differences " + cells.twice_sql(table, case))
        for column in compared:
            rules = [
                rule
                for rule in self.rules
                if rule.kind == "cell"
                and name in rule.tables
                and (not rule.columns or column.name in rule.columns)
            ]
            case = cells.explained(rules, newer.get("cell", ()), self.site.settings.site.start)
            self.db.execute(
                "INSERT INTO compared.differences "
                + cells.cells_sql(table, column, case, self.tolerance)
            )
        return self._summary(table, lacking)

    def _newer(self, table: Table, report: Comparison) -> Mapping[str, Sequence[tuple[str, str]]]:
        """Conditions, by kind of difference, under which data are newer on one side."""
        moment = cells.moment(table)
        here, there = report.last_here, report.last_there
        if moment is None:
            if here is None or there is None or here == there:
                return {}
            said = NEWER_HERE if here > there else NEWER_THERE
            return {kind: [("true", said)] for kind in ("only here", "only there", "cell")}
        last_here, last_there = self._ends(table)
        name = table.publish
        ((days_here, days_there),) = self.db.execute(
            f'SELECT (SELECT count(DISTINCT "{moment}") FROM compared."here_{name}"), '
            f'(SELECT count(DISTINCT "{moment}") FROM compared."there_{name}")'
        ).fetchall()
        if last_here is None or last_there is None or last_here == last_there:
            return {}
        if days_here == days_there == 1:  # a table that keeps its last day only
            said = NEWER_HERE if last_here > last_there else NEWER_THERE
            return {kind: [("true", said)] for kind in ("only here", "only there")}
        day = f'CAST("{moment}" AS DATE)'
        return {
            "only here": [(f"{day} > DATE '{last_there}'", NEWER_HERE)],
            "only there": [(f"{day} > DATE '{last_here}'", NEWER_THERE)],
        }

    def _summary(self, table: Table, lacking: Sequence[str]) -> TableComparison:
        name = str(table.publish)
        counts: Counter[str] = Counter()
        classes: Counter[str] = Counter()
        for kind, said, count in self.db.execute(
            "SELECT kind, class, count(*) FROM compared.differences "
            f"WHERE table_name = {quote(name)} GROUP BY ALL"
        ).fetchall():
            counts[kind] += count
            classes[said] += count
        ((rows,),) = self.db.execute(f'SELECT count(*) FROM compared."here_{name}"').fetchall()
        return TableComparison(
            table=name,
            both=rows - counts["only here"],
            only_here=counts["only here"],
            only_there=counts["only there"],
            twice=counts["twice there"],
            cells=counts["cell"],
            classes=classes,
            lacking=tuple(lacking),
        )

    def _examples(self, table: Table, most: int) -> list[Example]:
        rows = self.db.execute(
            'SELECT kind, column_name, "where", here, there FROM compared.differences '
            f"WHERE table_name = {quote(str(table.publish))} AND class = {quote(UNEXPLAINED)} "
            f'ORDER BY kind, "where", column_name LIMIT {most}'
        ).fetchall()
        return [
            Example(str(table.publish), kind, column, where, mine, theirs,
                    _command(table, kind, where))
            for kind, column, where, mine, theirs in rows
        ]  # fmt: skip

    def _write(self, output: Path) -> None:
        form = _FORMATS[output.suffix]
        self.db.execute(
            "COPY (SELECT * FROM compared.differences ORDER BY ALL) TO "
            f"{quote(str(output))} (FORMAT {form}{', HEADER' if form == 'csv' else ''})"
        )


def _with_evidence(
    db: duckdb.DuckDBPyConnection, lake: Lake, compared: Collection[str]
) -> tuple[Difference, ...]:
    """The rules whose evidence there can be; it is put where they look for it."""
    rules = [rule for rule in documented() if set(rule.tables) & set(compared)]
    named = {name for rule in rules for name in rule.reads}
    made = [one for one in evidence() if one.name in named]
    tables = (named - {one.name for one in made}) | {name for one in made for name in one.reads}
    there = set()
    for name in sorted(tables):
        snapshot = lake.snapshot(name)
        if snapshot.exists:
            db.execute(f'CREATE VIEW "{name}" AS {relation_sql(snapshot.relation())}')
            there.add(name)
    for one in made:
        if not there >= set(one.reads) or (one.of and one.of not in compared):
            continue
        sides = [f'{side} AS (SELECT * FROM compared."{side}_{one.of}" WHERE nth = 1)'
                 for side in ("here", "there")]  # fmt: skip
        known = f"WITH {', '.join(sides)} " if one.of else ""
        db.execute(f'CREATE TABLE "{one.name}" AS {known}{one.sql}')
        there.add(one.name)
    return tuple(rule for rule in rules if there >= set(rule.reads))


def _command(table: Table, kind: str, where: str) -> str:
    if kind in ("only there", "twice there"):  # there is no row to explain, but there are others
        course = next((part for part in where.split(" AND ") if part.startswith("course_id")), "")
        return f"studium show {table.name}" + (f" --where {_quoted(course)}" if course else "")
    return f"studium why {table.publish} --where {_quoted(where)}"


def _quoted(condition: str) -> str:
    """For a shell; in double quotes if those do, as the condition is full of single ones."""
    return shell_quote(condition) if set(condition) & set('"$`!\\') else f'"{condition}"'
