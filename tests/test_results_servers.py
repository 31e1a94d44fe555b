"""Readers of PostgreSQL and MariaDB never see half: beside publishers, and after one has failed."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from studium.errors import ResultsError
from studium.results import patience
from studium.results.patience import Patience
from studium.results.store import ResultStore, open_results, publish, published
from tests.stores import Place, ask, make_place
from tests.test_results_readers import NOW, REGISTER, TABLES, generation, numbers, seen, sizes

SERVERS = ("postgresql", "mariadb")
READABLE = {*TABLES, "studium_published"}
_TERMINATE = {
    "postgresql": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name = 'studium' AND datname = current_database()",
    "mariadb": "SELECT concat('KILL ', id) FROM information_schema.processlist "
    "WHERE db = database() AND id <> connection_id()",
}


@pytest.fixture(params=SERVERS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make_place(request, request.param, tmp_path)


@pytest.fixture
def store(place: Place) -> Iterator[ResultStore]:
    opened = place.open()
    yield opened
    opened.close()


def look(connection: Any) -> list[object]:
    """What a reader sees in a transaction of its own."""
    connection.rollback()
    found = look_on(connection)
    connection.rollback()
    return found


def look_on(connection: Any) -> list[object]:
    counts = [ask(connection, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES]
    return [counts, [list(row) for row in ask(connection, REGISTER)]]


READER = """
import json, select, sys
from pathlib import Path
from tests.stores import Place, ask
from tests.test_results_readers import TABLES
from tests.test_results_servers import look

kind, url = sys.argv[1:]
place, whole, loose, looks, on = Place(kind, url, Path(), None), set(), set(), 0, True
with place.outside() as connection:
    while on:
        on = not select.select([sys.stdin], [], [], 0)[0]  # one last look when told to end
        whole.add(json.dumps(look(connection)))
        # and as a careless reader does, each statement for itself
        for t in TABLES:
            for what in ("count(*)", "max(n) + 1"):
                loose.add((t, ask(connection, f"SELECT {what} FROM {t}")[0][0]))
                connection.rollback()
        looks += 1
        if looks == 1:
            print("looking", flush=True)
