"""The lake: what a commit does, what readers see, what may be deleted."""

import os
import time
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from studium.engines import Relation, StagedFile
from studium.engines.duckdb import connect
from studium.errors import LakeError
from studium.lake.compact import compact_days
from studium.lake.store import Lake, Snapshot
from studium.lake.vacuum import Vacuumed, unreferenced_files, vacuum_tables
from studium.state import open_state
from studium.state.counters import next_build
from tests.engines import shared_engine

MON, TUE, WED = date(2025, 9, 1), date(2025, 9, 2), date(2025, 9, 3)
COLUMNS = {"n": "BIGINT", "word": "VARCHAR"}
PRINT = "0a1b2c3d4e5f"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def stage(folder: Path, numbers: Iterable[int], on: date | None, **more: Any) -> StagedFile:
    """A staged file of rows ``n`` and ``word``; ``more`` are constant columns."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{len(list(folder.iterdir()))}.parquet"
    numbers = list(numbers)
    columns = {
        "n": pa.array(numbers, pa.int64()),
        "word": [f"w{n}" for n in numbers],
        **{name: [value] * len(numbers) for name, value in more.items()},
    }
    pq.write_table(pa.table(columns), path)
    return StagedFile(path, on, len(numbers), path.stat().st_size)


def build(number: int) -> str:
    return f"{number:08d}-abc123"


def commit(
    lake: Lake, number: int, days: dict[date | None, Iterable[int]], **options: Any
) -> Snapshot:
    """Commit rows by day as build ``number``; a table with the day None is a whole one."""
    folder = lake.root.parent / "staged"
    more = options.pop("more", {})
    files = [stage(folder, numbers, on, **more) for on, numbers in days.items()]
    kinds = {"str": "VARCHAR", "int": "BIGINT"}
    columns = COLUMNS | {name: kinds[type(value).__name__] for name, value in more.items()}
    options.setdefault("by_day", None not in days)
    return lake.commit(
        options.pop("name", "counts"), files, columns=columns, build=build(number),
        fingerprint=PRINT, **options,
    )  # fmt: skip


def rows(lake: Lake, *columns: str, name: str = "counts", days: Any = None) -> list[Any]:
    """Rows as the engine reads them, sorted."""
    relation = lake.snapshot(name).relation(days)
    wanted = ", ".join(columns or ("day", "n"))
    found = shared_engine("duckdb").query(f"SELECT {wanted} FROM counts", {"counts": relation})
    return sorted((tuple(row.values()) for row in found.to_pylist()), key=repr)


def append(lake: Lake, on: date, number: int) -> None:
    """A row written by a program that knows nothing of Studium."""
    row = pa.table({"day": [on], "n": pa.array([number], pa.int64()), "word": [f"w{number}"]})
    write_deltalake(str(lake.root / "counts"), row, mode="append")


def compact(lake: Lake, after: int) -> int:
    db = connect()
    try:
        return compact_days(lake, "counts", after, db, lake.root.parent / "scratch")
    finally:
        db.close()


# What there is


def test_a_table_that_does_not_exist_is_an_empty_snapshot(lake: Lake) -> None:
    snapshot = lake.snapshot("counts")
    assert (snapshot.exists, snapshot.files, snapshot.rows) == (False, (), 0)
    assert snapshot.versions() == {}
    assert snapshot.relation() == Relation()
    assert lake.names() == []
    assert lake.next_number() == 1


def test_a_log_folder_without_a_commit_is_no_table_yet(lake: Lake) -> None:
    # A crash between making the folder and the first commit leaves this.
    (lake.root / "counts" / "_delta_log").mkdir(parents=True)
    assert not lake.snapshot("counts").exists
    assert vacuum_tables(lake, 0, dry_run=False) == []
    commit(lake, 1, {MON: [1]})
    assert rows(lake) == [(MON, 1)]


def test_a_log_that_cannot_be_read_is_an_error_that_says_what_to_do(lake: Lake) -> None:
    commit(lake, 1, {MON: [1]})
    for file in (lake.root / "counts" / "_delta_log").glob("*.json"):
        file.write_text("{nonsense\n")
    with pytest.raises(LakeError, match=r"counts .*doctor"):
        lake.snapshot("counts")


# Commits


def test_days_are_added_in_one_commit(lake: Lake) -> None:
    snapshot = commit(lake, 7, {MON: [1, 2], TUE: [3]})
    assert rows(lake) == [(MON, 1), (MON, 2), (TUE, 3)]
    assert snapshot.versions() == {MON: build(7), TUE: build(7)}
    assert snapshot.rows == 3
    assert {file.fingerprint for file in snapshot.files} == {PRINT[:8]}
    after = commit(lake, 8, {TUE: [4], WED: [5]})
    assert after.delta == snapshot.delta + 1
    assert rows(lake) == [(MON, 1), (MON, 2), (TUE, 3), (TUE, 4), (WED, 5)]
    assert after.versions() == {MON: build(7), TUE: build(8), WED: build(8)}


def test_replacing_a_day_drops_exactly_its_files(lake: Lake) -> None:
    commit(lake, 1, {MON: [1], TUE: [2]})
    first = commit(lake, 2, {MON: [3]})
    old = [file for file in first.files if file.day == MON]
    after = commit(lake, 3, {MON: [9]}, replace=old)
    assert rows(lake) == [(MON, 9), (TUE, 2)]
    assert after.versions() == {MON: build(3), TUE: build(1)}


def test_a_day_can_become_empty(lake: Lake) -> None:
    before = commit(lake, 1, {MON: [1], TUE: [2]})
    old = [file for file in before.files if file.day == MON]
    after = commit(lake, 2, {}, by_day=True, replace=old)
    assert after.versions() == {TUE: build(1)}
    assert rows(lake) == [(TUE, 2)]
    assert lake.newest_build("counts") == build(2), "the log alone tells of what is gone"


def test_a_whole_table_is_replaced_with_its_columns(lake: Lake) -> None:
    commit(lake, 1, {None: [1, 2]}, more={"old": "x"})
    after = commit(lake, 2, {None: [3]}, more={"new": 5})
    assert rows(lake, "n", "new") == [(3, 5)]
    assert after.versions() == {None: build(2)}
    assert dict(after.columns) == COLUMNS | {"new": "BIGINT"}
    assert not after.by_day
    emptied = commit(lake, 3, {}, by_day=False)
    assert (emptied.exists, emptied.rows, emptied.versions()) == (True, 0, {})


def test_only_the_asked_days_are_read(lake: Lake) -> None:
    commit(lake, 1, {MON: [1], TUE: [2], WED: [3]})
    assert rows(lake, days=[MON, WED]) == [(MON, 1), (WED, 3)]
    assert rows(lake, days=[]) == []


def test_staged_files_are_gone_and_nobody_sees_a_file_before_its_commit(lake: Lake) -> None:
    commit(lake, 1, {MON: [1]})
    assert list((lake.root.parent / "staged").iterdir()) == []
    stray = lake.root / "counts" / f"day={MON}" / f"{build(2)}-{PRINT[:8]}-0.parquet"
    stray.write_bytes(next((lake.root / "counts").rglob("*.parquet")).read_bytes())
    assert rows(lake) == [(MON, 1)]
    assert unreferenced_files(lake, "counts") == 1


# Columns


def test_a_new_column_reads_as_null_in_older_days(lake: Lake) -> None:
    commit(lake, 1, {MON: [1], TUE: [2]})
    after = commit(lake, 2, {TUE: [3]}, more={"mood": "good"})
    assert dict(after.columns) == {"day": "DATE", **COLUMNS, "mood": "VARCHAR"}
    assert rows(lake, "n", "mood") == [(1, None), (2, None), (3, "good")]
    old = [file for file in after.files if file.build == build(1)]
    commit(lake, 3, {MON: [1], TUE: [2]}, more={"mood": "fair"}, replace=old)
    assert rows(lake, "n", "mood") == [(1, "fair"), (2, "fair"), (3, "good")]


def test_files_without_a_column_that_the_table_has_are_fine(lake: Lake) -> None:
    commit(lake, 1, {MON: [1]}, more={"mood": "good"})
    commit(lake, 2, {TUE: [2]})
    assert rows(lake, "n", "mood") == [(1, "good"), (2, None)]


def test_a_day_table_refuses_a_column_of_another_type(lake: Lake) -> None:
    commit(lake, 1, {MON: [1]}, more={"mood": "good"})
    with pytest.raises(LakeError, match="mood of table counts was VARCHAR and would become BIGINT"):
        commit(lake, 2, {TUE: [2]}, more={"mood": 5})
    assert rows(lake) == [(MON, 1)]


def test_a_type_that_the_lake_does_not_store_is_refused(lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"HUGEINT.*Cast it"):
        lake.commit(
            "counts", [], columns={"n": "HUGEINT"}, by_day=False, build=build(1), fingerprint=PRINT
        )
    assert lake.names() == []


# Compaction


def test_compaction_changes_neither_rows_nor_versions(lake: Lake) -> None:
    commit(lake, 1, {MON: [1], TUE: [2]})
    commit(lake, 2, {MON: [3]}, more={"mood": "good"})
    before = commit(lake, 3, {MON: [4]})
    seen = rows(lake, "day", "n", "word", "mood")
    assert compact(lake, 2) == 1
    after = lake.snapshot("counts")
    assert [file.day for file in after.files] == [MON, TUE]
    assert after.versions() == before.versions() == {MON: build(3), TUE: build(1)}
    assert rows(lake, "day", "n", "word", "mood") == seen
    assert lake.newest_build("counts") == build(3)
    assert compact(lake, 2) == 0
    assert lake.snapshot("counts").delta == after.delta, "nothing to do commits nothing"


def test_a_compacted_day_keeps_the_oldest_stamp_of_its_files(lake: Lake) -> None:
    # A day with one file of an old shredder has to stay stale.
    for number, stamp in ((1, "shred001"), (2, "shred002")):
        staged = stage(lake.root.parent / "staged", [number], MON)
        lake.commit(
            "counts", [staged], columns=COLUMNS, by_day=True, build=build(number), fingerprint=stamp
        )
    compact(lake, 1)
    assert [file.fingerprint for file in lake.snapshot("counts").files] == ["shred001"]


def test_large_files_are_left_alone(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studium.lake.compact.WHOLE", 3)
    commit(lake, 1, {MON: [1, 2, 3]})
    for number in (2, 3):
        commit(lake, number, {MON: [2 * number]})
    assert compact(lake, 2) == 0, "two are small"
    before = commit(lake, 4, {MON: [8]})
    assert compact(lake, 2) == 1
    after = lake.snapshot("counts")
    assert sorted(file.rows for file in after.files) == [3, 3]
    assert set(before.files) & set(after.files) == {before.files[0]}
    assert (rows(lake), after.versions()) == (
        [(MON, n) for n in (1, 2, 3, 4, 6, 8)], before.versions()
    )  # fmt: skip


def test_compaction_with_a_file_of_another_writer_keeps_the_version(lake: Lake) -> None:
    commit(lake, 5, {MON: [1]})
    append(lake, MON, 2)
    compact(lake, 1)
    snapshot = lake.snapshot("counts")
    assert rows(lake) == [(MON, 1), (MON, 2)]
    assert (len(snapshot.files), snapshot.versions()) == (1, {MON: build(5)})


# Numbers


def test_numbers_go_on_after_the_state_was_lost(lake: Lake, tmp_path: Path) -> None:
    commit(lake, 41, {MON: [1]})
    commit(lake, 17, {None: [1]}, name="other")
    assert lake.next_number() == 42
    state = open_state("sqlite:///state.db", tmp_path, "")
    try:
        with state.begin() as conn:
            drawn = [next_build(conn, lake.next_number()), next_build(conn)]
    finally:
        state.close()
    assert [number.partition("-")[0] for number in drawn] == ["00000042", "00000043"]


# Others: readers and writers that know nothing of Studium


def test_outside_readers_see_the_same_rows(lake: Lake) -> None:
    commit(lake, 1, {MON: [1, 2], TUE: [3]})
    commit(lake, 2, {TUE: [4]}, more={"mood": "good"})
    compact(lake, 1)
    ours = rows(lake, "day", "n", "word", "mood")
    delta = DeltaTable(str(lake.root / "counts"))
    columns = ["day", "n", "word", "mood"]
    theirs = delta.to_pyarrow_table(columns=columns).to_pylist()
    assert sorted((tuple(row.values()) for row in theirs), key=repr) == ours
    listed = [str(lake.root / "counts" / file.path) for file in lake.snapshot("counts").files]
    with duckdb.connect() as db:
        plain = db.execute(
            "SELECT day::DATE, n, word, mood FROM "
            "read_parquet(?, hive_partitioning = true, union_by_name = true)",
            [listed],
        ).fetchall()
    assert sorted(plain, key=repr) == ours


def test_older_versions_can_be_read_until_vacuum(lake: Lake) -> None:
    first = commit(lake, 1, {MON: [1]})
    commit(lake, 2, {MON: [2]}, replace=first.files)
    then = DeltaTable(str(lake.root / "counts"), version=first.delta)
    assert then.to_pyarrow_table()["n"].to_pylist() == [1]


def test_files_of_other_writers_are_read_but_have_no_version(lake: Lake) -> None:
    commit(lake, 5, {MON: [1]})
    append(lake, TUE, 2)
    snapshot = lake.snapshot("counts")
    assert rows(lake) == [(MON, 1), (TUE, 2)]
    assert snapshot.rows == 2
    assert snapshot.versions() == {MON: build(5)}
    assert [file.build for file in snapshot.files if file.day == TUE] == [""]
    assert lake.next_number() == 6


def test_a_delta_table_of_another_kind_is_no_lake_of_ours(lake: Lake) -> None:
    table = pa.table({"n": [[1, 2]]})
    write_deltalake(str(lake.root / "lists"), table)
    with pytest.raises(LakeError, match="Studium did not write"):
        lake.snapshot("lists")


# Vacuum


def age(path: Path, hours: float) -> None:
    then = time.time() - 3600 * hours
    os.utime(path, (then, then))


def files(lake: Lake) -> set[str]:
    folder = lake.root / "counts"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")} - {
        path.relative_to(folder).as_posix() for path in (folder / "_delta_log").rglob("*.parquet")
    }


def orphan(lake: Lake, name: str, hours: float) -> str:
    path = lake.root / "counts" / f"day={MON}" / name
    path.write_bytes(b"left behind")
    age(path, hours)
    return path.relative_to(lake.root / "counts").as_posix()


def test_vacuum_deletes_what_no_version_in_time_names(lake: Lake) -> None:
    first = commit(lake, 1, {MON: [1], TUE: [2]})
    old = [file for file in first.files if file.day == MON]
    kept = {file.path for file in commit(lake, 2, {MON: [3]}, replace=old).files}
    aged = orphan(lake, f"{build(3)}-{PRINT[:8]}-0.parquet", hours=200)
    fresh = orphan(lake, f"{build(4)}-{PRINT[:8]}-0.parquet", hours=1)
    for path in kept:
        age(lake.root / "counts" / path, hours=10_000)
    seen = rows(lake)

    # What was replaced a moment ago is still being read by somebody.
    (found,) = vacuum_tables(lake, 168, dry_run=True)
    assert (found.table, found.files, found.bytes) == ("counts", 1, len(b"left behind"))
    assert files(lake) == kept | {old[0].path, aged, fresh}
    (done,) = vacuum_tables(lake, 168, dry_run=False)
    assert done == found
    assert files(lake) == kept | {old[0].path, fresh}

    (done,) = vacuum_tables(lake, 0, dry_run=False)
    assert done.files == 2
    assert files(lake) == kept
    assert rows(lake) == seen
    assert vacuum_tables(lake, 0, dry_run=False) == [Vacuumed("counts", 0, 0)]
    assert unreferenced_files(lake, "counts") == 0


def test_vacuum_keeps_everything_of_a_table_that_lost_nothing(lake: Lake) -> None:
    commit(lake, 1, {MON: [1]})
    commit(lake, 2, {None: [1, 2]}, name="whole")
    before = files(lake)
    assert [one.files for one in vacuum_tables(lake, 0, dry_run=False)] == [0, 0]
    assert files(lake) == before
    assert rows(lake, "n", name="whole") == [(1,), (2,)]
