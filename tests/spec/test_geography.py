"""The geography lens does what `specs/edx-enrollment-geography` §3, §6 and §8.2 say."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import maxminddb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studium.demo.geoip import networks, write_countries
from studium.demo.people import COUNTRIES
from studium.engines import Engine, Relation
from studium.errors import UsageError
from studium.lenses import tables
from studium.lenses.geography.countries import find_place, inspect_countries
from tests import sites
from tests.engines import shared_engine
from tests.spec.lines import NOON, START, UNTIL, Event, event, ingest
from tests.spec.rows import Row, ordered
from tests.spec.slice import STORED, Slice, build

BY_CODE = {country.code: country for country in COUNTRIES}
HERE, THERE = sorted(BY_CODE)[:2]


def address_in(code: str, version: int = 4) -> str:
    """An address of an invented country."""
    network = next(one for one in networks(BY_CODE[code]) if one.version == version)
    return str(network[1])


A, B = address_in(HERE), address_in(THERE)
NOWHERE = "8.8.8.8"


@pytest.fixture(scope="session")
def countries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("geoip") / "countries.mmdb"
    write_countries(path, date(2021, 3, 1))
    return path


def parameters(countries: Path, enrollment: str = "lms") -> dict[str, object]:
    return {
        "geoip_file": str(countries),
        "geoip_build": inspect_countries(countries).build,
        "enrollment_from": enrollment,
    }


def seen(user: object, ip: object, minutes: float = 0, course: str = "", **changes: Any) -> Event:
    time = (NOON + timedelta(minutes=minutes)).isoformat() + "+00:00"
    return event("/dashboard", user, course, **{"ip": ip, "time": time, **changes})


# §8.2, with countries of ours: DE is HERE, BR is THERE, and 10.0.0.9 no match.

ALPHA, BETA = "course-v1:UniX+Bio1+2021_T1", "UniX/Chem/2020"
GOLDEN_START, GOLDEN_UNTIL = date(2021, 3, 1), date(2021, 3, 8)
GOLDEN = [
    event("/dashboard", 201, "", time="2021-03-02T10:00:00+00:00", ip=A),
    event("page_close", 201, ALPHA, time="2021-03-05T09:00:00+00:00", ip=B),
    event("page_close", 202, "", time="2021-03-06T09:00:00+00:00", ip="10.0.0.9"),
    event("page_close", "204", "", time="2021-03-03T09:00:00+00:00", ip=A),
    event("page_close", 205, "", time="2021-02-20T09:00:00+00:00", ip=A),
    event("page_close", "", "", time="2021-03-04T09:00:00+00:00", ip=B),
]
ENROLLED = [
    {"user_id": user, "course_id": course, "is_active": active}
    for user, course, active in [
        (201, ALPHA, True), (202, ALPHA, True), (202, BETA, False), (203, ALPHA, True),
        (204, ALPHA, False), (205, BETA, True),
    ]
]  # fmt: skip


def test_golden_scenario(engine: Engine, tmp_path: Path, countries: Path) -> None:
    events = ingest(tmp_path, GOLDEN, start=date(2021, 2, 1), until=GOLDEN_UNTIL)
    run = build(
        engine, tmp_path / "lens", "geography", {"student_courseenrollment": ENROLLED},
        GOLDEN_START, GOLDEN_UNTIL, more=parameters(countries), events=events,
    )  # fmt: skip
    assert ordered(run.rows["course_enrollment_location_current"]) == ordered(
        {
            "date": date(2021, 3, 8), "course_id": course, "country_code": code,
            "count": count, "cumulative_count": cumulative,
        }
        for course, code, count, cumulative in [
            (ALPHA, THERE, 1, 1), (ALPHA, HERE, 0, 1), (ALPHA, "UNKNOWN", 1, 1),
            (ALPHA, None, 1, 1), (BETA, "UNKNOWN", 0, 1), (BETA, None, 1, 1),
        ]
    )  # fmt: skip


# Each learner of a case is of one rule; all are enrolled in one course.

LEARNERS: dict[int, tuple[str, list[Event], str | None]] = {
    1: ("one address", [seen(1, A)], HERE),
    2: ("E64 no context", [seen(2, A, context=None)], None),
    3: ("E64 no address", [seen(3, None), seen(3, "")], None),
    4: ("E64 beyond the interval", [seen(4, A, time=f"{UNTIL}T00:00:00+00:00")], None),
    5: ("E65 no course, bad course", [seen(5, B, course=";;bad")], THERE),
    6: ("E66 the later address", [seen(6, A, 5), seen(6, B, 4)], HERE),
    7: ("E66 in any order", [seen(7, B, 4), seen(7, A, 5)], HERE),
    8: ("E66 over courses and days", [seen(8, A, 2000, "A/B/C"), seen(8, B, 5)], HERE),
    9: ("E68 not in the database", [seen(9, NOWHERE)], "UNKNOWN"),
    10: ("E70 private", [seen(10, "10.0.0.9")], "UNKNOWN"),
    11: ("no address at all", [seen(11, "not an address")], "UNKNOWN"),
    12: ("E69 never seen", [], None),
    13: ("the last one counts, even if it tells nothing", [seen(13, A), seen(13, NOWHERE, 1)],
         "UNKNOWN"),
    14: ("list and port", [seen(14, f" nonsense, {A}:4711, {B}")], HERE),
    15: ("IPv6", [seen(15, address_in(HERE, 6))], HERE),
    16: ("IPv6 with port", [seen(16, f"[{address_in(THERE, 6)}]:443")], THERE),
    17: ("IPv4 in IPv6", [seen(17, f"::ffff:{A}")], HERE),
    18: ("any source", [seen(18, A, event_source="task")], HERE),
    19: ("same instant", [seen(19, A), seen(19, B)], HERE if A > B else THERE),
    20: ("id as text", [seen("20", A)], HERE),
}  # fmt: skip


@pytest.fixture(scope="session")
def geography_events(tmp_path_factory: pytest.TempPathFactory) -> Relation:
    lines = [line for _, events, _ in LEARNERS.values() for line in events]
    anonymous = [seen(user, A) for user in ("", None, 0, "x", [1])]
    return ingest(tmp_path_factory.mktemp("geography"), [*lines, *anonymous])


@pytest.fixture(scope="session")
def geography(
    engine: Engine,
    geography_events: Relation,
    countries: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Slice:
    courses = ["A/B/C", "D/E/F"]
    enrolled = [
        {"user_id": user, "course_id": course, "is_active": course == "A/B/C"}
        for user in LEARNERS
        for course in courses
    ]
    folder = tmp_path_factory.mktemp(f"geography-{engine.name}")
    return build(
        engine, folder, "geography", {"student_courseenrollment": enrolled}, START, UNTIL,
        more=parameters(countries), events=geography_events,
    )  # fmt: skip


@pytest.mark.parametrize("user", LEARNERS, ids=[rule for rule, _, _ in LEARNERS.values()])
def test_rule(geography: Slice, user: int) -> None:
    found = [r for r in geography.rows["last_country_of_user"] if r["user_id"] == user]
    expected = LEARNERS[user][2]
    assert [row["country_code"] for row in found] == ([] if expected is None else [expected])


def test_learners_count_in_all_their_courses(geography: Slice) -> None:
    # E71: the same country in both. §3.4: active ones in count, all in cumulative_count.
    codes = [code for _, _, code in LEARNERS.values()]
    rows = geography.rows["course_enrollment_location_current"]
    for course, active in (("A/B/C", True), ("D/E/F", False)):
        found = {
            row["country_code"]: (row["count"], row["cumulative_count"])
            for row in rows
            if row["course_id"] == course
        }
        expected = {code: codes.count(code) for code in codes}
        assert found == {code: (n if active else 0, n) for code, n in expected.items()}


def test_what_kind_of_address_it_was(geography: Slice) -> None:
    found = {row["ip"]: row["found"] for row in geography.rows["country_of_ip"]}
    assert found[A] == "country"
    assert (found[NOWHERE], found["10.0.0.9"]) == ("not found", "private")
    assert found["not an address"] == "invalid"


def test_tables_are_of_the_declared_types(geography: Slice) -> None:
    for table in tables("geography"):
        declared = {c.name: STORED[c.type.partition("(")[0]] for c in table.columns}
        assert dict(geography.types[table.name]) == declared, table.name


# Records that real databases have


class Records:
    """A database of one record, whatever is asked."""

    def __init__(self, record: object, version: int = 6) -> None:
        self.record, self.version = record, version

    def get(self, address: object) -> object:
        return self.record

    def metadata(self) -> Any:
        return type("Metadata", (), {"ip_version": self.version})


@pytest.mark.parametrize(
    ("record", "code"),
    [  # E67, E68, §3.5
        ({"country": {"iso_code": "XK"}}, "XK"),
        ({"country": {"iso_code": "DE"}, "traits": {"is_anonymous_proxy": True}}, "UNKNOWN"),
        ({"country": {"iso_code": "DE"}, "traits": {"is_satellite_provider": True}}, "UNKNOWN"),
        ({"country": {"iso_code": "DE"}, "traits": {}}, "DE"),
        ({"registered_country": {"iso_code": "DE"}}, "UNKNOWN"),
        ({"country": {"iso_code": " "}}, "UNKNOWN"),
        ({"country": {"iso_code": 7}}, "UNKNOWN"),
        ({"country": "DE"}, "UNKNOWN"),
        ({"country": {}}, "UNKNOWN"),
        ([], "UNKNOWN"),
        (None, "UNKNOWN"),
    ],
)
def test_record(record: object, code: str) -> None:
    reader: Any = Records(record)
    assert find_place(reader, "8.8.8.8").country_code == code


def test_maxminds_own_files(shared: Path) -> None:
    path = shared / "geoip" / "GeoLite2-Country-Test.mmdb"
    assert inspect_countries(path).build.startswith("GeoLite2-Country ")
    with maxminddb.open_database(path) as reader:
        places = {
            text: find_place(reader, text).country_code
            for text in ("2.125.160.217", "81.2.69.142", "2001:218::1", "127.0.0.1")
        }
    assert places == {
        "2.125.160.217": "GB", "81.2.69.142": "GB", "2001:218::1": "JP", "127.0.0.1": "UNKNOWN"
    }  # fmt: skip


# Without a database, with a broken one, with a new one


def test_no_database(tmp_path: Path) -> None:
    root = _site(tmp_path)
    done = sites.run_job(root, tables())
    built = {one.work.table.lens for one in done.built}
    assert built == {table.lens for table in tables()} - {"geography"}
    with pytest.raises(UsageError, match=r"no country database. Give --geoip FILE.mmdb"):
        sites.run_job(root, tables("geography"))


@pytest.mark.parametrize(
    "damage",
    ["text", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("missing", "cut"))],
)
def test_broken_database(tmp_path: Path, countries: Path, damage: str) -> None:
    path = tmp_path / "broken.mmdb"
    if damage != "missing":
        path.write_bytes(b"no database" if damage == "text" else countries.read_bytes()[:-90])
    root = _site(tmp_path)
    done = sites.run_job(root, tables(), geography__database=str(path))
    assert "geography" not in {one.work.table.lens for one in done.built}
    with pytest.raises(UsageError, match=r"broken.mmdb cannot be read: .*Bring the .mmdb file"):
        sites.run_job(root, tables("geography"), geography__database=str(path))


def test_a_new_database_restates_countries(tmp_path: Path, countries: Path) -> None:
    path = tmp_path / "countries.mmdb"
    path.write_bytes(countries.read_bytes())
    root = _site(tmp_path)
    lens = tables("geography")
    sites.run_job(root, lens, geography__database=str(path))
    assert sites.run_job(root, lens, geography__database=str(path)).work() == {}
    write_countries(path, date(2021, 4, 1))
    work = sites.run_job(root, lens, geography__database=str(path)).work()
    # Equal rows: nothing that reads them is built again.
    assert work == {"country_of_ip": {None: "parameter changed"}}


def _site(folder: Path) -> Path:
    logs = folder / "logs"
    sites.write_history(logs)
    return sites.make_site(folder / "site", logs)


# Row by row, straight from the text of the spec


def reference(
    events: Iterable[Mapping[str, Any]], enrolled: Iterable[Mapping[str, Any]], until: date,
    country: Mapping[str, str],
) -> list[Row]:  # fmt: skip
    """§3.2 to §3.4 over rows of ``events`` and of the LMS's table."""
    last: dict[int, tuple[datetime, str]] = {}
    for row in events:
        if row.get("user_id") is not None and row.get("ip"):
            now = (row["time"], row["ip"])
            last[row["user_id"]] = max(last.get(row["user_id"], now), now)
    counts: dict[tuple[str, str | None], list[int]] = defaultdict(lambda: [0, 0])
    for row in enrolled:
        place = last.get(row["user_id"])
        line = counts[row["course_id"], None if place is None else country[place[1]]]
        line[0] += bool(row["is_active"])
        line[1] += 1
    return [
        {"date": until, "course_id": course, "country_code": code,
         "count": active, "cumulative_count": ever}
        for (course, code), (active, ever) in counts.items()
    ]  # fmt: skip


