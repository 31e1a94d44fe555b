"""Every line of every file is accounted for, against counts that Studium has no part in.

design §3.4(3): per file, lines read = kept + duplicates + rejects; the lines themselves, not only
their numbers, are the input's.
"""

import gzip
import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import pyarrow.dataset as ds
import pytest

import studium
from studium.autopilot import steps
from studium.clock import Interval
from studium.lake.store import Lake
from studium.site import Site
from studium.sources.edx import ingest as edx_ingest
from studium.sources.edx.files import file_id
from studium.sources.edx.ingest import FileReport, IngestReport
from studium.sources.edx.rejects import current_rejects
from studium.sources.edx.repair import repair_line
from tests.sites import enrollment, video

SPAN = Interval(date(2012, 1, 1), date(2026, 1, 1))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with studium.init(tmp_path / "site") as made:
        yield made


def read(site: Site, *sources: Path, lookback: int = 0) -> IngestReport:
    """Ingest through the step that every command uses."""
    overrides = {"edx.source": [str(path) for path in sources], "run.lookback": lookback}
    with studium.site.open_site(site.root, overrides) as same, same.writer("test"):
        return steps.ingest_step(same, Lake(same.lake_dir), SPAN)


def lines_of(path: Path) -> list[bytes]:
    """The lines of a file by a way of its own: ``zcat``, then a split at newlines."""
    command = ["zcat" if path.suffix == ".gz" else "cat", str(path)]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def account(site: Site, report: IngestReport) -> None:
    """Each file's lines are the multiset of those kept, repeated and refused."""
    lake = Lake(site.lake_dir)
    kept: dict[int, set[int]] = {}
    events = lake.snapshot("events").relation().files
    if events:
        table = ds.dataset(list(events)).to_table(columns=["file_id", "line_no"])
        for number, line in zip(*(column.to_pylist() for column in table), strict=True):
            assert line not in kept.setdefault(number, set()), "an event is there twice"
            kept[number].add(line)
    refused: dict[str, Mapping[int, bytes]] = {}
    for row in current_rejects(site, lake).to_pylist():
        refused.setdefault(row["path"], {})[row["line_no"]] = row["raw"]  # type: ignore[index]
    whole = {file.path: lines_of(Path(file.path)) for file in report.files if not file.error}
    known = {
        lines[line - 1].rstrip(b"\r").partition(b"{")[2]
        for path, lines in whole.items()
        for line in kept.get(file_id(path), ())
    }
    for file in report.files:
        if file.error:
            continue
        lines = whole[file.path]
        mine, not_mine = kept.get(file_id(file.path), set()), refused.get(file.path, {})
        assert file.lines == len(lines)
        assert (file.kept, file.rejects) == (len(mine), len(not_mine))
        assert file.duplicates == len(lines) - len(mine) - len(not_mine)
        assert not mine & not_mine.keys()
        for number, raw in not_mine.items():
            assert raw == lines[number - 1]
        repeated = set(range(1, len(lines) + 1)) - mine - not_mine.keys()
        for number in repeated:  # what is neither kept nor refused is kept elsewhere
            assert lines[number - 1].rstrip(b"\r").partition(b"{")[2] in known


def files(report: IngestReport) -> dict[str, FileReport]:
    return {Path(file.path).name: file for file in report.files}


def test_a_log_with_everything_in_it(site: Site, tmp_path: Path) -> None:
    good = [enrollment(n, on=n % 5) for n in range(200)]
    odd = [
        *good[:3],
        "Sep  1 10:00:00 host tracking: " + good[4],
        "",
        "garbage",
        '{"time": "2025-09-01T00:00:00+00:00", "event_type": "cut o',
        "[1, 2]",
        "null",
        '{"event_type": "x"}',
        '{"event_type": "x", "time": ""}',
        '{"event_type": "x", "time": "this is a bogus time"}',
        '{"event_type": "x", "time": 1378000000}',
        '{"event_type": "x", "time": "1970-01-01T00:00:00+00:00"}',
        '{"event_type": "x", "time": "2099-01-01T00:00:00+00:00"}',
        video(7, on=2) + "\r",
    ]
    first, second, third = (tmp_path / name for name in ("a.log", "b.log.gz", "c.log"))
    first.write_text("\n".join(good) + "\n")
    second.write_bytes(gzip.compress("\n".join(odd).encode() + b"\n\xff\xfe\n\x00\x00"))
    third.write_bytes(b"")
    report = read(site, tmp_path / "*.log*")
    account(site, report)
    of = files(report)
    assert (of["a.log"].kept, of["b.log.gz"].kept, of["c.log"].lines) == (200, 1, 0)
    assert of["b.log.gz"].duplicates == 4
    assert report.reasons == Counter(
        {
            "not JSON": 3,
            "blank line": 1,
            "not a JSON object": 2,
            "no time": 2,
            "time is not a date and time": 2,
            "implausible time": 2,
            "not UTF-8": 1,
        }
    )


