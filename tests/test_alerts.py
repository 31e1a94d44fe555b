"""The failed night is told, by mail and by webhook, and a night that went well is not."""

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from studium.autopilot.alerts import late_data, unusual_volume
from studium.cli import make_app
from studium.errors import SettingsError
from studium.settings import load_settings, masked_values
from tests import sites
from tests.receivers import Letters, Post, mail_server, web_server

DAY = date(2025, 9, 8)


@pytest.fixture
def mail() -> Iterator[tuple[str, Letters]]:
    """The address of a real mail server, and what it was given."""
    with mail_server() as (port, letters):
        query = "from=studium@example.org&to=ops@example.org&mode=insecure"
        yield f"mailto://127.0.0.1:{port}?{query}", letters


@pytest.fixture
def hook() -> Iterator[tuple[str, list[Post]]]:
    """The address of a webhook, and what was posted to it."""
    with web_server() as server:
        yield f"json://127.0.0.1:{server.port}/hook", server.posts


@pytest.fixture
def site(tmp_path: Path) -> Path:
    sites.write_log(tmp_path / "logs", 0, [sites.enrollment(n, 0) for n in range(1, 5)])
    return sites.make_site(tmp_path / "site", tmp_path / "logs")


def studium(site: Path, *arguments: str, urls: list[str], **settings: str) -> Result:
    environment = {"STUDIUM_ALERTS__URLS": json.dumps(urls)}
    environment |= {f"STUDIUM_{name.upper()}": value for name, value in settings.items()}
    return CliRunner().invoke(make_app(), ["--site", str(site), *arguments], env=environment)


RUN = ("run", *sites.FEW, "--until", str(sites.day(1)))


def test_a_good_night_is_quiet_and_a_test_is_not(
    site: Path, mail: tuple[str, Letters], hook: tuple[str, list[Post]]
) -> None:
    urls = [mail[0], hook[0]]
    assert studium(site, *RUN, urls=urls).exit_code == 0
    assert not mail[1].messages
    assert not hook[1]
    done = studium(site, "alerts", "test", urls=urls)
    assert done.exit_code == 0
    assert "Addresses reached: 2 of 2." in done.output
    (letter,) = mail[1].messages
    assert letter["Subject"] == "Studium: a test of alerts"
    assert letter["To"] == "ops@example.org"
    (post,) = hook[1]
    assert str(site) in post.json["message"]


def test_too_many_refused_lines(site: Path, hook: tuple[str, list[Post]]) -> None:
    sites.write_log(site.parent / "logs", 0, ["broken"] * 3, part="-b")
    done = studium(site, *RUN, urls=[hook[0]])
    assert done.exit_code == 3
    (post,) = hook[1]
    assert "has doubts" in post.json["title"]
    assert "3 of 7 lines were refused (42.9%); run.max_reject_share = 0.1." in post.json["message"]
    assert "Look: studium rejects" in post.json["message"]


def test_a_failure_and_a_file_that_was_cut(
    site: Path, mail: tuple[str, Letters], hook: tuple[str, list[Post]]
) -> None:
    sites.write_log(site.parent / "logs", 0, [sites.video(1, 0)] * 50, part="-c", zipped=True)
    cut = next((site.parent / "logs").glob("*-c.gz"))
    cut.write_bytes(cut.read_bytes()[:-20])
    assert studium(site, *RUN, urls=[mail[0], hook[0]]).exit_code == 1
    assert len(mail[1].messages) == 1
    assert "run failed" in hook[1][0].json["title"]
    assert f"{cut}: the gzip stream is cut off" in hook[1][0].json["message"]
    hook[1].clear()
    done = studium(site, "run", "--source", str(site / "nothing-*"), urls=[hook[0]])
    assert done.exit_code != 0
    assert "no file matches" in hook[1][0].json["message"]


