"""What would be built and why: pure functions of versions, ledger and parameters.

A partition is stale when its SQL, its parameters or an input partition (within ``reach`` days)
changed since it was built (design §3.3). Nothing here reads or writes anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

from studium.clock import Interval
from studium.lake.store import IMPORTED, Snapshot
from studium.lake.tables import Table
from studium.state.ledger import Partition

Versions = Mapping[date | None, str]
Ledger = Mapping[tuple[str, date | None], Partition]


class Reason(StrEnum):
    """Why a partition is built, the strongest first."""

    NEW_TABLE = "new table"
    NEW_DAY = "new day"
    CODE = "code changed"
    PARAMETER = "parameter changed"
    INPUT = "input changed"
    ALTERED = "not as built"
    UNSURE = "unsure since a repair"
    TAKES_OVER = "raw logs for an imported day"
    LOOK_BACK = "look-back"
    ASKED = "asked for"


@dataclass(frozen=True)
class Scope:
    """Which days are built, and what is built although nothing changed."""

    window: Interval
    lookback: int = 0
    asked: frozenset[str] = frozenset()
    dropped: Mapping[str, date] = field(default_factory=dict, hash=False)
    """Table → the day before which retention has dropped its days."""

    def is_frozen(self, table: Table, day: date | None) -> bool:
        """Was a day dropped that ``day`` of a day table is made of? Then it stays as it is."""
        return day is not None and any(
            day - timedelta(days=table.reach) < self.dropped[name]
            for name in table.inputs
            if name in self.dropped
        )

    def looks_back_at(self, day: date) -> bool:
        return 0 < (self.window.until - day).days <= self.lookback


@dataclass(frozen=True)
class Work:
    """Stale partitions of one table: day (``None``: the whole table) → reason."""

    table: Table
    reasons: Mapping[date | None, Reason]
    expected: Mapping[date | None, Partition]

    @property
    def days(self) -> list[date]:
        return sorted(day for day in self.reasons if day is not None)


def find_work(
    table: Table, versions: Mapping[str, Versions], ledger: Ledger, params: Mapping[str, object],
    scope: Scope,
) -> Work:  # fmt: skip
    """The stale partitions of ``table``, given the versions of its inputs' partitions and of its
    own: the lake may have lost what the ledger remembers. A table that is not in ``versions`` is
    not in the lake."""
    held = versions.get(table.name)
    if held is None:
        held, ledger = {}, {}
    values = {name: _json(params[name]) for name in table.params}
    fingerprint = stamp(table, values)
    reasons: dict[date | None, Reason] = {}
    expected: dict[date | None, Partition] = {}
    for day in _candidates(table, versions, ledger, scope):
        if scope.is_frozen(table, day):
            continue
        inputs = {
            name: _version(table, versions.get(name, {}), day, params) for name in table.inputs
        }
        build = held.get(day, "")
        now = Partition(table.name, day, build, fingerprint, table.code, values, inputs, 0)
        reason = _reason(table, day, ledger.get((table.name, day)), now, scope)
        if reason is not None:
            reasons[day] = reason
            expected[day] = now
    return Work(table, reasons, expected)


def make_plan(
    tables: Sequence[Table],
    versions: Mapping[str, Versions],
    ledger: Ledger,
    params: Mapping[str, object],
    scope: Scope,
) -> list[Work]:
    """Everything that is stale, in the order of building, supposing that what is built changes.

    A build may do less: rows that come out equal change nothing for the tables that read them.
    """
    supposed: dict[str, Versions] = dict(versions)
    of_table: dict[str, dict[tuple[str, date | None], Partition]] = {}
    for key, one in ledger.items():
        of_table.setdefault(key[0], {})[key] = one
    plan = []
    for table in tables:
        work = find_work(table, supposed, of_table.get(table.name, {}), params, scope)
        if work.reasons:
            plan.append(work)
            pending = dict.fromkeys(work.reasons, f"pending {table.name}")
            supposed[table.name] = {**supposed.get(table.name, {}), **pending}
    return plan


def imported_partition(snapshot: Snapshot, day: date) -> Partition:
    """How the ledger has a day that was imported: made of nothing that could change."""
    rows = sum(file.rows for file in snapshot.files if file.day == day)
    build = snapshot.versions().get(day, "")
    return Partition(snapshot.name, day, build, IMPORTED, IMPORTED, {}, {}, rows)


def mark_imported(ledger: Ledger, snapshot: Snapshot) -> Ledger:
    """The ledger with the days of a table that the lake knows to be imported, and no others so
    marked: without their mark, after a crash or with a lost state, they would be built from
    nothing."""
    imported = snapshot.imported()
    versions = snapshot.versions()
    # Asked in this order, as there are tens of thousands and hardly any is imported.
    wrong = [
        key
        for key, one in ledger.items()
        if one.fingerprint == IMPORTED and key[0] == snapshot.name
        and not (key[1] in imported and one.build == versions.get(key[1]))
    ]  # fmt: skip
    if not imported and not wrong:
        return ledger
    right = dict(ledger)
    for key in wrong:
        del right[key]
    for day in imported:
        one = right.get((snapshot.name, day))
        if one is None or one.fingerprint != IMPORTED:
            right[snapshot.name, day] = imported_partition(snapshot, day)
    return right


def stamp(table: Table, values: Mapping[str, object]) -> str:
    """md5 of a table's code and parameters: what its file names carry."""
    text = table.code + repr(sorted(values.items()))
    return hashlib.md5(text.encode()).hexdigest()


