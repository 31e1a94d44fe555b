"""Builds: only what is stale, one commit a table, and equal rows commit nothing."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import studium
from studium.clock import Interval
from studium.engines import StagedFile
from studium.errors import TableError
from studium.lake.build import Built, build_tables
from studium.lake.plan import Scope
from studium.lake.store import Lake
from studium.lake.tables import Table, map_table, order_tables, read_table
from studium.site import Site
from studium.state.counters import next_build
from studium.state.ledger import partitions
from tests.engines import shared_engine

START = date(2025, 9, 1)
UNTIL = START + timedelta(days=10)
VISITS = {"day": "DATE", "who": "BIGINT", "page": "VARCHAR"}
PEOPLE = {"who": "BIGINT", "name": "VARCHAR"}

TOTALS = """
SELECT day, who, COUNT(*) AS visits FROM visits GROUP BY day, who
"""
SUMMARY = """
SELECT who, CAST(SUM(visits) AS BIGINT) AS visits FROM totals GROUP BY who
"""
COLUMNS = {
    "day": "date not null; UTC day",
    "who": "bigint not null; learner",
    "visits": "bigint not null; visits",
    "seen": "bigint not null; visits of this day and its neighbours",
    "name": "varchar(50); name",
    "limit_used": "integer not null; the parameter",
    "mood": "varchar(50); nothing yet",
}


def day(number: int) -> date:
    return START + timedelta(days=number)


@dataclass
class Workshop:
    """A site with a table ``visits`` by day, and the tables made of it."""

    site: Site
    folder: Path
    tables: list[Table] = field(default_factory=list)
    params: dict[str, object] = field(default_factory=lambda: {"start": START, "until": UNTIL})

    @property
    def lake(self) -> Lake:
        return Lake(self.site.lake_dir)

    def define(self, name: str, sql: str, columns: str, kind: str = "day", **more: object) -> None:
        """Write or rewrite a table file; ``columns`` are names from ``COLUMNS``."""
        lines = [f'description = "{name}"', f'kind = "{kind}"', f'grain = ["{columns.split()[0]}"]']
        lines += [f"{key} = {value}" for key, value in more.items()]
        lines += ["[columns]", *(f'{one} = "{COLUMNS[one]}"' for one in columns.split())]
        path = self.folder / f"{name}.sql"
        header = "\n".join(lines)
        path.write_text(f"/* studium\n{header}\n*/\n{sql}")
        kept = [table for table in self.tables if table.name != name]
        self.tables = order_tables([*kept, read_table(path, "test")])

    def put(self, days: Mapping[int, Sequence[tuple[int, str]]], replace: bool = False) -> None:
        """Add rows (who, page) to days of ``visits``, or put them in their place."""
        self._commit(
            "visits",
            {
                day(n): {"who": [who for who, _ in rows], "page": [page for _, page in rows]}
                for n, rows in days.items()
            },
            VISITS,
            {day(n) for n in days} if replace else set(),
        )

    def put_people(self, names: Mapping[int, str]) -> None:
        rows = {"who": list(names), "name": list(names.values())}
        self._commit("people", {None: rows}, PEOPLE, set())

    def _commit(
        self,
        table: str,
        days: Mapping[date | None, Mapping[str, Sequence[object]]],
        columns: Mapping[str, str],
        replace: set[date],
    ) -> None:
        with self.site.state.begin() as conn:
            build = next_build(conn)
        staged = []
        for on, rows in days.items():
            if not rows["who"]:
                continue
            path = self.folder / f"{table}-{on}.parquet"
            pq.write_table(pa.table(dict(rows)), path)
            staged.append(StagedFile(path, on, len(rows["who"]), path.stat().st_size))
        old = [one for one in self.lake.snapshot(table).files if one.day in replace]
        self.lake.commit(
            table, staged, columns=columns, by_day="day" in columns, build=build,
            fingerprint="visits00", replace=old,
        )  # fmt: skip

    def build(self, lookback: int = 0, asked: Sequence[str] = (), **window: date) -> list[Built]:
        interval = Interval(window.get("since", START), window.get("until", UNTIL))
        scope = Scope(interval, lookback, frozenset(asked))
        empty = {"visits": VISITS, "people": PEOPLE}
        return build_tables(
            self.site, self.lake, shared_engine("duckdb"), self.tables, self.params, scope, empty
        )

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        relation = self.lake.snapshot(table).relation()
        found = shared_engine("duckdb").query(f"SELECT * FROM {table}", {table: relation})
        names = sorted(found.column_names)
        return sorted((tuple(row[n] for n in names) for row in found.to_pylist()), key=repr)

    def version(self, table: str) -> int:
        """Of Delta: the number of commits."""
        return self.lake.snapshot(table).delta


def said(built: Sequence[Built]) -> dict[str, tuple[dict[int | None, str], int]]:
    """Table → (day number → reason), partitions changed."""
    return {
        one.work.table.name: (
            {None if on is None else (on - START).days: why.value
             for on, why in one.work.reasons.items()},
            one.changed,
        )
        for one in built
    }  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    folder = tmp_path / "tables"
    folder.mkdir()
    with studium.init(tmp_path / "site", {"site.start": START}) as site:
        shop = Workshop(site, folder)
        shop.define("totals", TOTALS, "day who visits")
        shop.define("summary", SUMMARY, "who visits", kind="full")
        yield shop


THREE_DAYS = {0: [(1, "a"), (1, "b")], 1: [(1, "a"), (2, "a")], 2: [(3, "a")]}


def test_many_days_are_one_commit(shop: Workshop) -> None:
    shop.put(THREE_DAYS)
    assert said(shop.build()) == {
        "totals": ({0: "new day", 1: "new day", 2: "new day"}, 3),
        "summary": ({None: "new table"}, 1),
    }
    assert shop.rows("totals") == [
        (day(0), 2, 1), (day(1), 1, 1), (day(1), 1, 2), (day(2), 1, 3),
    ]  # fmt: skip
    assert shop.rows("summary") == [(1, 2), (1, 3), (3, 1)]
    assert shop.version("totals") == 1, "one commit after the table was made"
    assert list(shop.site.scratch.iterdir()) == []


def test_nothing_stale_nothing_done(shop: Workshop) -> None:
    shop.put(THREE_DAYS)
    shop.build()
    versions = shop.version("totals"), shop.version("summary")
    assert shop.build() == []
    assert (shop.version("totals"), shop.version("summary")) == versions


def test_only_the_changed_day_is_built(shop: Workshop) -> None:
    shop.put(THREE_DAYS)
    shop.build()
    before = {file.path for file in shop.lake.snapshot("totals").files}
    shop.put({1: [(2, "b")]})
    assert said(shop.build()) == {
        "totals": ({1: "input changed"}, 1),
        "summary": ({None: "input changed"}, 1),
    }
    after = {file.path for file in shop.lake.snapshot("totals").files}
    assert len(before & after) == 2
    assert shop.rows("summary") == [(1, 3), (2, 2), (3, 1)]


def test_equal_rows_commit_nothing_and_wake_nobody(shop: Workshop) -> None:
    shop.put(THREE_DAYS)
    shop.build()
    versions = shop.version("totals"), shop.version("summary")
    # The same numbers from other pages; the rows come in another order.
    shop.put({1: [(2, "z"), (1, "z")]}, replace=True)
    assert said(shop.build()) == {"totals": ({1: "input changed"}, 0)}
    assert (shop.version("totals"), shop.version("summary")) == versions
    assert shop.build() == [], "what came out equal is recorded as built"


def test_of_many_stale_days_only_the_different_ones_are_committed(shop: Workshop) -> None:
    shop.put(THREE_DAYS)
    shop.build()
    before = shop.lake.snapshot("totals").versions()
    shop.define("totals", TOTALS.replace("COUNT(*)", "COUNT(DISTINCT who)"), "day who visits")
    assert said(shop.build()) == {
        "totals": ({0: "code changed", 1: "code changed", 2: "code changed"}, 1),
        "summary": ({None: "input changed"}, 1),
    }
    after = shop.lake.snapshot("totals").versions()
    assert {on for on in after if after[on] != before[on]} == {day(0)}


def test_columns_that_change_alike_are_a_change(shop: Workshop) -> None:
    sql = "SELECT who, COUNT(*) AS visits, COUNT(*) AS seen FROM totals GROUP BY who"
    shop.define("twice", sql, "who visits seen", kind="full")
    shop.put({0: [(1, "a")]})
    shop.build()
    assert shop.rows("twice") == [(1, 1, 1)]
    shop.put({1: [(1, "a")]})
    assert said(shop.build())["twice"] == ({None: "input changed"}, 1)
    assert shop.rows("twice") == [(2, 2, 1)]


def test_an_edit_of_words_that_decide_nothing_is_no_change(shop: Workshop) -> None:
    shop.put(THREE_DAYS)
    shop.build()
    shop.define("totals", f"-- A remark\n{TOTALS}  -- and another\n", "day who visits")
    assert shop.build() == []


def test_a_day_that_becomes_empty(shop: Workshop) -> None:
    shop.put(THREE_DAYS)
    shop.build()
    shop.put({1: []}, replace=True)
    assert said(shop.build()) == {
        "totals": ({1: "input changed"}, 1),
        "summary": ({None: "input changed"}, 1),
    }
    assert set(shop.lake.snapshot("totals").versions()) == {day(0), day(2)}
    assert shop.rows("summary") == [(1, 3), (2, 1)]
    assert shop.build() == []
    shop.put({1: [(5, "a")]})
    assert said(shop.build())["totals"] == ({1: "input changed"}, 1)
    assert shop.rows("summary") == [(1, 3), (1, 5), (2, 1)]


def test_a_day_whose_rows_are_all_filtered_out_is_built_once(shop: Workshop) -> None:
    shop.define("totals", TOTALS.replace("GROUP", "WHERE who > 1 GROUP"), "day who visits")
    shop.put(THREE_DAYS)
    assert said(shop.build())["totals"] == ({0: "new day", 1: "new day", 2: "new day"}, 2)
    assert shop.build() == []


def test_no_day_at_all_reads_as_empty(shop: Workshop) -> None:
    assert said(shop.build()) == {"summary": ({None: "new table"}, 0)}
    assert shop.lake.snapshot("summary").exists
    assert shop.rows("summary") == []
    shop.put(THREE_DAYS)
    assert set(said(shop.build())) == {"totals", "summary"}


def test_a_window_without_input_leaves_the_tables_empty(shop: Workshop) -> None:
    shop.put(THREE_DAYS)
    assert set(said(shop.build(since=day(5)))) == {"summary"}
    assert shop.rows("summary") == []
    assert said(shop.build())["summary"] == ({None: "input changed"}, 1)


def test_a_parameter_rebuilds_the_tables_that_use_it(shop: Workshop) -> None:
    sql = "SELECT who, CAST($threshold AS INTEGER) AS limit_used FROM totals WHERE visits > 1"
    shop.define("busy", sql, "who limit_used", kind="full")
    shop.put(THREE_DAYS)
    shop.params["threshold"] = 1
    shop.build()
    assert shop.rows("busy") == [(1, 1)]
    shop.params["threshold"] = 2
    assert said(shop.build()) == {"busy": ({None: "parameter changed"}, 1)}
    assert shop.rows("busy") == [(2, 1)]
    assert shop.build() == []


def test_look_back_builds_again_and_commits_nothing(shop: Workshop) -> None:
    shop.put(THREE_DAYS)
    shop.build()
    versions = shop.version("totals"), shop.version("summary")
    again = shop.build(lookback=2, until=day(3))
    assert said(again) == {"totals": ({1: "look-back", 2: "look-back"}, 0)}
    assert (shop.version("totals"), shop.version("summary")) == versions


def test_look_back_repairs_a_day_whose_rows_are_not_what_they_should_be(shop: Workshop) -> None:
    shop.put(THREE_DAYS)
    shop.build()
    (file,) = [one for one in shop.lake.snapshot("totals").files if one.day == day(2)]
    path = shop.lake.root / "totals" / file.path
    table = pq.read_table(path, partitioning=None)
    wrong = table.set_column(table.schema.get_field_index("visits"), "visits", pa.array([99]))
    pq.write_table(wrong, path)
    assert said(shop.build(lookback=1, until=day(3)))["totals"] == ({2: "look-back"}, 1)
    assert shop.rows("totals")[-1] == (day(2), 1, 3)


def test_what_is_asked_for_is_built(shop: Workshop) -> None:
    shop.put(THREE_DAYS)
    shop.build()
    version = shop.version("summary")
    assert said(shop.build(asked=["summary"])) == {"summary": ({None: "asked for"}, 0)}
    assert shop.version("summary") == version


# Reach


SEEN = """
SELECT spine.day AS day, CAST(SUM(visits.n) AS BIGINT) AS seen
FROM (SELECT DISTINCT day FROM visits) AS spine
JOIN (SELECT day, COUNT(*) AS n FROM visits GROUP BY day) AS visits
  ON ABS(DATEDIFF('day', spine.day, visits.day)) <= 1
