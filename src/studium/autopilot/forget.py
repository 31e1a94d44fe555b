"""Forgetting a learner: out of the lake, the result store and the state, and kept out.

Order: note who (in clear, in the state) → erasure list (salted hashes, in the lake) → rows → build
and publish → old files → the note goes. From the second step on no ingest brings them back. A
crash leaves the note, and the next ``forget`` goes on with it; every step can be done twice.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from studium.autopilot.person import Person, find_person, read_person
from studium.autopilot.reporting import delete_reports
from studium.autopilot.steps import UNTIL, build_step, kept_tables, publish_step
from studium.autopilot.traces import Trace, scan
from studium.clock import Interval, parse_day
from studium.engines import Relation
from studium.engines.duckdb import connect, quote, relation_sql
from studium.errors import UsageError
from studium.jobs.upkeep import Erased, erase_rows
from studium.lake.build import Built
from studium.lake.erasures import TABLE as ERASURES
from studium.lake.erasures import Erasures, add_erasures, hashed
from studium.lake.plan import Scope
from studium.lake.removal import Removed, count_rows, remove_rows
from studium.lake.store import Lake, Snapshot
from studium.lake.vacuum import vacuum_tables
from studium.results.publication import Published
from studium.results.store import open_results, scrub_results
from studium.site import Site
from studium.sources.edx.ingest import ANSWERS, EVENTS, SOURCE
from studium.sources.edx.rejects import TABLE as REJECTS
from studium.sources.lms.tables import TABLES as LMS_TABLES
from studium.state.counters import next_build
from studium.state.erasing import begin_erasure, end_erasure, scrub, unfinished_erasures
from studium.state.facts import get_fact
from studium.state.ledger import partitions, record_partitions
from studium.state.manifest import known_files, record_files

if TYPE_CHECKING:
    import duckdb

# A word in the texts of more of the others' events than this is taken for a common one.
_MANY_MENTIONS = 1000
_LMS = tuple(table.name for table in LMS_TABLES)


class Mentions(StrEnum):
    """What happens to events of others that say the user name in a text only. (Those that say the
    address, or the id as that of a user, always go.)"""

    REMOVE = "remove"
    KEEP = "keep"


@dataclass(frozen=True)
class Found:
    """What is there of a learner: rows by table, ``mentions`` being those of ``events`` that are
    somebody else's and tell of them in a text only."""

    person: Person
    removed: list[Removed]
    mentions: int


@dataclass(frozen=True)
class Forgotten:
    """What an erasure did, and what the scan after it found. ``reports`` are files that were
    deleted. ``resumed``: a crash had cut it short."""

    found: Found
    built: list[Built] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    files: int = 0
    traces: list[Trace] = field(default_factory=list)
    resumed: bool = False
    jobs: Erased = field(default_factory=lambda: Erased([], []))
    reports: int = 0

    @property
    def clean(self) -> bool:
        return not any(trace.found for trace in self.traces)


def look_for(site: Site, lake: Lake, user: str, mentions: Mentions | None) -> Found:
    """What ``forget`` would take out. Writes nothing."""
    with closing(_connect(site)) as db:
        return _Erasure(site, lake, db, find_person(db, lake, user), mentions).found()


def forget(
    site: Site,
    lake: Lake,
    user: str,
    mentions: Mentions | None,
    on_step: Callable[[str], None] = lambda step: None,
) -> list[Forgotten]:
    """Erase the learner and scan for what may be left. Needs the site's writer lock.

    Erasures that a crash cut short are finished first, whoever is asked for now.
    """
    with site.state.read() as conn:
        unfinished = unfinished_erasures(conn)
    done = []
    for number, document in unfinished.items():
        person = read_person(document["person"])
        done.append(
            _forget(site, lake, person, Mentions(document["mentions"]), on_step, number, document)
        )
        if user.strip().lower() in {*map(str, person.ids), *person.words}:
            return done
    with closing(_connect(site)) as db:
        person = find_person(db, lake, user)
    return [*done, _forget(site, lake, person, mentions, on_step)]


def _forget(
    site: Site,
    lake: Lake,
    person: Person,
    mentions: Mentions | None,
    on_step: Callable[[str], None],
    number: int = 0,
    document: Mapping[str, Any] | None = None,
) -> Forgotten:
    shutil.rmtree(site.scratch, ignore_errors=True)
    with closing(_connect(site)) as db:
        work = _Erasure(site, lake, db, person, mentions, number, document)
        found = work.found()
        work.begin()
        on_step("rows")
        work.remove()
        reports = delete_reports(site, lake)
        on_step("tables")
        built, published = work.rebuild()
        on_step("old files")
        files = sum(one.files for one in vacuum_tables(lake, 0, dry_run=False))
        results = open_results(
            site.settings.results.url, site.root, credentials=site.settings.results.credentials
        )
        try:
            scrub_results(results)
        finally:
            results.close()
        work.end()
        for copies in (site.scratch, site.cache):  # the latter of a lake in S3
            shutil.rmtree(copies, ignore_errors=True)
        scrub(site.state)
        jobs = erase_rows(site)
        on_step("scan")
        traces = list(scan(site, db, work.person))
    return Forgotten(found, built, published, files, traces, bool(number), jobs, reports)


