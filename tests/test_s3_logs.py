"""Tracking logs in S3: found by prefix, glob and address, streamed, and not fetched twice."""

import gzip
import os
import random
import time
from pathlib import Path

import pytest

import studium
from studium.errors import S3Error, SourceError, UsageError
from studium.s3 import Address, Object, Waits, open_object
from studium.settings import Settings
from studium.sources.edx.files import SourceFile, find_files
from studium.sources.edx.lines import LineReader
from studium.sources.edx.objects import glob_pattern
from studium.sources.edx.positions import CHANGED, GONE, look_for, read_lines
from studium.state.manifest import known_files
from tests import sites
from tests.buckets import CUT, HANG, SECRET, Bucket
from tests.sites import contents, make_site, run_job

QUICK = Waits(timeout=0.3, patience=1.5)
LIMIT = Settings().edx.max_line_bytes
TREE = ("a/1.log", "a/2.log.gz", "a/deep/3.log", "b/1.log", ".hidden", "a/.2.log.gz.Xy1")


@pytest.fixture
def tree(bucket: Bucket) -> Bucket:
    """The tree of tests/test_log_files.py, below ``logs/``, and something beside it."""
    for name in TREE:
        bucket.put(f"logs/{name}", name.encode())
    bucket.put("logs2/other.log", b"other")
    bucket.put("logs/folder/", b"")
    return bucket


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("logs", ["a/1.log", "a/2.log.gz", "a/deep/3.log", "b/1.log"]),
        ("logs/", ["a/1.log", "a/2.log.gz", "a/deep/3.log", "b/1.log"]),
        ("logs/a/1.log", ["a/1.log"]),
        ("logs/a/.2.log.gz.Xy1", ["a/.2.log.gz.Xy1"]),
        ("logs/a/*", ["a/1.log", "a/2.log.gz"]),
        ("logs/*/1.log", ["a/1.log", "b/1.log"]),
        ("logs/**/*.log", ["a/1.log", "a/deep/3.log", "b/1.log"]),
        ("logs/[!b]/?.log", ["a/1.log"]),
        ("log*/a/*.gz", ["a/2.log.gz"]),
    ],
)
def test_what_an_address_names(tree: Bucket, source: str, expected: list[str]) -> None:
    found = find_files([tree.url(source)])
    assert [file.path.removeprefix(tree.url("logs/")) for file in found] == expected
    assert all(file.etag and file.mtime_ns is None for file in found)
    assert [file.size for file in found] == [len(name) for name in expected]


@pytest.mark.parametrize(
    ("glob", "key", "matches"),
    [
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**", "a/x/y", True),
        ("a/**", "a/.x/y", False),
        ("a/*", "a/x/y", False),
        ("a/*.log", "a/x+log", False),
        ("a/[0-9].log", "a/7.log", True),
        ("a/[!0-9].log", "a/7.log", False),
        ("a/[.log", "a/[.log", True),
    ],
)
def test_globs_are_those_of_a_disk(glob: str, key: str, matches: bool) -> None:
    assert (glob_pattern(glob).fullmatch(key) is not None) is matches


def test_an_address_that_names_nothing_is_an_error(tree: Bucket) -> None:
    for source in ("logs/none", "log", "logs/*.zip"):
        with pytest.raises(SourceError, match="no file matches"):
            find_files([tree.url(source)])