print(json.dumps({"whole": sorted(whole), "loose": sorted(loose), "looks": looks}))
"""


def test_a_polling_reader_sees_whole_generations_only(
    store: ResultStore, place: Place, root: Path
) -> None:
    turns = range(5)
    publish(store, generation(0), NOW)
    with subprocess.Popen(
        [sys.executable, "-c", READER, place.kind, place.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "looking\n"
        for turn in turns[1:]:
            publish(store, generation(turn), NOW)
        told, _ = reader.communicate("\n")
    assert reader.returncode == 0  # no reader was refused, not even once
    report = json_of(told)
    whole = [json_of(text) for text in report["whole"]]
    assert seen(0) in whole
    assert seen(4) in whole
    assert [observation for observation in whole if observation not in map(seen, turns)] == []
    possible = {(table, n) for turn in turns for table, n in zip(TABLES, sizes(turn), strict=True)}
    assert {tuple(pair) for pair in report["loose"]} <= possible
    assert report["looks"] >= 2
    assert place.tables() == READABLE


def json_of(text: str) -> Any:
    import json

    return json.loads(text)


def test_readers_in_the_middle_of_a_publish_see_the_old_tables(
    store: ResultStore, place: Place
) -> None:
    publish(store, generation(0), NOW)
    during: list[object] = []
    with place.outside() as old:

        def midway() -> None:
            with place.outside() as fresh:
                during.extend((look(fresh), look(old), [*published(store)]))

        publish(store, generation(1, midway), NOW)
        assert during == [seen(0), seen(0), sorted(TABLES)] * len(TABLES)
        assert look(old) == seen(1)


def test_a_reader_in_a_transaction_is_waited_for(
    store: ResultStore, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, generation(0), NOW)
    ended, waited = threading.Event(), threading.Event()

    class Watched(Patience):
        def turns(self) -> Iterator[float]:
            for number, wait in enumerate(super().turns()):
                if number == 2:  # twice in vain
                    waited.set()
                    assert ended.wait(60)
                yield wait

    monkeypatch.setattr(patience, "PATIENCE", Watched(whole=60, first=0.1))
    with place.outside() as reader:
        assert ask(reader, "SELECT count(*) FROM second") == [(sizes(0)[1],)]
        thread = threading.Thread(target=publish, args=(store, generation(1), NOW))
        thread.start()
        assert waited.wait(60)
        # The publisher stands back: this reader and others go on with the old tables.
        assert look_on(reader) == seen(0)
        with place.outside() as other:
            assert look(other) == seen(0)
        reader.rollback()
        ended.set()
        thread.join(60)
        assert not thread.is_alive()
        assert look(reader) == seen(1)
    assert place.tables() == READABLE


def test_a_reader_that_never_ends_is_told_and_the_old_tables_stay(
    store: ResultStore, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, generation(0), NOW)
    monkeypatch.setattr(patience, "PATIENCE", Patience(whole=0.3, first=0.1))
    with place.outside() as reader:
        assert ask(reader, "SELECT count(*) FROM third") == [(sizes(0)[2],)]
        with pytest.raises(ResultsError, match="Readers have held the old tables"):
            publish(store, generation(1), NOW)
        assert look(reader) == seen(0)
    assert place.tables() == READABLE
    publish(store, generation(1), NOW)
    with place.outside() as reader:
        assert look(reader) == seen(1)


def test_a_snapshot_older_than_the_tables_never_finds_them_empty(
    store: ResultStore, place: Place
) -> None:
    publish(store, generation(0), NOW)
    place.do("CREATE TABLE theirs (n integer)")
    with place.outside() as reader:
        begin = {
            "postgresql": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "mariadb": "START TRANSACTION WITH CONSISTENT SNAPSHOT",
        }
        reader.cursor().execute(begin[place.kind])
        ask(reader, "SELECT * FROM theirs")
        publish(store, generation(1), NOW)
        if place.kind == "postgresql":
            assert look_on(reader) == seen(1)
        else:
            with pytest.raises(pymysql.OperationalError, match="please retry transaction"):
                look_on(reader)
        assert look(reader) == seen(1)


PUBLISHER = """
import sys
from pathlib import Path
from studium.results.store import open_results, publish
from tests.test_results_readers import NOW, generation

def midway():
    print("half", flush=True)
    sys.stdin.readline()

