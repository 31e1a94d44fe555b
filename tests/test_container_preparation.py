"""The image of a job: from its spec, or built from its Dockerfile, by the settings of its site."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import studium
from studium.autopilot.checks import examine
from studium.cli import make_app
from studium.jobs import table
from studium.jobs.description import parse_spec
from studium.jobs.folder import JobFolder
from studium.jobs.intake import submit_job
from studium.jobs.launchers.container import (
    build_log,
    build_policy,
    container_launcher,
    installation,
    prepare_image,
    read_image,
)
from studium.jobs.launchers.container.runtime import Runtime, call
from studium.jobs.launchers.protocol import GUARANTEES
from studium.jobs.launchers.registry import launcher_of, policy_of
from studium.jobs.spec import JobSpec
from studium.jobs.states import FailedError, Failure, State
from studium.jobs.submission import take_code
from studium.jobs.worker.service import serve
from studium.site import Site
from tests.containers import BUSYBOX, digest_of


@pytest.fixture
def site(containers: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site that keeps its images where the tests do."""
    monkeypatch.setattr(installation, "_store", lambda site: containers.store)
    given = {"jobs.data": "synthetic", "worker.grace": 0.2}
    with studium.init(tmp_path / "site", given) as site:
        yield site


@pytest.fixture
def folder(site: Site) -> JobFolder:
    found = JobFolder(site.jobs_dir / "job-1")
    found.path.mkdir(parents=True)
    return found


def spec(**fields: object) -> JobSpec:
    outputs = {"a": {"file": "a.csv", "type": "csv"}}
    return parse_spec({"command": ["true"], "outputs": outputs, **fields})


def with_code(folder: JobFolder, tmp_path: Path, *steps: str) -> JobSpec:
    code = tmp_path / "code"
    (code / "docker").mkdir(parents=True, exist_ok=True)
    (code / "docker" / "Dockerfile").write_text("\n".join((f"FROM {BUSYBOX}", *steps, "")))
    (code / "greeting").write_text("hello\n")
    take_code(code, folder, 10**6)
    return spec(code=".", dockerfile="docker/Dockerfile")


def test_a_dockerfile_of_the_code_is_built_once(
    site: Site, folder: JobFolder, tmp_path: Path, containers: Runtime
) -> None:
    asked = with_code(folder, tmp_path, "COPY greeting /greeting", "RUN cat /greeting")
    prepare_image(site, folder, asked)
    digest = read_image(folder)
    assert digest
    assert "hello" in build_log(folder).read_text()
    build_log(folder).unlink()
    (folder.path / "image.json").unlink()  # as after a crash: the image is found again
    prepare_image(site, folder, asked)
    assert read_image(folder) == digest
    assert not build_log(folder).exists()


@pytest.mark.parametrize(
    ("step", "failure"),
    [("RUN false", Failure.BUILD), ("FROM localhost/nobody-has-it", Failure.IMAGE)],
)
def test_what_cannot_be_built_is_a_typed_failure(
    site: Site, folder: JobFolder, tmp_path: Path, step: str, failure: Failure
) -> None:
    asked = with_code(folder, tmp_path, step)
    with pytest.raises(FailedError) as refused:
        prepare_image(site, folder, asked)
    assert refused.value.failure is failure
    assert read_image(folder) is None
    assert build_log(folder).exists()


def test_an_image_is_found_or_the_job_fails(
    site: Site, folder: JobFolder, containers: Runtime
) -> None:
    prepare_image(site, folder, spec())
    assert read_image(folder) is None
    prepare_image(site, folder, spec(image=f"{BUSYBOX}@{digest_of(containers)}"))
    assert read_image(folder) == digest_of(containers)
    (folder.path / "image.json").unlink()
    with pytest.raises(FailedError, match="is not in the storage of podman") as refused:
        prepare_image(site, folder, spec(image="sha256:" + "0" * 64))
    assert refused.value.failure is Failure.IMAGE