def test_a_strange_day_and_old_data(site: Path, hook: tuple[str, list[Post]]) -> None:
    """Four Mondays with some 40 events, then one with 2."""
    for week, count in enumerate((40, 42, 38, 41, 2)):
        lines = [sites.video(n, 7 * week, second=n) for n in range(count)]
        sites.write_log(site.parent / "logs", 7 * week, lines, part="-v")
    (site.parent / "logs" / f"tracking.log-{sites.FIRST:%Y%m%d}").unlink()
    late = sites.day(29)
    run = ("run", *sites.FEW, "--until", str(late))
    done = studium(site, *run, urls=[hook[0]], alerts__max_age_hours="24")
    assert done.exit_code == 0, done.output
    (post,) = hook[1]
    assert (
        "has 2 events; the 4 Mondays before had 40 (median), give or take 2."
        in post.json["message"]
    )
    assert "The newest event is of 2025-09-29 12:00 UTC" in post.json["message"]
    hook[1].clear()
    studium(site, *run, urls=[hook[0]], alerts__volume_deviations="0")
    assert not hook[1]


def test_an_alert_that_cannot_be_delivered_changes_nothing(site: Path) -> None:
    sites.write_log(site.parent / "logs", 0, ["broken"] * 3, part="-b")
    urls = ["json://secret:token@127.0.0.1:1/hook", "nonsense://secret"]
    done = studium(site, *RUN, urls=urls)
    assert done.exit_code == 3
    assert "Alert not delivered: alerts.urls, address 1 (json): refused" in done.output
    assert "address 2 (nonsense): Apprise does not know such an address" in done.output
    assert "secret" not in done.output
    assert sites.published_rows(site)
    assert studium(site, "alerts", "test", urls=urls).exit_code == 1


def test_secrets_are_not_shown_and_not_for_the_file(site: Path) -> None:
    settings, _ = load_settings(site, {"alerts.urls": ["slack://a/b/c", "mailto://ops@x.org"]})
    assert masked_values(settings)["alerts.urls"] == ["slack://***", "mailto://***"]
    with (site / "studium.toml").open("a") as file:
        file.write('[alerts]\nurls = ["slack://a/b/c"]\n')
    text = (site / "studium.toml").read_text()
    (site / "studium.toml").write_text(text.replace("[alerts]  #", "# ", 1))
    with pytest.raises(SettingsError, match="STUDIUM_ALERTS__URLS"):
        load_settings(site)


@pytest.mark.parametrize(
    ("history", "count", "alarm"),
    [
        ([100, 100, 100, 100], 101, False),
        ([100, 100, 100, 100], 130, False),  # 5 % of the median is the least spread
        ([100, 100, 100, 100], 131, True),
        ([100, 100, 100, 100], 0, True),
        ([100, 110, 90, 105, 0], 95, False),  # one holiday moves nothing
        ([100, 200, 50, 150, 400], 20, False),  # a site that swings
        ([100, 100, 100], 0, False),  # too few weeks to know
        ([0, 0, 0, 0], 5, False),
    ],
)
def test_what_an_unusual_volume_is(history: list[int], count: int, alarm: bool) -> None:
    volumes = {DAY - timedelta(weeks=n): value for n, value in enumerate(history, 1)}
    volumes[DAY - timedelta(days=1)] = 10**6  # another weekday
    found = unusual_volume({**volumes, DAY: count}, DAY, 8, 6.0)
    assert bool(found) is alarm
    assert unusual_volume(volumes, DAY, 8, 6.0) is None, "a day that was not ingested"
    assert unusual_volume({**volumes, DAY: count}, DAY, 8, 0) is None


def test_when_data_is_late() -> None:
    now = datetime(2025, 9, 8, 12)
    assert late_data(now - timedelta(hours=25), now, 26) is None
    assert late_data(now - timedelta(hours=27), now, 26) is not None
    assert late_data(None, now, 26) is not None
    assert late_data(None, now, 0) is None
