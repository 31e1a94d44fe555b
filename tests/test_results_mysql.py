"""The result schema on MariaDB is that of the edX result store; and what only MariaDB has."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from studium.columns import parse_column
from studium.lenses import tables
from studium.results import bulk, mysql
from studium.results.publication import Publication
from studium.results.store import open_results, publish, published
from tests.publications import COUNTS, NOW, publication
from tests.stores import Place, make_place

KEY = "varchar(255) not null"
DAILY = f"date date not null, course_id {KEY}"
COUNTED = "count int(11), cumulative_count int(11)"
ACTIVITY = f"label {KEY}, count int(11)"

# specs/edx-enrollment-geography §2.12; specs/edx-activity-video-answers §1.4, §1.6, §2.8, §3.7,
# §4.5
SPEC: dict[str, tuple[str, list[str]]] = {
    "course_enrollment_daily": (
        f"course_id {KEY}, date date not null, {COUNTED}", ["course_id", "course_id,date"]),
    "course_enrollment_mode_daily": (
        f"{DAILY}, mode {KEY}, {COUNTED}", ["course_id", "course_id,date"]),
    "course_enrollment_gender_daily": (
        f"{DAILY}, gender varchar(6), {COUNTED}", ["course_id", "course_id,date"]),
    "course_enrollment_birth_year_daily": (
        f"{DAILY}, birth_year int(11), {COUNTED}", []),
    "course_enrollment_education_level_daily": (
        f"{DAILY}, education_level varchar(16), {COUNTED}", ["course_id", "course_id,date"]),
    "course_meta_summary_enrollment": (
        f"course_id {KEY}, catalog_course_title varchar(255), catalog_course varchar(255), "
        "start_time datetime, end_time datetime, pacing_type varchar(255), "
        "availability varchar(255), enrollment_mode varchar(100) not null, count int(11), "
        "count_change_7_days int(11), cumulative_count int(11), passing_users int(11)",
        ["course_id"]),
    "course_program_metadata": (
        f"course_id {KEY}, program_id varchar(36) not null, program_type varchar(32) not null, "
        "program_title varchar(255)", ["course_id"]),
    "course_enrollment_location_current": (
        f"{DAILY}, country_code varchar(10), count int(11) not null, "
        "cumulative_count int(11) not null", ["course_id", "course_id,date"]),
    "course_activity_daily": (
        f"{DAILY}, {ACTIVITY} not null", ["course_id,label", "date"]),
    "course_activity_monthly": (
        f"course_id {KEY}, year int(11) not null, month int(11) not null, {ACTIVITY} not null",
        ["course_id,label", "year,month"]),
    # Value ids are of any length (differences, D54).
    "answer_distribution": (
        f"course_id {KEY}, module_id {KEY}, part_id {KEY}, correct tinyint(1) not null, "
        "first_response_count int(11) not null, last_response_count int(11) not null, "
        "value_id longtext, answer_value_text longtext, answer_value_numeric double, "
        "variant int(11), problem_display_name longtext, question_text longtext",
        ["course_id", "module_id", "part_id", "course_id,module_id"]),
    "tags_distribution": (
        f"course_id {KEY}, org_id {KEY}, module_id {KEY}, tag_name {KEY}, tag_value {KEY}, "
        "total_submissions int(11) not null, correct_submissions int(11) not null",
        ["course_id", "module_id", "course_id,module_id"]),
}  # fmt: skip
# An index cannot hold these keys as a whole: none, or one of their beginnings.
LONG_KEYS = {"answer_distribution": None, "tags_distribution": 1}

# Of lenses to come: every type that the specs name (edx-learners-api-insights §1.3, §1.6),
# here as a table file would declare it.
TO_COME: dict[str, tuple[dict[str, str], tuple[str, ...], list[tuple[str, ...]], str]] = {
    "module_engagement": (
        {"course_id": KEY, "username": "varchar(30) not null", "date": "date not null",
         "entity_type": "varchar(10) not null", "entity_id": KEY,
         "event": "varchar(30) not null", "count": "integer not null"},
        ("course_id", "username", "date", "entity_type", "entity_id", "event"),
        [("course_id", "username", "date"), ("username", "entity_type"), ("date",)],
        f"course_id {KEY}, username varchar(30) not null, date date not null, "
        f"entity_type varchar(10) not null, entity_id {KEY}, event varchar(30) not null, "
        "count int(11) not null"),
}  # fmt: skip


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make_place(request, "mariadb", tmp_path)


def empty(
    name: str,
    columns: tuple[object, ...],
    grain: tuple[str, ...],
    indexes: tuple[tuple[str, ...], ...],
) -> Publication:
    schema = pa.schema([(column.name, pa.null()) for column in columns])  # type: ignore[attr-defined]
    return Publication(
        *(name, columns, grain, indexes),  # type: ignore[arg-type]
        lambda: schema.empty_table().to_reader(),
        *("00000001-000000", None),
    )


def columns_of(place: Place, table: str) -> list[str]:
    found = place.rows(
        "SELECT column_name, column_type, is_nullable, column_default, extra "
        "FROM information_schema.columns WHERE table_schema = database() "
        f"AND table_name = '{table}' ORDER BY ordinal_position"
    )
    first, last = found[0], found[-1]
    assert first == ("id", "bigint(20)", "NO", None, "auto_increment")
    assert last == ("created", "timestamp", "NO", "current_timestamp()", "")
    # Fractions of a second are kept, which the plain type would round away.
    return [
        f"{name} {type_.replace('datetime(6)', 'datetime')}{' not null' * (nullable == 'NO')}"
        for name, type_, nullable, _, _ in found[1:-1]
    ]


def indexes_of(place: Place, table: str) -> dict[str, int]:
    """Columns of each index → may they repeat?"""
    found = place.rows(
        "SELECT group_concat(column_name ORDER BY seq_in_index), max(non_unique) "
        "FROM information_schema.statistics WHERE table_schema = database() "
        f"AND table_name = '{table}' GROUP BY index_name"
    )
    return {str(columns): int(repeats) for columns, repeats in found}


def test_published_tables_are_those_of_the_old_result_store(place: Place) -> None:
    store = place.open()
    declared = {table.publish: table for table in tables() if table.publish}
    publish(
        store,
        [empty(name, one.columns, one.grain, one.indexes) for name, one in declared.items()],
        NOW,
    )
    assert SPEC.keys() <= declared.keys()
    for name, (columns, indexes) in SPEC.items():
        assert columns_of(place, name) == columns.split(", "), name
        found = indexes_of(place, name)
        assert set(indexes) <= found.keys(), name
        assert found["id"] == 0
        grain = ",".join(declared[name].grain)  # what the old tables lacked
        assert found.get(grain) == LONG_KEYS.get(name, 0), name
    engines = place.rows(
        "SELECT DISTINCT engine, row_format, table_collation FROM information_schema.tables "
        "WHERE table_schema = database()"
    )
    assert engines == [("InnoDB", "Dynamic", "utf8mb4_nopad_bin")]
    store.close()


@pytest.mark.parametrize("name", TO_COME)
def test_the_types_suffice_for_tables_to_come(place: Place, name: str) -> None:
    declared, grain, indexes, spec = TO_COME[name]
    columns = tuple(parse_column(column, f"{text}; x") for column, text in declared.items())
    store = place.open()
    publish(store, [empty(name, columns, grain, tuple(indexes))], NOW)
    assert columns_of(place, name) == spec.split(", ")
    assert {",".join(key) for key in (*indexes, grain)} <= indexes_of(place, name).keys()
    store.close()


def test_keys_longer_than_an_index_are_still_unique(place: Place) -> None:
    columns = {"a": "varchar(4000) not null; a", "b": "text; b", "n": "integer; n"}
    alike = "x" * 3_999
    rows = {"a": [alike + "1", alike + "2"], "b": ["y" * 70_000] * 2, "n": [1, 2]}
    store = place.open()
    publish(store, [publication(columns, rows, ("a", "b", "n"), [("b", "a")])], NOW)
    assert place.rows("SELECT right(a, 1), length(b), n FROM counts ORDER BY id") == [
        ("1", 70_000, 1),
        ("2", 70_000, 2),
    ]
    store.close()


@contextmanager
def no_files(place: Place) -> Iterator[None]:
    assert place.server is not None
    place.server.sql("SET GLOBAL local_infile = 0")
    try:
        yield
    finally:
        place.server.sql("SET GLOBAL local_infile = 1")


def test_files_are_loaded_only_where_the_server_allows_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    for loader in (bulk.load_files, bulk.insert_rows):
        monkeypatch.setattr(
            bulk,
            loader.__name__,
            lambda *args, loader=loader: (used.append(loader.__name__), loader(*args)),
        )
    store = place.open()
    one = publication(COUNTS, {"course": ["a\\\t\n"], "n": [1]})
    publish(store, [one], NOW)
    with no_files(place):
        publish(store, [one], NOW)
    assert used == ["load_files", "insert_rows"]
    assert place.rows("SELECT course, n FROM counts") == [("a\\\t\n", 1)]
    store.close()


def test_the_settings_of_a_server_change_nothing(place: Place) -> None:
    # A session takes its settings from the server's: these would change what is loaded.
    odd = "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'"
    assert place.server is not None
    place.server.sql(odd.replace("SET ", "SET GLOBAL "))
    try:
        for loader in (bulk.load_files, bulk.insert_rows):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(mysql, "choose_loader", lambda connection, use=loader: use)
                store = open_results(place.url, place.root)
                publish(store, [publication(COUNTS, {"course": ["a\\'\"\n"], "n": [1]})], NOW)
                store.close()
            assert place.rows("SELECT course, n FROM counts") == [("a\\'\"\n", 1)]
    finally:
        place.server.sql("SET GLOBAL sql_mode = DEFAULT")


def test_what_a_dead_publisher_left_is_dropped_and_nothing_else(place: Place) -> None:
    place.do(
        "CREATE TABLE studium_new_0123456789ab (n integer)",
        "CREATE TABLE studium_old_0123456789ab (n integer)",
        "CREATE TABLE studium_new_ideas (n integer)",
    )
    store = place.open()
    publish(store, [publication(COUNTS, {"course": ["a"], "n": [1]})], NOW)
    assert place.tables() == {"counts", "studium_new_ideas", "studium_published"}
    assert published(store)["counts"].rows == 1
    store.close()


def test_a_view_shows_the_new_table(place: Place) -> None:
    store = place.open()
    publish(store, [publication(COUNTS, {"course": ["a"], "n": [1]})], NOW)
    place.do("CREATE VIEW seen AS SELECT course FROM counts")
    publish(store, [publication(COUNTS, {"course": ["b"], "n": [1]})], NOW)
    assert place.rows("SELECT * FROM seen") == [("b",)]
    store.close()
