"""The long proofs, for ``make prove``: what tests try a few times, tried as often as it takes.

HISTORIES (10,000) are played, and for FUZZ_MINUTES (10) there are random bytes and for
PROVE_MINUTES (10) kills with the result store on a server, while all else is tried, part after
part: a kill at every point of a run; seeded faults; full disks; the specs on Spark; all tests that
take long; attacks on jobs; large result stores. What was tried goes to ``docs/proof.md`` and
``docs/explanation/attacks.md``, if nothing failed. What is done is not done again for the same
source, should the rest fail or be broken off; nor, if SINCE names a revision, for what has changed
since that revision. The page says which part was tried on which.
"""

import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests import sites
from tests.attacks.__main__ import main as write_attacks
from tests.children import Nursery
from tests.conftest import ROOT
from tests.crash_servers import prove_server_crashes
from tests.fuzz import fuzz
from tests.millions import ROWS, prove_stores
from tests.mutants import MUTANTS, check_tests, try_mutant
from tests.test_crash import SCENES, make_scene
from tests.test_faults import MAY_MOUNT, fill_disk, is_told, prepare
from tests.test_histories import Histories

PAGE = ROOT / "docs" / "proof.md"
KEPT = ROOT / "build" / "proof.json"  # of the parts that are done, while not all are
PLAYED = ROOT / "build" / "histories.jsonl"  # a line a batch

_BATCH = 50  # Hypothesis always begins with the simplest history
_STEPS = 7
_STEPS_OF_ALL = 14
_SHARE_OF_ALL = 0.01  # of the histories are over all tables of all lenses, and longer
_COUNTED = (
    "examples", "steps", "runs", "crashes", "vacuums", "lost states", "compactions", "forgotten",
    "restores",
)  # fmt: skip
_DISK_LEVELS = [level / 10 for level in range(10)]
_KILLS_AT_ANY_TIME = 50
_TRIES = 5  # to reach a point that not every run has
_MAY_BE_MISSED = 20
_IN_MEMORY = ("histories", "crashes")
_ROOM = 2 << 30  # bytes of memory that they may take as their disk


def prove_histories(wanted: float) -> dict[str, Any]:
    """So many histories, with those of earlier calls for this source."""
    source, counting = _source(), _counting()
    done = _played(counting)
    while done["examples"] < wanted:
        before = Counter(Histories.done)
        Histories.all_tables = random.random() < _SHARE_OF_ALL
        run_state_machine_as_test(
            Histories,
            settings=settings(
                max_examples=_BATCH,
                stateful_step_count=_STEPS_OF_ALL if Histories.all_tables else _STEPS,
                database=None,
            ),
        )
        batch = {name: Histories.done[name] - before[name] for name in _COUNTED}
        PLAYED.parent.mkdir(exist_ok=True)
        with PLAYED.open("a") as file:
            file.write(json.dumps({"source": source, "played": batch}) + "\n")
        done = _played(counting)
    return dict(done)


def _played(sources: Collection[str]) -> Counter[str]:
    lines = PLAYED.read_text().splitlines() if PLAYED.exists() else []
    batches = [json.loads(line) for line in lines]
    done: Counter[str] = Counter()
    for batch in batches:
        if batch["source"] in sources:
            done.update(batch["played"])
    return done


def prove_crashes(_: float) -> dict[str, Any]:
    """Every point of both scenes once, in random order, and kills at any time in between."""
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    done = {"points": 0, "killed": 0, "not reached": 0, "any time": 0, "seed": seed}
    with Nursery() as nursery, sites.lent_engine(), tempfile.TemporaryDirectory() as folder:
        scenes = [make_scene(name, nursery, _made(Path(folder) / name)) for name in SCENES]
        strikes = [(scene, n) for scene in scenes for n in range(1, len(scene.points) + 1)]
        done["points"] = len(strikes)
        done |= {f"{scene.name} run": len(scene.points) for scene in scenes}
        draw.shuffle(strikes)
        work = _made(Path(folder) / "work")
        for scene, number in strikes:
            # The last points are batches of rows, of which there are now more, now fewer.
            reached = any(scene.strike(work, kill_at=number) for _ in range(_TRIES))
            done["killed" if reached else "not reached"] += 1
        if done["not reached"] > _MAY_BE_MISSED:
            raise AssertionError(f"{done}: points were not reached")
        for _ in range(_KILLS_AT_ANY_TIME):
            scene = draw.choice(scenes)
            done["any time"] += scene.strike(work, kill_after=draw.uniform(0.001, scene.seconds))
    return done


