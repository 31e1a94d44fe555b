"""The LMS's live database gives the same tables as a dump of it, in one snapshot."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from deltalake import DeltaTable
from sqlalchemy import make_url

import studium
from studium.clock import today
from studium.errors import SourceError
from studium.lake.store import Lake
from studium.sources.lms import database, mysql, postgres
from studium.sources.lms.importer import PASSWORD, Imported, import_lms, snapshot_date
from studium.sources.lms.tables import TABLES
from tests.databases import Server
from tests.sites import COURSE, enrollment, make_site, run_job, write_log

SECRET = "pbkdf2_sha256$600000$kDn3mX$Zm9vYmFyYmF6"

# What a database may hold: `{…}` differs between the two kinds.
SCHEMA = """
CREATE TABLE auth_user (id {serial}, password varchar(128) NOT NULL, last_login {time},
  is_superuser {bool} NOT NULL, username varchar(150) NOT NULL, first_name varchar(150) NOT NULL,
  last_name varchar(150) NOT NULL, email varchar(254) NOT NULL, is_staff {bit} NOT NULL,
  is_active {bool} NOT NULL, date_joined {time} NOT NULL);
CREATE TABLE auth_userprofile (id {serial}, name varchar(255) NOT NULL, meta {text} NOT NULL,
  gender varchar(6), mailing_address {text}, year_of_birth int, level_of_education varchar(6),
  goals {text}, country varchar(2), city {text}, language varchar(255) NOT NULL,
  location varchar(255) NOT NULL, user_id int NOT NULL);
CREATE TABLE grades_persistentcoursegrade (id {serial}, user_id int NOT NULL,
  course_id varchar(255) NOT NULL, percent_grade {double} NOT NULL,
  letter_grade varchar(255) NOT NULL, passed_timestamp {time}, modified {time} NOT NULL);
CREATE TABLE student_courseaccessrole (id {serial}, org varchar(64) NOT NULL,
  course_id varchar(255) NOT NULL, role varchar(64) NOT NULL, user_id int NOT NULL);
CREATE TABLE course_groups_courseusergroup (id {serial}, name varchar(255) NOT NULL,
  course_id varchar(255) NOT NULL, group_type varchar(20) NOT NULL);
CREATE TABLE course_groups_courseusergroup_users (id {serial}, courseusergroup_id int NOT NULL,
  user_id int NOT NULL);
