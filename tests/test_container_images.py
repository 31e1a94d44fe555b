"""Images: built from a folder within limits, loaded from an archive, named by digest."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from studium.errors import BuildError
from studium.jobs.launchers.container import images
from studium.jobs.launchers.container.dockerfile import (
    check_dockerfile,
    find_bases,
    measure_context,
)
from studium.jobs.launchers.container.images import BuildPolicy, build_image
from studium.jobs.launchers.container.runtime import Runtime, call, run_folder
from tests.containers import BUSYBOX, digest_of


def context(folder: Path, *lines: str) -> Path:
    place = folder / "context"
    place.mkdir()
    (place / "Dockerfile").write_text("\n".join((f"FROM {BUSYBOX}", *lines, "")))
    (place / "greeting").write_text("hello\n")
    return place


def nothing_left(runtime: Runtime) -> bool:
    assert runtime.store
    return not any((runtime.store / "builds").iterdir())


def test_a_folder_becomes_an_image_once(containers: Runtime, tmp_path: Path) -> None:
    place = context(
        tmp_path, "COPY greeting /greeting", "RUN cat greeting greeting >/twice", "USER 7"
    )
    log = tmp_path / "log"
    digest = build_image(containers, place, "folder-1", BuildPolicy(), log)
    assert images.DIGEST.fullmatch(digest)
    assert "STEP 3/4: RUN" in log.read_text()
    said = call(containers.command(
        "run", "--rm", "--network=none", "--ulimit=nproc=99:99", "--ulimit=nofile=99:99", digest,
        "cat", "/twice",
    ))  # fmt: skip
    assert said.stdout == "hello\nhello\n"
    (place / "Dockerfile").unlink()  # not looked at again: the key names the content
    assert build_image(containers, place, "folder-1", BuildPolicy()) == digest
    assert nothing_left(containers)


def test_a_build_sees_no_network_and_no_other_process(containers: Runtime, tmp_path: Path) -> None:
    place = context(tmp_path, "RUN cat /proc/net/dev; ps; grep CapEff /proc/self/status; env")
    log = tmp_path / "log"
    build_image(containers, place, "alone", BuildPolicy(), log)
    said = log.read_text()
    assert "lo:" in said
    assert "eth" not in said.replace("eth0:", "")
    assert "PID   USER" in said
    assert str(os.getpid()) not in said
    assert "CapEff:\t00000000800000db" in said


@pytest.mark.parametrize(
    ("line", "limits", "why"),
    [
        ("RUN echo telling; exit 3", {}, "exit status 3"),
        ("RUN sleep 1000", {"seconds": 2.0}, "It took more than 2 seconds."),
        ("RUN yes >/full", {"image": 2**25}, "It filled more than 33,554,432 bytes."),
        ("RUN head -c 200m /dev/zero | tail -c 100m >/x", {"memory": 2**25}, "exit status 137"),
        ("COPY greeting", {}, "COPY requires at least one argument"),
    ],
)
def test_a_build_that_fails_says_why_and_leaves_nothing(
    containers: Runtime, tmp_path: Path, line: str, limits: dict[str, float], why: str
) -> None:
    log = tmp_path / "log"
    with pytest.raises(BuildError) as failure:
        build_image(containers, context(tmp_path, line), "fails", BuildPolicy(**limits), log)  # type: ignore[arg-type]
    assert why in str(failure.value) or why in log.read_text()
    assert not failure.value.missing
    assert log.stat().st_size <= BuildPolicy().log
    assert nothing_left(containers)
    assert images.find_image(containers, "localhost/studium-job:fails") is None


def test_a_base_that_is_not_there_is_another_failure(containers: Runtime, tmp_path: Path) -> None:
    place = context(tmp_path)
    (place / "Dockerfile").write_text("FROM localhost/nobody-has-it\nRUN true\n")
    with pytest.raises(BuildError, match="localhost/nobody-has-it was not found") as failure:
        build_image(containers, place, "baseless", BuildPolicy())
    assert failure.value.missing


def test_a_long_log_is_cut(containers: Runtime, tmp_path: Path) -> None:
    log = tmp_path / "log"
    place = context(tmp_path, "RUN yes | head -c 3000000")
    build_image(containers, place, "talkative", BuildPolicy(log=1000), log)
    assert log.stat().st_size == 1000


def test_a_killed_build_takes_its_steps_with_it(containers: Runtime, tmp_path: Path) -> None:
    """By the death of the process that waits for it, which no handler sees."""
    place = context(tmp_path, "RUN echo begun; sleep 4242")
    log = tmp_path / "log"
    pid = os.fork()
    if pid == 0:
        try:
            build_image(containers, place, "killed", BuildPolicy(), log)
        finally:
            os._exit(0)
    wait_for(lambda: log.exists() and "\nbegun" in log.read_text())
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    wait_for(lambda: "sleep 4242" not in commands())
    assert containers.store
    for left in (containers.store / "builds").iterdir():  # a folder may stay after kill -9
        subprocess.run(["umount", "--lazy", left / "store" / "overlay"], capture_output=True)
        subprocess.run(["rm", "-rf", left, run_folder(left)], check=True)


def commands() -> str:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue  # gone meanwhile
    return "\n".join(found)


def wait_for(done: object, seconds: float = 20.0) -> None:
    assert callable(done)
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_what_is_hidden_is_covered_for_the_builder_itself(tmp_path: Path) -> None:
    """A program in the place of Podman looks where a broken builder could look."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "rows").write_text("learner\n")
    (tmp_path / "state.db").write_text("state\n")
    spy = tmp_path / "podman"
    spy.write_text(f"#!/bin/sh\ncat {tmp_path}/secrets/rows {tmp_path}/state.db; exit 1\n")
    spy.chmod(0o755)
    runtime = Runtime("podman", str(spy), tmp_path / "store")
    place, log = context(tmp_path), tmp_path / "log"
    for hidden, seen in (((), True), ((tmp_path / "secrets", tmp_path / "state.db"), False)):
        with pytest.raises(BuildError):
            build_image(runtime, place, "spied", BuildPolicy(hidden=hidden), log)
        assert ("learner" in log.read_text()) is seen
        assert ("state\n" in log.read_text()) is seen


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("RUN --mount=type=bind,from=x,target=/y true", True),
        ("run --mou\\\nnt=type=cache,target=/y true", True),
        ("RUN --mou\\\n# a comment\nnt=type=cache,target=/y true", True),
        ("ONBUILD RUN --security=insecure true", True),
        ("RUN --network=host true", True),
        ("# syntax=evil/frontend\nRUN true", True),
        ("RUN mount --bind a b", False),
        ("RUN echo --mount", False),
        ("ADD local /z", False),
        ("ADD http://169.254.169.254/latest /z", True),
        ('add --chown=1 ["http://x/y", "/z"]', True),
        ("ADD ht\\\ntp://x/y /z", True),
        ("ONBUILD ADD $SOURCE /z", True),
        ("ADD git@x:y /z", True),
    ],
)
def test_steps_that_ask_for_more_are_refused(text: str, refused: bool) -> None:
    assert bool(check_dockerfile(f"FROM x\n{text}\n")) is refused


