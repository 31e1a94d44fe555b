"""Old raw days go; what was made of them stays, through rebuilds, late lines and a lost state."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import studium
from studium.autopilot import checks, retention
from studium.errors import LakeError
from studium.lake.store import Lake
from tests import sites


@pytest.fixture(scope="module", autouse=True)
def _engine() -> Iterator[None]:
    with sites.lent_engine():
        yield


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A week, of which the last three days are to be kept."""
    sites.write_history(tmp_path / "logs")
    monkeypatch.setattr(retention, "today", lambda: sites.day(5) + timedelta(days=1))
    return sites.make_site(tmp_path / "site", tmp_path / "logs", retention__raw_days=4)


def drop(root: Path) -> list[retention.Dropped]:
    with studium.open(root) as site, site.writer("test"):
        return retention.apply_retention(site, Lake(site.lake_dir), keep_hours=0)


def test_what_was_built_stays(root: Path) -> None:
    sites.run_job(root)
    before = sites.published_rows(root)
    made = sites.rows_of(root, "enrollment_events")
    gone = {one.table: one for one in drop(root)}
    assert gone["events"].before == sites.day(2)
    assert gone["events"].days == 2
    lake = sites.open_lake(root)
    assert {file.day for file in lake.snapshot("events").files} == {
        sites.day(n) for n in (2, 3, 4)
    }  # fmt: skip
    days = {path.name for path in (root / "lake" / "events").glob("day=*/*.parquet")}
    assert len(days) <= len(lake.snapshot("events").files)
    assert not drop(root)
    # Nothing is stale, whatever is asked for, and whole tables still cover everything.
    assert not sites.run_job(root).work()
    sites.run_job(root, asked=("enrollment_events", "course_enrollment_daily"), lookback=100,
                  only=("build", "publish"))  # fmt: skip
    assert sites.rows_of(root, "enrollment_events") == made
    assert sites.published_rows(root) == before
    # A state that is lost knows it from the lake.
    (root / "state.db").unlink()
    with studium.open(root) as site, site.writer("doctor"):
        checks.rebuild_ledger(site)
    sites.run_job(root, only=("build", "publish"))
    assert sites.rows_of(root, "enrollment_events") == made
    assert sites.published_rows(root) == before


def test_late_lines_of_a_dropped_day_change_nothing(root: Path) -> None:
    sites.run_job(root)
    drop(root)
    before = sites.published_rows(root)
    sites.write_log(root.parent / "logs", 6, [sites.enrollment(99, 0)])
    sites.run_job(root)
    assert sites.published_rows(root) == before
    (late,) = [one for one in drop(root) if one.table == "events"]
    assert (late.days, late.rows) == (1, 1)


def test_what_is_not_built_is_not_dropped(root: Path) -> None:
    sites.run_job(root, until=sites.day(2))
    sites.run_job(root, only=("ingest",))
    sites.write_log(root.parent / "logs", 6, [sites.enrollment(99, 0)])
    sites.run_job(root, only=("ingest",))
    with pytest.raises(LakeError, match=r"enrollment_events.* yet to be built"):
        drop(root)
    assert len(sites.open_lake(root).snapshot("events").by_partition()) == 5
    # A table that is lost can be built again as long as its days are there.
    sites.run_job(root)
    shutil.rmtree(root / "lake" / "enrollment_events")
    with pytest.raises(LakeError, match=r"enrollment_events.* yet to be built"):
        drop(root)
    with studium.open(root, {"retention.raw_days": 0}) as site:
        assert not retention.old_days(site, Lake(site.lake_dir))
