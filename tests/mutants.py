"""Seeded faults: what the tests must notice. Each is a few replaced words in a copy of ``src``.

A mutant names the tests that are meant to catch it. A fault that survives is a missing test; one
whose old words are no longer there is to be seeded anew. ``python -m tests.mutants [NAME …]`` tries
them all, or some.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "studium"

PATIENCE = 60.0
"""Seconds of CPU within which a mutant must be caught: other work on the machine does not count."""

_SURVIVED = 0  # pytest's exit code if all tests passed, and if some failed
_CAUGHT = 1


@dataclass(frozen=True)
class Edit:
    """Words of a file below ``src/studium`` that occur once there, and what replaces them."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A fault, and the tests (arguments of pytest) that must fail with it. ``cheap`` ones are
    tried by `make test`."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    cheap: bool = False


@dataclass(frozen=True)
class Trial:
    """What became of a mutant: the first test that failed, if any, and seconds of CPU."""

    mutant: Mutant
    caught_by: str
    seconds: float
    said: str = field(repr=False, default="")

    @property
    def caught(self) -> bool:
        return bool(self.caught_by) and self.seconds <= PATIENCE


def _one(name: str, file: str, old: str, new: str, *tests: str, cheap: bool = False) -> Mutant:
    return Mutant(name, (Edit(file, old, new),), tests, cheap)


