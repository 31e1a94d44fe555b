"""A full disk, a lake that cannot be written, a clock that jumps, other time zones: one clear line,
the right exit code, and the next run ends in the same tables.

``make prove`` fills the disk to more levels (``tests.prove``).
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest

from studium import clock
from tests import sites
from tests.children import Child, Nursery
from tests.sites import FEW, contents, published_rows

COMMAND = ("run", *FEW, "--until", str(sites.END))
LEVELS = (0.2, 0.6)  # of the room that a run needs; ten of them in `make prove`
MAY_MOUNT = os.geteuid() == 0 and shutil.which("mount") is not None


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery, sites.lent_engine():
        yield nursery


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Path:
    """A site that was not run; ``undisturbed`` beside it was."""
    return prepare(tmp_path_factory.mktemp("faults"), nursery)


def prepare(folder: Path, nursery: Nursery) -> Path:
    sites.write_history(folder / "logs")
    site = sites.make_site(folder / "site", folder / "logs", run__max_reject_share=1)
    whole = Path(shutil.copytree(site, folder / "undisturbed"))
    child = nursery.run(whole, *COMMAND)
    assert child.code == 0, child.err
    return site


def is_told(child: Child) -> bool:
    """Did it end with code 1 and one error, without a traceback?"""
    errors = [line for line in child.err.splitlines() if line.startswith("Error: ")]
    return child.code == 1 and len(errors) == 1 and "Traceback" not in child.err


# The disk


@contextmanager
def mounted(place: Path, *options: str) -> Iterator[None]:
    """Something mounted at ``place``; the test is skipped where that is not allowed."""
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", *options, str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill_disk(prepared: Path, place: Path, nursery: Nursery, level: float) -> Child:
    """A run on a disk with ``level`` of the room that it needs, then one with enough."""
    undisturbed = prepared.parent / "undisturbed"
    need = sum(path.stat().st_size for path in undisturbed.rglob("*") if path.is_file())
    with mounted(place, "-t", "tmpfs", "-o", f"size={8 * need}", "tmpfs"):
        site = Path(shutil.copytree(prepared, place / "site"))
        filler = place / "filler"
        disk = os.statvfs(place)
        filler.write_bytes(bytes(max(0, disk.f_bavail * disk.f_frsize - int(level * need))))
        child = nursery.run(site, *COMMAND)
        if (site / "results.db").is_file():
            after = published_rows(undisturbed)
            assert published_rows(site) in ({}, after), "half is published"
        filler.unlink()
        again = nursery.run(site, *COMMAND)
        assert again.code == 0, again.err
        assert contents(site) == contents(undisturbed), f"after a disk full at {level}"
    return child


@pytest.mark.skipif(not MAY_MOUNT, reason="only root may mount a small disk")
@pytest.mark.parametrize("level", LEVELS)
def test_a_full_disk(prepared: Path, tmp_path: Path, nursery: Nursery, level: float) -> None:
    child = fill_disk(prepared, tmp_path / "disk", nursery, level)
    assert is_told(child), (child.code, child.err)


@pytest.mark.skipif(not MAY_MOUNT, reason="only root may mount a folder read-only")
def test_a_lake_that_cannot_be_written(prepared: Path, tmp_path: Path, nursery: Nursery) -> None:
    site = Path(shutil.copytree(prepared, tmp_path / "site"))
    lake = site / "lake"
    with mounted(lake, "--bind", str(_made(tmp_path / "read-only"))):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(lake)], check=True)
        child = nursery.run(site, *COMMAND)
        assert is_told(child), (child.code, child.err)
        assert "ead-only" in child.err
    again = nursery.run(site, *COMMAND)
    assert again.code == 0, again.err
    assert contents(site) == contents(prepared.parent / "undisturbed")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


# The clock


@contextmanager
def clock_set_back(by: timedelta) -> Iterator[None]:
    """All that asks for the time in this process gets one that long ago."""

    class Earlier(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) - by

    now, nanoseconds = time.time, time.time_ns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "datetime", Earlier)
        patch.setattr(time, "time", lambda: now() - by.total_seconds())
        patch.setattr(time, "time_ns", lambda: nanoseconds() - int(by.total_seconds() * 10**9))
        assert abs(clock.utcnow() + by - datetime.now(UTC)) < timedelta(seconds=5)
        yield


def test_a_clock_that_jumps_back(prepared: Path, tmp_path: Path) -> None:
    site = Path(shutil.copytree(prepared, tmp_path / "site"))
    whole = prepared.parent / "undisturbed"
    sites.run_job(site, until=sites.day(4), only=("ingest", "build"))
    with clock_set_back(timedelta(days=30)):
        sites.run_job(site, run__compact_after=1)
        assert contents(site)["lake"] == contents(whole)["lake"]
        sites.vacuum(site)
    with clock_set_back(timedelta(days=20)):
        again = sites.run_job(site)
        assert (again.built, again.published) == ([], [])
    assert contents(site) == contents(whole)


# Time zones


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/St_Johns"])
def test_the_time_zone_of_the_machine_changes_nothing(
    prepared: Path, tmp_path: Path, nursery: Nursery, zone: str
) -> None:
    site = Path(shutil.copytree(prepared, tmp_path / "site"))
    child = nursery.start(site, *COMMAND, zone=zone)
    assert nursery.wait(child) == 0, child.err
    assert contents(site) == contents(prepared.parent / "undisturbed")