"""
KINDS = {
    "mysql": {
        "serial": "int NOT NULL PRIMARY KEY", "time": "datetime(6)", "bool": "tinyint(1)",
        "bit": "bit(1)", "text": "longtext", "double": "double",
    },
    "postgresql": {
        "serial": "int NOT NULL PRIMARY KEY", "time": "timestamp with time zone",
        "bool": "boolean", "bit": "boolean", "text": "text", "double": "double precision",
    },
}  # fmt: skip
AWKWARD = [
    "it's",
    "a\\b",
    "\\N",
    "NULL",
    "",
    "Zoë 🎓",
    "tab\tline\nreturn\r",
    '"quoted", comma',
    "%s",
]
GRADES = [0.1 + 0.2, 1 / 3, 1e-7, 0.0, 1.0, 5e-324]
JOINED = "2014-06-27 16:02:38.000001"
ROWS: Mapping[str, tuple[str, list[tuple[Any, ...]]]] = {
    "auth_user": (
        "id, password, last_login, is_superuser, username, first_name, last_name, email, is_staff,"
        " is_active, date_joined",
        [
            (n, SECRET, None if n % 2 else "2020-02-29 23:59:59.999999", False, f"user{n}",
             AWKWARD[n % len(AWKWARD)], "", f"u{n}@example.org", n % 3 == 0, True, JOINED)
            for n in range(1, 30)
        ],
    ),
    "auth_userprofile": (
        "id, name, meta, gender, mailing_address, year_of_birth, level_of_education, goals,"
        " country, city, language, location, user_id",
        [
            (n, text, "", [None, "", "f"][n % 3], text, [None, 1990][n % 2], "m", None, "DE",
             text, "", "", n)
            for n, text in enumerate(AWKWARD, 1)
        ],
    ),
    "grades_persistentcoursegrade": (
        "id, user_id, course_id, percent_grade, letter_grade, passed_timestamp, modified",
        [(n, n, COURSE, share, "", None, JOINED) for n, share in enumerate(GRADES, 1)],
    ),
    "student_courseaccessrole": (
        "id, org, course_id, role, user_id",
        [(1, "Orion", "", "staff", 1), (2, "Orion", COURSE, "instructor", 2)],
    ),
    "course_groups_courseusergroup": (
        "id, name, course_id, group_type",
        [(1, "Gruppe Ä", COURSE, "cohort"), (2, "Other", COURSE, "custom")],
    ),
    "course_groups_courseusergroup_users": (
        "id, courseusergroup_id, user_id",
        [(1, 1, 1), (2, 1, 2), (3, 2, 1), (4, 2, 1)],
    ),
}  # fmt: skip


def connect(url: str) -> Any:
    at = make_url(url)
    if at.get_backend_name() == "postgresql":
        return psycopg.connect(url, autocommit=True)
    return pymysql.connect(
        host=at.host, port=at.port or 0, user=at.username, password=at.password or "",
        database=at.database, charset="utf8mb4", autocommit=True,
    )  # fmt: skip


def run_sql(url: str, *statements: str) -> None:
    db = connect(url)
    try:
        for statement in statements:
            db.cursor().execute(statement)
    finally:
        db.close()


def fill(server: Server) -> str:
    """A database of an LMS: the URL."""
    url = server.fresh()
    run_sql(url, *filter(str.strip, SCHEMA.format(**KINDS[server.scheme]).split(";")))
    db = connect(url)
    for table, (names, rows) in ROWS.items():
        marks = ", ".join(["%s"] * len(rows[0]))
        db.cursor().executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)
    db.close()
    return url


def dumped(url: str) -> str:
    """The database as mysqldump writes it: the server's declarations, the driver's literals."""
    db = connect(url)
    parts = []
    with db.cursor() as cursor:
        for table in ROWS:
            cursor.execute(f"SHOW CREATE TABLE {table}")
            parts.append(cursor.fetchone()[1])
            cursor.execute(f"SELECT * FROM {table}")
            rows = [[db.escape(value) for value in row] for row in cursor.fetchall()]
            values = ",".join(f"({','.join(row)})" for row in rows)
            parts.append(f"INSERT INTO `{table}` VALUES {values}")
    db.close()
    return "".join(f"{part};\n" for part in parts)


@pytest.fixture(scope="module")
def databases(mariadb: Server, postgres: Server) -> dict[str, str]:
    return {"mysql": fill(mariadb), "postgresql": fill(postgres)}


@pytest.fixture(params=["mysql", "postgresql"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue("mariadb" if request.param == "mysql" else "postgres")
    return found


@pytest.fixture
def filled(server: Server) -> str:
    """A database of its own, to be changed."""
    return fill(server)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[studium.Site]:
    root = make_site(tmp_path / "site", tmp_path / "logs")
    with studium.open(root) as opened:
        yield opened


def take(site: studium.Site, source: str | Path) -> dict[str, Imported]:
    with site.writer("test"):
        done = import_lms(site, Lake(site.lake_dir), source)
    return {one.table.name: one for one in done if one.found}


def kept(site: studium.Site) -> dict[str, list[dict[str, Any]]]:
    return {
        name: sorted(DeltaTable(str(site.lake_dir / name)).to_pyarrow_table().to_pylist(), key=repr)
        for name in Lake(site.lake_dir).names()
    }


def test_dump_and_databases_give_equal_tables(
    tmp_path: Path, databases: Mapping[str, str], site: studium.Site
) -> None:
    dump = tmp_path / "edxapp.sql"
    dump.write_text(dumped(databases["mysql"]), encoding="utf-8")
    first = take(site, dump)
    expected = kept(site)
    assert {one.rows for one in first.values()} == {29, 9, 6, 2, 3}
    assert first["course_groups_courseusergroup_users"].refused == 1
    assert [row["first_name"] for row in expected["auth_user_contact"] if row["user_id"] == 5] == [
        "Zoë 🎓"
    ]
    assert sorted(row["percent_grade"] for row in expected["grades_persistentcoursegrade"]) == (
        sorted(GRADES)
    )
    for url in databases.values():
        again = take(site, url)
        assert {n: (o.rows, o.refused, o.replaced) for n, o in again.items()} == {
            n: (o.rows, o.refused, o.replaced) for n, o in first.items()
        }
        assert not any(one.changed for one in again.values()), url
    other = make_site(tmp_path / "other", tmp_path / "logs")
    with studium.open(other) as alone:
        take(alone, databases["postgresql"])
        assert kept(alone) == expected


def test_no_password_of_a_learner_leaves_the_database(
    databases: Mapping[str, str], site: studium.Site, mariadb: Server, postgres: Server
) -> None:
    mariadb.sql("SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON")
    take(site, databases["mysql"])
    mariadb.sql("SET GLOBAL general_log = OFF")
    asked = mariadb.sql("SELECT argument FROM mysql.general_log")
    selects = [line for line in asked.splitlines() if line.startswith("SELECT `")]
    assert any("`username`" in line for line in selects)
    assert not any("password" in line or "*" in line for line in selects)
    take(site, databases["postgresql"])
    for path in site.root.rglob("*"):
        assert path.is_dir() or b"kDn3mX" not in path.read_bytes()


def test_all_tables_are_of_one_moment(
    filled: str, site: studium.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learner who comes, and enrols, between two tables is in neither."""
    module = postgres if filled.startswith("postgresql") else mysql
    rows = module.rows
    seen: list[str] = []

    def meddle(connection: Any, table: str, wanted: Any) -> Any:
        if not seen:
            run_sql(
                filled,
                "DELETE FROM auth_user WHERE id = 1",
                "DELETE FROM auth_userprofile WHERE user_id = 1",
                "INSERT INTO student_courseaccessrole (id, org, course_id, role, user_id)"
                " VALUES (9, 'Orion', '', 'staff', 9)",
            )
        seen.append(table)
        return rows(connection, table, wanted)

    with monkeypatch.context() as patch:
        patch.setattr(module, "rows", meddle)
        done = take(site, filled)
    counts = {name: one.rows for name, one in done.items()}
    assert (counts["auth_user"], counts["auth_userprofile"]) == (29, 9)
    assert counts["student_courseaccessrole"] == 2
    assert "student_courseaccessrole" in seen
    after = take(site, filled)
    assert {name for name, one in after.items() if one.changed} == {
        "auth_user", "auth_user_contact", "auth_userprofile", "auth_userprofile_contact",
        "student_courseaccessrole",
    }  # fmt: skip


