"""Readers never see half: beside publishers, and after a publisher was killed."""

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from studium.columns import parse_column
from studium.results.publication import Publication
from studium.results.store import ResultStore, open_results, publish, published

NOW = datetime(2024, 3, 1, tzinfo=UTC)
TABLES = ("first", "second", "third")
SCHEMA = pa.schema([("n", pa.int64())])
COLUMNS = (parse_column("n", "integer not null; a number"),)


def numbers(
    table: str, rows: int, build: str, midway: Callable[[], object] = lambda: None
) -> Publication:
    """A table of so many rows; `midway` is called when half of them are written."""

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"n": range(rows // 2)}, SCHEMA)
        midway()
        yield pa.record_batch({"n": range(rows // 2, rows)}, SCHEMA)

    return Publication(
        *(table, COLUMNS, ("n",), (("n",),)),
        lambda: pa.RecordBatchReader.from_batches(SCHEMA, batches()),
        *(build, None),
    )


def sizes(turn: int) -> list[int]:
    """The rows of the three tables in turn; no two turns have one in common."""
    return [10 + turn, 500 + 2 * turn, 2_000 - 3 * turn]


def generation(turn: int, midway: Callable[[], object] = lambda: None) -> list[Publication]:
    return [
        numbers(table, rows, f"{turn:08}", midway)
        for table, rows in zip(TABLES, sizes(turn), strict=True)
    ]


def seen(turn: int) -> list[object]:
    """What a reader sees of a whole generation."""
    return [
        sizes(turn),
        [[table, f"{turn:08}", n] for table, n in zip(TABLES, sizes(turn), strict=True)],
    ]


COUNTS = "SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in TABLES)
REGISTER = "SELECT table_name, build, row_count FROM studium_published ORDER BY table_name"


def look(connection: sqlite3.Connection) -> list[object]:
    counts = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES]
    return [counts, [list(row) for row in connection.execute(REGISTER)]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResultStore]:
    opened = open_results("sqlite:///results.db", tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


READER = f"""
import json, select, sqlite3, sys

tables, whole, loose, looks, on = {TABLES!r}, set(), set(), 0, True
while on:
    on = not select.select([sys.stdin], [], [], 0)[0]  # one last look when told to end
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("BEGIN")
    counts = [connection.execute(f"SELECT count(*) FROM {{t}}").fetchone()[0] for t in tables]
    entries = connection.execute({REGISTER!r}).fetchall()
    connection.execute("COMMIT")
    whole.add(json.dumps([counts, entries]))
    # and as a careless reader does, each statement for itself
    for t in tables:
        loose.add((t, connection.execute(f"SELECT count(*) FROM {{t}}").fetchone()[0]))
        loose.add((t, connection.execute(f"SELECT max(n) + 1 FROM {{t}}").fetchone()[0]))
    connection.close()
    looks += 1
    if looks == 1:
        print("looking", flush=True)
print(json.dumps({{"whole": sorted(whole), "loose": sorted(loose), "looks": looks}}))
"""


def test_a_polling_reader_sees_whole_generations_only(store: ResultStore, path: Path) -> None:
    turns = range(31)
    publish(store, generation(0), NOW)
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "looking\n"
        for turn in turns[1:]:
            publish(store, generation(turn), NOW)
        told, _ = reader.communicate("\n")
    assert reader.returncode == 0
    report = json.loads(told)
    whole = [json.loads(text) for text in report["whole"]]
    assert seen(0) in whole
    assert seen(30) in whole
    assert [observation for observation in whole if observation not in map(seen, turns)] == []
    possible = {(table, n) for turn in turns for table, n in zip(TABLES, sizes(turn), strict=True)}
    assert {tuple(pair) for pair in report["loose"]} <= possible
    assert report["looks"] >= 2


def test_readers_in_the_middle_of_a_publish_see_the_old_tables(
    store: ResultStore, path: Path
) -> None:
    publish(store, generation(0), NOW)
    during: list[object] = []
    with closing(sqlite3.connect(path, timeout=0)) as old:

        def midway() -> None:
            with closing(sqlite3.connect(path, timeout=0)) as fresh:
                during.extend((look(fresh), look(old), [*published(store)]))

        publish(store, generation(1, midway), NOW)
        assert during == [seen(0), seen(0), [*TABLES]] * len(TABLES)
        assert look(old) == seen(1)


def test_a_reader_that_stays_neither_stops_a_publish_nor_sees_it(
    store: ResultStore, path: Path
) -> None:
    publish(store, generation(0), NOW)
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert look(reader) == seen(0)
        publish(store, generation(1), NOW)
        assert look(reader) == seen(0)
        reader.execute("COMMIT")
        assert look(reader) == seen(1)
    publish(store, generation(2), NOW)
    assert path.with_name("results.db-wal").stat().st_size == 0


PUBLISHER = """
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from studium.columns import parse_column
from studium.results.publication import Publication
from studium.results.store import open_results, publish

schema = pa.schema([("n", pa.int64()), ("t", pa.string())])

def batches():
    # More than the page cache holds, so that half a table has reached the disk.
    for start in range(0, 400_000, 10_000):
        numbers = range(start, start + 10_000)
        yield pa.record_batch({"n": numbers, "t": ["x" * 200] * 10_000}, schema)
    print("half", flush=True)
    sys.stdin.read()

def empty():
    return schema.empty_table().to_reader()

columns = (parse_column("n", "integer; n"), parse_column("t", "text; t"))
first = Publication("first", columns, ("n",), (), empty, "late", None)
second = Publication("second", columns, ("n",), (),
    lambda: pa.RecordBatchReader.from_batches(schema, batches()), "late", None)
publish(open_results("sqlite:///results.db", Path(sys.argv[1])), [first, second], datetime.now(UTC))
"""


def test_a_killed_publisher_leaves_the_old_tables(
    store: ResultStore, path: Path, tmp_path: Path
) -> None:
    publish(store, generation(0), NOW)
    store.close()
    with subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as publisher:
        assert publisher.stdout is not None
        assert publisher.stdout.readline() == "half\n"
        written = path.with_name("results.db-wal").stat().st_size
        publisher.kill()
    assert publisher.returncode == -signal.SIGKILL
    assert written > 10_000_000
    with closing(sqlite3.connect(path)) as reader:
        assert look(reader) == seen(0)
        assert reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    publish(store, generation(1), NOW)
    with closing(sqlite3.connect(path)) as reader:
        assert look(reader) == seen(1)
    assert {entry.build for entry in published(store).values()} == {"00000001"}


def test_a_second_publisher_waits_for_the_first(store: ResultStore, tmp_path: Path) -> None:
    other = open_results("sqlite:///results.db", tmp_path)
    knocking, order = threading.Event(), []

    def knock(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement == "BEGIN IMMEDIATE":
            knocking.set()

    sa.event.listen(other.engine, "before_cursor_execute", knock)
    second = threading.Thread(
        target=publish,
        args=(other, [numbers("shared", 20, "second", lambda: order.append("second"))], NOW),
    )

    def midway() -> None:
        second.start()
        assert knocking.wait(60)
        order.append("first")

    publish(store, [numbers("shared", 10, "first", midway)], NOW)
    second.join(60)
    assert not second.is_alive()
    assert order == ["first", "second"]
    assert published(store)["shared"].build == "second"
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM shared").scalar_one() == 20
    other.close()


def test_opening_waits_where_sqlite_itself_would_not(tmp_path: Path, path: Path) -> None:
    # As when two make the store at once: a file without a WAL yet, and someone writing to it.
    knocking = threading.Event()

    def trace(statement: str) -> None:
        if statement.startswith("BEGIN"):
            knocking.set()

    def watch(connection: sqlite3.Connection, _entry: object) -> None:
        connection.set_trace_callback(trace)

    sa.event.listen(sa.pool.Pool, "connect", watch)
    try:
        with (
            closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as writer,
            ThreadPoolExecutor(1) as pool,
        ):
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("CREATE TABLE theirs (n)")
            opening = pool.submit(open_results, "sqlite:///results.db", tmp_path)
            assert knocking.wait(60)
            assert not opening.done()
            writer.execute("COMMIT")
            store = opening.result(60)
    finally:
        sa.event.remove(sa.pool.Pool, "connect", watch)
    publish(store, generation(0), NOW)
    assert [*published(store)] == [*TABLES]
    store.close()
