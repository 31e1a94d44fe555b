"""What only PostgreSQL has: schemas, names of indexes, rights, views that hold on to a table."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from studium.errors import ResultsError
from studium.results.store import ResultStore, open_results, publish
from tests.publications import COUNTS, NOW, publication
from tests.stores import Place, make_place


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make_place(request, "postgresql", tmp_path)


@pytest.fixture
def store(place: Place) -> Iterator[ResultStore]:
    opened = place.open()
    yield opened
    opened.close()


def test_every_publish_gives_the_same_names_and_types(store: ResultStore, place: Place) -> None:
    columns = {**COUNTS, "at": "datetime; at", "x": "double; x", "t": "text; t", "b": "boolean; b"}
    name = "c" * 60
    for _ in range(2):
        rows = {"course": ["a"], "n": [1], "at": [None], "x": [0.5], "t": ["t"], "b": [True]}
        one = publication(columns, rows, ("course",), [("n",), ("n", "x")], name)
        publish(store, [one, publication(COUNTS, {"course": ["a"], "n": [1]})], NOW)
        found = place.rows(
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
            f"WHERE table_name = '{name}' ORDER BY ordinal_position"
        )
        assert found == [
            ("id", "bigint", "NO"),
            ("course", "character varying", "NO"),
            ("n", "integer", "YES"),
            ("at", "timestamp without time zone", "YES"),
            ("x", "double precision", "YES"),
            ("t", "text", "YES"),
            ("b", "boolean", "YES"),
            ("created", "timestamp without time zone", "NO"),
        ]
        names = place.rows(
            "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE nspname = 'public' AND relkind IN ('i', 'S') AND relname NOT LIKE '%cccc%'"
        )
        assert {found for (found,) in names} == {
            "uq_counts_course", "pk_counts_id", "sq_counts_id", "studium_published_pkey",
        }  # fmt: skip
        longer = place.rows(f"SELECT count(*) FROM pg_indexes WHERE tablename = '{name}'")
        assert longer == [(4,)]
    place.do("INSERT INTO counts (course, n) VALUES ('b', 1)")
    assert place.rows("SELECT max(id) FROM counts") == [(2,)]


def test_a_view_in_the_way_is_told_and_nothing_changes(store: ResultStore, place: Place) -> None:
    publish(store, [publication(COUNTS, {"course": ["a"], "n": [1]})], NOW)
    place.do("CREATE VIEW seen AS SELECT course FROM counts")
    with pytest.raises(ResultsError, match=r"depend on it") as caught:
        publish(store, [publication(COUNTS, {"course": ["b"], "n": [1]})], NOW)
    assert "drop the view" in caught.value.hint
    assert place.rows("SELECT * FROM seen") == [("a",)]


def test_a_schema_may_be_chosen(place: Place) -> None:
    place.do('CREATE SCHEMA "Its own"', "CREATE TABLE public.counts (theirs integer)")
    url = f"{place.url}?options=-csearch_path%3D%22Its%5C%20own%22%2Cpublic"
    store = open_results(url, place.root)
    for _ in range(2):
        publish(store, [publication(COUNTS, {"course": ["a"], "n": [1]})], NOW)
    assert place.rows('SELECT course FROM "Its own".counts') == [("a",)]
    assert place.rows("SELECT * FROM public.counts") == []
    store.close()


def test_a_user_without_a_schema_is_told_so(place: Place) -> None:
    with pytest.raises(ResultsError, match="no schema that its user may use") as caught:
        open_results(f"{place.url}?options=-csearch_path%3Dnowhere", place.root)
    assert "CREATE SCHEMA" in caught.value.hint


def test_rights_stay_as_they_were_given_and_taken(
    place: Place, request: pytest.FixtureRequest
) -> None:
    # Roles are the server's, not the database's.
    database = place.url.rpartition("/")[2]
    reader, other = f"reader_{database}", f"other_{database}"
    rights = f"""
        SELECT table_name, grantee, privilege_type FROM information_schema.role_table_grants
        WHERE grantee IN ('{reader}', '{other}', 'PUBLIC') AND table_schema = 'public'
        ORDER BY 1, 2, 3"""
    for role in (reader, other):
        place.do(f"CREATE ROLE {role}")
        request.addfinalizer(lambda role=role: place.do(f"DROP OWNED BY {role}; DROP ROLE {role}"))
    place.do(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {reader}")
    names = ("open", "secret")

    def publish_again() -> None:
        with closing(place.open()) as store:
            tables = [publication(COUNTS, {"course": ["a"], "n": [1]}, name=one) for one in names]
            publish(store, tables, NOW)

    publish_again()
    assert place.rows(rights) == [
        (name, reader, "SELECT") for name in (*names, "studium_published")
    ]
    place.do(f"REVOKE SELECT ON secret FROM {reader}")
    place.do(f"GRANT SELECT, REFERENCES ON open TO {other}")
    for _ in range(2):
        publish_again()
        assert place.rows(rights) == [
            ("open", other, "REFERENCES"),
            ("open", other, "SELECT"),
            ("open", reader, "SELECT"),
            ("studium_published", reader, "SELECT"),
        ]