def prove_mutants(_: float) -> dict[str, Any]:
    """Every seeded fault is caught by the tests that it names, which pass without it."""
    check_tests(MUTANTS)
    trials = [try_mutant(mutant) for mutant in MUTANTS]
    survivors = [f"{one.mutant.name}\n{one.said}" for one in trials if not one.caught]
    if survivors:
        raise AssertionError("survivors:\n" + "\n".join(survivors))
    return {"trials": [[one.mutant.name, one.caught_by, round(one.seconds, 1)] for one in trials]}


def prove_faults() -> dict[str, Any]:
    """Disks full at ten levels: told in a line, and the next run ends in the same tables."""
    done = {"levels": 0, "told": 0}
    if not MAY_MOUNT:
        return done
    with Nursery() as nursery, sites.lent_engine(), tempfile.TemporaryDirectory() as folder:
        prepared = prepare(Path(folder), nursery)
        for level in _DISK_LEVELS:
            child = fill_disk(prepared, Path(folder) / f"disk-{level}", nursery, level)
            if child.code and not is_told(child):
                raise AssertionError(f"a disk full at {level}: {child.code}, {child.err}")
            done["levels"] += 1
            done["told"] += child.code == 1
    return done


def prove_engines() -> dict[str, Any]:
    """Every spec and every test of an engine, on Spark."""
    return _run_tests("spark")


def prove_long() -> dict[str, Any]:
    """The tests that take long: the ways to deploy, kills at every point of a job, …"""
    return _run_tests("long")


def prove_attacks() -> str:
    """Every attack on jobs in both launchers; it writes a page of its own."""
    if write_attacks():
        raise AssertionError("an attack got through, or a control failed")
    return "docs/explanation/attacks.md"


def _run_tests(mark: str) -> dict[str, Any]:
    """All tests with that mark; what is missing is an error."""
    started = time.monotonic()
    command = [
        sys.executable, "-m", "pytest", "-q", "-m", mark, "-p", "no:cacheprovider",
        "--numprocesses=2", "--dist=loadscope", "--no-loadscope-reorder",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "CI": "true"},
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"pytest -m {mark}:\n{done.stdout}{done.stderr}")
    last = done.stdout.strip().splitlines()[-1]
    said = [part for part in last.partition(" in ")[0].split(", ") if "deselected" not in part]
    return {"said": ", ".join(said), "seconds": round(time.monotonic() - started)}


def main() -> None:
    """Try all parts and write the page; exit code 1, and no page, if anything fails."""
    histories = int(os.environ.get("HISTORIES", "10000"))
    minutes = float(os.environ.get("PROVE_MINUTES", "10"))
    fuzz_minutes = float(os.environ.get("FUZZ_MINUTES", "10"))
    tried = _so_far()
    found = {name: one["found"] for name, one in tried.items()}
    beside = {"histories": histories, "fuzz": 60 * fuzz_minutes, "servers": 60 * minutes}
    running = {name: _start(name, limit) for name, limit in beside.items() if name not in found}
    parts: dict[str, Callable[[], Any]] = {
        "crashes": lambda: _ended("crashes", _start("crashes", 0)),
        "mutants": lambda: _ended("mutants", _start("mutants", 0)),
        "fuzz": lambda: _ended("fuzz", running["fuzz"]),
        "servers": lambda: _ended("servers", running["servers"]),
        "faults": prove_faults,
        "engines": prove_engines,
        "long": prove_long,
        "attacks": prove_attacks,
        "stores": prove_stores,
    }
    try:
        for name, prove in parts.items():
            if name not in found:
                found[name] = prove()
                print(f"{name}: {found[name]}", flush=True)
                tried[name] = {"source": _source(), "found": found[name]}
                KEPT.parent.mkdir(exist_ok=True)
                KEPT.write_text(json.dumps(tried))
            if running["histories"].poll():
                _ended("histories", running["histories"])
        more = _start("histories", histories)  # the other core is free now
        running["more"] = more
        found["histories"] = [_ended("histories", one) for one in (running["histories"], more)][-1]
        print(f"histories: {found['histories']}", flush=True)
    finally:
        for process in running.values():
            process.kill()
    PAGE.write_text(_page(fuzz_minutes, found, _earlier(tried)), encoding="utf-8")
    KEPT.unlink()
    PLAYED.unlink()
    print(f"Written: {PAGE.relative_to(ROOT)}")