def _connect(site: Site) -> duckdb.DuckDBPyConnection:
    settings = site.settings.engine
    return connect(settings.memory, settings.threads)


class _Erasure:
    """One erasure: who, and the conditions on their rows; ``document`` is what an attempt that
    was cut short noted under ``number``."""

    def __init__(
        self,
        site: Site,
        lake: Lake,
        db: duckdb.DuckDBPyConnection,
        person: Person,
        mentions: Mentions | None,
        number: int = 0,
        document: Mapping[str, Any] | None = None,
    ) -> None:
        self.site, self.lake, self.db, self.person = site, lake, db, person
        self.number, self.document = number, document
        self.mentions = self._decide(mentions)
        if self.mentions is Mentions.KEEP:
            self.person = replace(person, quiet=True)
        self._events()
        self._rejects()

    def _decide(self, mentions: Mentions | None) -> Mentions:
        count = self._mentioning()
        if mentions is None and count > _MANY_MENTIONS:
            raise UsageError(
                f"{count:,} events of others have a word in their texts that is also the learner's "
                "user name; it may be a common word.",
                "Say --mentions keep to leave those events, or --mentions remove to erase them.",
            )
        return mentions or Mentions.REMOVE

    def _mentioning(self) -> int:
        snapshot = self.lake.snapshot(EVENTS)
        columns = snapshot.columns
        if not self.person.names:
            return 0
        named = Person(names=self.person.names)
        only = f"({named.text_sql(columns)}) AND ({self.person.typed_sql(columns)}) IS NOT TRUE"
        return count_rows(self.db, snapshot, only).rows if snapshot.exists else 0

    def _events(self) -> None:
        """``gone_events``: identities of the events that go, and whether for a mention only."""
        snapshot = self.lake.snapshot(EVENTS)
        typed = f"coalesce({self.person.typed_sql(snapshot.columns)}, false)"
        condition = f"{typed} OR {self.person.text_sql(snapshot.columns)}"
        if not snapshot.exists:
            self.db.execute(
                "CREATE TEMP TABLE gone_events (event_id BLOB, file_id BIGINT, mention BOOLEAN)"
            )
            return
        self.db.execute(
            f"CREATE TEMP TABLE gone_events AS SELECT event_id, file_id, NOT {typed} AS mention "
            f"FROM ({relation_sql(snapshot.relation())}) WHERE {condition}"
        )

    def _rejects(self) -> None:
        """``gone_rejects``: lines that nothing could parse and that name the learner."""
        import pyarrow as pa

        probe = self._entries("probe", [])
        snapshot = self.lake.snapshot(REJECTS)
        columns = {"file_id": "BIGINT", "line_no": "BIGINT", "reading": "VARCHAR", "raw": "BLOB"}
        rows = self.db.execute(
            "SELECT file_id, line_no, reading, raw FROM "
            f"({relation_sql(Relation(snapshot.relation().files, columns, by_day=True))})"
        )
        gone: list[tuple[int, int, str]] = []
        while chunk := rows.fetchmany(1000):
            gone += [
                (file_id, line_no, reading)
                for file_id, line_no, reading, raw in chunk
                if probe.speaks_of(raw.decode(errors="replace"))
            ]
        table = pa.table(
            {
                "file_id": pa.array([one[0] for one in gone], pa.int64()),
                "line_no": pa.array([one[1] for one in gone], pa.int64()),
                "reading": pa.array([one[2] for one in gone], pa.string()),
            }
        )
        self.db.register("gone_rejects_rows", table)
        self.db.execute("CREATE TEMP TABLE gone_rejects AS FROM gone_rejects_rows")
        self.db.unregister("gone_rejects_rows")

    def _entries(self, salt: str, events: Collection[str]) -> Erasures:
        kinds: dict[str, Collection[object]] = {**self._people(), "event": events}
        return Erasures(
            salt,
            {
                kind: frozenset(hashed(salt, kind, one) for one in ones)
                for kind, ones in kinds.items()
            },
        )

    def _people(self) -> dict[str, Collection[object]]:
        return {"id": self.person.ids, "name": self.person.names, "word": self.person.words}

    def found(self) -> Found:
        removed = [
            one
            for name in self._tables()
            if (one := count_rows(self.db, self.lake.snapshot(name), self._condition(name))).rows
        ]
        ((mentions,),) = self.db.execute(
            "SELECT count(*) FROM gone_events WHERE mention"
        ).fetchall()
        return Found(self.person, removed, int(mentions))

    def _tables(self) -> list[str]:
        """In the order of removal: what tells most about the others goes last."""
        names = [name for name in self.lake.names() if name != ERASURES]
        last = {name: place for place, name in enumerate((EVENTS, *reversed(_LMS)))}
        return sorted(names, key=lambda name: (last.get(name, -1), name))

    def _condition(self, name: str) -> str:
        columns = self.lake.snapshot(name).columns
        typed = self.person.typed_sql(columns)
        if name == REJECTS:
            return "(file_id, line_no, reading) IN (FROM gone_rejects)"
        if name in (EVENTS, ANSWERS):
            return f"({typed}) OR event_id IN (SELECT event_id FROM gone_events)"
        return typed

    def begin(self) -> None:
        """Note who, and what the counts of files will be; then nothing brings them back."""
        counts = {"kept": self._counts("gone_events"), "rejects": self._counts("gone_rejects")}
        with self.site.state.begin() as conn:
            if self.document is None:
                self.document = {
                    "person": self.person.document(),
                    "mentions": self.mentions.value,
                    "files": {
                        path: {"build": row.build, **{k: v[row.file_id] for k, v in counts.items()}}
                        for path, row in known_files(conn, SOURCE).items()
                        if any(found[row.file_id] for found in counts.values())
                    },
                }
                self.number = begin_erasure(conn, self.document)
            build = next_build(conn, self.lake.next_number())
        events = self.db.execute("SELECT lower(hex(event_id)) FROM gone_events WHERE mention")
        entries = {**self._people(), "event": [one for (one,) in events.fetchall()]}
        add_erasures(self.lake, entries, build, self.site.scratch)

    def _counts(self, table: str) -> Counter[int]:
        """Rows by file; of refused lines only those of the latest reading."""
        where = ""
        if table == "gone_rejects":
            with self.site.state.read() as conn:
                builds = {row.build for row in known_files(conn, SOURCE).values()}
            where = f"WHERE reading IN ({', '.join(map(quote, sorted(builds))) or 'NULL'})"
        rows = self.db.execute(f"SELECT file_id, count(*) FROM {table} {where} GROUP BY 1")
        return Counter(dict(rows.fetchall()))

    def remove(self) -> None:
        for name in self._tables():
            with self.site.state.begin() as conn:
                build = next_build(conn)
            before = self.lake.snapshot(name)
            if remove_rows(
                self.lake, self.db, name, self._condition(name), build, self.site.scratch
            ).rows:
                self._note(before, self.lake.snapshot(name))

    def _note(self, before: Snapshot, after: Snapshot) -> None:
        """Partitions are as built, less the learner: those that nothing can build again stay."""
        old, new = before.versions(), after.versions()
        rows: Counter[object] = Counter()
        for file in after.files:
            rows[file.day] += file.rows
        with self.site.state.begin() as conn:
            ledger = partitions(conn, [after.name])
            record_partitions(
                conn,
                [
                    replace(one, build=new.get(day, ""), rows=rows[day])
                    for (_, day), one in ledger.items()
                    if one.build == old.get(day, "") != new.get(day, "")
                ],
            )

    def rebuild(self) -> tuple[list[Built], list[Published]]:
        """What was made of the learner's rows is made again, and published."""
        with self.site.state.read() as conn:
            fact = get_fact(conn, UNTIL)
        if fact is None:
            return [], []
        tables = kept_tables(self.lake)
        start, until = self.site.settings.site.start, parse_day(fact)
        scope = Scope(Interval(start, max(start, until)))
        built = build_step(self.site, self.lake, tables, scope)
        return built, publish_step(self.site, self.lake, tables)

    def end(self) -> None:
        """The files' counts, and nobody's name any more."""
        assert self.document is not None  # begin() wrote it
        with self.site.state.begin() as conn:
            known = known_files(conn, SOURCE)
            changed = []
            for path, counts in self.document["files"].items():
                row = known.get(path)
                if row is None or row.build != counts["build"]:
                    continue  # read again meanwhile, without them
                kept, rejects = min(row.kept, counts["kept"]), min(row.rejects, counts["rejects"])
                changed.append(
                    replace(
                        row,
                        kept=row.kept - kept,
                        rejects=row.rejects - rejects,
                        forgotten=row.forgotten + kept + rejects,
                    )
                )
            record_files(conn, changed)
            end_erasure(conn, self.number)
