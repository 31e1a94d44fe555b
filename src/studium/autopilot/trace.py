"""Tracing: rows of a table back to the rows of its inputs that explain them, down to the sources.

That the rows found are an explanation is tried: the table's SQL over nothing but them must give the
explained rows again.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studium.autopilot.lineage import POSITION, condition, condition_sql, names_in, read_order
from studium.autopilot.steps import EMPTY, UNTIL
from studium.engines import Relation, dialect
from studium.errors import UsageError
from studium.lake.plan import days_in_reach
from studium.lake.store import Lake
from studium.lake.tables import Table
from studium.lenses import tables as lens_tables
from studium.site import Site
from studium.sources.lms.tables import EMPTY as LMS_EMPTY
from studium.sources.lms.tables import RESTRICTED
from studium.state.facts import get_fact
from studium.state.ledger import Partition, partitions

if TYPE_CHECKING:
    import duckdb

MOST_ROWS = 5
"""Rows explained at once: of more, nobody could tell what explains which."""

_SUMMED = ("smallint", "integer", "double", "boolean")


@dataclass(frozen=True)
class Step:
    """Rows of one table: those asked for, or those that explain rows of its ``readers``.

    ``conditions``: reader → the condition, ``$names`` standing for values of the reader's row.
    ``rows`` are the first of ``count``, by the grain; ``totals`` the sums over all of them of the
    columns that count something (of booleans: how many are true). ``build`` is the newest version
    among the partitions that hold the rows, ``built_at`` when it was committed (aware, UTC; None if
    the Delta log no longer tells); ``params`` and ``inputs`` are what the ledger remembers of the
    build of a whole table. ``again``: whether the table's SQL, over nothing but the rows of the
    other steps, gives these rows again; None for what no SQL has made. ``imported`` counts the rows
    that came from an old warehouse: nothing here made them, and nothing explains them. A
    ``withheld`` table holds names or addresses: its rows are counted and not shown.
    """

    table: str
    description: str
    rule: str
    grain: tuple[str, ...]
    conditions: Mapping[str, str]
    count: int
    rows: list[dict[str, Any]]
    totals: dict[str, float]
    build: str
    built_at: datetime | None
    params: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    again: bool | None = None
    imported: int = 0
    withheld: bool = False


def trace_rows(
    site: Site, lake: Lake, table: str, where: str, limit: int | None = None
) -> list[Step]:
    """What explains the rows of ``table`` (its name, or that in the result store) that ``where``
    selects, an SQL condition: a step per table, each before what it reads.

    ``limit`` bounds the rows shown of each step, not those that are looked at.

    Raises:
        UsageError: no such table, one of names and addresses, a bad condition, or one that selects
            no row or more than ``MOST_ROWS``.
    """
    known = {one.name: one for one in lens_tables()}
    name = _find_table(lake, known, table)
    order = read_order(name, known)
    with tempfile.TemporaryDirectory(prefix="studium-why-") as spill:
        from studium.engines.duckdb import connect

        settings = site.settings.engine
        with closing(connect(settings.memory, settings.threads or None, Path(spill))) as db:
            tracer = _Tracer(site, lake, known, order, db, where)
            tracer.select(name, where)
            for one in order[1:]:
                tracer.follow(one)
            return [tracer.step(one, limit) for one in order]


def _find_table(lake: Lake, known: Mapping[str, Table], name: str) -> str:
    published = {one.publish: one.name for one in known.values() if one.publish}
    name = name if name in known else published.get(name, name)
    there = lake.names()
    if name not in there:
        hint = (
            f"`studium build {name}` makes it."
            if name in known
            else f"There are: {', '.join(there) or 'none yet; `studium run` makes them'}."
        )
        raise UsageError(f"there is no table {name!r} in the lake.", hint)
    if _is_restricted(name, known):
        raise UsageError(
            f"{name} holds names or addresses of learners, which are not traced.",
            "`studium show --restricted` prints it for those who may see them.",
        )
    return name


def _is_restricted(name: str, known: Mapping[str, Table]) -> bool:
    return name in RESTRICTED or (name in known and known[name].restricted)


class _Tracer:
    """The rows found so far, as tables in the schema ``traced``; ``lake`` has whole tables."""

    def __init__(
        self,
        site: Site,
        lake: Lake,
        known: Mapping[str, Table],
        order: Sequence[str],
        db: duckdb.DuckDBPyConnection,
        where: str,
    ) -> None:
        from studium.engines.duckdb import relation_sql

        self._lake, self._known, self._order, self._db = lake, known, order, db
        self._snapshots = {name: lake.snapshot(name) for name in order}
        with site.state.read() as conn:
            self._ledger = partitions(conn, [name for name in order if name in known])
            until = get_fact(conn, UNTIL)
        self._defaults: dict[str, Any] = {"start": site.settings.site.start.isoformat()}
        if until:
            self._defaults[UNTIL] = until
        db.execute("CREATE SCHEMA lake; CREATE SCHEMA traced")
        # Not of all: the files of a view may have to be fetched first.
        texts = [where, *(text for one in self._tables() for text in one.trace.values())]
        named = {order[0], *re.findall(r"\w+", " ".join(texts))}
        for name in order:
            if name in named:
                sql = relation_sql(self._relation(name))
                db.execute(f'CREATE VIEW lake."{name}" AS {sql}')

    def select(self, name: str, where: str) -> None:
        """Take the rows of the table asked for."""
        import duckdb

        from studium.engines.duckdb import explain

        self._db.execute("SET search_path = 'lake'")
        selected = f'SELECT * FROM "{name}" WHERE ({where}\n)'
        try:
            self._db.execute(f'CREATE TABLE traced."{name}" AS {selected} LIMIT {MOST_ROWS + 1}')
            ((count,),) = self._db.execute(f"SELECT count(*) FROM ({selected})").fetchall()
        except duckdb.Error as error:
            raise UsageError(
                f"--where {where} does not work: {explain(error)}.",
                f"It is an SQL condition over {', '.join(self._snapshots[name].columns)}.",
            ) from None
        if not count:
            raise UsageError(
                f"no row of {name} satisfies {where}.",
                f'`studium show {name} --where "…"` prints those that there are.',
            )
        if count > MOST_ROWS:
            key = self._known[name].grain if name in self._known else POSITION
            raise UsageError(
                f"{count:,} rows of {name} satisfy {where}; at most {MOST_ROWS} are explained at "
                "once.",
                f"Narrow it down by {', '.join(key)}.",
            )

    def follow(self, name: str) -> None:
        """Take the rows of a table that explain those of its readers."""
        from studium.engines.duckdb import relation_sql

        columns = self._columns(name)
        days: set[date] = set()
        tests = []
        for reader in self._readers(name):
            days |= self._days_read(reader, name)
            values = ", ".join(f'"{one}" AS "${one}"' for one in reader.column_names)
            tests.append(
                f'EXISTS (SELECT 1 FROM (SELECT {values} FROM traced."{reader.name}") AS explained '
                f"WHERE {condition_sql(reader, name, columns, self._params(reader))})"
            )
        relation = self._relation(name, days)
        self._db.execute("SET search_path = 'lake'")
        self._db.execute(
            f'CREATE TABLE traced."{name}" AS SELECT {", ".join(self._kept(name))} '
            f'FROM ({relation_sql(relation)}) AS "{name}" WHERE {" OR ".join(tests)}'
        )

    def step(self, name: str, limit: int | None) -> Step:
        """What was found in a table."""
        table, snapshot = self._known.get(name), self._snapshots[name]
        withheld = _is_restricted(name, self._known)
        ((count,),) = self._db.execute(f'SELECT count(*) FROM traced."{name}"').fetchall()
        versions = snapshot.versions()
        build = max((versions.get(day, "") for day in self._days_of(name)), default="")
        built = self._ledger.get((name, None))
        return Step(
            table=name,
            description=table.description if table else _describe_source(name),
            rule=table.rule if table else "",
            grain=table.grain if table else (),
            conditions={
                one.name: condition(one, name, self._columns(name)) for one in self._readers(name)
            },
            count=int(count),
            rows=[] if withheld else self._rows(name, limit),
            totals=self._totals(table) if table and not withheld else {},
            build=build,
            built_at=self._built_at(name, build),
            params=dict(built.params) if built else {},
            inputs=dict(built.inputs) if built else {},
            again=self._made_again(table) if table else None,
            imported=self._imported(name),
            withheld=withheld,
        )

    def _relation(self, name: str, days: Collection[date] | None = None) -> Relation:
        snapshot, columns = self._snapshots[name], self._columns(name)
        if snapshot.exists:
            return snapshot.relation(days if snapshot.by_day else None)
        return Relation((), columns, by_day="day" in columns)

    def _columns(self, name: str) -> Mapping[str, str]:
        if self._snapshots[name].exists:
            return self._snapshots[name].columns
        columns = EMPTY.get(name, {})
        if not columns:
            raise UsageError(
                f"{name}, which the table was made of, does not exist in the lake.",
                "`studium run` makes it.",
            )
        return columns

    def _tables(self) -> list[Table]:
        return [self._known[one] for one in self._order if one in self._known]

    def _readers(self, name: str) -> list[Table]:
        return [one for one in self._tables() if name in one.inputs]

    def _params(self, table: Table) -> dict[str, object]:
        """What the table was built with, or would be, if the ledger was lost."""
        built = self._ledger.get((table.name, None)) or self._any_partition(table.name)
        given = {**self._defaults, **(built.params if built else {})}
        missing = [name for name in table.params if name not in given]
        if missing:
            raise UsageError(
                f"with which {', '.join(missing)} {table.name} was built is not known.",
                f"`studium build {table.name}` makes it anew.",
            )
        return {name: _day_or_value(given[name]) for name in table.params}

    def _any_partition(self, name: str) -> Partition | None:
        return next((one for (table, _), one in self._ledger.items() if table == name), None)

    def _days_read(self, reader: Table, name: str) -> set[date]:
        """The days of an input that rows of its reader were made of, as builds read them."""
        there = {day for day in self._snapshots[name].versions() if day is not None}
        if reader.kind == "day":
            own = [day for day in self._days_of(reader.name) if day is not None]
            return there & set(days_in_reach(own, reader.reach))
        params = {**self._defaults, **self._params(reader)}
        start, until = (_day_or_value(params.get(one)) for one in ("start", UNTIL))
        return {
            day
            for day in there
            if (not isinstance(start, date) or start <= day)
            and (not isinstance(until, date) or day < until)
        }

    def _days_of(self, name: str) -> list[date | None]:
        """The partitions that hold the rows found."""
        snapshot = self._snapshots[name]
        if not (snapshot.by_day if snapshot.exists else "day" in self._columns(name)):
            return [None]
        found = self._db.execute(f'SELECT DISTINCT day FROM traced."{name}"').fetchall()
        return [day for (day,) in found]

    def _kept(self, name: str) -> list[str]:
        """Columns worth holding: of wide sources, those that readers name and the position."""
        columns = list(self._columns(name))
        if name in self._known:
            return [f'"{one}"' for one in columns]
        named = {*POSITION, "day", "time"}
        for reader in self._readers(name):
            named |= names_in(reader.sql or "")
        return [f'"{one}"' for one in columns if one in named]

    def _rows(self, name: str, limit: int | None) -> list[dict[str, Any]]:
        has = [one[0] for one in self._db.execute(f'DESCRIBE traced."{name}"').fetchall()]
        grain = self._known[name].grain if name in self._known else ()
        key = [one for one in (*grain, "time", *POSITION, *has) if one in has]
        most = "" if limit is None else f"LIMIT {limit}"
        order = ", ".join(f'"{one}"' for one in dict.fromkeys(key))
        sql = f'SELECT * FROM traced."{name}" ORDER BY {order} {most}'
        found = self._db.sql(sql).to_arrow_table()
        rows: list[dict[str, Any]] = found.to_pylist()
        return rows

    def _totals(self, table: Table) -> dict[str, float]:
        summed = [
            column.name
            for column in table.columns
            if column.type in _SUMMED and column.name not in table.grain
        ]
        if not summed or table.kind == "map":
            return {}
        sums = ", ".join(f'COALESCE(SUM(CAST("{one}" AS DOUBLE)), 0)' for one in summed)
        (row,) = self._db.execute(f'SELECT {sums} FROM traced."{table.name}"').fetchall()
        return {
            name: int(value) if value == int(value) else value
            for name, value in zip(summed, row, strict=True)
        }

    def _imported(self, name: str) -> int:
        ((count,),) = self._db.execute(
            f'SELECT count(*) FROM traced."{name}" WHERE NOT ({self._built_here(name)})'
        ).fetchall()
        return int(count)

    def _built_here(self, name: str) -> str:
        """The condition on rows of a table that they were not imported."""
        days = sorted(self._snapshots[name].imported())
        listed = ", ".join(f"DATE '{day}'" for day in days)
        return f"day NOT IN ({listed})" if days else "true"

    def _made_again(self, table: Table) -> bool | None:
        if table.sql is None or table.kind == "map":
            return None
        built_here = self._built_here(table.name)
        ((rows, own),) = self._db.execute(
            f'SELECT count(*), count_if({built_here}) FROM traced."{table.name}"'
        ).fetchall()
        if rows and not own:
            return None
        self._db.execute("SET search_path = 'traced'")
        query = dialect.bind(dialect.parse(table.sql), self._params(table))
        columns = ", ".join(f'"{one}"' for one in table.column_names)
        ((missing,),) = self._db.execute(
            f'SELECT count(*) FROM (SELECT {columns} FROM "{table.name}" WHERE {built_here} '
            f"EXCEPT ALL SELECT {columns} FROM ({dialect.render(query, 'duckdb')}))"
        ).fetchall()
        return not missing

    def _built_at(self, name: str, build: str) -> datetime | None:
        for commit in self._lake.history(name) if build else ():
            if commit.get("build") == build:
                return datetime.fromtimestamp(commit["timestamp"] / 1000, UTC)
        return None


def _describe_source(name: str) -> str:
    return "Snapshot from the LMS" if name in LMS_EMPTY else "From the tracking logs"


def _day_or_value(value: object) -> object:
    """Days are kept as text in the ledger."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            return value
    return value
