"""What jobs read: settled at submission, staged at preparation, pinned in between."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from studium.errors import JobError, SpecError
from studium.jobs import table, units
from studium.jobs.description import parse_spec
from studium.jobs.folder import JobFolder, folder_of, folders
from studium.jobs.inputs import (
    EMPTY,
    digest_of,
    drop_inputs,
    pinned,
    read_manifest,
    stage_inputs,
    unit_mounts,
)
from studium.jobs.intake import cancel_job, clone_job, resubmit_job, submit_job
from studium.jobs.orders import order_unit
from studium.jobs.results import fetch_results
from studium.jobs.spec import JobSpec, TableInput
from studium.jobs.states import FailedError, Failure, State
from studium.jobs.upkeep import delete_job
from studium.lake.store import Lake
from studium.lake.vacuum import vacuum_tables
from studium.site import Site, init_site, open_site
from tests.test_lake import MON, TUE, WED, commit

RESTRICTED = {"people"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.log").write_text("raw\n")
    (tmp_path / "secret").write_text("secret")
    with init_site(tmp_path / "site", {"jobs.sources": [str(tmp_path / "raw")]}) as made:
        lake = Lake(made.root / "lake")
        commit(lake, 1, {MON: [1, 2], TUE: [3]})
        commit(lake, 2, {None: [7]}, name="courses")
        commit(lake, 3, {None: [8]}, name="people")
        yield made


def spec_of(**fields: Any) -> JobSpec:
    given = {"command": ["true"], "outputs": {"a": {"file": "a.csv", "type": "csv"}}}
    return parse_spec({**given, **fields})


def submit(site: Site, **fields: Any) -> table.Job:
    return submit_job(site, spec_of(**fields), site.root, "ana", RESTRICTED, operator=True)


def place_of(site: Site, job: table.Job) -> JobFolder:
    return folder_of(site.jobs_dir, job.name)


def refused(site: Site, **fields: Any) -> str:
    with pytest.raises(SpecError) as caught:
        submit(site, **fields)
    assert list(folders(site.jobs_dir)) == []
    with site.state.read() as conn:
        assert table.listing(conn) == []
    return caught.value.message


def succeed(site: Site, job: table.Job, **outputs: str) -> None:
    """As a worker would: the job wrote these files."""
    with site.state.begin() as conn:
        table.prepare(conn, job.name, "w", 1)
        units.add(conn, job.name, 1, job.units)
        table.run(conn, job.name, "w", 1)
        table.collect(conn, job.name, "w", 1)
        table.succeed(conn, job.name, "w", 1)
    folder = place_of(site, job).unit(1, 0) / "outputs"
    folder.mkdir(parents=True)
    for name, text in outputs.items():
        (folder / name).write_text(text)


def numbers(folder: Path) -> list[int]:
    found = [pq.read_table(path).column("n").to_pylist() for path in folder.rglob("*.parquet")]
    return sorted(n for part in found for n in part)


def test_a_job_is_taken_in(site: Site) -> None:
    (site.root / "code").mkdir()
    (site.root / "code" / "main.py").write_text("1")
    job = submit(site, name="Weekly Features!", code="code", inputs={"c": {"table": "counts"}})
    assert job.name.startswith("weekly-features-")
    assert (job.state, job.owner, job.launcher) == (State.QUEUED, "ana", "sandbox")
    counts = job.spec.inputs["c"]
    assert isinstance(counts, TableInput)
    assert counts.version == 1
    place = place_of(site, job)
    assert job.bytes > 0
    assert (place.code / "main.py").read_text() == "1"
    assert JobSpec.model_validate_json(place.spec.read_bytes()) == job.spec
    kept = json.loads(place.status.read_text())
    assert [event["what"] for event in kept["history"]] == ["created", "queued"]
    assert "exec true" in place.script.read_text()


@pytest.mark.parametrize(
    ("one", "said"),
    [
        ({"table": "people"}, "holds names or addresses, which no job may read"),
        ({"table": "nothing"}, "there is no table nothing in the lake. It has counts, courses."),
        ({"table": "counts", "version": 99}, "cannot be read at version 99"),
        ({"table": "courses", "since": "2025-09-01"}, "is not kept by day"),
        ({"path": "/etc/passwd"}, "/etc/passwd is not there, or not below one of jobs.sources"),
        ({"path": "raw/../secret"}, "is not there, or not below one of jobs.sources"),
        ({"job": "nobodys-abcdefghijklm"}, "you have no job"),
    ],
)
def test_inputs_that_are_refused(site: Site, one: dict[str, Any], said: str) -> None:
    answer = refused(site, inputs={"x": one})
    assert "inputs.x: " in answer
    assert said in answer


def test_every_input_that_is_wrong_is_named(site: Site) -> None:
    said = refused(site, inputs={"a": {"table": "people"}, "b": {"table": "counts"},
                                 "c": {"table": "none"}})  # fmt: skip
    assert "inputs.a:" in said
    assert "inputs.b:" not in said
    assert "inputs.c:" in said


def test_links_do_not_lead_out_of_the_sources(site: Site, tmp_path: Path) -> None:
    (tmp_path / "raw" / "link").symlink_to(tmp_path / "secret")
    assert "not below" in refused(site, inputs={"x": {"path": str(tmp_path / "raw" / "link")}})
    assert "not below" in refused(site, inputs={"x": {"path": f"{tmp_path}/raw/../secret"}})


def test_data_is_protected_whatever_its_submitter_says(site: Site) -> None:
    said = refused(site, privacy="synthetic", inputs={"c": {"table": "counts"}})
    assert 'it is protected data, so that privacy = "synthetic" is not true' in said
    assert submit(site, privacy="open").protected is False  # it reads nothing
    job = submit(site, inputs={"c": {"table": "counts"}})
    succeed(site, job, **{"a.csv": "1"})
    with pytest.raises(SpecError, match="is not true"):
        submit(site, privacy="open", inputs={"x": {"job": job.name}})
    with open_site(site.root, {"jobs.data": "synthetic"}) as open_data:
        assert not submit(
            open_data, privacy="synthetic", inputs={"c": {"table": "counts"}}
        ).protected


def test_tables_are_staged_at_their_version(site: Site) -> None:
    job = submit(
        site,
        inputs={
            "all": {"table": "counts"},
            "tuesday": {"table": "counts", "since": TUE, "until": WED},
            "none": {"table": "counts", "since": WED},
            "courses": {"table": "courses"},
        },
    )
    commit(Lake(site.root / "lake"), 4, {WED: [4]})  # too late for it
    place = place_of(site, job)
    staged = stage_inputs(site, place, job.spec)
    assert numbers(place.inputs / "all") == [1, 2, 3]
    assert numbers(place.inputs / "tuesday") == [3]
    assert numbers(place.inputs / "courses") == [7]
    assert (place.inputs / "all" / "day=2025-09-01").is_dir()
    empty = pq.read_table(place.inputs / "none" / EMPTY)
    assert (empty.num_rows, empty.column_names) == (0, ["day", "n", "word"])
    # The manifest names every file with what is in it.
    manifest = read_manifest(place)
    assert manifest["inputs"]["all"] == {"table": "counts", "version": 1}
    assert len(manifest["files"]) == len(staged) == 5
    for one in manifest["files"]:
        file = place.inputs / one["path"]
        assert (file.stat().st_size, digest_of(file)) == (one["size"], one["sha256"])
    # Idempotent; what died on the way is removed.
    (place.path / ".inputs-dead").mkdir()
    assert stage_inputs(site, place, job.spec) == staged
    assert not list(place.path.glob(".inputs*"))


def test_who_may_not_stage_any_more_changes_nothing(site: Site) -> None:
    """A worker that was stopped for long has a child at work as well as the next one."""
    job = submit(site, inputs={"c": {"table": "counts"}})
    place = place_of(site, job)
    asked = 0

    @contextmanager
    def overtaken() -> Iterator[None]:
        nonlocal asked
        asked += 1
        if asked == 2:
            stage_inputs(site, place, job.spec)
            raise PermissionError("lease lost")
        yield

    with pytest.raises(PermissionError):
        stage_inputs(site, place, job.spec, overtaken)
    assert numbers(place.inputs / "c") == [1, 2, 3]


def test_staged_folders_are_open_under_any_umask(site: Site, tmp_path: Path) -> None:
    (site.root / "code" / "lib").mkdir(parents=True)
    (site.root / "code" / "lib" / "a.py").write_text("1")
    before = os.umask(0o027)  # as the shipped service has it
    try:
        job = submit(site, code="code", inputs={"c": {"table": "counts"}})
        place = place_of(site, job)
        stage_inputs(site, place, job.spec)
    finally:
        os.umask(before)
    found = [place.inputs, place.code, *place.inputs.rglob("*"), *place.code.rglob("*")]
    assert all(path.stat().st_mode & 0o005 == 0o005 for path in found if path.is_dir())


def test_staged_files_are_readable_for_a_unit_and_their_folder_for_nobody(site: Site) -> None:
    lake = Lake(site.root / "lake")
    private = Path(lake.snapshot("courses").relation().files[0])
    private.chmod(0o600)
    job = submit(site, inputs={"c": {"table": "courses"}, "d": {"table": "counts"}})
    place = place_of(site, job)
    stage_inputs(site, place, job.spec)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600  # the lake's own is as it was
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o700
    for path in place.inputs.rglob("*"):
        assert path.stat().st_mode & 0o004
    linked = next((place.inputs / "d").rglob("*.parquet"))
    assert linked.stat().st_nlink == 2
    drop_inputs(place)
    assert not place.inputs.exists()
    assert read_manifest(place)["inputs"].keys() == {"c", "d"}
    assert private.exists()


@pytest.mark.parametrize("kept", [True, False])
def test_a_version_is_pinned_until_its_job_has_ended(site: Site, kept: bool) -> None:
    lake = Lake(site.root / "lake")
    job = submit(site, inputs={"c": {"table": "counts"}})
    old = lake.snapshot("counts").files
    commit(lake, 4, {MON: [5]}, replace=old)
    with site.state.begin() as conn:
        assert pinned(conn) == {"counts": {1}}
        if not kept:
            table.ask_cancel(conn, job.name, "ana")
            assert pinned(conn) == {}
        vacuum_tables(lake, 0, dry_run=False, pinned=pinned(conn))
    place = place_of(site, job)
    if kept:
        stage_inputs(site, place, job.spec)
        assert numbers(place.inputs / "c") == [1, 2, 3]
    else:
        with pytest.raises(FailedError, match="not in the lake any more") as caught:
            stage_inputs(site, place, job.spec)
        assert caught.value.failure is Failure.INPUT
        assert not place.inputs.exists()


def test_what_was_staged_outlives_a_vacuum(site: Site) -> None:
    lake = Lake(site.root / "lake")
    job = submit(site, inputs={"c": {"table": "counts"}})
    place = place_of(site, job)
    stage_inputs(site, place, job.spec)
    commit(lake, 4, {MON: [5]}, replace=lake.snapshot("counts").files)
    vacuum_tables(lake, 0, dry_run=False)
    assert numbers(place.inputs / "c") == [1, 2, 3]


def test_sources_are_mounted_as_they_are_by_unit(site: Site, tmp_path: Path) -> None:
    for course in ("x", "y"):
        (tmp_path / "raw" / course).mkdir()
        (tmp_path / "raw" / course / "log").write_text(course)
    fields = {
        "inputs": {"log": {"path": f"{tmp_path}/raw/{{course}}"}, "c": {"table": "courses"}},
        "units": {"each": [{"course": "x"}, {"course": "y"}]},
        "command": ["run", "--course={course}"],
    }
    job = submit(site, **fields)
    place = place_of(site, job)
    stage_inputs(site, place, job.spec)
    files = {one["path"]: one["sha256"] for one in read_manifest(place)["files"]}
    assert f"log: {tmp_path}/raw/x/log" in files
    mounts = {one.name: one.source for one in unit_mounts(site, place, job.spec, 1)}
    assert mounts == {"log": tmp_path / "raw" / "y", "c": place.inputs / "c"}
    unit = order_unit(site, job, place, 1, None)
    assert unit.command == ("run", "--course=y")
    assert unit.environment["STUDIUM_UNIT_COURSE"] == "y"
    assert unit.key == f"{job.name}-a1-u1"
    assert unit.folder.is_dir()
    (tmp_path / "raw" / "y" / "log").unlink()
    (tmp_path / "raw" / "y").rmdir()
    (tmp_path / "raw" / "y").symlink_to("/etc")  # swapped since
    with pytest.raises(FailedError, match="not below"):
        order_unit(site, job, place, 1, None)
    assert "cannot be shown" in wrong(inputs={"log": {"path": "/a\nb"}})
    assert "is no parameter" in wrong(inputs={"log": {"path": "/{session}"}})


def wrong(**fields: Any) -> str:
    with pytest.raises(SpecError) as caught:
        spec_of(**fields)
    return caught.value.message


def test_outputs_of_an_own_job_are_inputs(site: Site) -> None:
    first = submit(site)
    with pytest.raises(SpecError, match="has not succeeded: it is queued"):
        submit(site, inputs={"x": {"job": first.name}})
    succeed(site, first, **{"a.csv": "1,2", "b.csv": "3"})
    (place_of(site, first).unit(1, 0) / "outputs" / "link").symlink_to("/etc/passwd")
    with pytest.raises(SpecError, match="has no output link"):
        submit(site, inputs={"x": {"job": first.name, "output": "link"}})
    with pytest.raises(SpecError, match="you have no job"):
        submit(site, owner="ben", inputs={"x": {"job": first.name}})
    job = submit(site, inputs={"all": {"job": first.name},
                               "one": {"job": first.name, "output": "a.csv"}})  # fmt: skip
    place = place_of(site, job)
    stage_inputs(site, place, job.spec)
    assert sorted(os.listdir(place.inputs / "all")) == ["a.csv", "b.csv"]
    assert (place.inputs / "one").read_text() == "1,2"


def test_code_that_is_refused_leaves_nothing(site: Site) -> None:
    with pytest.raises(JobError, match="neither a folder nor a zip"):
        submit(site, code="none")
    for elsewhere in ("/etc", "../..", "link"):
        (site.root / "link").unlink(missing_ok=True)
        (site.root / "link").symlink_to("/etc")
        with pytest.raises(JobError, match="not below the folder"):
            submit(site, code=elsewhere)
    assert list(site.jobs_dir.iterdir()) == []
    (site.root / "code").mkdir()
    (site.root / "code" / "main.py").write_text("1")
    with pytest.raises(SpecError, match="there is no Dockerfile"):
        submit(site, code="code", dockerfile="Dockerfile", launcher="container")
    assert list(site.jobs_dir.iterdir()) == []


def test_an_owner_has_a_quota(site: Site) -> None:
    with open_site(site.root, {"jobs.quota": "4KiB"}) as small:
        first = submit(small)
        with small.state.begin() as conn:
            table.set_bytes(conn, first.name, 4_000)
        with pytest.raises(JobError, match=r"The jobs of ana take 3\.9KiB of 4KiB"):
            submit(small)
        assert len(list(folders(small.jobs_dir))) == 1
        submit(small, owner="ben")


def test_a_clone_has_the_same_code_and_versions(site: Site) -> None:
    (site.root / "code").mkdir()
    (site.root / "code" / "main.py").write_text("1")
    first = submit(site, code="code", inputs={"c": {"table": "counts"}})
    commit(Lake(site.root / "lake"), 4, {date(2025, 9, 3): [4]})
    (site.root / "code" / "main.py").write_text("2")
    other = clone_job(site, first.name, "ana", RESTRICTED)
    assert other.name != first.name
    assert other.spec.inputs == first.spec.inputs
    assert (place_of(site, other).code / "main.py").read_text() == "1"
    with pytest.raises(JobError, match="ana's, and you are ben"):
        clone_job(site, first.name, "ben", RESTRICTED)
    assert clone_job(site, first.name, "ben", RESTRICTED, operator=True).owner == "ben"
    succeed(site, first, **{"a.csv": "1"})
    second = submit(site, inputs={"x": {"job": first.name}})
    with pytest.raises(SpecError, match="you have no job"):
        clone_job(site, second.name, "ben", RESTRICTED, operator=True)


def test_jobs_are_their_owners(site: Site, tmp_path: Path) -> None:
    name = submit(site).name
    for act in (cancel_job, resubmit_job, delete_job):
        with pytest.raises(JobError, match="ana's, and you are ben"):
            act(site, name, "ben")
    with pytest.raises(JobError, match="ana's, and you are ben"):
        fetch_results(site, name, tmp_path / "x", "ben")
    with pytest.raises(JobError, match="would be ana's, and you are ben"):
        submit_job(site, spec_of(owner="ana"), site.root, "ben", RESTRICTED)
    assert cancel_job(site, name, "ana").state is State.CANCELLED
    assert resubmit_job(site, name, "root", operator=True).owner == "ana"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"launcher": "sandbx"}, "there is none named 'sandbx'"),
        ({"image": f"sha256:{'0' * 64}"}, "image: the sandbox runs no images"),
        ({"code": ".", "dockerfile": "Dockerfile"}, "dockerfile: the sandbox runs no images"),
    ],
)
def test_launchers_that_could_not_run_it(site: Site, fields: dict[str, Any], said: str) -> None:
    assert said in refused(site, **fields)
