"""A missing service skips a test on a user's machine and fails it under CI."""

import pytest

from tests import services
from tests.databases import Server


def test_what_is_there_is_not_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "CI", True)
    services.require("Java", True, "apt-get install openjdk-17-jre-headless")


def test_a_user_is_told_why_a_test_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "CI", False)
    with pytest.raises(pytest.skip.Exception, match="Java is missing: apt-get install openjdk"):
        services.require("Java", False, "apt-get install openjdk-17-jre-headless")


def test_ci_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "CI", True)
    with pytest.raises(pytest.fail.Exception, match="Java is missing"):
        services.require("Java", False, "apt-get install openjdk-17-jre-headless")


@pytest.mark.parametrize("name", ["postgres", "mariadb"])
def test_a_fresh_database_is_empty_and_ours(name: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(name)
    url = server.fresh()
    assert url.startswith(f"{server.scheme}://studium:studium@127.0.0.1:{server.port}/t")
    database = url.rpartition("/")[2]
    server.sql("CREATE TABLE a (b INTEGER); INSERT INTO a VALUES (3)", database)
    assert server.sql("SELECT b FROM a", database) == "3\n"
    assert server.fresh() != url
