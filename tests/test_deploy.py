"""What ``deploy/`` holds fits the program, and a wheel holds all of it.

What takes minutes (building and running the image, Tutor itself) is in ``test_deploy_long.py``.
"""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from studium.settings import load_settings, variable_of
from studium.settings.model import keys
from tests.services import require

UNITS = ("studium.service", "studium.timer", "studium-worker.service")
PLACES = (Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))


@pytest.fixture
def units(root: Path, tmp_path: Path) -> Path:
    """A root directory with our units, the targets they name and a program to start."""
    require("systemd-analyze", bool(shutil.which("systemd-analyze")), "apt-get install systemd")
    folder = tmp_path / "etc" / "systemd" / "system"
    folder.mkdir(parents=True)
    for name in UNITS:
        shutil.copy(root / "deploy" / "systemd" / name, folder)
    for place in PLACES:
        for path in [*place.glob("*.target"), *place.glob("*.slice"), *place.glob("*.mount")]:
            shutil.copy(path, folder, follow_symlinks=True)
    program = tmp_path / "opt" / "studium" / ".venv" / "bin" / "studium"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return tmp_path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True)


def verify(units: Path) -> tuple[int, str]:
    done = analyze("verify", "--man=no", f"--root={units}", *UNITS)
    return done.returncode, done.stderr


def test_systemd_takes_the_units(units: Path) -> None:
    assert verify(units) == (0, "")


def test_systemd_would_find_a_mistake_in_them(units: Path) -> None:
    service = units / "etc" / "systemd" / "system" / "studium.service"
    service.write_text(service.read_text().replace("ProtectSystem=", "ProtectSystme="))
    assert "ProtectSystme" in verify(units)[1]


def test_the_service_may_do_little(root: Path) -> None:
    require("systemd-analyze", bool(shutil.which("systemd-analyze")), "apt-get install systemd")
    # 10 is a service that may do anything; the threshold is in tenths.
    done = analyze(
        "security", "--offline=true", "--threshold=20", "--no-pager",
        str(root / "deploy" / "systemd" / "studium.service"),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def accepted(environment: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The settings that a service gets from its ``environment``; SettingsError for a bad one."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load_settings(folder)[0]


@pytest.fixture
def compose(root: Path) -> Any:
    return yaml.safe_load((root / "deploy" / "compose.yaml").read_text("utf-8"))


def filled_in(text: str) -> str:
    """``${NAME:?…}`` and ``${NAME:-…}`` filled in, as a Compose tool does."""
    return re.sub(r"\$\{(\w+):[?-][^}]*\}", r"x\1", text)


def test_compose_gives_settings_that_there_are(
    compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {
        name: filled_in(value)
        for name, value in compose["services"]["studium"]["environment"].items()
    }
    settings = accepted(environment, tmp_path, monkeypatch)
    assert settings.results.url == "postgresql://studium:xSTUDIUM_DB_PASSWORD@results/results"
    assert settings.edx.source == ["/logs"]


def test_compose_holds_no_secret_and_gives_studium_nothing_but_its_site(compose: Any) -> None:
    text = yaml.safe_dump(compose)
    assert len(re.findall(r"\$\{STUDIUM_DB_PASSWORD:\?", text)) == 2
    service = compose["services"]["studium"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert [one for one in service["volumes"] if not one.endswith(":ro")] == ["site:/site"]
    assert set(compose["volumes"]) == {"results", "site"}


def test_the_container_file_and_compose_agree(root: Path, compose: Any) -> None:
    build = compose["services"]["studium"]["build"]
    assert (root / "deploy" / build["context"]).resolve() == root
    assert (root / build["dockerfile"]).is_file()
    text = (root / "deploy" / "Containerfile").read_text("utf-8")
    assert "VOLUME /site" in text
    # The context holds what the image is made of, and little else.
    ignored = (root / ".containerignore").read_text("utf-8").split()
    for copied in ("requirements/container.txt", "pyproject.toml", "src/studium", "README.md"):
        assert f"!{copied}" in ignored
        assert (root / copied).exists()


def test_the_tutor_plugin_names_settings_that_there_are(root: Path) -> None:
    plugin = yaml.safe_load((root / "deploy" / "tutor" / "studium.yml").read_text("utf-8"))
    assert plugin["name"] == "studium"
    service = plugin["patches"]["local-docker-compose-services"]
    named = set(re.findall(r"STUDIUM_\w+__\w+", service))
    assert named
    assert named <= {variable_of(name) for name in keys()}


def test_the_wheel_holds_all_that_the_package_does(root: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path],
        cwd=root, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        inside = {name for name in opened.namelist() if ".dist-info/" not in name}
    source = root / "src"
    ours = {
        path.relative_to(source).as_posix()
        for path in (source / "studium").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == ours
    assert any(name.endswith(".sql") for name in ours)
    assert "studium/state/migrations/versions/0001_first_tables.py" in ours
