"""A missing service skips a test on a user's machine and fails it under CI."""

import pytest

from tests import services


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