@pytest.mark.parametrize("url", ["s3://", "s3:///logs", "s3://key:secret@bucket/logs"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError, match="not an address") as refused:
        find_files([url])
    assert "secret" not in str(refused.value)


def test_ten_thousand_objects_are_ten_requests_and_no_other(bucket: Bucket) -> None:
    names = [f"logs/{number % 50:02}/{number:05}.log" for number in range(10_000)]
    bucket.store.fill(bucket.name, names)
    bucket.store.forget()
    started = time.monotonic()
    found = find_files([bucket.url("logs")])
    assert len(found) == 10_000
    assert [method for method, _ in bucket.store.requests] == ["HEAD"] + ["GET"] * 10
    assert time.monotonic() - started < 20


def test_a_large_object_comes_whole_and_in_parts(bucket: Bucket) -> None:
    body = random.Random(1).randbytes(20 << 20)
    bucket.put("large", body)
    (file,) = find_files([bucket.url("large")])
    bucket.store.forget()
    with open_object(Object(Address.parse(file.path), file.size, file.etag), QUICK) as raw:
        raw.read(4)
        raw.seek(0)
        assert raw.read() == body
        assert raw.tell() == len(body)
    assert [method for method, _ in bucket.store.requests] == ["GET"] * 3


def test_what_s3_holds_is_read_as_from_a_disk_and_only_once(bucket: Bucket, tmp_path: Path) -> None:
    sites.write_history(tmp_path / "logs")
    bucket.put_folder(tmp_path / "logs", "logs")
    here, there = tmp_path / "here", tmp_path / "there"
    make_site(here, tmp_path / "logs", run__max_reject_share=1)
    make_site(there, bucket.url("logs"), run__max_reject_share=1)
    with sites.lent_engine():
        run_job(here)
        bucket.store.forget()
        first = run_job(there).report
        assert first is not None
        assert len(first.files) == 5
        bodies = [path for method, path in bucket.store.requests if "list-type" not in path]
        assert len(bodies) == 1 + 5  # is it an object, and each object once
        assert _rows(there, bucket.url("logs/")) == _rows(here, f"{tmp_path}/logs/")

        bucket.store.forget()
        again = run_job(there).report
        assert again is not None
        assert (len(again.files), again.unchanged) == (0, 5)
        assert len(bucket.store.requests) == 2  # is it an object, and what is below it

        # Put again as it was: another time, the same content.
        name = f"tracking.log-{sites.day(1):%Y%m%d}"
        text = (tmp_path / "logs" / name).read_bytes()
        bucket.put(f"logs/{name}", text)
        assert run_job(there).report.files == ()  # type: ignore[union-attr]
        bucket.put(f"logs/{name}", text + sites.enrollment(77, 1).encode() + b"\n")
        (grown,) = run_job(there).report.files  # type: ignore[union-attr]
        assert (grown.path, grown.new) == (bucket.url(f"logs/{name}"), 1)


def _rows(site: Path, logs: str) -> object:
    """All that a site holds, the place of its logs left out."""
    found = contents(site)
    for row in found["rejects"]:
        row["path"] = row["path"].removeprefix(logs)
    return found


def test_from_a_row_back_to_the_line(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("logs/x.log.gz", gzip.compress(b"one\ntwo\nthree\n"))
    site = make_site(tmp_path / "site", bucket.url("logs"), run__max_reject_share=1)
    with studium.open(site) as opened:
        run_job(site, only=("ingest",))
        with opened.state.read() as conn:
            (row,) = known_files(conn, "edx").values()
    path = bucket.url("logs/x.log.gz")
    assert read_lines(path, {1, 3}) == {1: b"one", 3: b"three"}
    place = look_for(row)
    assert place.trouble == ""
    assert place.command(2) == f"aws s3 cp {path} - | zcat | sed -n 2p"
    bucket.put("logs/x.log.gz", b"other")
    assert look_for(row).trouble == CHANGED
    bucket.delete("logs/x.log.gz")
    assert look_for(row).trouble == GONE
    assert read_lines(path, {1}) == {}


# What goes wrong


@pytest.mark.parametrize("fault", [500, 503, HANG, CUT])
def test_a_passing_fault_is_tried_again(bucket: Bucket, fault: int) -> None:
    body = b"".join(b"%d\n" % number for number in range(9_000))
    bucket.put("logs/a.log", body)
    files = find_files([bucket.url("logs")])
    bucket.store.fail(fault, fault, only="GET")
    reader = LineReader(files, LIMIT, waits=Waits(timeout=0.3, patience=30))
    assert sum(batch.num_rows for batch in reader.batches(100_000)) == 9_000
    assert bucket.store.pending == 0
    assert reader.readings[0].error is None


@pytest.mark.parametrize(
    ("fault", "said"),
    [(503, "503"), pytest.param(HANG, "did not answer", marks=pytest.mark.long)],
)
def test_a_lasting_fault_stops_and_the_next_run_goes_on(
    bucket: Bucket, tmp_path: Path, fault: int, said: str
) -> None:
    sites.write_history(tmp_path / "logs")
    bucket.put_folder(tmp_path / "logs", "logs")
    # Larger than a part, so that it fails in its middle.
    name = f"tracking.log-{sites.day(3):%Y%m%d}"
    rows = [sites.enrollment(1000 + number, 3) for number in range(200)]
    padding = f'{{"padding": "{"x" * 60_000}"}}\n'
    text = "".join(f"{row}\n{padding}" for row in rows)
    (tmp_path / "logs" / name).write_text(text)
    bucket.put(f"logs/{name}", text.encode())
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    settings = {"run__max_reject_share": 1, "s3__timeout": 0.3, "s3__patience": 1.0}
    make_site(whole, bucket.url("logs"), **settings)
    make_site(broken, bucket.url("logs"), **settings)
    with sites.lent_engine():
        run_job(whole)
        _break_second_part(bucket, name, fault)
        with pytest.raises(S3Error, match=said) as failed:
            run_job(broken)
        assert SECRET not in str(failed.value)
        bucket.store.fail()
        run_job(broken)
        assert contents(broken) == contents(whole)
        assert run_job(broken).report.files == ()  # type: ignore[union-attr]


def _break_second_part(bucket: Bucket, name: str, fault: int) -> None:
    """Every request for a later part of the object fails."""
    bucket.store.fail(always=fault, only=f"GET /{bucket.name}/logs/{name} bytes=8388608-")


def test_an_object_that_is_replaced_while_it_is_read(bucket: Bucket) -> None:
    bucket.put("a.log", os.urandom(20 << 20).replace(b"\n", b"x"))
    bucket.put("b.log", b"fine\n")
    files = find_files([bucket.url("a.log"), bucket.url("b.log")])
    gone = SourceFile(bucket.url("gone.log"), 10, None, '"x"')
    bucket.put("a.log", b"other")
    reader = LineReader([*files, gone], LIMIT, waits=QUICK)
    assert sum(batch.num_rows for batch in reader.batches(100)) == 1
    first, second, third = (reading.error for reading in reader.readings)
    assert first == "it was replaced while it was read"
    assert second is None
    assert third == "there is no such object any more"


def test_what_an_error_says(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    store = bucket.store

    def said() -> str:
        with pytest.raises(S3Error) as failed:
            find_files([bucket.url("logs")], QUICK)
        assert SECRET not in str(failed.value)
        return str(failed.value)

    store.fail(always=403)
    assert "S3 answered 403 Forbidden" in said()
    assert "AWS_SECRET_ACCESS_KEY" in said()
    store.fail(always=503)
    assert "S3 answered 503 Service Unavailable" in said()
    assert len(store.requests) > 4
    store.fail()
    with pytest.raises(S3Error, match="no such bucket"):
        find_files(["s3://there-is-none/logs"], QUICK)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "false")
    assert "AWS_ALLOW_HTTP" in said()
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "cannot be reached, tried" in said()
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:8")
    assert "pip install '/path/to/clone[s3]'" in said()
