"""A lake in S3: the same tables as in a folder, whatever S3 answers and wherever a run stops."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import studium
from studium.autopilot.trace import trace_rows
from studium.cli import main
from studium.engines import StagedFile
from studium.lake.store import Lake
from studium.s3 import Address, Mirror, Waits
from tests import sites
from tests.buckets import HANG, SECRET, Bucket
from tests.children import Nursery
from tests.sites import FEW, contents, make_site, run_job, vacuum

COMMAND = ("run", *FEW, "--until", str(sites.END))


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("s3") / "logs"
    sites.write_history(folder)
    return folder


@pytest.fixture(scope="module")
def here(logs: Path) -> Iterator[dict[str, Any]]:
    """What a run with a lake in a folder makes of the logs."""
    with sites.lent_engine():
        site = make_site(logs.parent / "here", logs, run__max_reject_share=1)
        run_job(site)
        yield contents(site)


def there(folder: Path, logs: Path, bucket: Bucket, **settings: object) -> Path:
    """A site over the logs whose lake is in the bucket."""
    return make_site(
        folder, logs, lake__path=bucket.url("a/lake"), run__max_reject_share=1, **settings
    )


def test_the_same_tables_as_in_a_folder(
    bucket: Bucket, logs: Path, here: dict[str, Any], tmp_path: Path
) -> None:
    site = there(tmp_path / "site", logs, bucket)
    run_job(site)
    assert contents(site) == here
    assert not (site / "lake").exists()
    assert any(key.startswith("a/lake/events/day=") for key in bucket.keys("a/lake/events/"))


@pytest.mark.long
def test_a_site_that_lost_its_state_finds_its_lake(
    bucket: Bucket, logs: Path, here: dict[str, Any], tmp_path: Path
) -> None:
    run_job(there(tmp_path / "site", logs, bucket))
    # Everything else is a cache.
    again = there(tmp_path / "again", logs, bucket)
    report = run_job(again).report
    assert report is not None
    assert report.new == 0
    assert contents(again) == here
    assert run_job(again).work() == {}


@pytest.mark.long
def test_late_events_compaction_and_vacuum(bucket: Bucket, logs: Path, tmp_path: Path) -> None:
    mine = tmp_path / "logs"
    shutil.copytree(logs, mine)
    folder = make_site(tmp_path / "folder", mine, run__compact_after=1, run__max_reject_share=1)
    site = there(tmp_path / "site", mine, bucket, run__compact_after=1)
    for place in (folder, site):
        run_job(place)
    late = [sites.enrollment(learner, learner % 6) for learner in range(80, 86)]
    sites.write_log(mine, 6, [*late, sites.answer(80, 3)])
    for place in (folder, site):
        run_job(place)
    whole = contents(folder)
    assert contents(site) == whole
    before = set(bucket.keys("a/lake/"))
    vacuum(site)
    gone = before - set(bucket.keys("a/lake/"))
    assert gone
    kept = committed(site)
    assert uploaded(bucket) == kept
    cached = {path.relative_to(site / "cache").as_posix() for path in (site / "cache").rglob("*")
              if path.is_file()}  # fmt: skip
    assert cached <= {key.removeprefix("a/lake/") for key in kept}


# The commands


@pytest.fixture
def run(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """A command line in this process; what it said. Exit code 0, and no secret, is expected."""

    def do(site: Path, *arguments: str, code: int = 0) -> str:
        monkeypatch.setenv("STUDIUM_SITE", str(site))
        monkeypatch.setattr("sys.argv", ["studium", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert (ended.value.code or 0) == code, said.err
        assert SECRET not in said.out + said.err
        assert "Traceback" not in said.err
        return said.out + said.err

    return do


@pytest.mark.long
def test_every_command_works(
    bucket: Bucket,
    logs: Path,
    tmp_path: Path,
    run: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket.put_folder(logs, "logs")
    site = there(tmp_path / "site", logs, bucket)
    source = ("--source", bucket.url("logs/*"))
    with sites.lent_engine():
        run(site, *COMMAND, *source)
        assert "Nothing to build" in run(site, "plan", *FEW, "--until", str(sites.END))
        shown = json.loads(run(site, "show", "course_enrollment_daily", "--format", "json"))
        day = f"course_id = '{sites.COURSE}' AND date = '{sites.day(1)}'"
        assert any(row["date"] == str(sites.day(1)) for row in shown)
        assert bucket.url("logs/tracking") in run(
            site, "why", "course_enrollment_daily", "--where", day, "--lines"
        )
        assert "not JSON" in run(site, "rejects")
        assert "deleted" in run(site, "vacuum", "--keep-hours", "0")
        assert "agrees with the lake" in run(site, "doctor")
        run(site, "doctor", "--repair")
        assert "WRONG" not in run(site, "verify")
        assert "No trace" in run(site, "forget", "21")
        assert 21 not in {row["user_id"] for row in sites.rows_of(site, "enrollment_events")}
        monkeypatch.setenv("STUDIUM_RETENTION__RAW_DAYS", "1")
        run(site, "retention", "--keep-hours", "0")
        assert not bucket.keys("a/lake/events/day=")
        monkeypatch.delenv("STUDIUM_RETENTION__RAW_DAYS")
    lost = next(key for key in bucket.keys("a/lake/enrollment_events/day="))
    bucket.delete(lost)
    assert "missing or cut" in run(site, "doctor", code=1)
    shutil.rmtree(site / "cache")
    said = run(site, "show", "enrollment_events", code=1)
    assert "a file of table enrollment_events is missing" in said
    assert bucket.url("a/lake/enrollment_events") in said


def test_a_log_in_the_lake_is_refused(
    bucket: Bucket, logs: Path, tmp_path: Path, run: Callable[..., str]
) -> None:
    site = there(tmp_path / "site", logs, bucket)
    run_job(site, only=("ingest",))
    said = run(site, "ingest", "--source", bucket.url("a"), code=1)
    assert "one of the site's own files" in said


@pytest.mark.long
def test_why_fetches_only_the_days_it_needs(bucket: Bucket, logs: Path, tmp_path: Path) -> None:
    site = there(tmp_path / "site", logs, bucket)
    run_job(site)
    shutil.rmtree(site / "cache")
    where = f"day = DATE '{sites.day(2)}' AND user_id = 21"
    with studium.open(site) as opened:
        steps = trace_rows(opened, Lake(opened.lake_dir), "enrollment_events", where)
    assert steps[0].count > 0
    days = {path.parent.name for path in (site / "cache" / "events").rglob("*.parquet")}
    assert days == {f"day={sites.day(2)}"}


# The copies


@pytest.fixture
def mirror(bucket: Bucket, tmp_path: Path) -> Mirror:
    for name in "abcd":
        bucket.put(f"lake/{name}", name.encode() * 100)
    return Mirror(Address.parse(bucket.url("lake")), tmp_path / "cache", 250, Waits())


def _copies(mirror: Mirror) -> list[str]:
    return sorted(path.name for path in mirror.folder.iterdir())


def test_a_copy_is_fetched_once(mirror: Mirror, bucket: Bucket) -> None:
    (path,) = mirror.paths([("a", 100)])
    assert path.read_bytes() == b"a" * 100
    bucket.store.forget()
    assert mirror.paths([("a", 100)]) == [path]
    assert bucket.store.requests == []
    path.write_bytes(b"cut off")  # a crash of the machine
    assert mirror.paths([("a", 100)]) == [path]
    assert path.read_bytes() == b"a" * 100


def test_copies_are_bounded_and_the_last_used_stay(mirror: Mirror) -> None:
    for name in "abc":
        mirror.release()
        mirror.paths([(name, 100)])
    assert _copies(mirror) == ["b", "c"]
    mirror.release()
    mirror.paths([("b", 100)])
    mirror.release()
    mirror.paths([("d", 100)])
    assert _copies(mirror) == ["b", "d"]


def test_what_is_in_use_stays_whatever_the_limit(mirror: Mirror) -> None:
    mirror.paths([("a", 100), ("b", 100)])
    mirror.paths([("c", 100), ("d", 100)])
    assert _copies(mirror) == ["a", "b", "c", "d"]
    # Nor does another command take what this one may be reading, unless it was long ago.
    other = Mirror(mirror.address, mirror.folder, 100, Waits())
    other.put([(_file(mirror.folder.parent / "e"), "e")])
    assert _copies(mirror) == ["a", "b", "c", "d", "e"]
    for name in "abc":
        os.utime(mirror.folder / name, (0, 0))
    Mirror(mirror.address, mirror.folder, 100, Waits()).put(
        [(_file(mirror.folder.parent / "f"), "f")]
    )
    assert _copies(mirror) == ["d", "e", "f"]


def _file(path: Path) -> Path:
    path.write_bytes(b"x" * 10)
    return path


# Two at once


def test_of_two_commits_at_once_both_stay(bucket: Bucket, tmp_path: Path) -> None:
    """Without a lock: S3 takes a log entry only where there is none yet."""

    def lake(name: str) -> Lake:
        return Lake(Mirror(Address.parse(bucket.url("lake")), tmp_path / name, 10**9, Waits()))

    def commit(number: int) -> None:
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table({"n": pa.array([number], pa.int64())}), path)
        staged = StagedFile(path, sites.FIRST, 1, path.stat().st_size)
        lake(str(number)).commit(
            "numbers", [staged], columns={"n": "BIGINT"}, by_day=True,
            build=f"{number:08}-abcdef", fingerprint="12345678",
        )  # fmt: skip

    commit(0)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(commit, range(1, 7)))
    snapshot = lake("reader").snapshot("numbers")
    assert sorted(int(file.build[:8]) for file in snapshot.files) == list(range(7))


# Crashes


def read_logs(site: Path) -> dict[str, Any]:
    """What ingest alone makes."""
    return {name: sites.rows_of(site, name) for name in ("events", "event_answers")}


INGEST = ("ingest", "--until", str(sites.END))


@pytest.mark.long
def test_killed_between_upload_and_commit(
    bucket: Bucket, logs: Path, here: dict[str, Any], tmp_path: Path
) -> None:
    lake = {name: here["lake"][name] for name in ("events", "event_answers")}
    with Nursery() as nursery:
        whole = nursery.run(there(tmp_path / "whole", logs, bucket), *INGEST)
        assert whole.code == 0, whole.err
        points = list(enumerate(whole.points, 1))
        commits = [n for n, name in points if name == "before create_write_transaction"]
        mine = bucket.store.fresh()
        site = there(tmp_path / "killed", logs, mine)
        child = nursery.run(site, *INGEST, kill_at=commits[-1])
        assert child.code == -signal.SIGKILL
        assert uploaded(mine) > committed(site), "nothing was uploaded in vain"
        run_job(site, only=("ingest",))
        assert read_logs(site) == lake
        vacuum(site)
        assert uploaded(mine) == committed(site)
        assert read_logs(site) == lake


def uploaded(bucket: Bucket) -> set[str]:
    return {key for key in bucket.keys("a/lake/") if "_delta_log" not in key}


def committed(site: Path) -> set[str]:
    lake = sites.open_lake(site)
    return {
        f"a/lake/{name}/{file.path}" for name in lake.names() for file in lake.snapshot(name).files
    }


# Faults


@pytest.mark.long
def test_passing_faults_are_tried_again(
    bucket: Bucket, logs: Path, here: dict[str, Any], tmp_path: Path
) -> None:
    site = there(tmp_path / "site", logs, bucket, s3__timeout=2.0, s3__patience=60)
    bucket.store.fail(*[500, 503, 500, 0, 0, 503, 500, 503, 0, 500] * 2, only="PUT /")
    shutil.copytree(logs, tmp_path / "one", ignore=shutil.ignore_patterns("*03*", "*04*"))
    run_job(site, only=("ingest",), edx__source=[str(tmp_path / "one")])
    assert bucket.store.pending == 0
    # That a log entry was put cannot be told from silence; everything else is asked again.
    bucket.store.fail(HANG, 0, 0, HANG, only="/day")
    run_job(site, only=("ingest",))
    assert bucket.store.pending == 0
    assert read_logs(site) == {name: here["lake"][name] for name in ("events", "event_answers")}


@pytest.mark.parametrize(
    ("fault", "only", "said"),
    [
        pytest.param(503, "PUT", "S3 answered 503", marks=pytest.mark.long),
        pytest.param(
            HANG,
            "PUT /{bucket}/a/lake/events/day",
            "did not answer in time",
            marks=pytest.mark.long,
        ),
        pytest.param(
            500,
            "PUT /{bucket}/a/lake/events/_delta_log/00000000000000000001",
            "S3 answered 500",
            marks=pytest.mark.long,
        ),
        pytest.param(
            403,
            "PUT /{bucket}/a/lake/event_answers/day",
            "S3 answered 403",
            marks=pytest.mark.long,
        ),
        pytest.param(
            HANG,
            "list-type=2&prefix=a%2Flake%2Frejects",
            "did not answer in time",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_lasting_fault_is_an_error_and_the_next_run_ends_well(
    bucket: Bucket, logs: Path, here: dict[str, Any], tmp_path: Path, run: Callable[..., str],
    fault: int, only: str, said: str,
) -> None:  # fmt: skip
    site = there(tmp_path / "site", logs, bucket, s3__timeout=1.5, s3__patience=3)
    bucket.store.fail(always=fault, only=only.format(bucket=bucket.name))
    text = run(site, *INGEST, code=1)
    assert said in text
    assert text.startswith("Error: ")
    bucket.store.fail()
    run(site, *INGEST)
    assert read_logs(site) == {name: here["lake"][name] for name in ("events", "event_answers")}


def test_errors_of_a_lake_that_is_not_there(
    bucket: Bucket, logs: Path, tmp_path: Path, run: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    site = make_site(tmp_path / "site", logs, lake__path="s3://no-such-bucket/lake",
                     s3__patience=0.5)  # fmt: skip
    assert "there is no such bucket" in run(site, *COMMAND, code=1)
    assert "there is no such bucket" in run(site, "doctor", code=1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "cannot be reached" in run(site, "plan", code=1)
