"""Every way to deploy, carried out: the image built and run, Tutor, Compose, a wheel. Minutes.

Run by ``make prove``, or ``pytest -m long tests/test_deploy_long.py``.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from studium.settings import load_settings
from tests.podman import IMAGE, Podman, fetch_wheels, make_debian, own_podman, run

pytestmark = pytest.mark.long

EVENTS = "3000"
TABLES = ("course_enrollment_daily", "enrollment_changes", "event_answers")
TIGHT = (
    "--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--security-opt=no-new-privileges",
    "--memory=2g",
)  # fmt: skip


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def podman(wheels: Path) -> Iterator[Podman]:
    """Podman with the image in it."""
    with own_podman() as podman:
        podman.import_base(make_debian(podman.folder / "debian"))
        podman.build(wheels, IMAGE)
        yield podman


def tables_of(show: Any) -> dict[str, list[str]]:
    """Lines of each table; `show` promises no order of those that are not published."""
    return {name: sorted(show("show", name, "--format", "csv").splitlines()) for name in TABLES}


def test_the_image_runs_as_nobody_in_particular_and_holds_no_tools(podman: Podman) -> None:
    said = podman.run("--entrypoint=id", IMAGE)
    assert said.startswith("uid=10001(studium) gid=10001(studium)")
    podman.run("--entrypoint=touch", IMAGE, "/opt/studium/x", code=1)
    # crun and runc: 127 for a program that is not there
    podman.run("--entrypoint=/opt/studium/bin/pip", IMAGE, "--version", code=127)
    modules = "alembic, apprise, deltalake, duckdb, obstore, psycopg, pymysql, studium"
    podman.run("--entrypoint=python", IMAGE, "-c", f"import {modules}")
    history = podman("history", "--no-trunc", IMAGE)
    assert "PIP_" not in history
    assert "://" not in history


def test_a_wheel_with_another_hash_is_refused(podman: Podman, wheels: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "wheels"
    spoilt.mkdir()
    for wheel in wheels.iterdir():
        os.link(wheel, spoilt / wheel.name)
    (victim,) = spoilt.glob("alembic-*.whl")  # the first one that pip looks at
    content = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(content + b"\0")
    said = podman.build(spoilt, "localhost/spoilt", code=1)
    assert "DO NOT MATCH THE HASHES" in said


def test_a_site_on_a_volume_without_network_or_rights(podman: Podman, tmp_path: Path) -> None:
    podman("volume", "create", "site")
    volume = "--volume=site:/site"
    podman.run(*TIGHT, volume, IMAGE, "demo", "/site/demo", "--events", EVENTS)
    site = ("--env=STUDIUM_SITE=/site/demo", volume)
    inside = tables_of(lambda *command: podman.run(*TIGHT, *site, IMAGE, *command))

    studium = Path(sys.executable).parent / "studium"
    run(studium, "demo", tmp_path / "demo", "--events", EVENTS)
    outside = tables_of(lambda *command: run(studium, "--site", tmp_path / "demo", *command))
    assert inside == outside
    assert all(len(lines) > 1 for lines in inside.values())

    podman.start("keeper", *TIGHT, *site, "--entrypoint=sleep", IMAGE, "infinity")
    podman("healthcheck", "run", "keeper")
    podman("exec", "keeper", "sh", "-c", "rm $(ls -d /site/demo/lake/events/day=*/*.parquet)")
    podman("healthcheck", "run", "keeper", code=1)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of Tutor and podman-compose, of the day: what people have."""
    folder = tmp_path_factory.mktemp("tools")
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "pip", "install", "--quiet", "tutor", "podman-compose")
    return folder / "bin"


def settings_of(service: dict[str, Any], folder: Path, patch: pytest.MonkeyPatch) -> Any:
    for name, value in service["environment"].items():
        patch.setenv(name, value)
    return load_settings(folder)[0]


def test_tutor_takes_the_plugin(
    root: Path, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"TUTOR_ROOT": str(tmp_path / "root"), "TUTOR_PLUGINS_ROOT": str(tmp_path / "plugins")}
    (tmp_path / "plugins").mkdir()
    shutil.copy(root / "deploy" / "tutor" / "studium.yml", tmp_path / "plugins")

    def tutor(*arguments: str) -> str:
        return run(tools / "tutor", *arguments, env=places)

    tutor("plugins", "enable", "studium")
    assert "studium" in tutor("plugins", "list", "--enabled")
    tutor("config", "save")
    password = tutor("config", "printvalue", "OPENEDX_MYSQL_PASSWORD").strip()
    made = tmp_path / "root" / "env"
    compose = made / "local" / "docker-compose.yml"
    services = yaml.safe_load(compose.read_text("utf-8"))["services"]
    service = services["studium"]
    settings = settings_of(service, tmp_path, monkeypatch)
    assert settings.lms.source == f"mysql://openedx:{password}@mysql:3306/openedx"
    assert settings.results.url == "sqlite:///results.db"
    # The site's folder is given to the user of the image, and logs are where the LMS puts them.
    (site,) = [one for one in service["volumes"] if ":/site" in one]
    assert site.partition(":")[0] in {
        one.partition(":")[0] for one in services["permissions"]["volumes"]
    }
    owners = (made / "apps" / "permissions" / "setowners.sh").read_text("utf-8")
    assert "setowner 10001 /mounts/studium" in owners
    lms = {one.split(":")[1]: one.split(":")[0] for one in services["lms"]["volumes"]}
    assert f"{lms['/openedx/data']}/logs:/logs:ro" in service["volumes"]
    tutor("config", "save", "--set", "STUDIUM_RESULTS_URL=postgresql://reader@db/results")
    service = yaml.safe_load(compose.read_text("utf-8"))["services"]["studium"]
    settings = settings_of(service, tmp_path, monkeypatch)
    assert settings.results.url == "postgresql://reader@db/results"


def test_compose_is_understood_and_asks_for_the_password(
    root: Path, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (tools / "podman-compose", "-f", root / "deploy" / "compose.yaml", "--profile", "job")
    given = {"STUDIUM_LOGS": "/var/log/edx", "STUDIUM_DB_PASSWORD": "c0ffee"}
    resolved = yaml.safe_load(run(*command, "config", env=given))
    settings = settings_of(resolved["services"]["studium"], tmp_path, monkeypatch)
    assert settings.results.url == "postgresql://studium:c0ffee@results/results"
    assert resolved["services"]["results"]["environment"]["POSTGRES_PASSWORD"] == "c0ffee"
    with pytest.raises(AssertionError, match="set STUDIUM_DB_PASSWORD"):
        run(*command, "config", env={"STUDIUM_LOGS": "/var/log/edx", "STUDIUM_DB_PASSWORD": ""})


def test_a_wheel_in_a_fresh_environment_runs_the_demo(
    root: Path, wheels: Path, tmp_path: Path
) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "fresh")
    pip = tmp_path / "fresh" / "bin" / "pip"
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    pinned = root / "requirements" / "runtime.txt"
    run(pip, "install", "--quiet", "--require-hashes", "--requirement", pinned, env=offline)
    run(pip, "install", "--quiet", wheel, env=offline)
    run(pip, "check")
    studium = tmp_path / "fresh" / "bin" / "studium"
    run(studium, "demo", tmp_path / "demo", "--events", EVENTS)
    assert run(studium, "--site", tmp_path / "demo", "show", TABLES[0], "--format", "csv")
