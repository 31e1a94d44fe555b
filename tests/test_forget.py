"""A forgotten learner is nowhere, does not come back, and everything else is as if never there."""

import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import studium
from studium.autopilot.forget import Mentions, forget, look_for
from studium.autopilot.reporting import REPORTS, write_report
from studium.autopilot.steps import choose_tables
from studium.errors import UsageError
from studium.lake.store import Lake
from studium.state.manifest import known_files
from tests import sites
from tests.children import Nursery

EMAIL = "ann@example.org"
NAMED = re.compile(r"learner1(?![0-9])|ann@example|learner1\b", re.IGNORECASE)


@pytest.fixture(scope="module", autouse=True)
def _engine() -> Iterator[None]:
    with sites.lent_engine():
        yield


def post(author: int, on: int, text: str, target: str | None = None) -> str:
    """A line of the forum, by one learner, about another."""
    line = json.loads(sites.video(author, on, second=author))
    line |= {"event_type": "edx.forum.thread.created", "name": "edx.forum.thread.created"}
    line["event"] = {"body": text} | ({"target_username": target} if target else {})
    return json.dumps(line)


def write_logs(folder: Path, without: bool = False) -> None:
    """A history in which learner 1 acts, is acted upon, is spoken of, and has a broken line; or the
    same ``without`` any line that tells of them."""
    sites.write_history(folder)
    enrolled = json.loads(sites.enrollment(1, 2, second=9))
    enrolled["username"], enrolled["context"]["user_id"] = "staff", 999
    mine = [
        sites.answer(1, 5),
        json.dumps(enrolled),
        post(30, 5, "hello learner1."),
        post(31, 5, "voted", target="Learner1"),
        post(32, 5, f"write to {EMAIL}!"),
        post(33, 5, "nested").replace('"nested"', '{"members": [{"user_id": 1}]}'),
        '{broken "username": "learner1"',
        '{broken "user_id": 1',
    ]
    others = [post(34, 5, "hello learner11, learner1-b and 1"), '{broken "user_id": 11', "{more"]
    sites.write_log(folder, 5, [*mine, *others])
    if without:
        for path in sorted(folder.iterdir()):
            import gzip

            raw = path.read_bytes()
            zipped = raw[:2] == b"\x1f\x8b"
            text = (gzip.decompress(raw) if zipped else raw).decode()
            kept = [line for line in text.split("\n") if line not in mine and not own(line)]
            data = "\n".join(kept).encode()
            path.write_bytes(gzip.compress(data, 1) if zipped else data)


def own(line: str) -> bool:
    return '"username": "learner1"' in line or '"user_id": 1,' in line or '"user_id": 1}' in line


def write_lms(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    people = [(1, "Learner1", "Ann@example.org"), (2, "learner2", "b@example.org")]
    rows = "".join(f"{n},{name},{mail},First,Last,1\n" for n, name, mail in people)
    (folder / "auth_user.csv").write_text(
        f"id,username,email,first_name,last_name,is_active\n{rows}"
    )
    (folder / "auth_userprofile.csv").write_text(
        "user_id,gender,year_of_birth,level_of_education\n1,f,1980,m\n2,m,1990,b\n"
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site that has run, its logs and LMS tables beside it."""
    folder = tmp_path_factory.mktemp("forget")
    write_logs(folder / "logs")
    write_lms(folder / "lms")
    site = sites.make_site(
        folder / "site", folder / "logs", lms__source=str(folder / "lms"), run__compact_after=2
    )
    sites.run_job(site, until=sites.day(3))
    sites.run_job(site)
    return site


@pytest.fixture(scope="module")
def never(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a site holds that never saw the learner."""
    folder = tmp_path_factory.mktemp("never")
    write_logs(folder / "logs", without=True)
    write_lms(folder / "lms")
    for path in (folder / "lms").iterdir():
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith("1,")))
    site = sites.make_site(folder / "site", folder / "logs", lms__source=str(folder / "lms"))
    sites.run_job(site)
    return held(site)


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "site"
    shutil.copytree(prepared, copy)
    return copy