def test_the_same_lines_again_change_nothing(site: Site, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(enrollment(n, on=n % 5) + "\n" for n in range(50)) + "broken\n")
    account(site, read(site, log))
    lake = Lake(site.lake_dir)
    before = {name: lake.snapshot(name).delta for name in ("events", "event_answers")}
    assert read(site, log).files == ()
    copy = tmp_path / "copy.log"
    copy.write_bytes(log.read_bytes())
    again = read(site, log, copy, lookback=5000)
    account(site, again)
    of = files(again)
    assert (of["a.log"].kept, of["a.log"].new, of["a.log"].rejects) == (50, 0, 1)
    assert (of["copy.log"].kept, of["copy.log"].duplicates, of["copy.log"].rejects) == (0, 50, 1)
    assert {name: lake.snapshot(name).delta for name in before} == before


def test_a_growing_file(site: Site, tmp_path: Path) -> None:
    log = tmp_path / "tracking.log"
    lines = [enrollment(n, on=n % 5) for n in range(60)]
    log.write_text("\n".join(lines[:30])[:-20])  # the last line is still being written
    report = read(site, log)
    account(site, report)
    assert (report.files[0].kept, report.files[0].rejects) == (29, 1)
    log.write_text("\n".join(lines) + "\n")
    report = read(site, log)
    account(site, report)
    assert (report.files[0].kept, report.files[0].new, report.files[0].rejects) == (60, 31, 0)


def test_batches_end_in_the_middle_of_files(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edx_ingest, "BATCH_LINES", 1)
    monkeypatch.setattr("studium.sources.edx.lines.BATCH_LINES", 40)
    for name in "abc":
        lines = [enrollment(n, on=n % 5, course=f"Org/{name}/1") for n in range(90)]
        (tmp_path / f"{name}.log").write_text("\n".join([*lines, lines[0], "broken"]) + "\n")
    report = read(site, tmp_path / "*.log")
    account(site, report)
    assert [(file.kept, file.duplicates, file.rejects) for file in report.files] == [(90, 1, 1)] * 3


def test_days_all_over_the_place(site: Site, tmp_path: Path) -> None:
    log = tmp_path / "years.log"
    times = [f"20{15 + n % 10}-{n % 12 + 1:02}-{n % 28 + 1:02}T0{n % 10}" for n in range(1000)]
    text = (json.dumps({"time": f"{t}:00:00+00:00", "event_type": f"/{t}"}) for t in times)
    log.write_text("".join(line + "\n" for line in text))
    report = read(site, log)
    account(site, report)
    assert report.files[0].kept == len(set(times))


def test_real_logs(site: Site, shared: Path) -> None:
    report = read(site, shared / "edx-logs")
    account(site, report)
    of = files(report)
    assert {name: file.lines for name, file in of.items()} == {
        "tracking.log-20130609.gz": 6460,
        "user_activity_tracking.log": 207,
        "location_by_course_tracking.log": 74,
    }
    assert report.lines == sum(file.kept + file.duplicates for file in of.values())


def test_todays_events(site: Site, shared: Path, tmp_path: Path) -> None:
    sources = sorted((shared / "edx-events").glob("*.json"))
    log = tmp_path / "events.log"
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in sources]
    log.write_text("".join(json.dumps(document) + "\n" for document in documents))
    report = read(site, log)
    account(site, report)
    (file,) = report.files
    timed = [d for d in documents if d.get("time") or d.get("timestamp")]
    assert file.lines == len(sources) == 81
    assert file.rejects == len(documents) - len(timed)
    assert file.kept + file.duplicates == len(timed)


def test_a_second_look_takes_no_longer_than_the_line() -> None:
    """Braces by the hundred thousand, none closed: a regular expression once took minutes."""
    assert repair_line('{"a":' * 200_000) is None
    assert repair_line('Sep  1 host: {"a": "\\ud83d"} \r\n') == '{"a": "\ufffd"}'
    assert repair_line('{"a": 1} and more') is None
