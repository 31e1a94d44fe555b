"""Several at once on one site: writers take turns, readers never see half."""

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests import sites
from tests.children import Child, Nursery
from tests.sites import KINDS, contents

RUN = ("run", *KINDS, "--until", str(sites.END))


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery, sites.lent_engine():
        yield nursery


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> tuple[Path, int, Any]:
    """A site that was not run yet, the point after a run's first commit, and what it comes to."""
    folder = tmp_path_factory.mktemp("together")
    sites.write_history(folder / "logs")
    prepared = sites.make_site(folder / "prepared", folder / "logs")
    whole = folder / "undisturbed"
    shutil.copytree(prepared, whole)
    child = nursery.run(whole, *RUN)
    assert child.code == 0, child.err
    point = 1 + child.points.index("after create_write_transaction")
    return prepared, point, contents(whole)


@pytest.fixture
def site(made: tuple[Path, int, Any], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "site"))


@pytest.fixture
def running(site: Path, made: tuple[Path, int, Any], nursery: Nursery) -> Child:
    """A run that has stopped in the middle, with the writer lock in hand."""
    child = nursery.start(site, *RUN, stop_at=made[1])
    nursery.stopped(child)
    return child


def finish(nursery: Nursery, child: Child) -> None:
    nursery.resume(child)
    assert nursery.wait(child) == 0, child.err


@pytest.mark.parametrize(
    "command",
    [
        RUN,
        *(
            pytest.param(command, marks=pytest.mark.long)
            for command in (
                ("build",),
                ("publish",),
                ("vacuum", "--keep-hours", "0"),
                ("ingest",),
                ("doctor", "--repair"),
            )
        ),
    ],
    ids=lambda command: command[0],
)
def test_a_writer_that_does_not_want_to_wait_is_told_who_writes(
    command: tuple[str, ...],
    site: Path,
    running: Child,
    nursery: Nursery,
    made: tuple[Path, int, Any],
) -> None:
    second = nursery.start(site, *command, lock_wait=0.1)
    assert nursery.wait(second) == 1
    assert f"`run` (process {running.pid} " in second.err
    assert "Traceback" not in second.err
    finish(nursery, running)
    assert contents(site) == made[2]


@pytest.mark.parametrize(
    "command",
    [RUN, pytest.param(("vacuum", "--keep-hours", "0"), marks=pytest.mark.long)],
    ids=["run", "vacuum"],
)
def test_a_second_writer_waits_and_both_end_right(
    command: tuple[str, ...],
    site: Path,
    running: Child,
    nursery: Nursery,
    made: tuple[Path, int, Any],
) -> None:
    second = nursery.start(site, *command, pipe=True)
    with second.listen() as err:
        said = err.readline()
        finish(nursery, running)
        assert nursery.wait(second) == 0, err.read()
    assert said.startswith(f"Waiting for `run` (process {running.pid} ")
    assert contents(site) == made[2]
    if command is RUN:
        assert "5 unchanged" in second.out
        assert "Nothing to build." in second.out


def test_looking_needs_no_lock(site: Path, running: Child, nursery: Nursery) -> None:
    for command in (
        ("plan", *KINDS, "--until", str(sites.END)),
        ("plan", "--json"),
        ("show", "rejects"),
        ("config",),
        ("vacuum", "--help"),
    ):
        looker = nursery.start(site, *command, lock_wait=0)
        assert nursery.wait(looker) == 0, looker.err
        assert looker.err == ""
    finish(nursery, running)


READ = """
SELECT (SELECT sum(count) FROM course_enrollment_daily),
       (SELECT sum(count) FROM course_enrollment_mode_daily),
       (SELECT count(*) FROM course_enrollment_daily),
       (SELECT count(*) FROM course_enrollment_mode_daily),
       (SELECT row_count FROM studium_published WHERE table_name = 'course_enrollment_daily'),
       (SELECT row_count FROM studium_published WHERE table_name = 'course_enrollment_mode_daily')
"""


def test_a_reader_sees_one_set_of_tables_whenever_it_looks(
    site: Path, nursery: Nursery, tmp_path: Path, made: tuple[Path, int, Any]
) -> None:
    logs = made[0].parent / "logs"
    assert nursery.run(site, *RUN).code == 0
    looks: list[tuple[int, ...]] = []
    over = threading.Event()

    def look() -> None:
        with closing(sqlite3.connect(f"file:{site / 'results.db'}?mode=ro", uri=True)) as db:
            while not over.is_set():
                looks.append(db.execute(READ).fetchone())

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for number in range(2):
            late = [sites.enrollment(200 + 10 * number + n, n) for n in range(3 + number)]
            sites.write_log(tmp_path / "more", 3, late, f"-{number}")
            child = nursery.run(
                site, *RUN, "--source", str(logs), "--source", str(tmp_path / "more")
            )
            assert child.code == 0, child.err
    finally:
        over.set()
        reader.join()
    with closing(sqlite3.connect(site / "results.db")) as db:
        looks.append(db.execute(READ).fetchone())
    for total, by_mode, rows, mode_rows, said, mode_said in set(looks):
        assert (total, rows, mode_rows) == (by_mode, said, mode_said)
    assert len({total for total, *_ in looks}) >= 2