MUTANTS = (
    # Planning and building
    _one(
        "a day table is built without the neighbours in its reach",
        "lake/build.py",
        "return snapshot.relation(days_in_reach(work.days, table.reach))",
        "return snapshot.relation(work.days)",
        "tests/test_build.py::test_reach_reads_neighbours_and_writes_only_its_days",
    ),
    _one(
        "a changed day does not reopen its neighbours",
        "lake/plan.py",
        "days = (day + timedelta(days=n) for n in range(-table.reach, table.reach + 1))",
        "days = iter([day])",
        "tests/test_plan.py::test_reach_reopens_the_neighbours",
        cheap=True,
    ),
    _one(
        "look-back off by one",
        "lake/plan.py",
        "return 0 < (self.window.until - day).days <= self.lookback",
        "return 0 < (self.window.until - day).days < self.lookback",
        "tests/test_plan.py::test_look_back_counts_days_before_until",
        cheap=True,
    ),
    _one(
        "`<=` for `<` at `until`",
        "clock.py",
        "return self.since <= day < self.until",
        "return self.since <= day <= self.until",
        "tests/test_clock.py",
        cheap=True,
    ),
    _one(
        "the calendar of whole tables ends a day late",
        "lenses/calendar/maps.py",
        "for n in range((until - start).days)]",
        "for n in range((until - start).days + 1)]",
        "tests/test_until.py",
    ),
    _one(
        "whole tables do not notice changes of their days",
        "lake/plan.py",
        "if one is not None and start <= one < until",
        "if one is not None and start < one < until",
        "tests/test_until.py",
    ),
    _one(
        "rebuilt rows are compared by their number only",
        "lake/build.py",
        "if old.get(day) != new.get(day)}",
        "if old.get(day, (0, 0))[0] != new.get(day, (0, 0))[0]}",
        "tests/test_build.py::test_look_back_repairs_a_day_whose_rows_are_not_what_they_should_be",
    ),
    _one(
        "rebuilt rows are never compared",
        "lake/build.py",
        "if old.get(day) != new.get(day)}",
        "if True}",
        "tests/test_build.py::test_equal_rows_commit_nothing_and_wake_nobody",
    ),
    _one(
        "whole tables shrink with a smaller --until",
        "autopilot/steps.py",
        "return max(scope.window.until, date.fromisoformat(fact)) if fact else scope.window.until",
        "return scope.window.until",
        "tests/test_until.py",
    ),
    # The lake
    _one(
        "the old files of a replaced day stay",
        "lake/store.py",
        "[*adds, *(_remove(file) for file in replace)],",
        "[*adds],",
        "tests/test_lake.py::test_replacing_a_day_drops_exactly_its_files",
    ),
    _one(
        "compaction makes a new version",
        "lake/store.py",
        'f"{versions[file.day]}-{stamps[file.day]}-{suffix}-{number}"',
        'f"99999999-ffffff-{stamps[file.day]}-{number}"',
        "tests/test_lake.py::test_compaction_changes_neither_rows_nor_versions",
    ),
    _one(
        "vacuum keeps nothing back",
        "lake/vacuum.py",
        "retention_hours=keep_hours,\n                    dry_run=False,",
        "retention_hours=0,\n                    dry_run=False,",
        "tests/test_lake.py::test_vacuum_deletes_what_no_version_in_time_names",
    ),
    _one(
        "the writer lock lets everyone in",
        "state/lock.py",
        "    except BlockingIOError:\n        return False",
        "    except BlockingIOError:\n        return True",
        "tests/test_lock.py::test_a_second_writer_is_told_who_holds_the_lock",
    ),
    # Ingest
    Mutant(
        "manifest before commit",
        (
            Edit(
                "sources/edx/ingest.py",
                'note = {"reading": self.reading}\n',
                'note = {"reading": self.reading}\n'
                "        self.forgotten += refusals.forgotten\n"
                "        self.refused += refusals.counts\n"
                "        self._record()\n",
            ),
            Edit(
                "sources/edx/ingest.py",
                "                )\n        self.forgotten += refusals.forgotten\n"
                "        self.refused += refusals.counts\n",
                "                )\n",
            ),
        ),
        ("tests/test_order.py",),
    ),
    _one(
        "events are committed before their answers",
        "sources/edx/ingest.py",
        "(ANSWERS, parts, answers.COLUMNS),\n            (EVENTS, new, shred.COLUMNS),\n",
        "(EVENTS, new, shred.COLUMNS),\n            (ANSWERS, parts, answers.COLUMNS),\n",
        "tests/test_order.py",
    ),
    _one(
        "identity without `context`",
        "sources/edx/shred.py",
        'texts = ("time_text", *_TEXTS, "context", "event")',
        'texts = ("time_text", *_TEXTS, "event")',
        "tests/test_ingest.py::"
        "test_the_framing_does_not_make_another_event_but_the_context_does",
    ),
    _one(
        "anti-join on the wrong day",
        "sources/edx/ingest.py",
        "find_gone(db, [*lake.relation(days).files, *before], order)",
        "find_gone(\n                db, [*lake.relation(day + timedelta(1) for day in days).files,"
        " *before], order\n            )",
        "tests/test_ingest.py::test_a_renamed_file_adds_nothing",
    ),
    _one(
        "a line that was read before is taken for a duplicate",
        "sources/edx/merge.py",
        "bool_or(lake.file_id = slab.file_id AND lake.line_no = slab.line_no) AS again",
        "bool_or(lake.file_id <> slab.file_id) AS again",
        "tests/test_ingest.py::test_reading_the_same_file_again_keeps_its_lines",
    ),
    _one(
        "a refused line is counted but not kept",
        "sources/edx/rejects.py",
        "        self._rows.append(refused)\n",
        "",
        "tests/test_ingest.py::test_refused_lines_can_be_listed_and_replayed",
    ),
    _one(
        "the last line of a log without a newline is lost",
        "sources/edx/lines.py",
        "            yield from self._split(rest, reading)\n        elif rest:",
        "            return\n        elif rest:",
        "tests/test_lines.py::test_a_line_may_be_as_long_as_the_limit_and_no_longer",
    ),
    _one(
        "days are covered although a file failed",
        "sources/edx/ingest.py",
        "    if not report.failed:\n        with site.state.begin() as conn:",
        "    if report is not None:\n        with site.state.begin() as conn:",
        "tests/test_ingest.py::"
        "test_a_file_that_cannot_be_read_is_tried_again_and_its_days_are_not_covered",
    ),
    _one(
        "float to integer by truncation: user 12.7 is user 12",
        "sources/edx/shred.py",
        "'[0-9]{{1,18}}(\\\\.0+)?') \"",
        "'[0-9]{{1,18}}(\\\\.[0-9]+)?') \"",
        "tests/test_shred.py",
    ),
    _one(
        "the offset of a time is ignored",
        "sources/edx/shred.py",
        "THEN TRY_CAST(upper({text}) AS TIMESTAMPTZ)::TIMESTAMP END",
        "THEN TRY_CAST(left(upper({text}), 19) AS TIMESTAMP) END",
        "tests/test_ingest.py::test_an_offset_may_carry_an_event_to_another_day",
    ),
    # Erasure
    _one(
        "forgotten learners come back with the next ingest",
        "sources/edx/erasure.py",
        '        db.execute(f"DELETE FROM slab {where}").fetchall()\n',
        "        pass\n",
        "tests/test_forget.py::test_the_same_logs_do_not_bring_them_back",
    ),
    _one(
        "refused lines of forgotten learners are kept",
        "sources/edx/rejects.py",
        "if self._erasures and self._erasures.speaks_of(",
        "if not self._erasures and self._erasures.speaks_of(",
        "tests/test_forget.py::test_the_same_logs_do_not_bring_them_back",
    ),
    # The LMS
    _one(
        "a dump that was cut off is taken for whole",
        "sources/lms/dump.py",
        "    elif comment.startswith(_COMPLETED):",
        "    elif comment:",
        "tests/test_lms_dump.py::test_a_declaration_holds_for_the_files_after_it",
    ),
    _one(
        "a doubled quote in a dump stays doubled",
        "sources/lms/literals.py",
        'if b"\\\\" in body or b"\'\'" in body else body',
        'if b"\\\\" in body else body',
        "tests/test_lms_dump.py::test_a_literal_in_a_text_column",
        cheap=True,
    ),
    # The result stores
    _one(
        "publish without a transaction (SQLite)",
        "results/sqlite.py",
        'connection.exec_driver_sql("BEGIN IMMEDIATE")',
        'connection.exec_driver_sql("SELECT 1")',
        "tests/test_results_readers.py::"
        "test_readers_in_the_middle_of_a_publish_see_the_old_tables",
    ),
    _one(
        "publish in two transactions (PostgreSQL)",
        "results/postgresql.py",
        "                for publication in publications:\n"
        "                    _take_names(connection, publication)\n",
        "                connection.exec_driver_sql('COMMIT')\n"
        "                connection.exec_driver_sql('BEGIN')\n"
        "                connection.exec_driver_sql('SAVEPOINT sa_savepoint_2')\n"
        "                for publication in publications:\n"
        "                    _take_names(connection, publication)\n",
        "tests/test_results_servers.py", "-k", "postgresql and (polling or killed)",
    ),
    _one(
        "publish by one RENAME a table (MariaDB)",
        "results/mysql.py",
        "    try:\n        connection.exec_driver_sql(rename)\n",
        "    try:\n        for one in rename.removeprefix('RENAME TABLE ').split(', '):\n"
        "            connection.exec_driver_sql(f'RENAME TABLE {one}')\n",
        "tests/test_results_servers.py", "-k", "mariadb and (polling or killed)",
    ),
    _one(
        "values out of range are cut down",
        "results/values.py",
        "        return values.cast(target)\n    except",
        "        return values.cast(target, safe=False)\n    except",
        "tests/test_results_refusals.py::test_values_that_do_not_fit_are_counted_and_nothing_changes",
    ),
    _one(
        "a repeated key with NULL in it is published",
        "results/sqlite.py",
        "    if not unique or nullable & set(publication.grain):\n",
        "    if not publication.columns:\n",
        "tests/test_results_stores.py::test_a_key_that_repeats_is_told_and_nothing_changes",
        "-k", "sqlite",
    ),
    _one(
        "a table that became smaller is not published again",
        "autopilot/steps.py",
        "or (now.build, now.rows, now.definition) != as_built",
        "or (now.build, now.definition) != (build, one.definition)",
        "tests/test_until.py",
    ),
    # Lenses
    _one(
        "at the same instant, activated comes after deactivated",
        "lenses/enrollment/enrollment_changes.sql",
        "activated > deactivated THEN 1",
        "activated >= deactivated THEN 1",
        "tests/spec/test_enrollment.py", "-k", "duckdb",
    ),
    _one(
        "the first seek counts instead of the last",
        "lenses/video/video_viewings.sql",
        "LAST_VALUE(seek_to IGNORE NULLS) OVER (",
        "FIRST_VALUE(seek_to IGNORE NULLS) OVER (",
        "tests/spec/test_video.py", "-k", "test_rule and duckdb",
    ),
    _one(
        "a learner who watches a segment twice is two viewers",
        "lenses/video/video_usage.sql",
        "GREATEST(first_segment, known_segment + 1) AS segment,",
        "first_segment AS segment,",
        "tests/spec/test_video.py", "-k", "duckdb",
    ),
    _one(
        "the last part that is not hidden counts, whichever submission it is of",
        "lenses/answers/answer_tallies.sql",
        "submitted.is_last AND submitted.day = spans.last_day AS is_last",
        "submitted.is_last AS is_last",
        "tests/spec/test_answers.py", "-k", "many_rows and duckdb",
    ),
    _one(
        "an old answer without a type hides the part",
        "lenses/answers/answer_distribution.sql",
        "WHERE response_type IS NOT NULL",
        "WHERE TRUE",
        "tests/spec/test_answers.py", "-k", "test_rule and duckdb",
    ),
    _one(
        "markup is taken out of what learners typed themselves",
        "lenses/answers/answer_distribution.sql",
        "    NULLIF(answered.plain, '') AS plain,",
        "    NULLIF(answered.stripped, '') AS plain,",
        "tests/spec/test_answers.py", "-k", "test_rule and duckdb",
    ),
    _one(
        "the week that is not over counts",
        "lenses/engagement/course_activity.sql",
        "calendar.week_end <= $week_until",
        "calendar.week_start <= $week_until",
        "tests/test_until.py",
    ),
    _one(
        "a learner of two days in a month is two learners",
        "lenses/engagement/course_activity_monthly.sql",
        "COUNT(DISTINCT user_id)",
        "COUNT(user_id)",
        "tests/spec/test_engagement.py", "-k", "duckdb",
    ),
    _one(
        "a percentile is infinite if the value behind its rank is",
        "lenses/learners/module_engagement_metric_ranges.sql",
        "      WHEN high_rest = 0 OR high_here = high_next THEN high_here\n",
        "      WHEN high_here = high_next THEN high_here\n",
        "tests/spec/test_learners.py", "-k", "duckdb and compared",
    ),
    _one(
        "who was renamed is two learners",
        "lenses/learners/module_engagement_summary.sql",
        "COALESCE(logged.known_name, last_names.logged_name, logged.logged_name)",
        "COALESCE(logged.logged_name, logged.known_name, last_names.logged_name)",
        "tests/spec/test_learners.py", "-k", "duckdb and roster",
    ),
    _one(
        "what was logged before an account was retired stays",
        "lenses/learners/module_engagement_summary.sql",
        "COALESCE(auth_user.username, module_engagement.username)",
        "COALESCE(module_engagement.username, auth_user.username)",
        "tests/spec/test_learners.py", "-k", "duckdb and retired",
    ),
    _one(
        "disengaging is who was active in neither week",
        "lenses/learners/course_learners.sql",
        "previous_days_active > 0 THEN ',disengaging'",
        "previous_days_active = 0 THEN ',disengaging'",
        "tests/test_learners.py", "-k", "late",
    ),
    _one(
        "who came back in a later week was not there before",
        "lenses/learners/course_retention.sql",
        "spine.week DESC NULLS LAST",
        "spine.week NULLS LAST",
        "tests/spec/test_learners.py", "-k", "duckdb and reference",
    ),
    _one(
        "an address that tells no country is no address",
        "lenses/geography/course_enrollment_location_current.sql",
        "  last_country_of_user.country_code,\n  CAST(SUM",
        "  NULLIF(last_country_of_user.country_code, 'UNKNOWN') AS country_code,\n  CAST(SUM",
        "tests/spec/test_geography.py", "-k", "duckdb",
    ),
    _one(
        "the first address of a day instead of the last",
        "lenses/geography/last_ip_of_user_daily.sql",
        "    MAX(time) AS time",
        "    MIN(time) AS time",
        "tests/spec/test_geography.py", "-k", "duckdb",
    ),
)  # fmt: skip


