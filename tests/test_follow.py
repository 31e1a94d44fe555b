"""A live log is followed through rotation and death: nothing is lost, nothing comes twice."""

import gzip
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import studium
from studium.lake.store import Lake
from studium.sources.edx.follow import Follower
from studium.sources.edx.rejects import current_rejects
from studium.state.manifest import known_files
from tests import sites
from tests.children import Nursery


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "tracking.log"


@pytest.fixture
def site(log: Path) -> Path:
    return sites.make_site(log.parent.parent / "site", log.parent)


def lines(*learners: int) -> str:
    return "".join(f"{sites.video(n, n % 5, second=n)}\n" for n in learners)


def write(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def learners(site: Path) -> list[int]:
    """Whose events are in the lake, once for each event."""
    if not (site / "lake" / "events").is_dir():
        return []
    return sorted(row["user_id"] for row in sites.rows_of(site, "events"))


class Tail:
    """A follower in this process, a tick at a time."""

    def __init__(self, root: Path, log: Path) -> None:
        self.site = studium.open(root)
        self.follower = Follower(self.site, log)

    def tick(self) -> int:
        """How many lines came."""
        with self.site.writer("test"):
            return sum(report.lines for report in self.follower.tick())

    def close(self) -> None:
        self.follower.close()
        self.site.close()


@pytest.fixture
def tail(site: Path, log: Path) -> Iterator[Tail]:
    tail = Tail(site, log)
    yield tail
    tail.close()


def test_complete_lines_only(tail: Tail, site: Path, log: Path) -> None:
    assert tail.tick() == 0, "no log yet"
    whole = lines(1, 2, 3)
    write(log, whole[:-40])
    assert tail.tick() == 2
    assert tail.tick() == 0
    assert tail.follower.waiting() > 0
    write(log, whole[-40:] + "{broken\n")
    assert tail.tick() == 2
    assert learners(site) == [1, 2, 3]
    with tail.site.state.read() as conn:
        (row,) = known_files(conn, "edx").values()
    assert (row.lines, row.kept, row.rejects) == (4, 3, 1)
    assert row.size == log.stat().st_size
    refused = current_rejects(tail.site, Lake(tail.site.lake_dir)).to_pylist()
    assert [one["line_no"] for one in refused] == [4]


def renamed(log: Path, unread: str, new: str) -> None:
    write(log, unread)
    log.rename(log.with_name("tracking.log-20250906"))
    log.write_text(new)


def renamed_and_packed(log: Path, unread: str, new: str) -> None:
    write(log, unread)
    log.with_name("tracking.log-20250906.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    log.write_text(new)


def copied_and_cut(log: Path, unread: str, new: str) -> None:
    write(log, unread)
    shutil.copy(log, log.with_name("tracking.log.1"))
    os.truncate(log, 0)
    write(log, new)


def moved_away(log: Path, unread: str, new: str) -> None:
    write(log, unread)
    log.rename(log.parent.parent / "elsewhere")
    log.write_text(new)


ROTATIONS = [renamed, renamed_and_packed, copied_and_cut, moved_away]


@pytest.mark.parametrize("rotate", ROTATIONS)
def test_through_a_rotation(
    tail: Tail, site: Path, log: Path, rotate: Callable[[Path, str, str], None]
) -> None:
    write(log, lines(1, 2))
    assert tail.tick() == 2
    # The last line before the rotation never gets its newline.
    rotate(log, lines(3, 4).rstrip("\n"), lines(5))
    assert [tail.tick(), tail.tick(), tail.tick()] == [2, 1, 0]
    write(log, lines(6, 7, 8))
    assert tail.tick() == 3
    assert learners(site) == [1, 2, 3, 4, 5, 6, 7, 8]
    # What was rotated comes again with the night's run, and counts nothing twice.
    for place in log.parent.glob("tracking.log[-.]*"):
        if place.suffix != ".gz":
            packed = gzip.compress(place.read_bytes())
            place.with_name(place.name + ".gz").write_bytes(packed)
            place.unlink()
    done = sites.run_job(site, only=("ingest",))
    assert done.report is not None
    assert done.report.lines >= 4
    assert done.report.new == 0
    assert learners(site) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert not sites.broken_counts(tail.site)


@pytest.mark.parametrize("rotate", ROTATIONS[:3])
def test_a_rotation_while_nobody_looked(
    site: Path, log: Path, rotate: Callable[[Path, str, str], None]
) -> None:
    write(log, lines(1, 2))
    tail = Tail(site, log)
    tail.tick()
    tail.close()
    rotate(log, lines(3, 4), lines(5))
    tail = Tail(site, log)
    assert tail.tick() == 3
    tail.close()
    assert learners(site) == [1, 2, 3, 4, 5]


def test_a_log_that_is_not_there_is_said_and_waited_for(site: Path, log: Path) -> None:
    absent = log.with_name("absent.log")
    with Nursery() as nursery:
        child = nursery.start(site, "ingest", "--follow", str(absent), "--every", "0.1")
        while "is not there yet" not in child.err:
            os.sched_yield()
        write(absent, lines(1, 2))
        while "2 lines: 2 new" not in child.out:
            os.sched_yield()
        os.kill(child.pid, signal.SIGTERM)
        assert nursery.wait(child) == 0, child.err


@pytest.mark.long
def test_killed_and_started_again(site: Path, log: Path) -> None:
    """At points of its second slice, with a refused line in it; then stopped as it should be."""
    write(log, lines(1, 2))
    command = ("ingest", "--follow", str(log), "--every", "0.1")

    def followed(nursery: Nursery, root: Path, wanted: str, **options: Any) -> Any:
        child = nursery.start(root, *command, **options)
        while wanted not in child.out:
            os.sched_yield()
        os.kill(child.pid, signal.SIGTERM)
        nursery.wait(child)
        return child

    with Nursery() as nursery:
        first = followed(nursery, site, "2 lines: 2 new")
        assert first.code == 0, first.err
        assert first.out.endswith("Stopped.\n")
        write(log, "{broken\n" + lines(3, 4))
        copy = site.with_name("whole")
        shutil.copytree(site, copy)
        points = len(followed(nursery, copy, "3 lines: 2 new, 1 refused").points)
        assert points > 30
        for point in range(12, points, points // 4):
            root = site.with_name(f"site{point}")
            shutil.copytree(site, root)
            child = nursery.run(root, *command, kill_at=point)
            assert child.code == -signal.SIGKILL
            tail = Tail(root, log)
            tail.tick()
            assert learners(root) == [1, 2, 3, 4]
            refused = current_rejects(tail.site, Lake(tail.site.lake_dir)).to_pylist()
            assert [one["line_no"] for one in refused] == [3]
            assert not sites.broken_counts(tail.site)
            with tail.site.state.read() as conn:
                (row,) = known_files(conn, "edx").values()
            assert (row.lines, row.kept, row.duplicates, row.rejects) == (5, 4, 0, 1)
            tail.close()
