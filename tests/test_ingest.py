"""Ingest: each line is kept once, found again or refused, whatever order files come in.

Rules: design §3.1 (intervals never drop an event), §3.3 (manifest, identity, merge), §3.4;
specs/edx-enrollment-geography §6 E09, E10, E51. What single lines become: ``test_shred``.
"""

import gzip
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studium.autopilot import steps
from studium.cli import main
from studium.clock import Interval
from studium.lake.store import Lake, Snapshot
from studium.site import open_site
from studium.sources.edx import files, ingest, lines, reshred, shred, staging
from studium.sources.edx.ingest import FileReport, IngestReport
from studium.sources.edx.rejects import current_rejects
from studium.state.coverage import covered_days
from studium.state.manifest import FileRow, known_files
from tests import edx_reference as reference
from tests import sites
from tests.sites import FIRST, answer, day, enrollment, video

SPAN = Interval(FIRST, FIRST + timedelta(days=60))


@dataclass
class Place:
    """A site without a history and a folder for its logs."""

    folder: Path
    settings: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.logs = self.folder / "logs"
        self.logs.mkdir(parents=True)
        self.root = sites.make_site(self.folder / "site", self.logs, **self.settings)
        self.lake = Lake(self.root / "lake")

    def log(self, name: str, written: Sequence[str | bytes], end: bytes = b"\n") -> Path:
        """Write a log, compressed if its name says so."""
        raw = [line if isinstance(line, bytes) else line.encode() for line in written]
        data = b"\n".join(raw) + (end if raw else b"")
        path = self.logs / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    def read(
        self, *sources: Path, span: Interval = SPAN, lookback: int = 0, **options: object
    ) -> IngestReport:
        """Ingest as every command does it; by default all of the folder."""
        given_: dict[str, object] = {name.replace("__", "."): v for name, v in options.items()}
        given_["run.lookback"] = lookback
        if sources:
            given_["edx.source"] = [str(path) for path in sources]
        with open_site(self.root, given_) as site, site.writer("test"):
            return steps.ingest_step(site, self.lake, span)

    def events(self) -> list[dict[str, Any]]:
        return self._rows("events")

    def answers(self) -> list[dict[str, Any]]:
        return self._rows("event_answers")

    def _rows(self, table: str) -> list[dict[str, Any]]:
        from studium.engines.duckdb import connect, relation_sql

        with closing(connect(threads=1)) as db:
            sql = relation_sql(self.lake.snapshot(table).relation())
            return db.sql(f"FROM ({sql}) ORDER BY ALL").to_arrow_table().to_pylist()

    def positions(self) -> dict[tuple[str, int], str]:
        """(file name, line number) → user name, of every event kept."""
        names = {files.file_id(str(path)): path.name for path in self.logs.iterdir()}
        return {(names[r["file_id"]], r["line_no"]): r["username"] for r in self.events()}

    def rejects(self) -> list[tuple[str, int, str, bytes]]:
        with open_site(self.root) as site:
            rows = current_rejects(site, self.lake).to_pylist()
        return [(Path(r["path"]).name, r["line_no"], r["reason"], r["raw"]) for r in rows]

    def manifest(self) -> dict[str, FileRow]:
        with open_site(self.root) as site, site.state.read() as conn:
            return {Path(path).name: row for path, row in known_files(conn, "edx").items()}

    def covered(self) -> set[date]:
        with open_site(self.root) as site, site.state.read() as conn:
            return covered_days(conn, "edx", SPAN.widen(400))

    def events_table(self) -> Snapshot:
        return self.lake.snapshot("events")

    def versions(self) -> dict[date | None, str]:
        return dict(self.events_table().versions())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def counts(report: IngestReport) -> dict[str, tuple[int, int, int, int, int]]:
    """File name → lines, kept, new, duplicates, rejects."""
    return {Path(f.path).name: (f.lines, f.kept, f.new, f.duplicates, f.rejects)
            for f in report.files}  # fmt: skip


# Any lines, in any files, in any order