def test_what_is_not_there_is_left_out(filled: str, site: studium.Site) -> None:
    run_sql(
        filled,
        "DROP TABLE grades_persistentcoursegrade",
        "ALTER TABLE auth_user DROP COLUMN first_name",
        "ALTER TABLE auth_userprofile DROP COLUMN user_id",
    )
    with pytest.raises(SourceError, match=r"/t\d+ has no column user_id"):
        take(site, filled)
    run_sql(filled, "DROP TABLE auth_userprofile")
    done = take(site, filled)
    assert "grades_persistentcoursegrade" not in done
    assert {row["first_name"] for row in kept(site)["auth_user_contact"]} == {None}


def reader(server: Server, url: str, *, grants: str) -> str:
    """The URL for a user who may only read ``grants``."""
    at = make_url(url)
    name = f"reader_{at.database}"
    if server.scheme == "mysql":
        server.sql(f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY 'hunter2'")
        to = f"{name}@'127.0.0.1'"
    else:
        server.sql(f"CREATE ROLE {name} LOGIN PASSWORD 'hunter2'")
        to = name
    for what in grants.split(";"):
        server.sql(f"GRANT {what.strip()} TO {to}", at.database)
    return at.set(username=name, password="hunter2").render_as_string(hide_password=False)


def test_a_user_needs_no_more_than_the_columns(server: Server, site: studium.Site) -> None:
    url = fill(server)
    tables = [t for t in TABLES if t.file.partition(".")[0] in ROWS]
    grants = []
    for name in ROWS:
        columns = {t.source.get(c, c) for t in tables if t.file == f"{name}.csv" for c in t.columns}
        grants.append(f"SELECT ({', '.join(sorted(columns))}) ON {name}")
    wanted = ",".join(f'"{name}"' for name in ROWS)
    root = site.root
    with studium.open(root, {"lms.tables": f"[{wanted}]"}) as chosen:
        done = take(chosen, reader(server, url, grants=";".join(grants)))
    assert {name: one.rows for name, one in done.items()} == {
        name: one.rows for name, one in take(site, url).items()
    }


def test_a_table_that_may_not_be_read_is_named(server: Server, site: studium.Site) -> None:
    url = reader(server, fill(server), grants="SELECT ON auth_user")
    with pytest.raises(SourceError, match="the table auth_userprofile may not be read") as caught:
        take(site, url)
    assert "GRANT SELECT ON auth_userprofile" in caught.value.hint
    assert "hunter2" not in str(caught.value)
    assert Lake(site.lake_dir).names() == []
    with studium.open(site.root, {"lms.tables": "auth_user"}) as chosen:
        assert list(take(chosen, url)) == ["auth_user", "auth_user_contact"]


def test_a_table_that_studium_does_not_take_is_refused(site: studium.Site) -> None:
    with (
        studium.open(site.root, {"lms.tables": "auth_usr"}) as chosen,
        pytest.raises(SourceError, match=r"lms\.tables names auth_usr"),
    ):
        take(chosen, "mysql://h/d")


def test_a_database_that_cannot_be_reached_says_why(server: Server, site: studium.Site) -> None:
    at = make_url(server.fresh())
    cases = {
        "password": at.set(password="hunter2"),
        "away": at.set(port=1),
        "'nowhere'": at.set(database="nowhere"),
        "names no database": at._replace(database=None),
        "has none of the tables auth_user": at,
    }
    hints = {"password": "STUDIUM_LMS_PASSWORD", "away": "host and port", "'nowhere'": "nowhere"}
    for case, url in cases.items():
        with pytest.raises(SourceError) as caught:
            take(site, url.render_as_string(hide_password=False))
        said = str(caught.value)
        assert hints.get(case, case) in said
        assert "hunter2" not in said
        assert ":studium@" not in said
        assert "127.0.0.1" in said


def test_the_password_may_be_elsewhere(
    databases: Mapping[str, str], site: studium.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in map(make_url, databases.values()):
        bare = url._replace(password=None).render_as_string(hide_password=False)
        with pytest.raises(SourceError, match="cannot be reached"):
            take(site, bare)
        with monkeypatch.context() as patch:
            patch.setenv(PASSWORD, "studium")
            assert len(take(site, bare)) == 8
        given = {"host": url.host, "port": str(url.port), "username": "studium",
                 "password": "studium"}  # fmt: skip
        (site.root / "lms.json").write_text(json.dumps(given)[:-1] + ",\n}")
        with studium.open(site.root, {"lms.credentials": "lms.json"}) as chosen:
            assert len(take(chosen, f"{url.get_backend_name()}:///{url.database}")) == 8


def test_bytes_that_are_no_text_are_counted(
    mariadb: Server, postgres: Server, site: studium.Site
) -> None:
    create = "CREATE TABLE auth_user (id int, username {}); INSERT INTO auth_user VALUES {}"
    ours = mariadb.fresh()
    mariadb.sql(create.format("varbinary(99)", "(1, x'5a6feb')"), make_url(ours).database)
    postgres.sql("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    postgres.sql(create.format("text", "(1, E'Zo\\xeb')"), "ascii")
    for url in (ours, postgres.url("ascii")):
        assert take(site, url)["auth_user"].replaced == 1
        assert [row["username"] for row in kept(site)["auth_user"]] == ["Zo\ufffd"]


STREAM = """
import resource, sys
from pathlib import Path
from sqlalchemy import make_url
import psycopg, pymysql, pyarrow.parquet as pq
from studium.servers import server_url
from studium.errors import SourceError
from studium.sources.lms.database import stage_database
from studium.sources.lms.tables import PROFILES, DETAILS
url = server_url(sys.argv[1], "lms.source", SourceError)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
staged = stage_database(url, [PROFILES, DETAILS], Path(sys.argv[2]))
rows = pq.ParquetFile(staged["auth_userprofile"].path).metadata.num_rows
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_large_table_is_never_in_memory(server: Server, tmp_path: Path) -> None:
    """60 MB of texts, which a client that buffers would hold."""
    url = server.fresh()
    numbers = (
        "SELECT seq FROM seq_1_to_60000"
        if server.scheme == "mysql"
        else "SELECT g AS seq FROM generate_series(1, 60000) AS g"
    )
    text = "longtext" if server.scheme == "mysql" else "text"
    server.sql(
        f"CREATE TABLE auth_userprofile (user_id int, goals {text}, meta int);"
        f"INSERT INTO auth_userprofile SELECT seq, REPEAT('x', 1000), 1 FROM ({numbers}) AS n",
        make_url(url).database,
    )
    done = subprocess.run(
        [sys.executable, "-c", STREAM, url, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows, grown = map(int, done.stdout.split())
    assert rows == 60_000
    assert grown < 40 << 10, f"{grown} KiB"


def test_a_server_that_goes_away_leaves_the_tables_as_they_were(
    filled: str, server: Server, site: studium.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(site, filled)
    before = kept(site)
    run_sql(filled, "DELETE FROM auth_user WHERE id > 3")
    module = postgres if server.scheme == "postgresql" else mysql
    columns = module.columns

    def cut(connection: Any, table: str, wanted: Any) -> Any:
        found = columns(connection, table, wanted)
        if table == "auth_userprofile":
            # As an administrator's KILL, or a restart, does it.
            number = (
                connection.info.backend_pid
                if server.scheme == "postgresql"
                else connection.thread_id()
            )
            kill = "SELECT pg_terminate_backend({})" if server.scheme == "postgresql" else "KILL {}"
            run_sql(filled, kill.format(number))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(module, "columns", cut)
        with pytest.raises(SourceError, match="cannot be read") as caught:
            take(site, filled)
    assert "Nothing was imported" in caught.value.hint
    assert kept(site) == before
    assert take(site, filled)["auth_user"].changed


def test_a_changed_snapshot_makes_its_readers_stale_and_an_equal_one_does_not(
    server: Server, filled: str, tmp_path: Path
) -> None:
    write_log(tmp_path / "logs", 0, [enrollment(1, 0)])
    root = make_site(tmp_path / "site", tmp_path / "logs")
    wanted = studium_tables()
    assert run_job(root, wanted, lms__source=filled).built
    assert not run_job(root, wanted, lms__source=filled).built
    run_sql(filled, "UPDATE auth_userprofile SET gender = 'o' WHERE user_id = 1")
    work = run_job(root, wanted, lms__source=filled).work()
    assert set(work) == {"course_enrollment_gender_daily"}
    with studium.open(root) as site:
        assert snapshot_date(site, "auth_userprofile") == today()
        assert snapshot_date(site, "course_blocks") is None
    log = DeltaTable(str(root / "lake" / "auth_userprofile")).history(1)[0]
    assert log["snapshot"] == today().isoformat()
    assert ":studium@" not in json.dumps(log)
    assert make_url(filled).database in log["file"]


def studium_tables() -> list[Any]:
    from studium.autopilot import steps

    return steps.choose_tables(["course_enrollment_gender_daily"])


def test_imports_at_the_same_time_do_not_disturb_each_other(
    databases: Mapping[str, str], tmp_path: Path
) -> None:
    found: dict[str, Any] = {}

    def stage(name: str, url: str) -> None:
        tables = [table for table in TABLES if table.file.endswith(".csv")]
        from studium.servers import server_url

        at = server_url(url, "lms.source", SourceError)
        found[name] = database.stage_database(at, tables, tmp_path / name)

    threads = [threading.Thread(target=stage, args=item) for item in databases.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: sorted(staged) for name, staged in found.items()} == {
        name: sorted(ROWS) for name in databases
    }