def mutate(mutant: Mutant, folder: Path) -> Path:
    """A copy of the source with the fault in it, as a folder for PYTHONPATH."""
    copy = folder / "src"
    shutil.copytree(SOURCE, copy / "studium", ignore=shutil.ignore_patterns("__pycache__"))
    for edit in mutant.edits:
        path = copy / "studium" / edit.file
        text = path.read_text(encoding="utf-8")
        if text.count(edit.old) != 1:
            raise AssertionError(
                f"mutant {mutant.name!r}: {edit.file} has its old words {text.count(edit.old)} "
                f"times; seed it anew:\n{edit.old}"
            )
        path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
    return copy


def run_tests(source: Path, tests: Sequence[str]) -> tuple[int, str, float]:
    """Tests against the package in ``source``: pytest's exit code, what it said, CPU seconds."""
    before = _cpu()
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=line",
                "-p", "no:cacheprovider", "-p", "no:xdist", *tests,
            ],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env={
                **os.environ,
                "PYTHONPATH": str(source),
                # A fault's examples are no examples for the next run of the tests.
                "HYPOTHESIS_STORAGE_DIRECTORY": folder,
                "HYPOTHESIS_PROFILE": "default",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )  # fmt: skip
    return done.returncode, done.stdout + done.stderr, _cpu() - before


