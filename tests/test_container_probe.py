"""What the probe of containers finds, and that it would find a guarantee missing."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from studium.jobs.launchers.container import isolation, probe
from studium.jobs.launchers.container.probe import Findings, kept_probe
from studium.jobs.launchers.container.runtime import Runtime, call, find_runtimes, which
from studium.jobs.launchers.protocol import GUARANTEES
from studium.settings.jobs import JobsSettings
from tests.containers import digest_of


def test_every_guarantee_is_proven_here(containers: Runtime) -> None:
    found = probe.probe(containers)
    assert found.guarantees == set(GUARANTEES)
    assert found.lost == {}
    assert found.details["program"].startswith("podman ")


def test_every_guarantee_is_missed_without_its_flag(
    containers: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above: the same attempts succeed where nothing is in their way."""
    walls = (
        "--read-only", "--user", "--cap-drop", "--security-opt", "--memory", "--pids-limit",
        "--cpus", "--tmpfs", "--ulimit",
    )  # fmt: skip
    open_ = ("--tmpfs=/tmp:size=100m,mode=1777", "--security-opt=seccomp=unconfined")
    given = ("--ulimit=nproc=1000:1000", "--ulimit=nofile=1000:1000", "--pids-limit=100")
    strict, mounts = isolation.strict_flags, isolation.mount_flags

    def without(*values: object) -> list[str]:
        flags = strict(*values)  # type: ignore[arg-type]
        return [*(one for one in flags if not one.startswith(walls)), *open_, *given]

    monkeypatch.setattr(isolation, "strict_flags", without)
    monkeypatch.setattr(
        isolation,
        "mount_flags",
        lambda given: [one.replace(",readonly", "") for one in mounts(given)],
    )
    found = probe._try(containers)
    assert isinstance(found, Findings), found
    # Those left are the network's, which the next test opens, and the supervisor's.
    assert found.guarantees == {"no network", "output limit", "time limit"}
    assert all(found.lost.values())


def test_gvisor_comes_first_where_it_gives_what_the_site_needs() -> None:
    """By what its /proc/self/status says, in a text: it runs nowhere that these tests run."""

    def findings(oci: str, *more: str) -> Findings:
        said = ["CapPrm:0", "CapEff:0", "CapBnd:0", "input:read", "output:yes", "scratch:9", *more]
        runtime = Runtime("podman", "podman", oci=oci)
        return probe._read(runtime, "\n".join(said), probe._user())

    runsc = findings("/usr/bin/runsc")
    runc = findings("/usr/sbin/runc", "NoNewPrivs:1", "Seccomp:2", "cpu:1")
    assert set(runsc.lost) - {"user of its own"} == {"cpu limit"}
    assert set(runc.lost) <= {"user of its own"}
    assert findings("/usr/sbin/runc").lost.keys() >= {"no new privileges", "system call filter"}
    needed = JobsSettings().guarantees
    assert probe.rank(runsc, needed) > probe.rank(runc, needed)
    assert probe.rank(runsc, [*needed, "cpu limit"]) < probe.rank(runc, [*needed, "cpu limit"])


def test_another_network_is_noticed(containers: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = isolation.strict_flags

    def online(*values: object) -> list[str]:
        return [one.replace("network=none", "network=host") for one in strict(*values)]  # type: ignore[arg-type]

    monkeypatch.setattr(isolation, "strict_flags", online)
    found = probe._try(containers)
    assert isinstance(found, Findings), found
    interfaces = set(os.listdir("/sys/class/net")) - {"lo"}
    assert ("no network" in found.lost) == bool(interfaces)


def test_what_was_found_is_kept_until_a_program_changes(
    containers: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "probe.json"
    tries: list[str] = []
    first = replace(probe.probe(containers), details={"kept": "yes"})

    def counted(runtime: Runtime, needed: object) -> Findings:
        tries.append(runtime.kind)
        return first

    monkeypatch.setattr(probe, "probe", counted)
    assert kept_probe(containers, cache) == first
    assert kept_probe(containers, cache) == first
    assert tries == ["podman"]
    kept = json.loads(cache.read_text())
    kept["key"] += "\nanother podman"
    cache.write_text(json.dumps(kept))
    kept_probe(containers, cache)
    cache.write_text("{")
    kept_probe(containers, cache)
    assert tries == ["podman"] * 3


def test_a_docker_without_its_service_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    program = which("docker")
    if program is None:  # any program that cannot reach its service says so and fails
        script = tmp_path / "docker"
        script.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon.' >&2; exit 1\n")
        script.chmod(0o755)
        program = str(script)
    found = probe.probe(Runtime("docker", program))
    assert found.runtime is None
    assert found.reason.startswith("docker does not answer: Cannot connect to the Docker daemon")
    assert found.reason.endswith("Start its service, or use Podman, which needs none.")


def test_a_program_that_cannot_run_containers_is_not_taken(tmp_path: Path) -> None:
    script = tmp_path / "podman"
    script.write_text('#!/bin/sh\ncase "$*" in *" run "*) echo broken >&2; exit 125;; esac\n')
    script.chmod(0o755)
    found = probe.probe(Runtime("podman", str(script), tmp_path))
    assert found.runtime is None
    assert found.reason == "podman cannot run a container here (default runtime: broken)."


def test_programs_are_found_also_in_the_folders_of_administrators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, containers: Runtime
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_runtimes(tmp_path)[0].program == containers.program


def test_nothing_of_the_environment_reaches_a_container(
    containers: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:password@proxy")
    flags = isolation.strict_flags(containers, probe._LIMITS, 200_000)
    done = call(containers.command("run", "--rm", *flags, digest_of(containers), "env"))
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert names <= {"PATH", "HOME", "HOSTNAME", "TERM", "container"}