COUNTRY = {A: HERE, B: THERE, NOWHERE: "UNKNOWN", "10.1.1.1": "UNKNOWN", "😀": "UNKNOWN"}
USERS, COURSES = range(1, 9), ["A/B/C", "Örg/דרך/字"]
events_seen = st.lists(
    st.fixed_dictionaries(
        {
            "time": st.sampled_from(
                [NOON, NOON + timedelta(microseconds=1), NOON + timedelta(days=1)]
            ),
            "user_id": st.sampled_from([None, *USERS]),
            "ip": st.sampled_from([None, "", *COUNTRY]),
            "course_id": st.sampled_from([None, *COURSES]),
            "course_id_source": st.sampled_from(["context", "url"]),
        }
    ).map(lambda row: {**row, "day": row["time"].date()}),
    max_size=30,
)
enrollments = st.dictionaries(
    st.tuples(st.sampled_from(USERS), st.sampled_from(COURSES)), st.booleans()
).map(
    lambda found: [
        {"user_id": user, "course_id": course, "is_active": active}
        for (user, course), active in found.items()
    ]
)


def check(
    engine: Engine, folder: Path, countries: Path, events: list[Row], enrolled: list[Row]
) -> None:
    inputs = {"events": events, "student_courseenrollment": enrolled}
    run = build(engine, folder, "geography", inputs, START, UNTIL, more=parameters(countries))
    assert ordered(run.rows["course_enrollment_location_current"]) == ordered(
        reference(events, enrolled, UNTIL, COUNTRY)
    )


