"""A run that is killed at any point leaves nothing that the next run does not put right.

A child is killed by SIGKILL, so that nothing of it is cleaned up: at each point where a site
changes (``tests.points``), and at any time at all. Readers see the result store as it was before
or as it is after; a second, undisturbed run ends in what one undisturbed run would have made.
"""

import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from studium.autopilot.steps import choose_tables
from tests import sites
from tests.children import Nursery
from tests.sites import contents, published_rows

# Every one of them is for `make prove`.
EVERY_NTH = 149
RANDOM_KILLS = 1

# Day tables, one of which looks at its neighbours and one of which is published, a map table and
# whole ones: as few as have every kind of point.
TABLES = ("enrollment_discards", "course_enrollment_daily", "video_viewings", "learner_timeline")
COMMAND = ("run", *TABLES, "--until", str(sites.END))


@dataclass
class Scene:
    """A prepared site, what an undisturbed run makes of it, and the points that it passes."""

    name: str
    nursery: Nursery
    prepared: Path
    before: dict[str, Any]
    after: dict[str, Any]
    points: list[str]
    seconds: float

    def strike(self, work: Path, kill_at: int = 0, kill_after: float = 0.0) -> bool:
        """Kill a run, look, run again, look. Was it killed before its end?"""
        site = work / f"{self.name}-{kill_at}-{kill_after}"
        shutil.copytree(self.prepared, site)
        child = self.nursery.run(site, *COMMAND, kill_at=kill_at, kill_after=kill_after)
        where = self.points[kill_at - 1] if kill_at else f"{kill_after:.3f} seconds"
        assert child.code in (0, -signal.SIGKILL), f"{where}: {child.err}"
        seen = published_rows(site) if (site / "results.db").is_file() else {}
        assert seen in ({}, self.before, self.after["published"]), f"{where}: half is published"
        sites.run_job(site, choose_tables(TABLES))
        assert contents(site) == self.after, f"killed at {where}"
        shutil.rmtree(site)
        return child.code != 0


def _first_run(folder: Path) -> Path:
    sites.write_history(folder / "logs")
    return sites.make_site(folder / "site", folder / "logs")


def _later_run(folder: Path) -> Path:
    """Late events, a file that grew, one that came twice, a new one, and days to compact."""
    logs = folder / "logs"
    sites.write_history(logs)
    site = sites.make_site(folder / "site", logs, run__compact_after=1, run__max_reject_share=1)
    sites.run_job(site, choose_tables(TABLES), until=sites.day(4))
    with (logs / f"tracking.log-{sites.day(1):%Y%m%d}").open("a") as file:
        file.write(sites.enrollment(70, 0) + "\n" + sites.answer(70, 1) + "\nrefused\n")
    shutil.copy(logs / f"tracking.log-{sites.day(2):%Y%m%d}.gz", logs / "again.gz")
    late = [sites.enrollment(learner, learner % 6) for learner in range(80, 86)]
    sites.write_log(logs, 6, [*late, sites.answer(80, 3)])
    return site


SCENES = {"first": _first_run, "later": _later_run}


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery, sites.lent_engine():
        yield nursery


@pytest.fixture(scope="module", params=[pytest.param("first", marks=pytest.mark.long), "later"])
def scene(
    request: pytest.FixtureRequest, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Scene:
    return make_scene(request.param, nursery, tmp_path_factory.mktemp(request.param))


def make_scene(name: str, nursery: Nursery, folder: Path) -> Scene:
    """A scene whose undisturbed run has been made in a copy of its site."""
    prepared = SCENES[name](folder)
    whole = folder / "undisturbed"
    shutil.copytree(prepared, whole)
    started = time.monotonic()
    child = nursery.run(whole, *COMMAND)
    seconds = time.monotonic() - started
    assert child.code == 0, child.err
    after = contents(whole)
    before = published_rows(prepared) if (prepared / "results.db").is_file() else {}
    return Scene(name, nursery, prepared, before, after, child.points, seconds)


def test_the_undisturbed_run_is_what_the_steps_make(scene: Scene, tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(scene.prepared, site)
    sites.run_job(site, choose_tables(TABLES))
    assert contents(site) == scene.after
    assert scene.after["published"] != scene.before
    kinds = {"before rename", "after create_write_transaction", "statement", "commit"}
    assert kinds <= set(scene.points)


def test_killed_at_a_point(scene: Scene, tmp_path: Path) -> None:
    numbers = range(1 + len(scene.name), len(scene.points) + 1, EVERY_NTH)
    killed = [scene.strike(tmp_path, kill_at=number) for number in numbers]
    assert all(killed), "a point that was not reached"
    assert len(killed) >= 2


def test_killed_at_any_time(scene: Scene, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    for _ in range(RANDOM_KILLS):
        after = draw.uniform(0.001, scene.seconds)
        scene.strike(tmp_path, kill_after=after)


def test_killed_again_and_again(scene: Scene, tmp_path: Path) -> None:
    """Each run gets a little further than the one before, and dies."""
    site = tmp_path / "site"
    shutil.copytree(scene.prepared, site)
    for number in range(20, 1 + len(scene.points), len(scene.points) // 3):
        scene.nursery.run(site, *COMMAND, kill_at=number)
    sites.run_job(site, choose_tables(TABLES))
    assert contents(site) == scene.after