GROUP BY spine.day
"""


def test_reach_reads_neighbours_and_writes_only_its_days(shop: Workshop) -> None:
    shop.define("around", SEEN, "day seen", reach=1)
    shop.put({n: [(1, "a")] * (n + 1) for n in range(5)})
    shop.build()
    assert shop.rows("around") == [(day(0), 3), (day(1), 6), (day(2), 9), (day(3), 12), (day(4), 9)]
    shop.put({2: [(9, "z")]})
    work, changed = said(shop.build())["around"]
    assert work == dict.fromkeys((1, 2, 3), "input changed")
    assert changed == 3
    assert shop.rows("around") == [
        (day(0), 3), (day(1), 7), (day(2), 10), (day(3), 13), (day(4), 9),
    ]  # fmt: skip


def test_reach_sees_beyond_the_window_and_writes_within(shop: Workshop) -> None:
    shop.define("around", SEEN, "day seen", reach=1)
    shop.put({n: [(1, "a")] for n in range(5)})
    shop.build(since=day(2), until=day(4))
    assert shop.rows("around") == [(day(2), 3), (day(3), 3)]


# Tables that are one whole


def test_a_day_table_with_a_whole_input_keeps_to_its_days(shop: Workshop) -> None:
    sql = """
SELECT people.day AS day, people.who AS who, names.name AS name
FROM (SELECT day, who FROM visits UNION SELECT DATE '2025-09-09', who FROM people) AS people
JOIN people AS names ON names.who = people.who
"""
    shop.define("named", sql, "day who name")
    shop.put_people({1: "Ada", 2: "Bo"})
    shop.put({0: [(1, "a")], 1: [(2, "a")]})
    for _ in range(2):
        shop.build(asked=["named"])
        assert shop.rows("named") == [(day(0), "Ada", 1), (day(1), "Bo", 2)]
    shop.put_people({1: "Ada", 2: "Bob"})
    assert said(shop.build())["named"] == ({0: "input changed", 1: "input changed"}, 1)
    assert shop.rows("named") == [(day(0), "Ada", 1), (day(1), "Bob", 2)]


def spine(version: str) -> Table:
    def rows(params: Mapping[str, object], keys: pa.Table | None) -> pa.Table:
        numbers = list(range(3 if version == "1" else 4))
        return pa.table({"who": pa.array(numbers, pa.int64())})

    return map_table(
        "spine", "test", rows, version=version, description="", grain=["who"],
        columns={"who": "bigint not null; number"},
    )  # fmt: skip


def test_a_map_table_is_built_anew_when_its_version_changes(shop: Workshop) -> None:
    shop.tables = [spine("1")]
    assert said(shop.build()) == {"spine": ({None: "new table"}, 1)}
    assert shop.build() == []
    shop.tables = [spine("2")]
    assert said(shop.build()) == {"spine": ({None: "code changed"}, 1)}
    assert shop.rows("spine") == [(0,), (1,), (2,), (3,)]


def test_rows_of_keys_that_were_there_are_not_made_again(shop: Workshop) -> None:
    asked: list[list[str]] = []

    def shout(params: Mapping[str, object], keys: pa.Table | None) -> pa.RecordBatchReader:
        assert keys is not None
        pages = sorted(keys.column("page").to_pylist())
        asked.append(pages)
        columns = {"page": pages, "loud": [page.upper() + str(params["mark"]) for page in pages]}
        return pa.table(columns, pa.schema({"page": pa.string(), "loud": pa.string()})).to_reader()

    def loud(version: str) -> Table:
        return map_table(
            "loud", "test", shout, version=version, description="", grain=["page"],
            columns={"page": "text not null; page", "loud": "text not null; louder"},
            keys="SELECT DISTINCT page FROM visits", key="page", params=["mark"],
        )  # fmt: skip

    shop.tables, shop.params["mark"] = [loud("1")], "!"
    shop.put({0: [(1, "a"), (1, "b")], 1: [(1, "a")]})
    shop.build()
    # One comes and one goes.
    shop.put({0: [(1, "a"), (1, "c")]}, replace=True)
    assert said(shop.build()) == {"loud": ({None: "input changed"}, 1)}
    assert shop.rows("loud") == [("A!", "a"), ("C!", "c")]
    shop.put({2: [(1, "a")]})
    assert said(shop.build()) == {"loud": ({None: "input changed"}, 0)}
    assert asked == [["a", "b"], ["c"], []]
    # What else decides a row has every one made again.
    shop.params["mark"] = "?"
    shop.build()
    assert shop.rows("loud") == [("A?", "a"), ("C?", "c")]
    shop.tables = [loud("2")]
    shop.build()
    assert asked[3:] == [["a", "c"], ["a", "c"]]
    shop.put({0: [], 1: [], 2: []}, replace=True)
    shop.build()
    assert shop.rows("loud") == []


# Columns


def test_a_new_column_of_a_day_table_is_null_in_days_not_yet_built(shop: Workshop) -> None:
    shop.put(THREE_DAYS)
    shop.build()
    sql = TOTALS.replace("AS visits", "AS visits, CAST(MIN(page) AS VARCHAR) AS mood")
    shop.define("totals", sql, "day who visits mood")
    shop.build(since=day(2))
    assert [row[1] for row in shop.rows("totals")] == [None, None, None, "a"]
    shop.build()
    assert [row[1] for row in shop.rows("totals")] == ["a", "a", "a", "a"]


@pytest.mark.parametrize("name", ["totals", "summary"])
def test_a_column_of_nothing_but_null_can_be_read_by_others(shop: Workshop, name: str) -> None:
    # Its rows equal the old ones, in which the column is absent.
    shop.put(THREE_DAYS)
    shop.build()
    old = {"totals": (TOTALS, "day who visits", "day"), "summary": (SUMMARY, "who visits", "full")}
    sql, columns, kind = old[name]
    sql = sql.replace("AS visits", "AS visits, CAST(NULL AS VARCHAR) AS mood")
    shop.define(name, sql, f"{columns} mood", kind)
    shop.define("reader", f"SELECT who, mood FROM {name}", "who mood", kind="full")
    assert set(said(shop.build())) >= {name, "reader"}
    assert {row[0] for row in shop.rows("reader")} == {None}
    assert shop.build() == []


def test_a_type_that_widened_is_committed(shop: Workshop) -> None:
    sql = "SELECT who, CAST(1 AS {}) AS visits FROM totals"
    shop.define("ones", sql.format("INTEGER"), "who visits", kind="full")
    shop.put(THREE_DAYS)
    shop.build()
    shop.define("ones", sql.format("BIGINT"), "who visits", kind="full")
    assert said(shop.build()) == {"ones": ({None: "code changed"}, 1)}
    assert shop.lake.snapshot("ones").columns["visits"] == "BIGINT"


def test_a_table_that_is_not_there_and_cannot_be_empty_is_an_error(shop: Workshop) -> None:
    shop.define("lost", "SELECT who FROM nowhere", "who", kind="full")
    with pytest.raises(TableError, match=r"lost reads nowhere.*`studium plan nowhere`"):
        shop.build()


# What was lost


@pytest.mark.parametrize("name", ["totals", "summary"])
def test_a_deleted_table_is_built_again(shop: Workshop, name: str) -> None:
    shop.put(THREE_DAYS)
    shop.build()
    rows = {table: shop.rows(table) for table in ("totals", "summary")}
    shutil.rmtree(shop.lake.root / name)
    assert name in said(shop.build())
    assert {table: shop.rows(table) for table in rows} == rows
    assert shop.build() == []


def test_a_commit_without_its_ledger_row_is_found_equal(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.put(THREE_DAYS)
    with monkeypatch.context() as patch:
        patch.setattr("studium.lake.build.record_partitions", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            shop.build()
    version = shop.version("totals")
    assert version == 1
    assert said(shop.build())["totals"] == ({0: "new day", 1: "new day", 2: "new day"}, 0)
    assert shop.version("totals") == version


def test_build_numbers_go_on_after_the_state_was_lost(shop: Workshop) -> None:
    shop.put(THREE_DAYS)
    for _ in range(3):
        shop.put({1: [(2, "b")]})
    shop.build()
    newest = max(shop.lake.snapshot("summary").versions().values())
    shop.site.close()
    for file in shop.site.root.glob("state.db*"):
        file.unlink()
    shop.define("summary", SUMMARY.replace("SUM(", "MAX("), "who visits", kind="full")
    shop.build()
    assert min(shop.lake.snapshot("summary").versions().values()) > newest


def test_the_ledger_remembers_what_each_partition_was_built_from(shop: Workshop) -> None:
    shop.put(THREE_DAYS)
    shop.build()
    with shop.site.state.read() as conn:
        ledger = partitions(conn)
    assert len(ledger) == 4
    events = shop.lake.snapshot("visits").versions()
    for on in events:
        row = ledger["totals", on]
        assert row.inputs == {"visits": events[on]}
        assert row.build == shop.lake.snapshot("totals").versions()[on]
    assert ledger["totals", day(1)].rows == 2
    assert ledger["summary", None].rows == 3