POOL: list[str | bytes] = [
    *(enrollment(learner, on) for learner in range(3) for on in range(3)),
    *(f"Sep  1 10:00:00 host: {enrollment(learner, 0)}" for learner in range(2)),
    enrollment(1, 1) + " \r",
    enrollment(1, 1).replace('"context": {', '"context": {"more": 1, '),
    answer(1, 2),
    '{"time": "2025-09-03T10:00:00+00:00", "username": "half \\ud83d"}',
    "garbage",
    "",
    enrollment(1, 1)[:-1],
    '{"time": "1970-01-01T00:00:00+00:00"}',
    '{"time": null}',
    b"\xff\xfe broken \xc3(",
    b"nul \0 byte",
    "[1]",
]
LOGS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b.gz", "c-20250901"]),
        st.lists(st.sampled_from(POOL), max_size=12),
        st.sampled_from([b"\n", b"", b"\n\n"]),
    ),
    min_size=1,
    max_size=5,
)


def is_event(line: bytes) -> bool:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return False
    return not isinstance(reference.shred(text, FIRST, SPAN.until), str)


def what(line: bytes) -> str:
    """What makes two good lines the same event: the object, whatever stands before it."""
    text = line.decode()
    return json.dumps(reference.scrub(json.loads(text[text.index("{") :])), sort_keys=True)