def try_mutant(mutant: Mutant) -> Trial:
    """Run the tests that must catch the mutant."""
    with tempfile.TemporaryDirectory() as folder:
        code, said, seconds = run_tests(mutate(mutant, Path(folder)), mutant.tests)
    if code not in (_SURVIVED, _CAUGHT):
        raise AssertionError(f"mutant {mutant.name!r}: its tests could not be run:\n{said}")
    return Trial(mutant, _first_failure(said) if code == _CAUGHT else "", seconds, said)


def check_tests(mutants: Sequence[Mutant]) -> None:
    """The tests of the mutants pass without any fault; AssertionError if not."""
    whole = sorted({test for one in mutants if "-k" not in one.tests for test in one.tests})
    runs = {tuple(whole), *(one.tests for one in mutants if "-k" in one.tests)}
    for tests in sorted(runs):
        code, said, _ = run_tests(SOURCE.parent, tests)
        if code:
            raise AssertionError(f"without a fault, {' '.join(tests)}:\n{said}")


def _first_failure(said: str) -> str:
    for line in said.splitlines():
        kind, _, rest = line.partition(" ")
        if kind in ("FAILED", "ERROR"):
            return rest.partition(" - ")[0]
    return "(no test named)"


def _cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system


def main(names: Sequence[str]) -> None:
    """Try mutants whose name has one of ``names`` in it; exit code 1 if any survives."""
    chosen = [one for one in MUTANTS if not names or any(name in one.name for name in names)]
    survivors = 0
    for mutant in chosen:
        trial = try_mutant(mutant)
        survivors += not trial.caught
        verdict = "caught by" if trial.caught else "SURVIVED"
        print(f"{mutant.name}: {verdict} {trial.caught_by} ({trial.seconds:.1f} s)", flush=True)
    sys.exit(1 if survivors or not chosen else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