def held(root: Path) -> dict[str, Any]:
    """All that the site holds, without places in logs and without the list of the forgotten."""
    found = sites.contents(root)
    found["lake"].pop("erasures", None)
    found["rejects"] = sorted(row["raw"] for row in found["rejects"])
    return found


def run_forget(root: Path, user: str = "1", mentions: Mentions | None = None) -> Any:
    with studium.open(root) as site, site.writer("forget"):
        return forget(site, Lake(site.lake_dir), user, mentions)


def sums(root: Path) -> dict[str, tuple[int, int]]:
    """Lines forgotten and all lines, by file; the sum must hold."""
    with studium.open(root) as site, site.state.read() as conn:
        assert not sites.broken_counts(site)
        rows = known_files(conn, "edx")
    return {Path(path).name: (row.forgotten, row.lines) for path, row in rows.items()}


def named_files(root: Path) -> list[str]:
    """Files of the site in whose bytes the learner is named; Parquet files are unpacked."""
    import pyarrow.parquet as pq

    found = []
    for path in root.rglob("*"):
        if path.is_file():
            text = path.read_bytes().decode("latin-1")
            if path.suffix == ".parquet":
                text += repr(pq.read_table(path, partitioning=None).to_pylist())
            if NAMED.search(text.replace("learner1-b", "")):
                found.append(str(path.relative_to(root)))
    return found


def test_as_if_never_there(root: Path, never: dict[str, Any]) -> None:
    before = set(named_files(root))
    assert {path.split("/")[1] for path in before} >= {"events", "event_answers", "rejects"}
    (done,) = run_forget(root)
    assert done.clean
    assert not named_files(root)
    assert held(root) == never
    rows = {one.table: one.rows for one in done.found.removed}
    assert rows["auth_user"] == rows["auth_user_contact"] == rows["auth_userprofile"] == 1
    assert rows["rejects"] == 2
    assert done.found.mentions == 3  # a greeting, an address, a nested id
    assert {trace.place for trace in done.traces} == {
        "lake", "Delta logs", "results", "state", "staged"
    }  # fmt: skip
    assert all(trace.looked_at for trace in done.traces if trace.place != "staged")
    assert sums(root)[f"tracking.log-{sites.day(5):%Y%m%d}"] == (8, 11)


def test_what_they_typed_is_gone(tmp_path: Path) -> None:
    """Tables of texts tell of nobody by a column, so they are made again without them."""
    lines = [sites.answer(1, 0, text="I am learner1"), sites.answer(2, 0, text="I am 11")]
    sites.write_log(tmp_path / "logs", 0, lines)
    root = sites.make_site(tmp_path / "site", tmp_path / "logs")
    sites.run_job(root, choose_tables(["answer_distribution"]))
    assert {"answer_texts", "answer_tallies", "problem_submissions"} <= {
        path.split("/")[1] for path in named_files(root) if "/" in path
    }
    (done,) = run_forget(root)
    assert done.clean
    assert not named_files(root)
    shown = {row["answer_value_text"] for row in sites.rows_of(root, "answer_distribution")}
    assert shown == {"I am 11"}


def test_reports_go_too(tmp_path: Path) -> None:
    lines = [sites.answer(2, 0, text="I am 11"), sites.answer(1, 1, text="I am learner1")]
    sites.write_log(tmp_path / "logs", 0, lines)
    root = sites.make_site(tmp_path / "site", tmp_path / "logs", answers__report_folder="../out")
    out = tmp_path / "out"
    sites.run_job(root, choose_tables(["answer_distribution", "problem_response_latest"]))

    def write() -> list[str]:
        with studium.open(root) as site:
            for name in REPORTS:
                write_report(site, Lake(site.lake_dir), name, out)
        return named_files(out)

    assert len(written := write()) == 2
    (out / f".{'0' * 32}.7.part").write_text("learner1")  # of a command that was killed
    # What is no report is somebody's own: it stays, and is told of if the learner is in it.
    others = {
        "notes_problem_response.csv": "name,mark\nzoe,1\n", "marks.csv": "name,mark\nlearner1,1\n",
        "readme.txt": "learner1\n",
    }  # fmt: skip
    for name, text in others.items():
        (out / name).write_text(text)
    (done,) = run_forget(root)
    assert done.reports == 3
    assert {one.name for one in out.rglob("*") if one.is_file()} == others.keys()
    assert {one.place: one.found for one in done.traces if one.found} == {"reports": 1}
    assert set(write()) == {"marks.csv", "readme.txt"}
    assert all((out / one).is_file() for one in written)