def test_builds_see_nothing_of_the_site(site: Site, tmp_path: Path) -> None:
    (site.root / "lake").mkdir()
    with site.state.read():
        hidden = build_policy(site).hidden
    assert {site.root / "lake", site.root / "state.db", site.root / "studium.toml"} <= set(hidden)
    assert container_launcher(site).store not in hidden
    elsewhere = {"jobs.folder": str(tmp_path / "elsewhere")}
    with studium.init(tmp_path / "other", elsewhere) as other:
        assert tmp_path / "elsewhere" in build_policy(other).hidden


def test_the_site_chooses_users_network_and_profiles(tmp_path: Path) -> None:
    given = {"jobs.uids": "5000-5009", "jobs.legacy": "allow", "jobs.build_network": "bridge"}
    with studium.init(tmp_path / "site", given) as site:
        launcher = container_launcher(site)
        assert (launcher.uids, launcher.legacy) == ((5000, 5009), True)
        assert build_policy(site).network == "bridge"
        assert launcher.store == site.root / "containers"


def test_doctor_says_what_containers_give_where_they_are_used(
    site: Site, containers: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "containers" not in {one.check for one in examine(site)}
    (site.root / "containers").mkdir()
    (found,) = [one for one in examine(site) if one.check == "containers"]
    assert found.ok
    assert found.found.startswith("podman ")
    assert found.found.endswith("every guarantee")
    monkeypatch.setattr("studium.jobs.launchers.container.launcher.find_runtimes", lambda store: [])
    (found,) = [one for one in examine(site) if one.check == "containers"]
    assert not found.ok
    assert "apt-get install podman" in found.found


def test_images_are_loaded_listed_and_removed_by_command(
    site: Site, containers: Runtime, tmp_path: Path
) -> None:
    def say(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(make_app(), ["--site", str(site.root), "image", *words])
        assert done.exit_code == code, done.output
        return done.output

    archive = tmp_path / "image.tar"
    call(containers.command("save", f"--output={archive}", BUSYBOX))
    digest = say("load", str(archive)).strip()
    assert digest == digest_of(containers)
    listed = json.loads(say("list", "--json"))
    assert (f"{BUSYBOX}:latest", digest) in {(one["name"], one["digest"]) for one in listed}
    assert digest in say("list")
    assert "probe" not in say("list")
    call(containers.command("tag", BUSYBOX, "localhost/to-go"))
    for words in (("load", "nowhere.tar"), ("pull", "busybox:latest"), ("remove", "no/image")):
        done = CliRunner().invoke(make_app(), ["--site", str(site.root), "image", *words])
        assert done.exception is not None
        assert getattr(done.exception, "hint", "")


def test_a_job_with_a_dockerfile_goes_from_submission_to_its_results(
    site: Site, containers: Runtime, tmp_path: Path
) -> None:
    """By a worker with the site's own policy, which demands every guarantee that it can name."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "Dockerfile").write_text(f"FROM {BUSYBOX}\nRUN echo made >/greeting\n")
    (code / "job.sh").write_text('cat /greeting >"$STUDIUM_OUTPUT/a.txt"; id -u\n')
    asked = parse_spec(
        {
            "command": ["sh", "job.sh"],
            "code": ".",
            "dockerfile": "Dockerfile",
            "outputs": {"a": {"file": "a.txt", "type": "text", "level": "aggregate"}},
            "privacy": "synthetic",
            "launcher": "container",
            "resources": {"memory": "64MiB"},
        }
    )
    job = submit_job(site, asked, code, "ana", frozenset())
    said: list[str] = []
    found = {"container": launcher_of(site, "container")}
    serve(site, found, refusals=policy_of(site, found), say=said.append, slots=1, until_idle=True)
    with site.state.read() as conn:
        end = table.read(conn, job.name)
    assert end.state is State.SUCCEEDED, (end, said)
    done = JobFolder(site.jobs_dir / job.name)
    (released,) = list(done.released.rglob("a.txt"))
    assert released.read_text() == "made\n"
    provenance = json.loads(done.provenance.read_text())
    assert provenance["image"] == read_image(done)
    assert set(provenance["launcher"]["guarantees"]) == set(GUARANTEES)
    assert "STEP 2/2: RUN" in build_log(done).read_text()
    assert call(containers.command("ps", "--all", "--quiet")).stdout == ""
