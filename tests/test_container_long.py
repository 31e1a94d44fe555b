"""Containers that take minutes to make ready: Debian with Python built and run, and Docker.

Run by ``make prove``, or ``pytest -m long tests/test_container_long.py``.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from studium.errors import BuildError
from studium.jobs.launchers.container import (
    BuildPolicy,
    ContainerLauncher,
    build_image,
    find_image,
)
from studium.jobs.launchers.container import launcher as launcher_module
from studium.jobs.launchers.container.runtime import Runtime, call, which
from studium.jobs.launchers.protocol import GUARANTEES, Limits, Mount, Unit
from tests.containers import BUSYBOX, busybox_archive, digest_of
from tests.podman import make_debian
from tests.services import require
from tests.test_container_launcher import run, wait_for

pytestmark = pytest.mark.long

LIMITS = Limits(
    seconds=120, memory=2**28, cpus=1, processes=50, output=2**20, log=2**16, scratch=2**22
)
JOB = """
import csv, os, socket, sys
rows = list(csv.DictReader(open(os.environ["STUDIUM_INPUT"] + "/rows")))
with open(os.environ["STUDIUM_OUTPUT"] + "/mean.csv", "w") as file:
    file.write("mean\\n%g\\n" % (sum(float(row["grade"]) for row in rows) / len(rows)))
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError as error:
    print(error.strerror)
print(os.getuid(), sys.version_info.major)
"""


def test_a_python_image_is_built_and_runs_a_job(containers: Runtime, tmp_path: Path) -> None:
    assert containers.store
    require("debootstrap", bool(which("debootstrap")), "apt-get install debootstrap")
    debian = make_debian(tmp_path / "debian")
    archive = tmp_path / "debian.tar"
    subprocess.run(["tar", "-C", debian, "-cf", archive, "."], check=True)
    done = call(containers.command("import", str(archive), "localhost/debian"), seconds=600)
    assert done.returncode == 0, done.stderr
    place = tmp_path / "context"
    place.mkdir()
    (place / "job.py").write_text(JOB)
    (place / "Dockerfile").write_text(
        "FROM localhost/debian\nRUN useradd --create-home job && python3 -m venv /opt/venv\n"
        'COPY job.py /job.py\nENTRYPOINT ["/opt/venv/bin/python"]\n'
    )
    digest = build_image(containers, place, "python", BuildPolicy(), tmp_path / "log")
    rows = tmp_path / "rows.csv"
    rows.write_text("learner,grade\na,1\nb,2\n")
    rows.chmod(0o600)
    folder = tmp_path / "unit"
    folder.mkdir()
    unit = Unit(
        "python-1", folder, ("/job.py",), LIMITS, inputs=(Mount("rows", rows),), image=digest
    )
    end, said = run(ContainerLauncher(containers.store, (910_100, 910_109)), unit)
    assert (end.reason, end.code) == ("exit", 0), (folder / "stderr").read_text()
    assert said == "Network is unreachable\n910100 3\n"
    assert (folder / "outputs" / "mean.csv").read_text() == "mean\n1.5\n"


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """Docker with a service of its own, which touches nothing of this machine's network."""
    require("dockerd", bool(which("dockerd")), "apt-get install docker.io")
    program, service = which("docker"), which("dockerd")
    assert program
    assert service
    folder = Path(tempfile.mkdtemp(prefix="docker-"))  # the name of a socket is a short one
    socket = f"unix://{folder}/d.sock"
    monkeypatch.setenv("DOCKER_HOST", socket)
    with (folder / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(
            [
                service, "--bridge=none", "--iptables=false", "--ip-forward=false",
                "--ip-masq=false", f"--data-root={folder}/data", f"--exec-root={folder}/exec",
                f"--pidfile={folder}/pid", f"--host={socket}",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        runtime = Runtime("docker", program)
        wait_for(lambda: call(runtime.command("info")).returncode == 0)
        done = call(runtime.command("import", "-", BUSYBOX), give=busybox_archive())
        assert done.returncode == 0, done.stderr
        yield runtime
    finally:
        daemon.terminate()
        daemon.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def test_docker_does_what_podman_does(
    docker: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher_module, "find_runtimes", lambda store: [docker])
    launcher = ContainerLauncher(tmp_path / "kept", (910_110, 910_119), legacy=True, grace=0.5)
    assert launcher.capabilities().guarantees == set(GUARANTEES)
    rows = tmp_path / "rows"
    rows.write_text("learner\n")

    def unit(line: str, key: str, **changes: object) -> Unit:
        folder = tmp_path / key
        folder.mkdir()
        mounts = (Mount("rows", rows),)
        image = digest_of(docker)
        given = {"limits": LIMITS, "inputs": mounts, "image": image, **changes}
        return Unit(key, folder, ("sh", "-c", line), **given)  # type: ignore[arg-type]

    end, said = run(launcher, unit("cat /input/rows; id -u; echo x >/output/made; exit 3", "one"))
    assert (end.code, said) == (3, "learner\n910110\n")
    assert (tmp_path / "one" / "outputs" / "made").read_text() == "x\n"
    assert run(launcher, unit("exit 125", "two"))[0].code == 125
    assert run(launcher, unit("tail /dev/zero", "three"))[0].reason == "out of memory"
    assert launcher.validate(unit("true", "four", profile="legacy")) == [
        "profile: Docker maps users for all containers or none: legacy images need Podman."
    ]
    rows.chmod(0o600)
    (why,) = launcher.validate(unit("true", "five"))
    assert why.startswith("inputs.rows: others may not read it")
    assert call(docker.command("ps", "--all", "--quiet")).stdout == ""

    place = tmp_path / "context"
    place.mkdir()
    (place / "Dockerfile").write_text(f"FROM {BUSYBOX}\nVOLUME /data\nRUN echo built >/made\n")
    digest = build_image(docker, place, "built", BuildPolicy())
    assert find_image(docker, "localhost/studium-job:built") == digest
    rows.chmod(0o644)
    end, said = run(
        launcher, unit("cat /made; grep -c ' /data tmpfs' /proc/mounts", "six", image=digest)
    )
    assert (end.code, said) == (0, "built\n1\n")
    assert call(docker.command("volume", "ls", "--quiet")).stdout == ""
    (place / "Dockerfile").write_text("FROM localhost/nobody-has-it\n")
    with pytest.raises(BuildError, match="nobody-has-it was not found"):
        build_image(docker, place, "baseless", BuildPolicy())
