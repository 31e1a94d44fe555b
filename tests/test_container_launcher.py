"""Units in containers: what they see, what they may, what is left of them.

What every launcher must do is in the conformance suite; here is what only containers have.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from studium.errors import LaunchError
from studium.jobs.launchers.claim import read_claim
from studium.jobs.launchers.container import ContainerLauncher, legacy
from studium.jobs.launchers.container.images import BuildPolicy, build_image
from studium.jobs.launchers.container.isolation import LEGACY_IDS, legacy_flags, strict_flags
from studium.jobs.launchers.container.probe import probe
from studium.jobs.launchers.container.runtime import Runtime, call, run_folder
from studium.jobs.launchers.protocol import Exit, Limits, Mount, Phase, Unit
from studium.jobs.launchers.uids import BLOCKS
from tests.containers import BUSYBOX, digest_of

LIMITS = Limits(
    seconds=60, memory=2**26, cpus=1, processes=30, output=2**20, log=2**16, scratch=2**22
)
UIDS = (910_000, 910_009)


@pytest.fixture(scope="module")
def launcher(containers: Runtime) -> ContainerLauncher:
    assert containers.store
    return ContainerLauncher(containers.store, UIDS, legacy=True, grace=0.3)


@pytest.fixture
def unit(containers: Runtime, tmp_path: Path) -> Callable[..., Unit]:
    """A maker of units that run a line of shell."""

    def make(line: str, key: str = "unit-1", **changes: object) -> Unit:
        folder = tmp_path / key
        folder.mkdir(mode=0o700)
        given = Unit(
            key=key,
            folder=folder,
            command=("sh", "-c", line),
            limits=LIMITS,
            image=digest_of(containers),
        )
        return replace(given, **changes)  # type: ignore[arg-type]

    return make


def wait_for(done: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def finish(launcher: ContainerLauncher, native: str, unit: Unit) -> Exit:
    def ended() -> bool:
        return launcher.status({native: unit.folder})[native].phase is Phase.ENDED

    wait_for(ended)
    end = launcher.status({native: unit.folder})[native].exit
    assert end
    return end


def run(launcher: ContainerLauncher, unit: Unit) -> tuple[Exit, str]:
    assert launcher.validate(unit) == []
    native = launcher.submit(unit)
    end = finish(launcher, native, unit)
    said = launcher.tail(native, unit.folder, "stdout", 0, 10_000).decode()
    launcher.cleanup(native, unit.folder)
    launcher.cleanup(native, unit.folder)
    return end, said


def running(runtime: Runtime) -> list[str]:
    return call(runtime.command("ps", "--all", "--format={{.Names}}")).stdout.split()


@pytest.fixture(autouse=True)
def nothing_left(containers: Runtime) -> Iterator[None]:
    yield
    assert running(containers) == []
    assert call(containers.command("volume", "ls", "--quiet")).stdout == ""
    mounts = Path("/proc/mounts").read_text()
    assert "/run/studium/stage" not in mounts
    assert containers.store
    assert str(run_folder(containers.store) / "legacy") not in mounts  # others have their own


def test_it_reads_what_is_private_and_writes_only_its_outputs(
    launcher: ContainerLauncher, unit: Callable[..., Unit], tmp_path: Path
) -> None:
    rows = tmp_path / "rows"
    rows.write_text("learner\n")
    rows.chmod(0o600)
    code = tmp_path / "code"
    code.mkdir(mode=0o700)
    (code / "job.sh").write_text("pwd; cat $STUDIUM_INPUT/rows; id -u; echo done >/output/made\n")
    one = unit(
        "sh job.sh; echo x >/input/rows; echo x >/code/job.sh; echo x >/etc/passwd; echo x >/run/x"
        "; ls /tmp; grep -c . /etc/hosts; echo $WORD",
        inputs=(Mount("rows", rows),),
        code=code,
        environment={"WORD": "{uid} $HOME"},
    )
    end, said = run(launcher, one)
    assert (end.reason, end.code) == ("exit", 0)
    assert said.splitlines()[:3] == ["/code", "learner", str(UIDS[0])]
    assert said.endswith("{uid} $HOME\n")
    assert (one.folder / "stderr").read_text().count("Read-only file system") == 4
    assert rows.read_text() == "learner\n"
    assert (one.folder / "outputs" / "made").read_text() == "done\n"


def test_the_code_by_which_podman_fails_can_be_the_units_own(
    launcher: ContainerLauncher, unit: Callable[..., Unit]
) -> None:
    end, _ = run(launcher, unit("exit 125"))
    assert (end.reason, end.code) == ("exit", 125)


def test_a_killed_supervisor_takes_its_container_with_it(
    launcher: ContainerLauncher, containers: Runtime, unit: Callable[..., Unit]
) -> None:
    one = unit("echo begun; sleep 4343")
    native = launcher.submit(one)
    wait_for(lambda: launcher.tail(native, one.folder, "stdout", 0, 99) == b"begun\n")
    holder = read_claim(one.folder)
    assert holder
    os.kill(holder.pid, signal.SIGKILL)
    wait_for(lambda: launcher.status({native: one.folder})[native].phase is Phase.LOST)
    wait_for(lambda: running(containers) == [])
    launcher.cleanup(native, one.folder)


def test_a_legacy_unit_that_ignores_term_ends_and_leaves_nothing(
    launcher: ContainerLauncher, unit: Callable[..., Unit]
) -> None:
    line = "(setsid sleep 4444 &); trap '' TERM; echo deaf; while :; do sleep 1; done"
    end, said = run(launcher, unit(line, profile="legacy", limits=replace(LIMITS, seconds=1.0)))
    assert (end.reason, end.code, end.signal) == ("timeout", None, None)
    assert said == "deaf\n"


@pytest.mark.parametrize("where", ["/tmp", "/dev/shm"])
def test_scratch_has_its_limit(
    launcher: ContainerLauncher, unit: Callable[..., Unit], where: str
) -> None:
    one = unit(
        f"for n in 1 2 3 4 5 6; do dd if=/dev/zero of={where}/$n bs=1M count=1 || exit 7; done"
    )
    end, _ = run(launcher, one)
    assert (end.reason, end.code) == ("exit", 7)
    assert "No space left on device" in (one.folder / "stderr").read_text()


def test_an_image_is_named_by_its_digest_and_is_there(
    launcher: ContainerLauncher, unit: Callable[..., Unit]
) -> None:
    given = unit("true")
    unknown = "sha256:" + "0" * 64
    cases = {
        None: "image: the container launcher needs one, by its digest.",
        BUSYBOX: "image: give its digest, sha256:… (64 hex digits); a name can be moved.",
        unknown: f"image: {unknown} is not in the storage of podman.",
    }
    for image, why in cases.items():
        assert launcher.validate(replace(given, image=image)) == [why]
    assert launcher.validate(replace(given, image=f"{BUSYBOX}@{given.image}")) == []
    with pytest.raises(LaunchError, match="not in the storage"):
        launcher.submit(replace(given, image=unknown))


def test_a_folder_that_an_image_declares_as_volume_is_no_room_to_write(
    launcher: ContainerLauncher, containers: Runtime, unit: Callable[..., Unit], tmp_path: Path
) -> None:
    place = tmp_path / "context"
    place.mkdir()
    (place / "Dockerfile").write_text(f'FROM {BUSYBOX}\nVOLUME /data\nENTRYPOINT ["/bin/echo"]\n')
    digest = build_image(containers, place, "volume", BuildPolicy())
    end, said = run(launcher, unit("", command=("a", "b"), image=digest))
    assert (end.code, said) == (0, "a b\n")  # the command is the entry point's arguments
    (place / "Dockerfile").write_text(f"FROM {BUSYBOX}\nVOLUME /data\n")
    digest = build_image(containers, place, "volume-2", BuildPolicy())
    end, _ = run(launcher, unit("echo x >/data/x", "unit-2", image=digest))
    assert end.code == 1


def test_legacy_root_is_nobody_outside_and_writes_where_it_is_thrown_away(
    launcher: ContainerLauncher, containers: Runtime, unit: Callable[..., Unit], tmp_path: Path
) -> None:
    rows = tmp_path / "rows"
    rows.write_text("learner\n")
    rows.chmod(0o600)
    one = unit(
        "id -u; cat /input/rows; read a b c </proc/self/uid_map; echo $b"
        "; su mysql -c 'id -u; echo row >/var/lib/mysql/table'; stat -c %u /var/lib/mysql/table"
        "; chown mysql /output; su mysql -c 'echo out >/output/made'"
        "; for n in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=/full$n bs=1M count=2 2>/dev/null; done"
        "; [ $? = 1 ] && echo full; ls /sys/class/net; echo x >/input/rows; mknod /d b 8 0"
        "; mount -t tmpfs t /tmp; grep CapEff /proc/self/status; grep NoNew /proc/self/status",
        inputs=(Mount("rows", rows),),
        profile="legacy",
    )
    end, said = run(launcher, one)
    words = said.split()
    assert words[:2] == ["0", "learner"]
    first = int(words[2])
    assert first >= BLOCKS  # of a block that no other running unit has
    assert first % LEGACY_IDS == 0
    assert words[3:5] == ["999", "999"]
    assert words[5:7] == ["full", "lo"]
    assert words[7:] == ["CapEff:", "00000000000000eb", "NoNewPrivs:", "1"]
    errors = (one.folder / "stderr").read_text()
    assert "/input/rows: Read-only file system" in errors
    assert "mknod: /d: Operation not permitted" in errors
    assert "mount: mounting t on /tmp failed" in errors
    made = one.folder / "outputs" / "made"
    assert made.read_text() == "out\n"
    assert made.stat().st_uid == os.geteuid()
    assert end.reason in ("exit", "signal")


def test_legacy_is_refused_where_the_site_says_so(
    launcher: ContainerLauncher, unit: Callable[..., Unit]
) -> None:
    strict = ContainerLauncher(launcher.store, UIDS)
    one = unit("true", profile="legacy")
    (why,) = strict.validate(one)
    assert why.startswith("profile: legacy images are not allowed here")
    with pytest.raises(LaunchError, match="not allowed here"):
        strict.submit(one)
    assert launcher.validate(one) == []


def test_a_machine_where_root_would_stay_root_runs_no_legacy_units(
    containers: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_map(*given: object) -> list[str]:
        return [one for one in legacy_flags(*given) if "idmap" not in one]  # type: ignore[arg-type]

    monkeypatch.setattr(legacy, "legacy_flags", without_map)
    found = probe(containers)
    assert found.details["no legacy"] == "root of a legacy image would be root of this machine."


def test_without_a_program_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: Callable[..., Unit]
) -> None:
    monkeypatch.setattr("studium.jobs.launchers.container.launcher.find_runtimes", lambda store: [])
    launcher = ContainerLauncher(tmp_path)
    found = launcher.capabilities()
    assert not found.available
    assert found.reason == "Neither Podman nor Docker is here: apt-get install podman runc."
    assert launcher.validate(unit("true")) == [found.reason]
    with pytest.raises(LaunchError, match="apt-get install podman runc"):
        launcher.submit(unit("true", "unit-2"))


def test_docker_is_given_no_flag_that_only_podman_has() -> None:
    """Its ``run`` has other names for some; a flag that it does not know is refused."""
    docker = strict_flags(Runtime("docker", "/usr/bin/docker"), LIMITS, 7)
    podman = strict_flags(Runtime("podman", "/usr/bin/podman", Path("/s")), LIMITS, 7)
    only_podman = (
        "--read-only-tmpfs", "--image-volume", "--http-proxy", "--no-hosts", "--pid", "--uts",
    )  # fmt: skip
    names = {flag.partition("=")[0] for flag in docker}
    assert names & set(only_podman) == set()
    shared = {flag for flag in podman if not flag.startswith((*only_podman, "--tmpfs", "--userns"))}
    assert shared <= set(docker)
