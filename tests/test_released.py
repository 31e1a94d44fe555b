"""What a worker lets out of jobs, together and one after the other."""

import json
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import studium
from studium.jobs.description import parse_spec
from studium.jobs.disclosure.model import Policy, Reason, Refused
from studium.jobs.folder import JobFolder, make_folder
from studium.jobs.states import FailedError, Failure, State
from studium.jobs.table import Job
from studium.jobs.worker.book import BOOK
from studium.jobs.worker.outputs import contained, release_outputs
from studium.site import Site

POLICY = Policy(types=("csv", "text"))
COUNTRIES = "country,n\nA,4\nB,24\nC,50\nall,78\n"
PARTS = "country,sex,n\nB,f,12\nB,m,12\n"
ENROLLED = {"in": {"table": "enrollment", "version": 3}}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with studium.init(tmp_path / "site") as site:
        yield site


def finished(
    site: Site, name: str, table: str, inputs: Mapping[str, object] = ENROLLED, units: int = 1
) -> tuple[JobFolder, Job]:
    """A job whose units have written ``table``."""
    keys = table.split("\n")[0].split(",")[:-1]
    output = {"file": "t.csv", "type": "csv", "level": "aggregate", "keys": keys, "learners": "n"}
    document = {
        "command": ["x"], "inputs": inputs, "outputs": {"t": output}, "owner": "ana",
        "units": {"count": units},
    }  # fmt: skip
    spec = parse_spec(document)
    folder = make_folder(site.jobs_dir, name, spec)
    for number in range(units):
        outputs = folder.unit(1, number) / "outputs"
        outputs.mkdir(parents=True)
        (outputs / "t.csv").write_text(table)
    job = Job(name, "ana", State.COLLECTING, 1, None, spec, "sandbox", 0, units, units, 0, "")
    return folder, job


def rows(folder: JobFolder) -> list[str]:
    return (folder.released / "t.csv").read_text().splitlines()[1:]


def test_what_one_job_withheld_no_other_tells(site: Site) -> None:
    first = finished(site, "by-country-aaaa", COUNTRIES)
    release_outputs(site, *first, POLICY)
    assert rows(first[0]) == ["C,50", "all,80"]  # 78
    then = finished(site, "by-sex-aaaa", PARTS)
    release_outputs(site, *then, POLICY)
    assert len(rows(then[0])) == 1  # both would be B, and so A
    again = finished(site, "by-country-bbbb", COUNTRIES)
    release_outputs(site, *again, POLICY)
    assert rows(again[0]) == rows(first[0])
    book = site.jobs_dir / BOOK
    assert sorted(path.name for path in book.iterdir()) == [
        "by-country-aaaa.json", "by-country-bbbb.json", "by-sex-aaaa.json", "secret"
    ]  # fmt: skip
    assert '"A"' not in (book / "by-country-aaaa.json").read_text()
    # Outputs of a job are of what that job has read, and another version is not another thing.
    some: tuple[tuple[Mapping[str, object], int], ...] = (
        ({"in": {"table": "video", "version": 1}}, 2),
        ({"in": {"job": "by-country-aaaa"}}, 1),
        ({"in": {"table": "enrollment", "version": 4}, "more": {"table": "answers"}}, 1),
    )
    for number, (inputs, left) in enumerate(some):
        job = finished(site, f"by-sex-{number}", PARTS, inputs)
        release_outputs(site, *job, POLICY)
        assert len(rows(job[0])) == left


def test_a_refusal_says_why_and_of_which_output(site: Site) -> None:
    folder, job = finished(site, "few-aaaa", "country,n\nA,4\n")
    with pytest.raises(FailedError) as caught:
        release_outputs(site, folder, job, POLICY)
    assert caught.value.failure is Failure.UNSAFE
    assert caught.value.told == {"output": "t.csv", "why": "too few learners"}
    assert not folder.released.exists()


def test_data_that_is_not_protected_is_in_no_book(site: Site) -> None:
    folder, job = finished(site, "by-country-aaaa", COUNTRIES)
    release_outputs(site, folder, job, Policy(protected=False))
    assert rows(folder) == COUNTRIES.splitlines()[1:]
    assert not (site.jobs_dir / BOOK).exists()


def test_two_hundred_units(site: Site) -> None:
    folder, job = finished(site, "many-aaaa", "n\n40\n", units=200)
    with pytest.raises(FailedError) as caught:
        release_outputs(site, folder, job, Policy(max_files=199, protected=False))
    assert caught.value.failure is Failure.OUTPUT_SIZE
    release_outputs(site, folder, job, Policy(protected=False))
    manifest = json.loads(folder.released_manifest.read_text())
    assert {one["name"] for one in manifest["files"]} == {f"{n}/t.csv" for n in range(200)}


def fill_memory() -> None:
    held = bytearray(4 * 2**30)
    assert not held


def die() -> None:
    os.kill(os.getpid(), signal.SIGXCPU)


def refuse() -> None:
    raise Refused(Reason.COLUMNS, "t.csv", "another column")


def test_reading_has_limits_of_its_own(tmp_path: Path) -> None:
    """What dies of a file, will die of it again: that is a refusal, and no error of ours."""
    log = str(tmp_path / "log")
    for work, reason in ((fill_memory, Reason.SIZE), (die, Reason.SIZE), (refuse, Reason.COLUMNS)):
        with pytest.raises(Refused) as caught:
            contained(work, log)
        assert caught.value.reason is reason
    contained(lambda: None, log)
    with pytest.raises(RuntimeError, match="KeyError"):
        contained(lambda: {}["x"], log)
