"""Runs that publish to a server, killed at every point of the run; for ``make prove``."""

import random
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from tests import sites
from tests.children import Nursery
from tests.databases import Server, run_mariadb, run_postgres
from tests.sites import contents
from tests.stores import Place
from tests.test_crash import COMMAND


def server_rows(place: Place) -> dict[str, list[tuple[Any, ...]]]:
    """What the server shows of published tables, but not when they were made."""
    found = {}
    with place.outside() as connection:
        cursor = connection.cursor()
        for name in sorted(place.tables()):
            if name.startswith(("studium_new_", "studium_old_")):
                continue  # of a dead publisher; the next one drops them
            cursor.execute(f"SELECT * FROM {name}")
            names = [column[0] for column in cursor.description]
            kept = [
                place_of
                for place_of, one in enumerate(names)
                if one not in ("id", "created", "build", "published_at", "definition")
            ]
            rows = [tuple(row[place_of] for place_of in kept) for row in cursor.fetchall()]
            found[name] = sorted(rows, key=repr)
    return found


def prove_server_crashes(seconds: float) -> dict[str, Any]:
    """First runs into PostgreSQL and MariaDB, half of the time each, killed at points in random
    order; readers see nothing or everything, and the next run ends in the same tables."""
    done: dict[str, Any] = {}
    for kind, started in (("postgresql", run_postgres), ("mariadb", run_mariadb)):
        with (
            started() as server, Nursery() as nursery, sites.lent_engine(),
            tempfile.TemporaryDirectory() as folder,
        ):  # fmt: skip
            done[kind] = _strike_all(Path(folder), kind, server, nursery, seconds / 2)
    return done


def _strike_all(
    folder: Path, kind: str, server: Server, nursery: Nursery, seconds: float
) -> dict[str, int]:
    sites.write_history(folder / "logs")
    prepared = sites.make_site(folder / "site", folder / "logs")

    def place(name: str) -> Place:
        site = Path(shutil.copytree(prepared, folder / name))
        return Place(kind, server.fresh(), site, server)

    whole = place("whole")
    child = nursery.run(whole.root, *COMMAND, results=whole.url)
    assert child.code == 0, child.err
    after, lake = server_rows(whole), _kept(whole.root)
    assert after
    numbers = list(range(1, len(child.points) + 1))
    random.shuffle(numbers)
    done = {"points": len(numbers), "killed": 0}
    until = time.monotonic() + seconds
    while numbers and time.monotonic() < until:
        number = numbers.pop()
        where = f"{kind}, point {number}: {child.points[number - 1]}"
        one = place(f"{number}")
        killed = nursery.run(one.root, *COMMAND, kill_at=number, results=one.url)
        assert killed.code == -signal.SIGKILL, f"{where}: {killed.err}"
        assert server_rows(one) in ({}, after), f"{where}: half is published"
        again = nursery.run(one.root, *COMMAND, results=one.url)
        assert again.code == 0, f"{where}: {again.err}"
        assert server_rows(one) == after, where
        assert _kept(one.root) == lake, where
        shutil.rmtree(one.root)
        done["killed"] += 1
    return done


def _kept(site: Path) -> dict[str, Any]:
    found = contents(site)
    return {"lake": found["lake"], "rejects": found["rejects"]}
