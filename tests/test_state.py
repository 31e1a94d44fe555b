"""The state database: made once, migrated, read and written through one engine."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, make_url

import studium
from studium.autopilot.steps import choose_tables
from studium.clock import Interval
from studium.errors import LockedError, StateError
from studium.state import State, database, open_state, schema
from studium.state.counters import next_build
from studium.state.coverage import covered_days, mark_covered
from studium.state.facts import get_fact, set_fact
from studium.state.ledger import Partition, forget_partitions, partitions, record_partitions
from studium.state.lock import Holder
from studium.state.manifest import FileRow, known_files, record_files
from studium.state.migrate import configuration
from studium.state.mounts import filesystem_of, network_filesystem
from tests.databases import Server
from tests.sites import enrollment, make_site, run_job, write_log

URL = "sqlite:///state.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """Of a state that is not there yet: a file, or an empty database."""
    if request.param == "sqlite":
        return URL
    server: Server = request.getfixturevalue("postgres")
    return server.fresh()


@pytest.fixture
def state(tmp_path: Path, url: str) -> Iterator[State]:
    opened = open_state(url, tmp_path)
    yield opened
    opened.close()


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def output(child: subprocess.Popen[str]) -> str:
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    return out


# Opening


def test_a_relative_path_starts_at_the_site(tmp_path: Path) -> None:
    open_state("sqlite:///deep/er/state.db", tmp_path).close()
    assert (tmp_path / "deep" / "er" / "state.db").is_file()
    elsewhere = tmp_path / "elsewhere.db"
    open_state(f"sqlite:///{elsewhere}", tmp_path / "site").close()
    assert elsewhere.is_file()


def test_sqlite_waits_and_survives_a_power_cut(tmp_path: Path) -> None:
    state = open_state(URL, tmp_path)
    with state.read() as conn:
        pragmas = {
            name: conn.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }
    state.close()


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///file:state.db?mode=memory&uri=true", "names no file"),
        ("sqlite+nonsense:///x.db", "cannot be used"),
        ("postgresql+nonsense://me:hunter2@host/db", "not the URL of a database server"),
        ("mysql://me:hunter2@host/db", "neither SQLite nor PostgreSQL"),
        ("no url at all", "cannot be used"),
        ("sqlite:////dev/null/state.db", "cannot be made"),
    ],
)
def test_a_state_that_cannot_be_opened_says_why(tmp_path: Path, url: str, what: str) -> None:
    with pytest.raises(StateError, match=what) as caught:
        open_state(url, tmp_path)
    assert "hunter2" not in str(caught.value)
    assert caught.value.hint


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"a text, and long enough to be no header" * 10)
    with pytest.raises(StateError, match=r"state\.db cannot be opened: .*not a database"):
        open_state(URL, tmp_path)


# Migrations


def test_migrations_end_in_the_tables_of_the_schema(state: State) -> None:
    with state.begin() as conn:
        assert compare_metadata(MigrationContext.configure(conn), schema.metadata) == []
    heads = ScriptDirectory.from_config(configuration()).get_heads()
    assert list(heads) == [schema.HEAD]


def test_a_state_at_its_head_is_opened_without_alembic(
    tmp_path: Path, url: str, state: State
) -> None:
    code = """
import sys
from pathlib import Path
from studium.state import open_state
open_state(sys.argv[2], Path(sys.argv[1])).close()
print(sorted({"alembic", "sqlalchemy"} & set(sys.modules)))
"""
    assert output(python(code, tmp_path, url)).strip() == "['sqlalchemy']"


def test_a_state_newer_than_the_program_is_refused(tmp_path: Path, url: str, state: State) -> None:
    with state.begin() as conn:
        conn.exec_driver_sql("UPDATE alembic_version SET version_num = 'f00d'")
    with pytest.raises(StateError, match=r"revision f00d.*newer version"):
        open_state(url, tmp_path)


def test_a_migration_that_fails_leaves_nothing(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("alembic.op.create_index", fail)
        with pytest.raises(KeyboardInterrupt):
            open_state(url, tmp_path)
    opened = open_state(url, tmp_path)
    with opened.read() as conn:
        assert known_files(conn, "edx") == {}
    opened.close()


def test_commands_that_make_the_state_together_agree(tmp_path: Path, url: str) -> None:
    code = """