@settings(max_examples=settings().max_examples // 4)
@given(logs=LOGS, together=st.booleans())
def test_every_line_is_kept_found_again_or_refused(
    tmp_path_factory: pytest.TempPathFactory, logs: list[Any], together: bool
) -> None:
    place = Place(tmp_path_factory.mktemp("any"))
    lines_in: dict[str, list[bytes]] = {}
    distinct: set[str] = set()
    for number, (name, written, end) in enumerate(logs):
        path = place.log(name, written, end)
        os.utime(path, ns=(number, number))  # a file written anew within the clock's tick
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines_in[name] = data.split(b"\n")[: None if data and data[-1:] != b"\n" else -1]
        if together and number < len(logs) - 1:
            continue
        report = place.read()
        names = lines_in if together else {name}
        assert {Path(f.path).name for f in report.files} == set(names)
        for file in report.files:
            mine = lines_in[Path(file.path).name]
            assert file.lines == len(mine) == file.kept + file.duplicates + file.rejects
            assert file.rejects == sum(not is_event(line) for line in mine)
            assert file.error is None
        for one in names:
            distinct |= {what(line) for line in lines_in[one] if is_event(line)}
        # A line of the lake whose file has been written anew since is no line of that file.
        fresh = Counter(distinct) if together or number == 0 else None
        kept = place.positions()
        assert len(kept) <= len(distinct)
        assert len(place.events()) == len(distinct)
        if fresh is not None:
            assert Counter(what(lines_in[n][i - 1]) for n, i in kept) == fresh
    refused = {(n, i): raw for n, i, _, raw in place.rejects()}
    assert refused == {
        (name, index + 1): line
        for name, mine in lines_in.items()
        for index, line in enumerate(mine)
        if not is_event(line)
    }


# Duplicates and identity


def test_a_repeated_line_is_kept_once(place: Place) -> None:
    place.log("a", [enrollment(1, 0)] * 3 + [enrollment(2, 0)])
    assert counts(place.read()) == {"a": (4, 2, 2, 2, 0)}
    assert place.positions() == {("a", 1): "learner1", ("a", 4): "learner2"}


def test_an_unchanged_file_is_not_read_again(place: Place) -> None:
    place.log("a", [enrollment(1, 0), "bad"])
    place.read()
    again = place.read()
    assert (again.files, again.unchanged, again.lines) == ((), 1, 0)


def test_reading_the_same_file_again_keeps_its_lines(place: Place) -> None:
    path = place.log("a", [enrollment(1, 0), enrollment(1, 0), enrollment(2, 0), "bad"])
    place.read()
    before = place.events(), place.rejects(), place.versions()
    os.utime(path, ns=(1, 1))
    assert counts(place.read()) == {"a": (4, 2, 0, 1, 1)}
    assert (place.events(), place.rejects(), place.versions()) == before


@pytest.mark.parametrize("order", ["ab", "ba", "both"])
def test_the_same_lines_in_two_files_in_either_order(place: Place, order: str) -> None:
    shared = [enrollment(learner, learner % 3) for learner in range(10)]
    paths = {"a": place.log("a", [*shared, video(50, 0)]), "b": place.log("b.gz", shared[::-1])}
    for sources in ["ab"] if order == "both" else order:
        place.read(*(paths[name] for name in sources))
    kept = Counter(row["username"] for row in place.events())
    assert kept == Counter({**{f"learner{n}": 1 for n in range(10)}, "learner50": 1})
    rows = place.manifest().values()
    assert sum(row.kept for row in rows) == 11
    assert sum(row.duplicates for row in rows) == 10


def test_a_growing_file_is_read_again_and_only_what_is_new_is_added(place: Place) -> None:
    lines_ = [enrollment(learner, learner % 2) for learner in range(6)]
    place.log("a", [*lines_[:3], lines_[3][:40]], end=b"")
    assert counts(place.read()) == {"a": (4, 3, 3, 0, 1)}
    assert [row[1:3] for row in place.rejects()] == [(4, "not JSON")]
    place.log("a", lines_)
    assert counts(place.read()) == {"a": (6, 6, 3, 0, 0)}
    assert place.rejects() == []
    assert len(place.events()) == 6


def test_a_renamed_file_adds_nothing(place: Place) -> None:
    path = place.log("a", [enrollment(1, 0), enrollment(2, 1)])
    place.read()
    before = place.versions()
    path.rename(place.logs / "a-20250902")
    assert counts(place.read()) == {"a-20250902": (2, 0, 0, 2, 0)}
    assert place.versions() == before


def test_the_framing_does_not_make_another_event_but_the_context_does(place: Place) -> None:
    line = enrollment(1, 0)
    place.log("a", [line])
    place.log("b", [f"Sep  1 host: {line}", f"{line}\r", line.replace(", ", ",")])
    place.log("c", [line.replace('"org_id": "Orion"', '"org_id": "Orion2"')])
    assert {n: c[1:4] for n, c in counts(place.read()).items()} in (
        {"a": (1, 1, 0), "b": (0, 0, 3), "c": (1, 1, 0)},
        {"a": (0, 0, 1), "b": (1, 1, 2), "c": (1, 1, 0)},
    )


# Days


def test_late_events_go_to_their_day_and_touch_no_other(place: Place) -> None:
    place.log("tracking.log-20250902", [enrollment(n, on) for n, on in ((1, 0), (2, 1), (3, 2))])
    place.read()
    before = place.versions()
    place.log("tracking.log-20250905", [enrollment(4, 1), enrollment(5, 4), enrollment(3, 2)])
    place.read()
    after = place.versions()
    assert {on for on, build in after.items() if before.get(on) != build} == {day(1), day(4)}
    assert after[day(1)] > before[day(1)]
    assert Counter(row["day"] for row in place.events()) == {
        day(0): 1, day(1): 2, day(2): 1, day(4): 1
    }  # fmt: skip


def test_events_outside_the_interval_are_kept(place: Place) -> None:
    """E10 and design §3.1: the interval says which files to look at, not which events to keep."""
    place.log("tracking.log-20250905", [enrollment(n, n) for n in range(8)])
    place.log("tracking.log-20250920", [enrollment(99, 0)])
    report = place.read(span=Interval(day(4), day(5)))
    assert counts(report) == {"tracking.log-20250905": (8, 8, 8, 0, 0)}
    assert (report.outside, report.unchanged) == (1, 0)
    assert {row["day"] for row in place.events()} == {day(n) for n in range(8)}


def test_an_offset_may_carry_an_event_to_another_day(place: Place) -> None:
    late = enrollment(1, 0).replace("T10:00:00.000000+00:00", "T23:30:00-05:00")
    early = enrollment(2, 1).replace("T10:00:00.000000+00:00", "T00:30:00+05:00")
    place.log("a", [late, early])
    place.read()
    assert {row["username"]: row["day"] for row in place.events()} == {
        "learner1": day(1),
        "learner2": day(0),
    }


def test_plausible_days_are_those_from_the_start_until_tomorrow(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "today", lambda: day(3))
    times = [
        "2025-08-31T23:59:59.999999", "2025-09-01T00:00:00", "2025-09-05T23:59:59.999999",
        "2025-09-06T00:00:00", "1970-01-01T00:00:00Z", "2099-01-01T00:00:00Z",
    ]  # fmt: skip
    place.log("a", [json.dumps({"time": text}) for text in times])
    assert counts(place.read()) == {"a": (6, 2, 2, 0, 4)}
    assert [row[1:3] for row in place.rejects()] == [(n, "implausible time") for n in (1, 4, 5, 6)]


def test_a_log_that_jumps_between_many_days_makes_one_file_a_day(place: Place) -> None:
    start = date(2025, 9, 1)
    stamps = [start + timedelta(days=n * 37 % 90) for n in range(900)]
    place.log("a", [json.dumps({"time": f"{d}T00:00:00", "page": str(n)}) for n, d in
                    enumerate(stamps)])  # fmt: skip
    place.read()
    assert Counter(row["day"] for row in place.events()) == Counter(stamps)
    assert len(place.events_table().files) == 90


# Manifest and coverage


def test_the_manifest_says_what_was_read(place: Place) -> None:
    path = place.log("a.gz", [enrollment(1, 0), enrollment(1, 0), enrollment(2, 0), "bad"])
    place.read()
    (row,) = place.manifest().values()
    status = path.stat()
    assert (row.path, row.file_id) == (str(path), files.file_id(str(path)))
    assert (row.size, row.mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert (row.lines, row.kept, row.duplicates, row.rejects, row.error) == (4, 2, 1, 1, None)


def test_a_file_that_cannot_be_read_is_tried_again_and_its_days_are_not_covered(
    place: Place,
) -> None:
    place.log("a", [enrollment(1, 0)])
    target = place.folder / "elsewhere"
    (place.logs / "b").symlink_to(target)
    report = place.read()
    assert [(Path(f.path).name, f.error) for f in report.failed] == [
        ("b", "No such file or directory")
    ]
    assert list(place.manifest()) == ["a"]
    assert place.covered() == set()
    target.write_text(enrollment(2, 0))
    assert counts(place.read()) == {"b": (1, 1, 1, 0, 0)}
    assert place.covered() == set(SPAN)


def test_a_cut_file_is_read_as_far_as_it_goes_and_again_when_it_is_whole(place: Place) -> None:
    whole = [enrollment(learner, 0) for learner in range(2000)]
    path = place.log("a.gz", whole)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    (report,) = place.read().files
    assert report.error == "the gzip stream is cut off"
    assert 500 < report.kept < 2000
    assert (report.rejects, place.rejects()[0][2]) == (1, lines.CUT_OFF)
    assert place.covered() == set()
    path.write_bytes(data)
    assert counts(place.read()) == {"a.gz": (2000, 2000, 2000 - report.kept, 0, 0)}
    assert place.rejects() == []
    assert place.manifest()["a.gz"].error is None


def test_days_that_were_looked_at_are_covered_without_events(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "today", lambda: day(4))
    place.log("a", [])
    place.read(span=Interval(day(1), day(9)))
    # The day that is not over is not covered, however well it was read.
    assert place.covered() == {day(1), day(2), day(3)}
    assert place.manifest()["a"].lines == 0


def test_looking_back_reads_the_last_days_again(place: Place) -> None:
    for on in (0, 3, 7, 20):
        place.log(f"tracking.log-{day(on):%Y%m%d}", [enrollment(on, on)])
    place.log("undated", [enrollment(99, 0)])
    span = Interval(day(0), day(8))
    assert len(place.read(span=span).files) == 4
    report = place.read(span=span, lookback=2)
    # Days 6 and 7, wider by edx.window_days = 2; a name without a date may hold any day.
    assert sorted(counts(report)) == ["tracking.log-20250908", "undated"]
    assert (report.unchanged, report.outside) == (2, 1)
    assert all(new == 0 for _, _, new, _, _ in counts(report).values())


# Batches, compaction, re-shredding


def mixed(place: Place) -> None:
    """Three files with duplicates within and across them, answers, and refused lines."""
    for name in ("a", "b.gz", "c"):
        place.log(
            name,
            [
                *(enrollment(n, n % 4, course=f"Org/{name[0]}/1") for n in range(40)),
                *(enrollment(n, n % 4) for n in range(10)),
                *(answer(n, n % 3) for n in range(5)),
                enrollment(3, 3),
                "bad",
                b"\xff",
            ],
        )


def test_batches_of_any_size_give_the_same_lake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    slabs = 0
    honest = ingest.load_slab

    def counted(*arguments: Any) -> int:
        nonlocal slabs
        slabs += 1
        return honest(*arguments)

    monkeypatch.setattr(ingest, "load_slab", counted)
    many = 4_000_000
    for number, (batch, slice_, slab) in enumerate(
        ((many, 8192, 256 << 20), (60, 20, 256 << 20), (many, 20, 6000))
    ):
        place = Place(tmp_path / str(number) / "x")
        mixed(place)
        monkeypatch.setattr(ingest, "BATCH_LINES", batch)
        monkeypatch.setattr(lines, "BATCH_LINES", slice_)
        monkeypatch.setattr(staging, "SLAB_BYTES", slab)
        before = slabs
        report = place.read()
        assert (slabs - before == 1) == (number == 0), "duplicates are found across slabs, too"
        assert sum(c[1] for c in counts(report).values()) == 3 * 40 + 10 + 5
        rows = [{k: v for k, v in r.items() if k not in ("file_id", "line_no")}
                for r in place.events()]  # fmt: skip
        found.append((Counter(map(repr, rows)), place.answers(), place.rejects()))
    assert found[0] == found[1] == found[2]
    assert len(found[0][2]) == 6


def test_compaction_keeps_rows_and_versions(place: Place) -> None:
    builds: dict[date | None, str] = {}
    for number in range(3):
        place.log(f"part{number}", [enrollment(number, 0), answer(number, 1), "bad"])
        place.read(run__compact_after=100)
        builds = place.versions()
    rows, parts, refused = place.events(), place.answers(), place.rejects()
    assert len(place.events_table().files) == 6
    place.log("last", [])
    place.read(run__compact_after=1)
    assert len(place.events_table().files) == 2
    assert len(place.lake.snapshot("event_answers").files) == 1
    assert (place.events(), place.answers(), place.rejects()) == (rows, parts, refused)
    assert place.versions() == builds
    assert counts(place.read(lookback=60)) == {
        **{f"part{number}": (3, 2, 0, 0, 1) for number in range(3)}, "last": (0, 0, 0, 0, 0)
    }  # fmt: skip


def test_a_new_shredder_shreds_old_days_anew_from_the_lake(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed(place)
    place.log("d", [video(1, 5), enrollment(1, 0).replace("server", "browser")])
    place.read()
    events, parts, builds = place.events(), place.answers(), place.versions()
    assert reshred.stale_days(place.events_table()) == []
    for path in place.logs.iterdir():  # the raw logs are not needed
        path.unlink()
    place.log("empty", [])
    old, new = shred.SHREDDER, shred.SHREDDER + 1
    monkeypatch.setattr(shred, "SHREDDER", new)
    assert reshred.stale_days(place.events_table()) == sorted(d for d in builds if d)
    place.read()
    assert reshred.stale_days(place.events_table()) == []
    assert [{**row, "shredder": old} for row in place.events()] == events
    assert {row["shredder"] for row in place.events()} == {new}
    assert place.answers() == parts
    after = place.versions()
    assert after.keys() == builds.keys()
    assert all(after[on] > builds[on] for on in builds)
    place.read(lookback=60)
    assert place.versions() == after


def test_a_day_with_one_file_of_an_older_shredder_is_stale(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.log("a", [enrollment(1, 0), enrollment(1, 1)])
    place.read()
    with monkeypatch.context() as patch:
        patch.setattr(shred, "SHREDDER", shred.SHREDDER + 1)
        patch.setattr(steps, "reshred_days", lambda site, lake: 0)
        place.log("b", [enrollment(2, 0), enrollment(2, 2)])
        place.read(run__compact_after=1)  # day 0 is compacted to one file of both
        assert reshred.stale_days(place.events_table()) == [day(0), day(1)]


# The command for refused lines


@pytest.fixture
def said(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Iterator[Callable[..., bytes]]:
    """What a command line prints."""

    def run(*arguments: object) -> bytes:
        monkeypatch.setattr(sys, "argv", ["studium", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 0
        return capsysbinary.readouterr().out

    return run


def test_refused_lines_can_be_listed_and_replayed(place: Place, said: Callable[..., bytes]) -> None:
    bad = [b"garbage", b"", b"\xff\xfe\xc3(", b"a \0 b", "[\u2028, é 🎓]\r".encode(), b"{" * 5000]
    place.log("a", [enrollment(1, 0), *bad])
    place.log("b.gz", [b'{"time": "yesterday"}', enrollment(1, 0)])
    place.read()
    site = ("--site", place.root)
    listed = json.loads(said(*site, "rejects", "--json"))
    assert [(Path(r["path"]).name, r["line_no"]) for r in listed] == [
        *(("a", n) for n in range(2, 8)),
        ("b.gz", 1),
    ]
    reasons = Counter(row["reason"] for row in listed)
    assert reasons["not UTF-8"] == reasons["blank line"] == 1
    text = said(*site, "rejects").decode()
    assert "garbage" in text
    assert "\0" not in text
    assert "time is not a date and time" in text
    only = said(*site, "rejects", "--raw", "--file", "b.gz")
    assert only == b'{"time": "yesterday"}\n'
    assert said(*site, "rejects", "--raw", "--reason", "not UTF-8") == b"\xff\xfe\xc3(\n"
    raw = said(*site, "rejects", "--raw")
    assert raw == b"\n".join(bad) + b'\n{"time": "yesterday"}\n'
    again = Place(place.folder / "again")
    (again.logs / "raw").write_bytes(raw)
    assert counts(again.read()) == {"raw": (7, 0, 0, 0, 7)}
    assert [row[2:] for row in again.rejects()] == [row[2:] for row in place.rejects()]


def test_no_refused_lines(place: Place, said: Callable[..., bytes]) -> None:
    assert said("--site", place.root, "rejects") == b"No line was refused.\n"
    place.log("a", [enrollment(1, 0)])
    place.read()
    assert said("--site", place.root, "rejects", "--raw") == b""


def test_a_report_that_does_not_add_up_stops_the_ingest(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.log("a", [enrollment(1, 0)])
    honest = ingest.load_slab

    def losing(db: Any, *arguments: Any) -> int:
        lines = honest(db, *arguments)
        db.execute("DELETE FROM slab")
        return lines

    monkeypatch.setattr(ingest, "load_slab", losing)
    with pytest.raises(AssertionError, match="lost or made up"):
        place.read()
    assert place.manifest() == {}


def test_ctrl_c_while_lines_are_read_is_no_error_of_the_engine(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.log("a", [enrollment(1, 0)])

    def interrupted(*_: object) -> Iterator[object]:
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patch:
        patch.setattr(lines.LineReader, "batches", interrupted)
        with pytest.raises(KeyboardInterrupt):
            place.read()
    assert place.read().new == 1


def test_a_file_report_speaks_of_one_file() -> None:
    report = IngestReport(SPAN, (FileReport("/a", 3, 1, 1, 1, 1, None),
                                 FileReport("/b", 2, 2, 0, 0, 0, "cut")))  # fmt: skip
    assert (report.lines, report.rejects, report.new) == (5, 1, 1)
    assert [file.path for file in report.failed] == ["/b"]