def test_the_same_logs_do_not_bring_them_back(root: Path, never: dict[str, Any]) -> None:
    run_forget(root)
    again = sites.run_job(root, lookback=1000)
    assert again.report is not None
    assert again.report.new == 0
    assert held(root) == never
    # All is lost but the list: everything is read from nothing.
    (root / "state.db").unlink()
    for table in (root / "lake").iterdir():
        if table.name != "erasures":
            shutil.rmtree(table)
    (root / "results.db").unlink()
    done = sites.run_job(root)
    assert done.report is not None
    assert sum(file.forgotten for file in done.report.files) >= 8
    assert held(root) == never
    assert sums(root)
    assert not named_files(root)


def test_twice_and_by_other_names(root: Path, never: dict[str, Any]) -> None:
    (done,) = run_forget(root, "ANN@example.org")
    assert done.found.person.ids == {1}
    assert held(root) == never
    counted = sums(root)
    (done,) = run_forget(root, "learner1")
    assert not done.found.removed
    assert done.clean
    assert sums(root) == counted


def test_a_table_that_was_lost_is_built_again(root: Path, never: dict[str, Any]) -> None:
    # Found by a history of make prove: what is left reads it, and cannot be built without.
    shutil.rmtree(root / "lake" / "enrollment_events")
    (done,) = run_forget(root)
    assert done.clean
    assert held(root) == never


def test_no_table_is_built_that_was_not_there(tmp_path: Path) -> None:
    # A table may have the name of a lens, which has more tables.
    write_logs(tmp_path / "logs")
    root = sites.make_site(tmp_path / "site", tmp_path / "logs")
    sites.run_job(root, [one for one in choose_tables(["video"]) if one.name != "video_timeline"])
    before = set(sites.open_lake(root).names())
    assert "video" in before
    run_forget(root)
    assert set(sites.open_lake(root).names()) == before | {"erasures"}


def test_a_dry_run_changes_nothing(root: Path) -> None:
    before = held(root)
    with studium.open(root) as site:
        found = look_for(site, Lake(site.lake_dir), "learner1", None)
        with pytest.raises(UsageError, match="Nobody is known as 'nobody"):
            look_for(site, Lake(site.lake_dir), "nobody", None)
    assert {one.table for one in found.removed} >= {"events", "enrollment_events", "rejects"}
    assert held(root) == before


def test_mentions_may_be_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studium.autopilot.forget._MANY_MENTIONS", 0)
    with pytest.raises(UsageError, match="a common word"):
        run_forget(root)
    (done,) = run_forget(root, mentions=Mentions.KEEP)
    assert done.clean
    assert done.found.mentions == 2, "the address and the nested id"
    bodies = [row["payload"] or "" for row in sites.rows_of(root, "events")]
    assert any("hello learner1." in body for body in bodies)
    assert not any('"voted"' in body for body in bodies), "named in a column"
    sites.run_job(root, lookback=1000)
    assert len(sites.rows_of(root, "events")) == len(bodies)


@pytest.mark.long
def test_killed_at_points_and_run_again(
    prepared: Path, never: dict[str, Any], tmp_path: Path
) -> None:
    with Nursery() as nursery:
        whole = tmp_path / "whole"
        shutil.copytree(prepared, whole)
        child = nursery.run(whole, "forget", "learner1")
        assert child.code == 0, child.err
        assert "No trace." in child.out
        counted = sums(whole)
        number = len(child.points)
        for point in range(7, number, max(1, number // 2)):
            site = tmp_path / f"site{point}"
            shutil.copytree(prepared, site)
            killed = nursery.run(site, "forget", "learner1", kill_at=point)
            assert killed.code == -signal.SIGKILL
            again = nursery.run(site, "forget", "1")
            assert again.code == 0, f"{point}: {again.out}{again.err}"
            assert held(site) == never, child.points[point]
            assert sums(site) == counted, child.points[point]
            assert not named_files(site), child.points[point]
            shutil.rmtree(site)