def _so_far() -> dict[str, dict[str, Any]]:
    """What earlier calls found that counts, with its source."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    counting = _counting()
    return {name: one for name, one in kept.items() if one["source"] in counting}


def _earlier(tried: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What was tried on revisions with another source, and what has changed in it since."""
    facts = {}
    for source, revision in _counting().items():
        parts = [name for name, one in tried.items() if one["source"] == source]
        played = _played([source])["examples"]
        if source != _source() and (parts or played):
            parts += [f"{played:,} of the histories"] if played else []
            changed = _git("diff", "--name-only", f"{revision}..HEAD", "--", "src").split()
            facts[f"on `{revision}`"] = (
                f"{', '.join(parts)} (what failed there is not counted); changed since: "
                f"{', '.join(f'`{path}`' for path in changed)}"
            )
    return facts


def _ended(name: str, process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a part has found; no return if it fails."""
    out, _ = process.communicate()
    if process.returncode:
        sys.exit(f"Failed: {name}. See above; docs/proof.md was not written.")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def _start(name: str, limit: float) -> subprocess.Popen[str]:
    environment = {**os.environ, "HYPOTHESIS_PROFILE": "prove"}
    memory = Path("/dev/shm")
    if name in _IN_MEMORY and memory.is_dir() and shutil.disk_usage(memory).free > _ROOM:
        environment["TMPDIR"] = str(memory)  # a third of their time is making and removing files
    return subprocess.Popen(
        [sys.executable, "-m", "tests.prove", name, str(limit)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _page(fuzz_minutes: float, found: dict[str, dict[str, Any]], earlier: dict[str, str]) -> str:
    histories, crashes, engines = found["histories"], found["crashes"], found["engines"]
    long, faults = found["long"], found["faults"]
    mutants, fuzzed = found["mutants"]["trials"], Counter(found["fuzz"])
    count = {name: f"{histories.get(name, 0):,}" for name in _COUNTED}
    machine = (
        f"{os.cpu_count()} cores, {_memory_gb()} GB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}"
    )
    facts = {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "revision": _revision(),
        **earlier,
        "machine": machine,
        "libraries": f"DuckDB {version('duckdb')}, deltalake {version('deltalake')}",
    }
    paragraphs = (
        f"""**Every order.** {count["examples"]} histories of a site, {count["steps"]} steps: log
        files that come late, twice or grow, runs over other days, look-back, edited tables,
        {count["runs"]} runs, {count["crashes"]} runs that broke off, {count["vacuums"]} vacuums,
        {count["lost states"]} lost states, {count["compactions"]} compactions,
        {count["forgotten"]} learners forgotten, {count["restores"]} backups restored. After one
        last run each had the same lake, refused
        lines and published tables as a new site over the same files, and a further run had
        nothing to do (`tests/test_histories.py`).""",
        f"""**Every crash.** A first run passes {crashes["first run"]:,} points at which a kill
        could leave something half done (renames, commits of Delta, statements and commits of SQL,
        removals), a later one {crashes["later run"]:,}. Runs were killed by SIGKILL at each of
        these, {crashes["killed"]:,} in all{_missed(crashes["not reached"])}. Another
        {crashes["any time"]:,} were killed at any time at all. Readers saw all old tables or all
        new ones, and the next run ended in what an undisturbed one makes
        (`tests/test_crash.py`). With the result store on a server, runs were killed likewise at
        {found["servers"]["postgresql"]["killed"]:,} of
        {found["servers"]["postgresql"]["points"]:,} points (PostgreSQL) and
        {found["servers"]["mariadb"]["killed"]:,} of {found["servers"]["mariadb"]["points"]:,}
        (MariaDB, `tests/crash_servers.py`).""",
        f"""**Every seeded fault.** {len(mutants):,} faults, one at a time, in a copy of the code:
        the tests meant to catch each did, within {max(row[2] for row in mutants):.0f} seconds of
        CPU at most, and pass without it; they are listed below (`tests/mutants.py`).""",
        f"""**Any bytes.** In {fuzz_minutes:g} minutes of random bytes the line reader and the
        shredder got {fuzzed["files"]:,} files with {fuzzed["lines"]:,} lines, of which
        {fuzzed["events"]:,} were events and all others refused, none lost; the dump parser
        {fuzzed["dumps"]:,} dumps, {fuzzed["dumps refused"]:,} of which it refused, giving all
        {fuzzed["rows"]:,} rows of those that were whole (`tests/fuzz.py`).""",
        f"""**Full disks.** A run on disks with room for {_disks(faults)}, and the run after
        it, with room again, ended in the same tables. So did those after a lake that could not be
        written, a clock that jumped back, and in other time zones (`tests/test_faults.py`).""",
        f"""**Every engine.** The tests that run on Spark, as they do on DuckDB: {engines["said"]}
        in {engines["seconds"]:,} seconds.""",
        f"""**All that takes long.** The image built from pinned wheels without an index, run
        without rights or network on a volume, healthy and not; the plugin in the Tutor of the day,
        the Compose file in podman-compose, the wheel in a fresh environment
        (`tests/test_deploy_long.py`); a job whose worker is killed at every point, hundreds of
        units with workers that are killed; objects in S3 whose server fails; every page of the
        documentation: {long["said"]} in {long["seconds"]:,} seconds.""",
        """**Every attack.** What submitters of jobs tried, in both launchers, each with a control
        that succeeds without the guard: [attacks](explanation/attacks.md).""",
        f"""**Every result store.** {ROWS:,} rows published in one go, in the order of their key and
        out of it: {_stores(found["stores"])} (`tests/millions.py`).""",
    )
    lines = [
        "# Proof", "",
        "Written by `make prove`: what was tried, and that none of it failed on this revision.", "",
        "| | |", "|---|---|",
        *(f"| {name} | {fact} |" for name, fact in facts.items()),
    ]  # fmt: skip
    for text in paragraphs:
        lines += ["", textwrap.fill(" ".join(text.split()), 100, break_on_hyphens=False)]
    lines += ["", "## Seeded faults", "", "| fault | caught by |", "|---|---|"]
    lines += [f"| {name} | `{caught.partition('[')[0]}` |" for name, caught, _ in mutants]
    return "\n".join(lines) + "\n"


def _missed(count: int) -> str:
    if not count:
        return ""
    return f" ({count} were not reached again: how many batches rows come in differs)"


def _disks(faults: dict[str, int]) -> str:
    if not faults["levels"]:
        return "all of it (only root may mount small disks)"
    return (
        f"0 to 90 % of what it needs stopped {faults['told']} times of {faults['levels']}, each "
        "time with one line that says why"
    )


def _stores(found: dict[str, dict[str, dict[str, float]]]) -> str:
    return "; ".join(
        f"{kind} "
        + " and ".join(
            f"{one['seconds']:,.0f} s with {one['peak_mb']:,.0f} MB at most"
            for one in orders.values()
        )
        for kind, orders in found.items()
    )


def _source() -> str:
    """What tells the source from any other; empty if it is not committed."""
    return "" if _git("status", "--porcelain", "--", "src") else _git("rev-parse", "HEAD:src")


def _counting() -> dict[str, str]:
    """Sources for which what was found counts, with a revision of each: that of now, and those
    since SINCE. Empty if the source is not committed."""
    if not _source():
        return {}
    since = os.environ.get("SINCE", "HEAD")
    if not (first := _git("rev-parse", "--verify", "--quiet", f"{since}^{{commit}}")):
        sys.exit(f"SINCE: there is no revision {since}.")
    revisions = [first, *_git("rev-list", "--reverse", f"{first}..HEAD").split()]
    return {_git("rev-parse", f"{one}:src"): _git("rev-parse", "--short", one) for one in revisions}


def _revision() -> str:
    changed = _git("status", "--porcelain", "--", "src", "tests")
    return f"`{_git('rev-parse', '--short', 'HEAD')}`" + (", with changes" if changed else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _memory_gb() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        part = {
            "histories": prove_histories, "crashes": prove_crashes, "mutants": prove_mutants,
            "fuzz": fuzz, "servers": prove_server_crashes,
        }[sys.argv[1]]  # fmt: skip
        print(json.dumps(part(float(sys.argv[2]))))
    else:
        main()
