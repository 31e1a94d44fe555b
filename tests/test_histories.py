"""Whatever happens, and in whatever order, ends in the same tables as one run from nothing.

Hypothesis writes the history of a site: log files come late, twice, or grow; runs are over other
days, stop in the middle or are repeated; tables are edited, cleaned up and lost. After one last
run everything must be as in a new site over the same files (design 3.4).
"""

import atexit
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import studium
from studium.autopilot.checks import examine, rebuild_ledger
from studium.autopilot.forget import forget
from studium.autopilot.steps import choose_tables
from studium.backup.restore import restore_site
from studium.backup.take import take_backup
from studium.backup.vault import open_vault
from studium.engines.duckdb import connect
from studium.errors import UsageError
from studium.lake.compact import compact_days
from studium.lake.store import Lake
from studium.lake.tables import Table
from studium.sources.edx import ingest
from tests import sites
from tests.points import watched
from tests.sites import DAYS, END, FIRST, contents, day, run_job

# More points than a run has: then nothing happens, as often it does not.
POINTS = 200


class Crash(BaseException):
    """The process would be dead here. Nothing catches it."""


@st.composite
def lines(draw: st.DrawFn, late: Sequence[int] = (0, 0, 1, 3)) -> tuple[int, Any]:
    """How many days a line is late, and what writes it for a given day."""
    late_by = draw(st.sampled_from(late))
    learner, second = draw(st.integers(1, 3)), draw(st.integers(0, 2))
    kind = draw(st.sampled_from(["activated", "activated", "deactivated", "mode_changed"]))
    mode = draw(st.sampled_from(["audit", "verified"]))
    course = draw(st.sampled_from([sites.COURSE, sites.OTHER]))
    form = draw(st.sampled_from(["enrollment"] * 6 + ["video", "answer", "bad", "blank", "old"]))
    write = {
        "enrollment": lambda on: sites.enrollment(learner, on, kind, mode, course, second),
        "video": lambda on: sites.video(learner, on, second, second),
        "answer": lambda on: sites.answer(learner, on, second),
        "bad": lambda on: f"{{broken {learner}",
        "blank": lambda on: "",
        "old": lambda on: sites.enrollment(learner, -3000),
    }[form]
    return late_by, write


# The tables of a history: few, as a history takes as long as its tables.
SOME = (*((kind,) for kind in sites.KINDS), ("answer_distribution",))
RESPONSES = (("multiplechoiceresponse", "stringresponse"), ("stringresponse",))
# What follows a step: nothing, a run, or one that crashes at a point.
AFTER = st.one_of(st.none(), st.just(0), st.integers(1, POINTS))
FILES = st.lists(lines(), min_size=1, max_size=5)


