"""How units in containers end, and by whom: limits, cancelling, silence."""

from dataclasses import replace
from pathlib import Path

import pytest

from studium.jobs.launchers.container import ContainerLauncher
from studium.jobs.launchers.container.runtime import Runtime
from studium.jobs.launchers.protocol import Exit, Limits, Profile, Unit
from tests.containers import digest_of
from tests.test_container_launcher import UIDS, finish, run, running, wait_for

LIMITS = Limits(
    seconds=60, memory=2**26, cpus=1, processes=30, output=2**20, log=2**16, scratch=2**22
)
DEAF = "trap '' TERM; echo deaf; while :; do sleep 1; done"


@pytest.fixture(scope="module")
def launcher(containers: Runtime) -> ContainerLauncher:
    assert containers.store
    return ContainerLauncher(containers.store, UIDS, legacy=True, grace=0.3)


def unit(
    containers: Runtime, tmp_path: Path, line: str, profile: Profile = "strict", **limits: float
) -> Unit:
    folder = tmp_path / "unit"
    folder.mkdir()
    given = replace(LIMITS, **limits)  # type: ignore[arg-type]
    image = digest_of(containers)
    return Unit("unit-1", folder, ("sh", "-c", line), given, image=image, profile=profile)


@pytest.mark.parametrize("profile", ["strict", "legacy"])
def test_time_is_up_also_for_who_ignores_it(
    launcher: ContainerLauncher, containers: Runtime, tmp_path: Path, profile: Profile
) -> None:
    line = f"(setsid sh -c '{DEAF.replace(chr(39), chr(34))}' &); {DEAF}"
    end, said = run(launcher, unit(containers, tmp_path, line, profile, seconds=1.0))
    assert (end.reason, end.code, end.signal) == ("timeout", None, None)
    assert "deaf" in said
    assert running(containers) == []


def test_memory_is_that_of_the_whole_unit(
    launcher: ContainerLauncher, containers: Runtime, tmp_path: Path
) -> None:
    line = "for n in 1 2 3; do tail /dev/zero & done; wait; exit 0"
    end, _ = run(launcher, unit(containers, tmp_path, line))
    assert end.reason == "out of memory"


@pytest.mark.parametrize("where", ["/tmp", "/dev/shm"])
def test_scratch_counts_as_memory_and_has_its_own_limit(
    launcher: ContainerLauncher, containers: Runtime, tmp_path: Path, where: str
) -> None:
    line = f"for n in 1 2 3 4 5 6; do dd if=/dev/zero of={where}/$n bs=1M count=1 || exit 7; done"
    end, _ = run(launcher, unit(containers, tmp_path, line))
    assert (end.reason, end.code) == ("exit", 7)
    assert "No space left on device" in (tmp_path / "unit" / "stderr").read_text()


def test_outputs_in_many_files_are_measured_together(
    launcher: ContainerLauncher, containers: Runtime, tmp_path: Path
) -> None:
    line = "n=0; while :; do n=$((n+1)); head -c 100000 /dev/zero >/output/$n; done"
    end, _ = run(launcher, unit(containers, tmp_path, line))
    assert end.reason == "output too large"


def test_a_long_log_is_kept_to_its_limit_and_counted(
    launcher: ContainerLauncher, containers: Runtime, tmp_path: Path
) -> None:
    end, said = run(
        launcher,
        unit(
            containers, tmp_path, "yes | head -c 3000000; yes >&2 | head -c 0 & sleep 0.1; kill $!"
        ),
    )
    assert end.stdout == 3_000_000
    assert (tmp_path / "unit" / "stdout").stat().st_size == LIMITS.log
    assert (tmp_path / "unit" / "stderr").stat().st_size == LIMITS.log
    assert said.startswith("y\ny\n")


def test_a_fork_bomb_meets_its_limit(
    launcher: ContainerLauncher, containers: Runtime, tmp_path: Path
) -> None:
    line = "n=0; while [ $n -lt 200 ]; do sleep 60 & n=$((n+1)); done; echo all"
    end, said = run(launcher, unit(containers, tmp_path, line))
    assert "all" not in said
    assert end.code != 0


def test_cancelled_before_it_starts_and_while_it_runs(
    launcher: ContainerLauncher, containers: Runtime, tmp_path: Path
) -> None:
    one = unit(containers, tmp_path, f"touch /output/ran; {DEAF}")
    (one.folder / "cancel").touch()
    before, _ = run(launcher, one)
    assert before.reason == "cancelled"
    assert not (one.folder / "outputs" / "ran").exists()

    (tmp_path / "again").mkdir()
    two = replace(one, key="unit-2", folder=tmp_path / "again")
    native = launcher.submit(two)
    assert launcher.submit(two) == native
    wait_for(lambda: launcher.tail(native, two.folder, "stdout", 0, 9) == b"deaf\n")
    assert running(containers) == [native]
    launcher.cancel(native, two.folder)
    launcher.cancel(native, two.folder)
    during: Exit = finish(launcher, native, two)
    assert during.reason == "cancelled"
    assert (two.folder / "outputs" / "ran").exists()
    launcher.cancel(native, two.folder)
    launcher.cleanup(native, two.folder)
    assert running(containers) == []


def test_term_is_heard_by_who_listens(
    launcher: ContainerLauncher, containers: Runtime, tmp_path: Path
) -> None:
    line = "trap 'echo bye; exit 0' TERM; echo here; while :; do sleep 0.05; done"
    one = unit(containers, tmp_path, line)
    patient = ContainerLauncher(launcher.store, UIDS, grace=30)
    native = patient.submit(one)
    wait_for(lambda: patient.tail(native, one.folder, "stdout", 0, 9) == b"here\n")
    patient.cancel(native, one.folder)
    assert finish(patient, native, one).reason == "cancelled"
    assert patient.tail(native, one.folder, "stdout", 0, 99) == b"here\nbye\n"
    patient.cleanup(native, one.folder)
