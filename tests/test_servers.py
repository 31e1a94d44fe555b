"""URLs of database servers: the driver, credentials kept elsewhere, no password shown."""

import json
from pathlib import Path

import pytest

from studium.errors import SourceError, StateError
from studium.servers import is_server, read_credentials, reason, server_url

FILE = '{\n "host": "db.example.org",\n "port": "3307",\n "username": "read,}only",\n' \
    ' "password": "s3,}cret",\n}\n'  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "credentials.json"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("mysql://u@h/d", "mysql+pymysql"),
        ("mariadb://u@h/d", "mariadb+pymysql"),
        ("postgresql://u@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg"),
    ],
)
def test_a_server_is_reached_by_the_driver_that_studium_brings(text: str, driver: str) -> None:
    assert is_server(text)
    assert server_url(text, "lms.source", SourceError).drivername == driver


def test_paths_and_other_urls_are_no_servers() -> None:
    assert not any(map(is_server, ("lms", "/srv/lms", "s3://bucket/lms", "https://lms", "mysql")))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("sqlite:///x.db", "not the URL of a database server"),
        ("mysql+nonsense://me:hunter2@h/d", "not the URL of a database server"),
        ("mysql://h:port/d", "not the URL of a database server"),
        ("mysql+aiomysql://me:hunter2@h/d", "a driver that is not installed"),
    ],
)
def test_a_url_that_cannot_be_used_says_why(text: str, what: str) -> None:
    with pytest.raises(StateError, match=what) as caught:
        server_url(text, "state.url", StateError)
    assert "state.url" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "module", "extra"),
    [("postgresql://h/d", "psycopg", "postgres"), ("mysql://h/d", "pymysql", "mysql")],
)
def test_a_missing_driver_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, text: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(SourceError, match=rf"needs {module}.*pip install .*\[{extra}\]"):
        server_url(text, "lms.source", SourceError)


def test_credentials_give_what_the_url_lacks(file: Path) -> None:
    url = server_url("mysql:///edxapp", "lms.source", SourceError, file)
    parts = (url.host, url.port, url.username, url.password, url.database)
    assert parts == ("db.example.org", 3307, "read,}only", "s3,}cret", "edxapp")
    other = server_url("mysql://me@other:1/x", "lms.source", SourceError, file)
    assert (other.host, other.port, other.username, other.password) == ("other", 1, "me", None)


def test_a_password_of_the_environment_comes_last(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIUM_LMS_PASSWORD", "from the environment")
    key, name = "lms.source", "STUDIUM_LMS_PASSWORD"
    alone = server_url("mysql://me@h/d", key, SourceError, variable=name)
    assert alone.password == "from the environment"
    own = server_url("mysql://me:own@h/d", key, SourceError, variable=name)
    assert own.password == "own"
    assert server_url("mysql:///d", key, SourceError, file, name).password == "s3,}cret"


@pytest.mark.parametrize("text", ["", "password = s3cret", "[1]", '{"password": "s3cret"'])
def test_credentials_that_are_no_object_are_not_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=r"c\.json are not a JSON object") as caught:
        read_credentials(path, SourceError)
    assert "s3cret" not in repr(caught.value)


def test_credentials_that_are_away_or_odd(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        read_credentials(tmp_path / "away.json", SourceError)
    odd = tmp_path / "odd.json"
    odd.write_text(json.dumps({"port": "many"}))
    with pytest.raises(SourceError, match="not a number"):
        server_url("mysql://h/d", "lms.source", SourceError, odd)


def test_a_reason_is_one_line_without_a_password() -> None:
    said = reason(ValueError("connection failed:\n  mysql://me:hunter2@h/d refused\n"))
    assert said == "connection failed: mysql://me:***@h/d refused"
    assert reason(ValueError(1045, "Access denied")) == "Access denied"
    assert reason(KeyError()) == "KeyError"
