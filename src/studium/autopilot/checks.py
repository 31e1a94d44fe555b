"""``doctor``: what could be wrong with a site, each with its cure."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial

from studium.autopilot.steps import UNTIL, undeclared, unpublished
from studium.clock import Interval, today
from studium.engines import open_engine
from studium.errors import StudiumError
from studium.jobs.audit import TAMPERED, verify_chain
from studium.jobs.launchers import registry
from studium.jobs.launchers.container import STORE, container_launcher
from studium.jobs.table import listing
from studium.jobs.upkeep import find_lost
from studium.lake.plan import Scope
from studium.lake.repair import Reconstructed, reconstruct, unknown_partitions, wrong_rows
from studium.lake.store import Lake, Snapshot
from studium.lake.vacuum import unreferenced_files
from studium.lenses import tables as lens_tables
from studium.lenses.parameters import lenses_left_out, table_parameters
from studium.results.store import open_results, published, row_counts
from studium.site import Site
from studium.sources.edx.course_keys import check_grammar
from studium.state.facts import get_fact
from studium.state.ledger import forget_partitions, partitions, record_partitions

_LOW_DISK = 2 * 10**9


@dataclass(frozen=True)
class Finding:
    """One check: ``ok``, what was found, and the cure if something is wrong."""

    check: str
    ok: bool
    found: str
    cure: str = ""


def examine(site: Site) -> Iterator[Finding]:
    """Look at everything; a check that fails in itself is a finding, not an error."""
    lake = Lake(site.lake_dir)
    yield _disk(site)
    yield from _tried("state database", lambda: _state(site))
    yield from _tried("audit log", lambda: _audit(site))
    yield from _tried("engine", lambda: _engine(site))
    if _uses_containers(site):
        yield from _tried("containers", lambda: _containers(site))
    yield from _tried("course keys", _grammar)
    snapshots: dict[str, Snapshot] = {}
    try:
        names = lake.names()
    except StudiumError as error:
        yield Finding("lake", False, error.message, error.hint)
        return
    for name in names:
        try:
            snapshots[name] = lake.snapshot(name)
        except StudiumError as error:
            yield Finding(f"table {name}", False, error.message, error.hint)
    for name, snapshot in snapshots.items():
        yield from _tried(f"table {name}", partial(_files, snapshot))
    yield from _tried("ledger", lambda: _ledger(site, snapshots))
    yield from _tried("left-over files", lambda: _leftovers(lake, site))
    yield from _tried("result store", lambda: _results(site, lake))
    yield from _tried("jobs", lambda: _jobs(site))


def examine_launchers(site: Site) -> Iterator[Finding]:
    """What jobs can be kept from on this machine; takes seconds, as a unit is run by each.

    Only the launcher of ``jobs.launcher`` has to be fit for the site's policy. Containers are left
    to ``examine`` where the site uses them.
    """
    names = [one for one in registry.LAUNCHERS if one != "container" or not _uses_containers(site)]
    for name in names:
        yield from _tried(f"launcher {name}", partial(_launcher, site, name))


def _uses_containers(site: Site) -> bool:
    return (site.root / STORE).is_dir() or site.settings.jobs.launcher == "container"


def _launcher(site: Site, name: str) -> Finding:
    launcher = registry.launcher_of(site, name)
    capabilities = launcher.capabilities()
    reasons = registry.refusals(site, launcher)
    if not capabilities.available:
        found = f"not here: {capabilities.reason}"
    else:
        details = ", ".join(f"{key} {value}" for key, value in capabilities.details.items())
        found = f"{len(capabilities.guarantees)} guarantees hold; {details}"
        found += "".join(f"; LOST {key}: {why}" for key, why in capabilities.lost.items())
    wrong = bool(reasons) and name == site.settings.jobs.launcher
    return Finding(f"launcher {name}", not wrong, found, " ".join(reasons))


def rebuild_ledger(site: Site) -> Reconstructed:
    """Make the ledger anew from the lake. Needs the writer lock."""
    lake = Lake(site.lake_dir)
    tables = lens_tables()
    waiting = {one.lens for one in lenses_left_out(site)}
    with site.state.read() as conn:
        fact = get_fact(conn, UNTIL)
    until = today() if fact is None else date.fromisoformat(fact)
    start = site.settings.site.start
    scope = Scope(Interval(start, max(start, until)))
    known = [table for table in tables if table.lens not in waiting]
    made = reconstruct(lake, known, table_parameters(site, until), scope)
    with site.state.begin() as conn:
        for table in tables:
            forget_partitions(conn, table.name)
        record_partitions(conn, made.fresh + made.unsure)
    return made


def _tried(check: str, look: Callable[[], Finding]) -> Iterator[Finding]:
    try:
        yield look()
    except StudiumError as error:
        yield Finding(check, False, error.message, error.hint)


def _disk(site: Site) -> Finding:
    free = shutil.disk_usage(site.root).free
    return Finding(
        "disk",
        free > _LOW_DISK,
        f"{free / 1e9:,.1f} GB free",
        "Make room: `studium vacuum` deletes files that no table needs any more.",
    )


def _state(site: Site) -> Finding:
    with site.state.read() as conn:
        rows = len(partitions(conn))
    return Finding("state database", True, f"opens; {rows:,} partitions in the ledger")


def _containers(site: Site) -> Finding:
    found = container_launcher(site).capabilities()
    wanted = set(site.settings.jobs.guarantees)
    missing = sorted(wanted - found.guarantees)
    if not found.available:
        return Finding("containers", False, found.reason, "Jobs can run in the sandbox.")
    used = f"{found.details['program']}, runtime {found.details['runtime']}"
    without = "; ".join(f"without {name}: {why}" for name, why in sorted(found.lost.items()))
    legacy = found.details.get("no legacy", "")
    return Finding(
        "containers",
        not missing,
        "; ".join(filter(None, (used, without or "every guarantee", legacy))),
        f"Jobs need {', '.join(missing)} by the setting jobs.guarantees: see "
        "docs/how-to/container-jobs.md.",
    )


def _audit(site: Site) -> Finding:
    with site.state.read() as conn:
        chain = verify_chain(conn)
    return Finding(
        "audit log",
        not chain.wrong,
        f"{chain.entries:,} entries, none changed"
        if not chain.wrong
        else f"{len(chain.wrong):,} breaks in its chain, first: {chain.wrong[0]}",
        TAMPERED,
    )


def _engine(site: Site) -> Finding:
    settings = site.settings.engine
    engine = open_engine(settings.name, settings.memory, settings.threads or None)
    try:
        engine.query("SELECT 1 AS one", {})
    finally:
        engine.close()
    return Finding("engine", True, f"{settings.name} runs, memory {settings.memory}")


def _grammar() -> Finding:
    try:
        check_grammar()
    except AssertionError as error:
        return Finding("course keys", False, str(error), "Reinstall Studium.")
    return Finding("course keys", True, "the parser knows good from bad")


def table_cure(snapshot: Snapshot) -> str:
    """What to do about a table whose files are damaged."""
    if snapshot.name in {table.name for table in lens_tables()}:
        return (
            f"Delete {snapshot.place.uri(snapshot.name)} and run `studium build {snapshot.name}`."
        )
    return (
        "Restore it from a backup; or delete the lake and ingest all logs again with "
        "`studium run --lookback 100000`."
    )


def _files(snapshot: Snapshot) -> Finding:
    """Every file that the Delta log names is there, with its size."""
    sizes = snapshot.place.sizes(snapshot.name)
    wrong = [file.path for file in snapshot.files if sizes.get(file.path) != file.size]
    return Finding(
        f"table {snapshot.name}",
        not wrong,
        f"{snapshot.rows:,} rows in {len(snapshot.files):,} files"
        if not wrong
        else f"{len(wrong):,} of {len(snapshot.files):,} files missing or cut, first {wrong[0]}",
        table_cure(snapshot),
    )


def _ledger(site: Site, snapshots: dict[str, Snapshot]) -> Finding:
    with site.state.read() as conn:
        ledger = partitions(conn)
    wrong = wrong_rows(ledger, snapshots)
    unknown = unknown_partitions(lens_tables(), ledger, snapshots)
    return Finding(
        "ledger",
        not wrong and not unknown,
        "agrees with the lake"
        if not wrong and not unknown
        else f"{len(wrong):,} rows name builds the lake does not have, "
        f"{len(unknown):,} partitions of the lake are not in it",
        "Run `studium doctor --repair`; the next run builds again what may be stale.",
    )


def _leftovers(lake: Lake, site: Site) -> Finding:
    count = sum(unreferenced_files(lake, name) for name in lake.names())
    staged = sum(1 for path in site.scratch.rglob("*") if path.is_file())
    return Finding(
        "left-over files",
        True,
        f"{count:,} old or uncommitted in the lake, {staged:,} staged"
        + ("; `studium vacuum` deletes them" if count else ""),
    )


def _jobs(site: Site) -> Finding:
    with site.state.read() as conn:
        states = Counter(str(job.state) for job in listing(conn))
    lost = find_lost(site)
    wrong = [f"{len(lost.rowless):,} rows lost"] * bool(lost.rowless)
    wrong += [f"{len(lost.abandoned):,} submissions broke off"] * bool(lost.abandoned)
    wrong += [f"{len(lost.folderless):,} rows without a folder"] * bool(lost.folderless)
    told = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))
    return Finding(
        "jobs", not lost.any, "; ".join([*wrong, *lost.broken]) or told or "none",
        "Run `studium doctor --repair`.",
    )  # fmt: skip


def _results(site: Site, lake: Lake) -> Finding:
    store = open_results(
        site.settings.results.url, site.root, credentials=site.settings.results.credentials
    )
    try:
        there = published(store)
        counts = row_counts(store, there)
    finally:
        store.close()
    late = [one.name for one in unpublished(site, lake, lens_tables(), there, until_too=False)]
    late += undeclared(there)
    edited = sorted(name for name, one in there.items() if counts.get(name) != one.rows)
    if edited:
        return Finding(
            "result store",
            False,
            f"{len(edited):,} tables have lost or gained rows since: {', '.join(edited)}",
            "Run `studium publish --again`.",
        )
    return Finding(
        "result store",
        not late,
        f"{len(there):,} tables published"
        if not late
        else f"{len(late):,} tables are not as built: {', '.join(late)}",
        "Run `studium publish`.",
    )