@given(events=events_seen, enrolled=enrollments)
def test_equals_the_reference(
    tmp_path_factory: pytest.TempPathFactory, countries: Path, events: list[Row],
    enrolled: list[Row],
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("seen")
    check(shared_engine("duckdb"), folder, countries, events, enrolled)


@pytest.mark.long
def test_equals_the_reference_on_many_rows(engine: Engine, tmp_path: Path, countries: Path) -> None:
    chance = random.Random(20210303)
    events = []
    for _ in range(4000):
        time = NOON + timedelta(minutes=chance.randrange(20_000))
        user = chance.choice([None, *range(1, 200)])
        ip = chance.choice([None, "", *COUNTRY])
        events.append({"day": time.date(), "time": time, "user_id": user, "ip": ip})
    enrolled = [
        {"user_id": user, "course_id": course, "is_active": chance.random() < 0.7}
        for user in range(1, 220)
        for course in COURSES
    ]
    check(engine, tmp_path, countries, events, enrolled)


def test_enrollment_from_the_events(engine: Engine, tmp_path: Path, countries: Path) -> None:
    def change(user: int, kind: str, minutes: int) -> Event:
        time = (NOON + timedelta(minutes=minutes)).isoformat()
        payload = {"course_id": ALPHA, "user_id": user, "mode": "audit"}
        name = f"edx.course.enrollment.{kind}"
        return event(name, user, ALPHA, time=time, ip=A, event=payload)

    lines = [
        change(1, "activated", 0),
        change(2, "activated", 1),
        change(2, "deactivated", 2000),
        change(3, "deactivated", 3),
    ]
    run = build(
        engine, tmp_path / "lens", "geography", {}, START, UNTIL,
        more=parameters(countries, "events"), events=ingest(tmp_path, lines),
    )  # fmt: skip
    (row,) = run.rows["course_enrollment_location_current"]
    assert (row["country_code"], row["count"], row["cumulative_count"]) == (HERE, 1, 3)