class Histories(RuleBasedStateMachine):
    """One site and what happens to it."""

    all_tables: ClassVar[bool] = False
    done: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.exits = ExitStack()
        self.exits.enter_context(sites.lent_database())
        self.patch = self.exits.enter_context(pytest.MonkeyPatch.context())
        self.folder = Path(self.exits.enter_context(tempfile.TemporaryDirectory()))
        self.logs = self.folder / "logs"
        self.files: list[Path] = []
        self.code = 0
        self.compact_after = 8
        self.responses = RESPONSES[0]
        self.forgotten: set[int] = set()
        self.backed_up: set[int] | None = None
        self.lms = self.folder / "lms"
        self.kinds: tuple[str, ...] = sites.KINDS
        self.site = self._new_site("site")

    # Files

    @initialize(on=st.integers(0, DAYS - 1), written=FILES, kinds=st.sampled_from(SOME))
    def first_file(self, on: int, written: list[Any], kinds: tuple[str, ...]) -> None:
        self.kinds = kinds
        self.new_file(on, written, zipped=False)

    @rule(on=st.integers(0, DAYS - 1), written=FILES, zipped=st.booleans(), after=AFTER)
    def new_file(self, on: int, written: list[Any], zipped: bool, after: int | None = None) -> None:
        texts = [write(max(0, on - late)) for late, write in written]
        path = sites.write_log(self.logs, on, texts, f"-{len(self.files)}", zipped)
        self.files.append(path)
        self._go_on(after)

    @rule(number=st.integers(0, 100), on=st.integers(0, DAYS - 1), after=AFTER)
    def file_comes_again(self, number: int, on: int, after: int | None = None) -> None:
        """Under another name, of another day."""
        path = self.files[number % len(self.files)]
        copy = self.logs / f"tracking.log-{day(on):%Y%m%d}-{len(self.files)}{path.suffix}"
        copy = copy if path.suffix == ".gz" else copy.with_suffix("")
        shutil.copyfile(path, copy)
        self.files.append(copy)
        self._go_on(after)

    @rule(number=st.integers(0, 100), written=FILES, after=AFTER)
    def file_grows(self, number: int, written: list[Any], after: int | None = None) -> None:
        plain = [path for path in self.files if path.suffix != ".gz"]
        path = plain[number % len(plain)]
        on = self.files.index(path) % DAYS
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f"{write(max(0, on - late))}\n" for late, write in written)
        self._go_on(after)

    @rule(learners=st.dictionaries(st.integers(1, 3), st.sampled_from(["f", "m", "o", ""])))
    def profiles_change(self, learners: dict[int, str]) -> None:
        """In the LMS, which only tables read that are left out of short tests."""
        if self.all_tables:
            rows = [f"{learner},{gender},1990,b" for learner, gender in learners.items()]
            header = "user_id,gender,year_of_birth,level_of_education"
            text = "\n".join([header, *rows, ""])
            (self.lms / "auth_userprofile.csv").write_text(text)

    # Runs

    @rule(
        since=st.sampled_from([0, 0, 3]),
        until=st.sampled_from([4, DAYS, DAYS]),
        lookback=st.sampled_from([0, 0, 2]),
        steps=st.sampled_from([sites.STEPS, sites.STEPS, ("ingest",), ("ingest", "build")]),
    )
    def run(self, since: int, until: int, lookback: int, steps: tuple[str, ...]) -> None:
        self._run(since, until, lookback=lookback, only=steps)
        self.done["runs"] += 1

    @rule(point=st.integers(1, POINTS), until=st.sampled_from([4, DAYS]))
    def run_that_crashes(self, point: int, until: int) -> None:
        passed = 0

        def hit(_: str) -> None:
            nonlocal passed
            passed += 1
            if passed == point:
                raise Crash

        try:
            with watched(hit):
                self._run(0, until)
        except Crash:
            self.done["crashes"] += 1

    def _go_on(self, point: int | None) -> None:
        if point:
            self.run_that_crashes(point, DAYS)
        elif point == 0:
            self.run(0, DAYS, 0, sites.STEPS)

    def _run(self, since: int, until: int, **options: Any) -> None:
        options["run__compact_after"] = self.compact_after
        options["answers__response_types"] = self.responses
        run_job(self.site, self._tables(), day(since), day(until), **options)

    # Upkeep, edits, losses

    @rule(after=st.sampled_from([1, 8]), batch=st.sampled_from([3, 4_000_000]))
    def settings_change(self, after: int, batch: int) -> None:
        """How soon days are compacted, and how many lines are committed at a time."""
        self.compact_after = after
        self.patch.setattr(ingest, "BATCH_LINES", batch)
        self.patch.setattr("studium.sources.edx.lines.BATCH_LINES", batch)

    @rule(counted=st.sampled_from(RESPONSES))
    def parameter_changes(self, counted: tuple[str, ...]) -> None:
        """Of a table that one history in many has: what answers count."""
        self.responses = counted

    @rule()
    def vacuum(self) -> None:
        sites.vacuum(self.site)
        self.done["vacuums"] += 1

    @rule()
    def compact(self) -> None:
        """Every day of events with more than one file."""
        with studium.open(self.site) as site, site.writer("test"), closing(connect()) as db:
            for name in ("events", "event_answers", "rejects"):
                compact_days(Lake(site.lake_dir), name, 1, db, site.scratch)
        self.done["compactions"] += 1

    @rule(learner=st.integers(1, 3))
    def forget(self, learner: int) -> None:
        """A learner whom the lake knows; all else is nobody's business."""
        if forget_learner(self.site, learner):
            self.forgotten.add(learner)
            self.done["forgotten"] += 1

    @rule()
    @precondition(lambda self: self.backed_up is None)
    def back_up(self) -> None:
        with studium.open(self.site) as site:
            take_backup(site, self.folder / "vault", keep=1)
        self.backed_up = set(self.forgotten)

    @rule()
    @precondition(lambda self: self.backed_up is not None)
    def restore(self) -> None:
        """The backup, in place of the site: older than it, and without its result store."""
        assert self.backed_up is not None
        shutil.rmtree(self.site)
        vault = open_vault(self.folder / "vault")
        restore_site(vault, vault.read(), self.site)
        # Who was forgotten after the backup is back, which docs/how-to/backup.md says.
        self.forgotten = set(self.backed_up)
        self.done["restores"] += 1

    @rule(code=st.integers(0, 2), after=AFTER)
    def edit(self, code: int, after: int | None = None) -> None:
        self.code = code
        self._go_on(after)

    @rule(repair=st.booleans(), after=AFTER)
    def state_is_lost(self, repair: bool, after: int | None = None) -> None:
        self._delete("state.db*")
        if repair:
            with studium.open(self.site) as site, site.writer("doctor"):
                rebuild_ledger(site)
                wrong = [one for one in examine(site) if one.check == "ledger" and not one.ok]
            assert not wrong
        self.done["lost states"] += 1
        self._go_on(after)

    @rule()
    def results_are_lost(self) -> None:
        self._delete("results.db*")

    @rule(number=st.integers(0, 100))
    def table_is_lost(self, number: int) -> None:
        names = [table.name for table in self._tables()]
        shutil.rmtree(self.site / "lake" / names[number % len(names)], ignore_errors=True)

    def _delete(self, pattern: str) -> None:
        for path in self.site.glob(pattern):
            path.unlink()

    def _new_site(self, name: str) -> Path:
        self.lms.mkdir(exist_ok=True)
        return shutil.copytree(_template(self.all_tables), self.folder / name)

    def _tables(self) -> list[Table]:
        every = choose_tables(()) if self.all_tables else choose_tables(self.kinds)
        return [edited(one, self.code) if one.name == EDITED else one for one in every]

    @invariant()
    def count(self) -> None:
        self.done["steps"] += 1

    # The end

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self._check()
        finally:
            self.exits.close()

    def _check(self) -> None:
        tables = self._tables()
        chosen = {"answers__response_types": self.responses}
        last = run_job(self.site, tables, **chosen)
        assert last.report is not None
        assert not last.report.failed
        again = run_job(self.site, tables, **chosen)
        assert again.report is not None
        assert (again.report.files, again.built, again.published) == ((), [], [])
        with studium.open(self.site) as site:
            assert sites.broken_counts(site) == []
        fresh = self._new_site("fresh")
        run_job(fresh, tables, **chosen)
        if self.forgotten:
            for learner in sorted(self.forgotten):
                forget_learner(fresh, learner)
            run_job(fresh, tables, **chosen)
        found, expected = contents(self.site), contents(fresh)
        assert found["rejects"] == expected["rejects"]
        for lake in (found["lake"], expected["lake"]):
            lake.pop("erasures", None)  # salted
        assert found["lake"] == expected["lake"]
        assert found["published"] == expected["published"]
        self.done["examples"] += 1