import sys
from pathlib import Path
from studium.state import open_state
from studium.state.counters import next_build
state = open_state(sys.argv[2], Path(sys.argv[1]))
for _ in range(25):
    with state.begin() as conn:
        print(next_build(conn))
state.close()
"""
    children = [python(code, tmp_path, url) for _ in range(4)]
    drawn = [output(child).split() for child in children]
    for builds in drawn:
        assert builds == sorted(builds)
    numbers = sorted(build.partition("-")[0] for builds in drawn for build in builds)
    assert numbers == [f"{number:08d}" for number in range(1, 101)]


# Transactions


def test_an_error_undoes_the_transaction(state: State) -> None:
    def half() -> None:
        with state.begin() as conn:
            set_fact(conn, "until", "2024-01-01")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        half()
    with state.read() as conn:
        assert get_fact(conn, "until") is None


def test_a_reader_sees_one_moment_while_another_writes(state: State) -> None:
    with state.begin() as conn:
        set_fact(conn, "until", "old")
    with state.read() as reader:
        assert get_fact(reader, "until") == "old"
        with state.begin() as writer:
            set_fact(writer, "until", "new")
        assert get_fact(reader, "until") == "old"
    with state.read() as reader:
        assert get_fact(reader, "until") == "new"


def test_a_writer_that_reads_first_waits_for_the_other(state: State) -> None:
    """Read-modify-write in many threads loses no step: each takes its place before it reads."""

    def add_one() -> None:
        for _ in range(20):
            with state.begin() as conn:
                set_fact(conn, "sum", str(int(get_fact(conn, "sum") or 0) + 1))

    threads = [threading.Thread(target=add_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with state.read() as conn:
        assert get_fact(conn, "sum") == "80"


def test_a_state_that_stays_locked_is_an_error_to_act_on(
    tmp_path: Path, url: str, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 1)
    other = open_state(url, tmp_path)
    with (
        state.begin(),
        pytest.raises(StateError, match=r"The state .* cannot be used: .*lock") as caught,
        other.begin(),
    ):
        pytest.fail("two writers at once")
    assert "run the command again" in caught.value.hint
    assert ":studium@" not in str(caught.value)
    other.close()


def test_every_statement_passes_the_one_engine(state: State) -> None:
    seen: list[str] = []

    def listen(conn: object, cursor: object, statement: str, *rest: object) -> None:
        seen.append(statement.split()[0])

    event.listen(state.engine, "before_cursor_execute", listen)
    with state.begin() as conn:
        next_build(conn)
        set_fact(conn, "until", "x")
        mark_covered(conn, "edx", WEEK)
        record_partitions(conn, [PARTITION])
        forget_partitions(conn, "t")
        record_files(conn, [FILE])
    with state.read() as conn:
        partitions(conn)
    written = ["INSERT"] * 4 + ["DELETE", "INSERT"]
    if state.engine.dialect.name == "sqlite":
        assert seen == ["PRAGMA", "BEGIN", *written, "PRAGMA", "BEGIN", "SELECT"]
    else:
        assert seen == ["SET", "SELECT", *written, "SET", "SELECT"]


def test_writing_while_reading_is_an_error(state: State) -> None:
    with state.read() as conn, pytest.raises(StateError, match=r"readonly|read-only"):
        set_fact(conn, "until", "lost")
    with state.begin() as conn:
        set_fact(conn, "until", "kept")
    with state.read() as conn:
        assert get_fact(conn, "until") == "kept"


# Rows

WEEK = Interval(date(2024, 1, 1), date(2024, 1, 8))
FILE = FileRow(
    path="s3://bucket/tracking.log-20240101.gz",
    file_id=-(2**63),
    source="edx",
    size=2**40,
    mtime_ns=1_704_067_200_123_456_789,
    etag=None,
    lines=10,
    kept=7,
    duplicates=2,
    rejects=1,
    build="00000001-abcdef",
    error=None,
    read_at=datetime(2024, 1, 2, 3, 4, 5, 678901, UTC),
)
PARTITION = Partition(
    table="enrollment_daily",
    day=date(2024, 1, 1),
    build="00000002-abcdef",
    fingerprint="f" * 32,
    code="c" * 32,
    params={"start": "2012-01-01", "weeks": 4, "é": [1.5, None, {"deep": True}]},
    inputs={"events/2024-01-01": "00000001-abcdef"},
    rows=3,
)


def test_builds_count_up_from_where_the_lake_is(state: State) -> None:
    with state.begin() as conn:
        builds = [next_build(conn), next_build(conn), next_build(conn, 42), next_build(conn, 7)]
    numbers, ends = zip(*(build.split("-") for build in builds), strict=True)
    assert numbers == ("00000001", "00000002", "00000042", "00000043")
    assert len(set(ends)) == 4
    assert all(len(end) == 6 and int(end, 16) >= 0 for end in ends)


def test_a_first_build_may_start_above_one(state: State) -> None:
    with state.begin() as conn:
        assert next_build(conn, 42).startswith("00000042-")


def test_files_read_back_and_are_replaced_by_path(state: State) -> None:
    other = replace(FILE, path="b.log", mtime_ns=None, etag="x", error="truncated")
    coursera = replace(FILE, path="c.csv", source="coursera")
    again = replace(FILE, size=5, build="00000009-000000")
    with state.begin() as conn:
        record_files(conn, [FILE, other, coursera])
        assert known_files(conn, "edx") == {FILE.path: FILE, "b.log": other}
        record_files(conn, [again])
        assert known_files(conn, "edx") == {FILE.path: again, "b.log": other}
        record_files(conn, [])
    with state.read() as conn:
        assert known_files(conn, "coursera") == {"c.csv": coursera}
        assert known_files(conn, "ga4") == {}


def test_coverage_is_by_source_and_may_overlap(state: State) -> None:
    later = Interval(date(2024, 1, 5), date(2024, 1, 10))
    with state.begin() as conn:
        mark_covered(conn, "edx", WEEK)
        mark_covered(conn, "edx", later)
        mark_covered(conn, "edx", Interval(date(2024, 3, 1), date(2024, 3, 1)))
    with state.read() as conn:
        assert covered_days(conn, "edx", WEEK.widen(30)) == {*WEEK, *later}
        assert covered_days(conn, "edx", Interval(date(2024, 1, 7), date(2024, 1, 9))) == {
            date(2024, 1, 7),
            date(2024, 1, 8),
        }
        assert covered_days(conn, "coursera", WEEK) == set()


def test_partitions_read_back_and_are_replaced_by_table_and_day(state: State) -> None:
    whole = replace(PARTITION, table="roster", day=None, params={}, inputs={})
    again = replace(PARTITION, rows=4)
    with state.begin() as conn:
        record_partitions(conn, [PARTITION, whole])
        assert partitions(conn) == {
            ("enrollment_daily", date(2024, 1, 1)): PARTITION,
            ("roster", None): whole,
        }
        record_partitions(conn, [again])
    with state.begin() as conn:
        assert partitions(conn, ["enrollment_daily"]) == {
            ("enrollment_daily", date(2024, 1, 1)): again
        }
        assert partitions(conn, []) == {}
        forget_partitions(conn, "enrollment_daily")
        assert list(partitions(conn)) == [("roster", None)]


def test_parameters_that_would_not_come_back_equal_are_refused(state: State) -> None:
    wrong = replace(PARTITION, params={"until": date(2024, 1, 1)})
    with state.begin() as conn, pytest.raises(TypeError):
        record_partitions(conn, [wrong])


def test_facts_are_kept_by_name(state: State) -> None:
    with state.begin() as conn:
        set_fact(conn, "until", "2024-01-01")
        set_fact(conn, "until", "2024-01-02")
    with state.read() as conn:
        assert get_fact(conn, "until") == "2024-01-02"
        assert get_fact(conn, "since") is None


def test_a_large_ledger_is_read_and_written_at_once(state: State) -> None:
    """30,000 partitions; the limits are several times what it takes, the slow ways are slower."""
    first = date(2012, 1, 1)
    many = [
        replace(
            PARTITION,
            table=f"table_{number % 10}",
            day=first + timedelta(days=number // 10),
            inputs={f"events/{number // 10}": "00000001-abcdef", "roster": str(number)},
        )
        for number in range(30_000)
    ]
    start = time.process_time()
    with state.begin() as conn:
        record_partitions(conn, many)
    written = time.process_time()
    with state.read() as conn:
        found = partitions(conn)
    read = time.process_time()
    assert found == {(one.table, one.day): one for one in many}
    assert written - start < 3
    assert read - written < 1.5


# A server, which may be away, restarted, or told to end a connection


def terminate(postgres: Server, url: str) -> None:
    """End every connection to the database, as a restart of the server does."""
    postgres.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{url.rpartition('/')[2]}'"
    )


def test_a_pooled_connection_that_died_is_replaced(postgres: Server, tmp_path: Path) -> None:
    url = postgres.fresh()
    state = open_state(url, tmp_path)
    for number in range(3):
        with state.begin() as conn:
            set_fact(conn, "until", str(number))
        terminate(postgres, url)
    with state.read() as conn:
        assert get_fact(conn, "until") == "2"
    state.close()


def test_a_connection_that_dies_in_a_transaction_leaves_nothing(
    postgres: Server, tmp_path: Path
) -> None:
    url = postgres.fresh()
    state = open_state(url, tmp_path)

    def cut_off() -> None:
        with state.begin() as conn:
            set_fact(conn, "until", "lost")
            terminate(postgres, url)
            set_fact(conn, "since", "lost")

    with pytest.raises(StateError, match=r"cannot be used: .*terminat") as caught:
        cut_off()
    assert ":studium@" not in str(caught.value)
    with state.begin() as conn:
        assert get_fact(conn, "until") is None
        set_fact(conn, "until", "kept")

    def cut_at_the_end() -> None:
        with state.begin() as conn:
            set_fact(conn, "until", "lost")
            terminate(postgres, url)

    with pytest.raises(StateError, match="cannot be used"):
        cut_at_the_end()
    with state.read() as conn:
        assert get_fact(conn, "until") == "kept"
    state.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from studium.state import open_state
from studium.state.facts import set_fact
state = open_state(sys.argv[2], Path(sys.argv[1]))
with state.begin() as conn:
    set_fact(conn, "until", "killed")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_writer_that_is_killed_holds_nothing_up(tmp_path: Path, url: str, state: State) -> None:
    with state.begin() as conn:
        set_fact(conn, "until", "kept")
    child = python(KILLED, tmp_path, url)
    child.communicate(timeout=120)
    assert child.returncode == -9
    with state.begin() as conn:
        assert get_fact(conn, "until") == "kept"
        set_fact(conn, "until", "next")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"password": "hunter2"}, "password authentication failed"),
        ({"database": "nowhere"}, '"nowhere" does not exist'),
        ({"port": 1}, "refused"),
    ],
)
def test_a_server_that_does_not_let_in_says_why(
    postgres: Server, tmp_path: Path, change: dict[str, Any], what: str
) -> None:
    url = make_url(postgres.fresh()).set(**change).render_as_string(hide_password=False)
    with pytest.raises(StateError, match=what) as caught:
        open_state(url, tmp_path)
    assert "hunter2" not in str(caught.value)
    assert ":studium@" not in str(caught.value)


def test_the_password_may_come_from_the_environment(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_url(postgres.fresh())._replace(password=None).render_as_string()
    monkeypatch.setenv(database.PASSWORD, "studium")
    open_state(url, tmp_path).close()


def test_a_site_runs_on_it(postgres: Server, tmp_path: Path) -> None:
    write_log(tmp_path / "logs", 0, [enrollment(1, 0)])
    root = make_site(tmp_path / "site", tmp_path / "logs")
    url = postgres.fresh()
    tables = choose_tables(["course_enrollment_daily"])
    assert run_job(root, tables, state__url=url).published
    assert not (root / "state.db").exists()
    again = run_job(root, tables, state__url=url)
    assert again.report is not None
    assert (again.report.unchanged, again.built, again.published) == (1, [], [])
    assert postgres.sql("SELECT count(*) FROM files", url.rpartition("/")[2]).strip() == "1"


# One writer over all machines


def test_sites_on_two_machines_with_one_state_write_one_after_the_other(
    postgres: Server, tmp_path: Path
) -> None:
    """Folders that do not see each other's lock stand in for machines."""
    url = postgres.fresh()
    told: list[Holder | None] = []
    for name in ("one", "two"):
        studium.init(tmp_path / name).close()
    given = {"state.url": url, "site.lock_wait": 0.01}
    with (
        studium.open(tmp_path / "one", given) as one,
        studium.open(tmp_path / "two", given) as two,
    ):
        with one.writer("run"):
            with (
                pytest.raises(LockedError, match=r"`run` \(process \d+ on .*same state") as caught,
                two.writer("build", told.append),
            ):
                pytest.fail("two writers at once")
            assert "site.lock_wait" in caught.value.hint
            with one.state.begin() as conn:
                set_fact(conn, "until", "written meanwhile")
        with two.writer("build", told.append):
            pass
    assert [holder and (holder.pid, holder.command) for holder in told] == [(os.getpid(), "run")]