@pytest.mark.parametrize("network", ["none", "bridge", "slirp4netns"])
def test_no_build_fetches_by_the_network_of_the_machine(tmp_path: Path, network: str) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nADD http://169.254.169.254/latest /x\n")
    for kind in ("podman", "docker"):
        runtime = Runtime("podman" if kind == "podman" else "docker", "/bin/false", tmp_path)
        with pytest.raises(BuildError, match="ADD takes files of the folder only"):
            build_image(runtime, tmp_path, "fetched", BuildPolicy(network=network))


def test_bases_are_what_comes_from_elsewhere() -> None:
    text = """ARG X
    FROM --platform=linux/amd64 debian:12 AS first
    # FROM comment
    FROM scratch
    COPY --from=first /a /b
    COPY --chown=1:1 --from=0 /a /b
    COPY --from=busy\\
box /a /b
    from First
    FROM $X
    """
    assert find_bases(text) == ["debian:12", "$X", "busybox"]


def test_a_context_is_files_of_a_limited_size(tmp_path: Path, containers: Runtime) -> None:
    (tmp_path / "large").write_bytes(b"x" * 100_000)
    assert measure_context(tmp_path, 10_000).startswith("The folder has more than 10,000 bytes")
    assert measure_context(tmp_path, 10**6) == ""
    os.symlink("/etc/shadow", tmp_path / "link")
    assert measure_context(tmp_path, 10**6) == ""
    os.mkfifo(tmp_path / "pipe")
    assert "pipe is neither" in measure_context(tmp_path, 10**6)
    with pytest.raises(BuildError, match="no Dockerfile"):
        build_image(containers, tmp_path, "nothing", BuildPolicy())


def test_a_link_out_of_the_folder_brings_nothing_in(containers: Runtime, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("learner\n")
    place = context(tmp_path, "COPY link /copied", "RUN cat /copied")
    os.symlink(secret, place / "link")
    log = tmp_path / "log"
    with pytest.raises(BuildError):
        build_image(containers, place, "linked", BuildPolicy(), log)
    assert "learner" not in log.read_text()


def test_an_image_comes_from_an_archive_too(containers: Runtime, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    call(containers.command("save", f"--output={archive}", BUSYBOX))
    assert images.load_image(containers, archive) == digest_of(containers)
    archive.write_text("no image")
    with pytest.raises(BuildError, match=r"No image could be loaded from image\.tar") as failure:
        images.load_image(containers, archive)
    assert failure.value.missing
    gone = build_image(containers, context(tmp_path, "ENV A=1"), "gone", BuildPolicy())
    images.remove_image(containers, gone)
    images.remove_image(containers, gone)
    assert images.find_image(containers, gone) is None
