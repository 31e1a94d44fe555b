"""A file that has not changed is not read again; anything else is."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import studium
from studium.autopilot.forget import forget
from studium.lake.store import Lake
from studium.sources.lms import importer
from studium.sources.lms.importer import Imported, import_lms, snapshot_date
from tests import sites

HEADER = "id,username,last_login,date_joined,is_active,is_superuser,is_staff,email\n"
Import = Callable[[], tuple[Imported, int]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    studium.init(tmp_path / "site").close()
    (tmp_path / "lms").mkdir()
    write(tmp_path, [1, 2])
    return tmp_path


def write(place: Path, users: list[int], age: float = 60) -> None:
    path = place / "lms" / "auth_user.csv"
    rows = [f"{user},u{user},\\N,2021-01-01 00:00:00,1,0,0,{user}@x.org\n" for user in users]
    path.write_text(HEADER + "".join(rows))
    then = time.time() - age
    os.utime(path, (then, then))


@pytest.fixture
def take(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Import]:
    """Import; what came of `auth_user`, and how many tables were read."""
    read: list[str] = []
    copy = importer._copy

    def counted(db: object, table: object, *more: object) -> tuple[int, int]:
        read.append(table.name)  # type: ignore[attr-defined]
        return copy(db, table, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(importer, "_copy", counted)

    def take() -> tuple[Imported, int]:
        read.clear()
        with studium.open(place / "site") as site, site.writer("test"):
            done = import_lms(site, Lake(site.lake_dir), place / "lms")
            assert snapshot_date(site, "auth_user") is not None
        (users,) = (one for one in done if one.table.name == "auth_user")
        return users, len(read)

    with sites.lent_engine():
        yield take


def test_it_is_read_once(take: Import) -> None:
    first, tables = take()
    assert (first.rows, first.refused, first.changed, tables) == (2, 0, True, 2)
    again, tables = take()
    assert (again.rows, again.refused, again.changed, tables) == (2, 0, False, 0)


def test_a_changed_file_is_read(place: Path, take: Import) -> None:
    take()
    write(place, [1, 3], age=50)
    changed, tables = take()
    assert (changed.rows, changed.changed, tables) == (2, True, 2)


def test_so_is_a_json_file(place: Path, take: Import) -> None:
    path = place / "lms" / "course_catalog.json"
    for number, read in enumerate([[4, 0], [2, 0]]):  # at first the users, too; of runs, two tables
        path.write_text(json.dumps([{"key": f"course-v1:X+{number}+1", "title": "A course"}]))
        os.utime(path, (time.time() - 60 + number,) * 2)
        assert [take()[1], take()[1]] == read
    with studium.open(place / "site") as site:
        assert Lake(site.lake_dir).snapshot("course_catalog").rows == 1


def test_a_file_of_this_moment_is_read_again(place: Path, take: Import) -> None:
    write(place, [1, 2], age=0)
    assert [take()[1], take()[1]] == [2, 2]


def test_it_is_read_again_once_the_lake_has_changed(place: Path, take: Import) -> None:
    take()
    with studium.open(place / "site") as site, site.writer("test"):
        forget(site, Lake(site.lake_dir), "2", None)
    users, tables = take()
    assert (users.rows, tables) == (1, 2)
    assert take()[1] == 0
