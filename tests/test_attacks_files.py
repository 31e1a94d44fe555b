"""Hostile outputs do not leave, hostile submissions are not taken; those who trust them are had."""

import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studium.errors import JobError
from studium.jobs.disclosure.folder import copy, walk
from studium.jobs.disclosure.model import Policy, Refused
from studium.jobs.disclosure.release import release
from studium.jobs.folder import JobFolder
from studium.jobs.submission import take_code
from tests.attacks.ground import Ground, ground
from tests.attacks.naive import copy_checked
from tests.attacks.outputs import CASES, DECLARED, LEAVES, Case, let_out
from tests.attacks.programs import GOOD
from tests.attacks.submissions import CASES as SUBMISSIONS
from tests.attacks.submissions import Submitted

LAUNCHERS = ("sandbox", "container")


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest) -> Iterator[Ground]:
    with ground(lambda: request.getfixturevalue("containers")) as made:
        yield made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("kind", LAUNCHERS)
def test_what_a_unit_leaves(place: Ground, kind: str, case: Case, tmp_path: Path) -> None:
    folder = place.littered[kind] / case.name
    refused = let_out(folder, tmp_path / "out")
    if case.name in LEAVES:
        left = tmp_path / "out" / "metrics.csv"
        assert (refused, left.read_text()) == ("", GOOD)
        assert os.listxattr(left) == []
    elif case.name == "set_id":  # never was one, or is none any more: see below
        assert kind in LAUNCHERS
    else:
        assert refused


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_whoever_trusts_it_is_had(place: Ground, case: Case, tmp_path: Path) -> None:
    folder, target = place.littered["control"] / case.name, tmp_path / "out"
    target.mkdir()
    assert case.free(place.world, folder, target)


@pytest.mark.parametrize("kind", LAUNCHERS)
def test_outputs_belong_to_the_worker_and_to_nobody_else(place: Ground, kind: str) -> None:
    found = list(place.littered[kind].rglob("*"))
    assert len(found) >= len(CASES) + 40
    for path in found:
        about = path.lstat()
        assert about.st_uid == os.geteuid()
        assert not about.st_mode & (stat.S_ISUID | stat.S_ISGID)
        if stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode):
            assert not about.st_mode & 0o077


def test_a_file_that_grows_while_it_is_copied(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"x" * 1000)
    grow = lambda: path.write_bytes(b"x" * 100_000)  # noqa: E731
    copy_checked(path, tmp_path / "naive", grow)
    assert (tmp_path / "naive").stat().st_size == 100_000
    with pytest.raises(Refused, match="too large"):
        copy(tmp_path, "metrics.csv", tmp_path / "out", 1000)
    assert (tmp_path / "out").stat().st_size <= 1000


def _swap_file(outputs: Path, elsewhere: Path) -> None:
    (outputs / "sub" / "metrics.csv").unlink()
    (outputs / "sub" / "metrics.csv").symlink_to(elsewhere / "metrics.csv")


def _swap_folder(outputs: Path, elsewhere: Path) -> None:
    (outputs / "sub").rename(outputs / "gone")
    (outputs / "sub").symlink_to(elsewhere)


def _swap_link(outputs: Path, elsewhere: Path) -> None:
    (outputs / "sub" / "metrics.csv").unlink()
    os.link(elsewhere / "metrics.csv", outputs / "sub" / "metrics.csv")


@pytest.mark.parametrize("swap", [_swap_file, _swap_folder, _swap_link])
def test_a_file_that_is_swapped_after_it_was_checked(
    tmp_path: Path, swap: Callable[[Path, Path], None]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "metrics.csv").write_text("secret")
    for name in ("naive", "ours"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "metrics.csv").write_text(GOOD)
    path = tmp_path / "naive" / "sub" / "metrics.csv"
    copy_checked(path, tmp_path / "had", lambda: swap(tmp_path / "naive", elsewhere))
    assert (tmp_path / "had").read_text() == "secret"
    names = list(walk(tmp_path / "ours", 10))
    swap(tmp_path / "ours", elsewhere)
    with pytest.raises(Refused):
        copy(tmp_path / "ours", names[0], tmp_path / "out", 1000)
    assert not (tmp_path / "out").exists() or (tmp_path / "out").read_bytes() == b""


def test_a_table_that_unpacks_to_far_more(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    path = outputs / "metrics.parquet"
    rows = 3_000_000
    pq.write_table(pa.table({"n": pa.repeat(50, rows)}), path, compression="zstd")
    assert path.stat().st_size < 100_000
    assert pq.read_table(path).nbytes >= 8 * rows  # whoever reads it needs that much memory
    declared = replace(DECLARED[0], name="metrics.parquet", type="parquet", keys=())
    with pytest.raises(Refused, match="too large"):
        release(outputs, tmp_path / "out", [declared], Policy())


@pytest.mark.parametrize("case", SUBMISSIONS, ids=lambda case: case.name)
def test_a_submission_that_is_not_taken(case: Submitted, tmp_path: Path) -> None:
    source = case.make(tmp_path)
    folder = JobFolder(tmp_path / "job")
    folder.path.mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(JobError) as caught:
        take_code(source, folder, 2**20)
    assert sorted(tmp_path.rglob("*")) == before  # nothing is left, here or elsewhere
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("case", SUBMISSIONS, ids=lambda case: case.name)
def test_whoever_takes_it_is_had(case: Submitted, tmp_path: Path) -> None:
    source = case.make(tmp_path)
    target = tmp_path / "naive" / "target"
    target.mkdir(parents=True)
    assert case.free(source, target)


def test_a_zip_is_not_believed_about_sizes(tmp_path: Path) -> None:
    """Its directory says one byte; the bytes that come are counted."""
    path = tmp_path / "code.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("main.py", b"x" * 2**21)
    data = path.read_bytes().replace((2**21).to_bytes(4, "little"), (1).to_bytes(4, "little"))
    path.write_bytes(data)
    folder = JobFolder(tmp_path / "job")
    folder.path.mkdir()
    with pytest.raises(JobError):
        take_code(path, folder, 2**20)
    assert list(folder.path.iterdir()) == []