def test_a_killed_writer_leaves_no_lock_behind(postgres: Server, tmp_path: Path) -> None:
    code = """
import os, signal, sys
import studium
with studium.open(sys.argv[1], {"state.url": sys.argv[2]}) as site, site.writer("run"):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    url = postgres.fresh()
    studium.init(tmp_path / "site").close()
    child = python(code, tmp_path / "site", url)
    child.communicate(timeout=120)
    assert child.returncode == -9
    with studium.open(tmp_path / "site", {"state.url": url}) as site, site.writer("run"):
        pass


# Network file systems

MOUNTS = """\
overlay / overlay rw,relatime 0 0
proc /proc proc rw 0 0
/dev/sda1 /home ext4 rw 0 0
filer:/export /home/shared nfs4 rw,vers=4.2 0 0
//filer/cifs /mnt/two\\040words cifs rw 0 0
me@host:/x /mnt/ssh fuse.sshfs rw 0 0
sshfs#me@host:/x /mnt/oldssh fuse rw 0 0
/dev/sdb1 /mnt/ntfs fuseblk rw 0 0
nfsd /proc/fs/nfsd nfsd rw 0 0
lustre@tcp:/fs /scratch lustre rw 0 0
/dev/nvme0n1 /scratch/local xfs rw 0 0
filer:/a /mnt/hidden nfs rw 0 0
tmpfs /mnt/hidden tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/srv/site/state.db", "overlay", False),
        ("/home/me/state.db", "ext4", False),
        ("/home/shared/state.db", "nfs4", True),
        ("/home/sharedness/state.db", "ext4", False),
        ("/mnt/two words/state.db", "cifs", True),
        ("/mnt/ssh/state.db", "fuse.sshfs", True),
        ("/mnt/oldssh/state.db", "fuse.sshfs", True),
        ("/mnt/ntfs/state.db", "fuseblk", False),
        ("/scratch/state.db", "lustre", True),
        ("/scratch/local/state.db", "xfs", False),
        ("/mnt/hidden/state.db", "tmpfs", False),
    ],
)
def test_the_file_system_of_a_path(path: str, kind: str, network: bool) -> None:
    assert filesystem_of(Path(path), MOUNTS) == kind
    assert network_filesystem(Path(path), MOUNTS) == (kind if network else "")


def test_mounts_that_say_nothing_forbid_nothing() -> None:
    assert network_filesystem(Path("/srv/state.db"), "") == ""
    assert network_filesystem(Path("/srv/state.db"), "garbage\n\n") == ""


def test_sqlite_on_a_network_file_system_is_refused(tmp_path: Path) -> None:
    mounts = f"filer:/export {tmp_path} nfs4 rw 0 0\n"
    with pytest.raises(StateError) as caught:
        open_state(URL, tmp_path, mounts)
    message = str(caught.value)
    assert "network file system (nfs4)" in message
    assert "local disk" in message
    assert "PostgreSQL" in message
    assert list(tmp_path.iterdir()) == []


def test_a_link_from_a_network_file_system_to_a_local_disk_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "local").mkdir()
    (tmp_path / "net" / "state.db").symlink_to(tmp_path / "local" / "state.db")
    mounts = f"overlay / overlay rw 0 0\nfiler:/export {tmp_path}/net nfs rw 0 0\n"
    open_state(URL, tmp_path / "net", mounts).close()
    assert (tmp_path / "local" / "state.db").is_file()