@cache
def _template(with_lms: bool) -> Path:
    """A new site beside its logs, whose state has the tables of the day."""
    folder = Path(tempfile.mkdtemp(prefix="studium-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    lms = {"lms__source": "../lms"} if with_lms else {}
    site = sites.make_site(folder / "site", "../logs", **lms)
    with studium.open(site) as opened, opened.state.read():
        return site


def forget_learner(root: Path, learner: int) -> bool:
    """``studium forget``; False if nobody is known by that id."""
    with studium.open(root) as site, site.writer("forget"):
        try:
            forget(site, Lake(site.lake_dir), str(learner), None)
        except UsageError:
            return False
    return True


EDITED = "enrollment_events"


def edited(table: Table, code: int) -> Table:
    """The table with other SQL: without one mode, so that days may become empty."""
    if not code:
        return table
    mode = ("audit", "verified")[code - 1]
    sql = f"SELECT * FROM ({table.sql}) AS every_mode WHERE mode <> '{mode}'"
    return replace(table, sql=sql, code=f"without {mode}")


def test_every_history_ends_in_the_same_tables() -> None:
    chosen = settings(max_examples=2, stateful_step_count=6)
    run_state_machine_as_test(Histories, settings=chosen)


@pytest.mark.long
def test_the_history_of_the_documentation_ends_in_the_same_tables(tmp_path: Path) -> None:
    # One fixed history with everything in it, whatever Hypothesis draws.
    history = Histories()
    try:
        audit = (0, lambda on: sites.enrollment(1, on))
        late = (2, lambda on: sites.enrollment(2, on, mode="verified"))
        history.new_file(1, [audit, late], zipped=False)
        history.run(0, DAYS, 0, sites.STEPS)
        history.file_grows(0, [late, (0, lambda on: "{broken")])
        history.file_comes_again(0, 6)
        history.settings_change(1, 3)
        history.parameter_changes(RESPONSES[1])
        history.run_that_crashes(40, DAYS)
        history.edit(2)
        history.run(3, DAYS, 2, sites.STEPS)
        history.compact()
        history.back_up()
        history.forget(2)
        history.vacuum()
        history.state_is_lost(repair=True)
        history.edit(1)
        history.run_that_crashes(90, 4)
        history.state_is_lost(repair=True)
        history.results_are_lost()
        history.table_is_lost(1)
        history.new_file(3, [late], zipped=True)
    except BaseException:
        history.exits.close()
        raise
    history.teardown()
    assert (day(0), day(DAYS)) == (FIRST, END)
