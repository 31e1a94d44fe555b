"""The audit log: entries are only added, and a change behind Studium's back is found."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

import studium
from studium.autopilot.checks import examine
from studium.cli import make_app
from studium.errors import StateError, UsageError
from studium.jobs.audit import MAX_DETAILS, Head, entries, record, verify_chain
from studium.site import init_site
from studium.state import State, open_state
from studium.state.copy import load_state, open_copy, save_state
from tests.databases import Server

URL = "sqlite:///state.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return URL
    server: Server = request.getfixturevalue("postgres")
    return server.fresh()


@pytest.fixture
def state(tmp_path: Path, url: str) -> Iterator[State]:
    opened = open_state(url, tmp_path)
    yield opened
    opened.close()


def fill(state: State, count: int = 3) -> Head:
    """Entries, one a transaction; gives the head."""
    for number in range(1, count + 1):
        with state.begin() as conn:
            last = record(conn, "ada", "read input", f"job-{number}", {"version": number})
    return Head(last.number, last.digest)


def tamper(state: State, *statements: str) -> None:
    """As someone who owns the database and takes the triggers away."""
    with state.begin() as conn:
        for name in ("audit_stays", "audit_keeps", "audit_follows"):
            table = "" if conn.dialect.name == "sqlite" else " ON audit"
            conn.exec_driver_sql(f"DROP TRIGGER {name}{table}")
        for statement in statements:
            conn.exec_driver_sql(statement)


def wrong(state: State, noted: Head | None = None) -> list[str]:
    with state.read() as conn:
        return list(verify_chain(conn, noted).wrong)


def test_entries_come_back_in_order_as_they_were_written(state: State) -> None:
    details = {"bytes": 12, "tables": ["events", "video"], "share": 0.5, "final": True, "x": None}
    with state.begin() as conn:
        first = record(conn, "ada", "release", "weekly-1", details)
        second = record(conn, "bob", "fetch", "weekly-1")
    with state.read() as conn:
        assert list(entries(conn)) == [first, second]
        assert list(entries(conn, after=1)) == [second]
        chain = verify_chain(conn)
    assert (first.number, first.previous, dict(first.details)) == (1, "", details)
    assert (second.number, second.previous) == (2, first.digest)
    assert (chain.entries, chain.head, chain.wrong) == (2, Head(2, second.digest), ())


def test_an_entry_stays_only_if_its_transaction_does(state: State) -> None:
    def half() -> None:
        with state.begin() as conn:
            record(conn, "ada", "release", "job-1")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        half()
    assert fill(state, 1).number == 1


INSERT = (
    "INSERT INTO audit (number, at, who, what, subject, details, previous, digest) "
    "SELECT {number}, at, 'eve', what, subject, details, {previous}, digest FROM audit "
    "WHERE number = 3"
)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET who = 'eve' WHERE number = 2",
        "DELETE FROM audit WHERE number = 3",
        "DELETE FROM audit",
        INSERT.format(number=9, previous="digest"),
        INSERT.format(number=4, previous="previous"),
        INSERT.format(number=4, previous="''"),
    ],
)
def test_the_database_refuses_what_is_no_addition(state: State, statement: str) -> None:
    head = fill(state)
    with pytest.raises((SQLAlchemyError, StateError), match="audit log"), state.begin() as conn:
        conn.exec_driver_sql(statement)
    assert wrong(state, head) == []


def test_replacing_and_truncating_are_refused_too(state: State) -> None:
    head = fill(state)
    statement = (
        INSERT.format(number=3, previous="previous").replace("INSERT", "INSERT OR REPLACE")
        if state.engine.dialect.name == "sqlite"
        else "TRUNCATE audit"
    )
    with pytest.raises((SQLAlchemyError, StateError), match="audit log"), state.begin() as conn:
        conn.exec_driver_sql(statement)
    assert wrong(state, head) == []


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE audit SET who = 'eve' WHERE number = 2", ["entry 2 is not as it was written"]),
        ("UPDATE audit SET at = '2020' WHERE number = 3", ["entry 3 is not as it was written"]),
        ("UPDATE audit SET details = '{' WHERE number = 1", ["entry 1 is not as it was written"]),
        ("DELETE FROM audit WHERE number = 2", ["1 entries before number 3 are missing"]),
        ("DELETE FROM audit WHERE number = 1", ["1 entries before number 2 are missing"]),
        (
            "UPDATE audit SET digest = previous WHERE number = 2",
            ["entry 2 is not as it was written", "entry 3 does not follow from the one before it"],
        ),
    ],
)
def test_a_change_without_the_triggers_is_found(
    state: State, statement: str, found: list[str]
) -> None:
    fill(state)
    tamper(state, statement)
    assert wrong(state) == found
    with state.read() as conn:
        assert list(entries(conn))  # and what is left can be shown


def test_only_a_noted_head_tells_that_the_end_is_missing(state: State) -> None:
    head = fill(state)
    tamper(state, "DELETE FROM audit WHERE number = 3")
    assert wrong(state) == []
    assert wrong(state, head) == ["entry 3 is not the one that was noted"]
    assert Head.parse(str(head)) == head
    with pytest.raises(UsageError, match="not the head"):
        Head.parse("3:abc")


@pytest.mark.parametrize(
    ("what", "who", "subject", "details"),
    [
        ("Release", "ada", "job", {}),
        ("release;", "ada", "job", {}),
        ("", "ada", "job", {}),
        ("release", "", "job", {}),
        ("release", "ada\x1b[31m", "job", {}),
        ("release", "ada", "job\nx", {}),
        ("release", "ada", "job", {"text": "x" * MAX_DETAILS}),
        ("release", "ada", "job", {"text": {"a", "set"}}),
    ],
)
def test_an_entry_in_another_form_is_a_mistake(
    tmp_path: Path, what: str, who: str, subject: str, details: dict[str, str]
) -> None:
    state = open_state(URL, tmp_path)
    with pytest.raises(ValueError, match=r"entry|details|does not say"), state.begin() as conn:
        record(conn, who, what, subject, details)
    with state.read() as conn:
        assert verify_chain(conn).entries == 0
    state.close()


def test_a_copy_of_the_state_has_the_same_chain(state: State, tmp_path: Path) -> None:
    head = fill(state, 12)
    save_state(state, tmp_path / "copy.db")
    with open_copy(tmp_path / "copy.db") as copy, open_copy(tmp_path / "again.db") as again:
        load_state(copy, again)
        assert wrong(copy, head) == wrong(again, head) == []


def audit(site: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    code = make_app()(["--site", str(site), "audit", *options], standalone_mode=False)
    return code or 0, capsys.readouterr().out


def test_the_command_lists_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init_site(tmp_path)
    assert audit(tmp_path, capsys) == (0, "Shown: 0 of 0.\n")
    with studium.open(tmp_path) as site, site.state.begin() as conn:
        record(conn, "ada", "read input", "weekly-1", {"table": "events\x1b[2J"})
        record(conn, "bob", "fetch", "weekly-1")
        head = record(conn, "ada", "fetch", "other-2")
    code, text = audit(tmp_path, capsys, "--limit", "2")
    assert code == 0
    assert [line.split()[:1] for line in text.splitlines()][1:3] == [["2"], ["3"]]
    assert f"Shown: 2 of 3.\nHead: 3:{head.digest}\n" in text
    code, text = audit(tmp_path, capsys, "--limit", "0")
    assert r'table "events\u001b[2J"' in text
    code, text = audit(tmp_path, capsys, "--json", "--who", "ada", "--subject", "other-2")
    document = json.loads(text)
    assert [one["number"] for one in document["entries"]] == [3]
    assert (document["total"], document["head"], document["wrong"]) == (3, f"3:{head.digest}", [])
    assert audit(tmp_path, capsys, "--head", f"3:{head.digest}")[0] == 0
    assert audit(tmp_path, capsys, "--head", f"2:{head.digest}")[0] == 1


def test_doctor_finds_a_broken_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init_site(tmp_path)
    with studium.open(tmp_path) as site:
        fill(site.state)
        (finding,) = [one for one in examine(site) if one.check == "audit log"]
        assert (finding.ok, finding.found) == (True, "3 entries, none changed")
        tamper(site.state, "UPDATE audit SET subject = 'x' WHERE number = 1")
        (finding,) = [one for one in examine(site) if one.check == "audit log"]
    assert not finding.ok
    assert "entry 1 is not as it was written" in finding.found
    code, text = audit(tmp_path, capsys)
    assert code == 1
    assert "WRONG entry 1 is not as it was written." in text