publish(open_results(sys.argv[1], Path()), generation(1, midway), NOW)
"""


@pytest.mark.parametrize("tables", [1, 3])
def test_a_killed_publisher_leaves_the_old_tables(
    store: ResultStore, place: Place, root: Path, tables: int
) -> None:
    publish(store, generation(0), NOW)
    with subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, place.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    ) as publisher:
        assert publisher.stdout is not None
        assert publisher.stdin is not None
        for number in range(tables):
            assert publisher.stdout.readline() == "half\n"
            if number < tables - 1:
                publisher.stdin.write("\n")
                publisher.stdin.flush()
        publisher.kill()
    assert publisher.returncode == -signal.SIGKILL
    with place.outside() as reader:
        assert look(reader) == seen(0)
        publish(store, generation(2), NOW)  # as soon as the server has noticed
        assert look(reader) == seen(2)
    assert place.tables() == READABLE


def terminate(place: Place) -> None:
    """Cut every connection to the database, as a server does that is restarted."""
    for (found,) in place.rows(_TERMINATE[place.kind]):
        if place.kind == "mariadb":
            place.do(found)


@pytest.mark.parametrize("table", [0, 2])
def test_a_connection_that_is_cut_leaves_the_old_tables(
    store: ResultStore, place: Place, table: int
) -> None:
    publish(store, generation(0), NOW)
    cut = [numbers(*one, "late") for one in zip(TABLES, sizes(1), strict=True)]
    cut[table] = numbers(TABLES[table], sizes(1)[table], "late", lambda: terminate(place))
    with pytest.raises(ResultsError, match="cannot be used") as caught:
        publish(store, cut, NOW)
    assert "Is the server running" in caught.value.hint
    with place.outside() as reader:
        assert look(reader) == seen(0)
    publish(store, generation(1), NOW)
    with place.outside() as reader:
        assert look(reader) == seen(1)
    assert place.tables() == READABLE


def test_a_second_publisher_waits_for_the_first(
    store: ResultStore, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, said = place.open(), []

    def midway() -> None:
        monkeypatch.setattr(patience, "PATIENCE", Patience(whole=1))
        with pytest.raises(ResultsError, match="Another command is publishing") as caught:
            publish(other, generation(2), NOW)
        said.append(caught.value.hint)

    publish(store, [numbers("first", 10, "one", midway)], NOW)
    assert len(said) == 1
    publish(other, [numbers("first", 20, "two")], NOW)
    assert place.rows("SELECT count(*) FROM first") == [(20,)]
    other.close()


_GRANTS: dict[str, tuple[list[str], Callable[[str], str]]] = {
    "postgresql": (
        ["CREATE ROLE {u} LOGIN PASSWORD 'secret'", "GRANT SELECT ON first TO {u}"],
        lambda user: f"//{user}:secret@",
    ),
    "mariadb": (
        ["CREATE USER {u}@'127.0.0.1' IDENTIFIED BY 'secret'",
         "GRANT SELECT ON first TO {u}@'127.0.0.1'"],
        lambda user: f"//{user}:secret@",
    ),
}  # fmt: skip


def test_a_reader_keeps_its_right_and_may_not_publish(
    store: ResultStore, place: Place, tmp_path: Path
) -> None:
    publish(store, generation(0), NOW)
    statements, login = _GRANTS[place.kind]
    user = f"api_{place.url.rpartition('/')[2]}"
    assert place.server is not None
    place.server.sql(";".join(text.format(u=user) for text in statements), user[4:])
    publish(store, generation(1), NOW)
    url = place.url.replace("//studium:studium@", login(user))
    reader = Place(place.kind, url, tmp_path, place.server)
    assert reader.rows("SELECT count(*) FROM first") == [(sizes(1)[0],)]
    theirs = open_results(url, tmp_path)
    with pytest.raises(ResultsError, match="denied") as caught:
        publish(theirs, [numbers("fresh", 1, "b")], NOW)
    assert "GRANT" in caught.value.hint
    assert "secret" not in str(caught.value)
    theirs.close()


@pytest.mark.parametrize(
    ("kind", "page"), [("postgresql", "postgresql.md"), ("mariadb", "mysql-results.md")]
)
def test_the_rights_that_the_documentation_grants_suffice(
    request: pytest.FixtureRequest, root: Path, tmp_path: Path, kind: str, page: str
) -> None:
    text = (root / "docs" / "how-to" / page).read_text(encoding="utf-8")
    recipe = text.partition("```sql\n")[2].partition("```")[0]
    for old, new in (
        ("studium", "publisher"), ("results", "published"), ("…", "secret"), ("'%'", "'127.0.0.1'"),
    ):  # fmt: skip
        recipe = recipe.replace(old, new)
    place = make_place(request, kind, tmp_path)
    assert place.server is not None
    place.server.sql(recipe)
    url = place.server.url("published").replace("studium:studium", "publisher:secret")
    store = open_results(url, tmp_path)
    for turn in range(2):
        publish(store, generation(turn), NOW)
    publish(store, [], NOW, [TABLES[0]])
    store.close()
    reader = Place(kind, url.replace("publisher:", "api:"), tmp_path, place.server)
    assert reader.rows("SELECT count(*) FROM second") == [(sizes(1)[1],)]
    with pytest.raises(Exception, match="denied"):
        reader.do("INSERT INTO second (n) VALUES (1)")