def missing_days(covered: Collection[date], interval: Interval) -> list[Interval]:
    """Runs of days in ``interval`` that no ingest has gone through to its end."""
    runs: list[Interval] = []
    for day in interval:
        if day in covered:
            continue
        after = day + timedelta(days=1)
        if runs and runs[-1].until == day:
            runs[-1] = Interval(runs[-1].since, after)
        else:
            runs.append(Interval(day, after))
    return runs


def days_in_reach(days: Iterable[date], reach: int) -> set[date]:
    """The given days and those up to ``reach`` days away."""
    return {day + timedelta(days=n) for day in days for n in range(-reach, reach + 1)}


def _candidates(
    table: Table, versions: Mapping[str, Versions], ledger: Ledger, scope: Scope
) -> Iterable[date | None]:
    if table.kind != "day":
        return (None,)
    with_input = {day for name in table.inputs for day in versions.get(name, ()) if day is not None}
    known = {day for name, day in ledger if name == table.name and day is not None}
    known.update(day for day in versions.get(table.name, ()) if day is not None)
    days = days_in_reach(with_input, table.reach) if table.reach else with_input
    return sorted(day for day in days | known if day in scope.window)


def _version(
    table: Table, versions: Versions, day: date | None, params: Mapping[str, object]
) -> str:
    """What a partition remembers of one input."""
    if None in versions:
        return versions[None]
    if day is not None and not table.reach:
        return versions.get(day, "")
    if day is not None:
        days = (day + timedelta(days=n) for n in range(-table.reach, table.reach + 1))
        near = [versions.get(one, "") for one in days]
        return " ".join(one or "-" for one in near) if any(near) else ""
    start, until = params["start"], params["until"]
    assert isinstance(start, date) and isinstance(until, date)
    parts = sorted(
        (one.isoformat(), version)
        for one, version in versions.items()
        if one is not None and start <= one < until
    )
    return hashlib.md5(repr(parts).encode()).hexdigest() if parts else ""


def _reason(
    table: Table, day: date | None, built: Partition | None, now: Partition, scope: Scope
) -> Reason | None:
    if built is None:
        return Reason.NEW_TABLE if day is None else Reason.NEW_DAY
    if built.fingerprint == IMPORTED:
        came = any(now.inputs.values()) and built.inputs != now.inputs
        return Reason.TAKES_OVER if came else None
    if not built.code:
        return Reason.UNSURE
    if built.code != now.code:
        return Reason.CODE
    if built.params != now.params:
        return Reason.PARAMETER
    if built.inputs != now.inputs:
        return Reason.INPUT
    if built.build != now.build:
        return Reason.ALTERED
    if day is not None and scope.looks_back_at(day):
        return Reason.LOOK_BACK
    if table.name in scope.asked:
        return Reason.ASKED
    return None


def _json(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value
