"""An ingest that ends between two of its commits loses nothing: files, answers, events, manifest.

``tests.test_crash`` kills whole runs at some of all points; here an ingest stops at each of those
that its order is about (design §3.3).
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import sites
from tests.points import watched
from tests.sites import contents, make_site, run_job

COMMIT = "create_write_transaction"


class _Stop(BaseException):
    """The process would be dead here. Nothing catches it."""


@pytest.fixture(scope="module", autouse=True)
def engine() -> Iterator[None]:
    with sites.lent_engine():
        yield


def test_an_ingest_that_stops_before_or_after_any_of_its_commits(tmp_path: Path) -> None:
    lines = [sites.enrollment(1, 0), sites.answer(1, 0), sites.answer(2, 1), "{broken"]
    sites.write_log(tmp_path / "logs", 1, lines)
    prepared = make_site(tmp_path / "prepared", tmp_path / "logs", run__max_reject_share=1)
    whole = shutil.copytree(prepared, tmp_path / "whole")
    passed: list[str] = []
    with watched(passed.append):
        run_job(whole, only=("ingest",))
    expected = _lake(whole)
    commits = [number for number, name in enumerate(passed) if name.endswith(f" {COMMIT}")]
    assert len(commits) == 6, "rejects, answers and events, before and after"
    for stop_at in commits:
        site = shutil.copytree(prepared, tmp_path / f"stopped-{stop_at}")
        with pytest.raises(_Stop), watched(_stopping(stop_at)):
            run_job(site, only=("ingest",))
        run_job(site, only=("ingest",))
        assert _lake(site) == expected, f"stopped {passed[stop_at]}, {stop_at}"


def _stopping(at: int) -> Callable[[str], None]:
    count = -1

    def hit(_: str) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise _Stop

    return hit


def _lake(site: Path) -> dict[str, object]:
    found = contents(site)
    return {"lake": found["lake"], "rejects": found["rejects"]}
