"""What only the sandbox has: users, cgroups, the list of system calls; and each can be lost."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from studium.autopilot import checks
from studium.jobs.launchers import cgroups, files, uids
from studium.jobs.launchers.protocol import Mount
from studium.jobs.launchers.registry import LAUNCHERS, launcher_of, refusals
from studium.jobs.launchers.sandbox import SandboxLauncher
from studium.site import init_site
from tests.launchers import GRACE, LIMITS, Ground
from tests.services import require

# Each tries what a unit may not, and says "done" where it can: this is the control.
CALLS = {
    "keyring": "libc.syscall(250, 0, -3, 1) >= 0",  # keyctl: the session's keyring
    "user namespace": "libc.unshare(0x10000000) == 0",
    "io_uring": "libc.syscall(425, 1, ctypes.create_string_buffer(120)) >= 0",
    "files of others": "libc.syscall(438, os.pidfd_open(os.getpid()), 0, 0) >= 0",  # pidfd_getfd
    "ptrace": "libc.ptrace(0, 0, 0, 0) == 0",
    "netlink": "socket.socket(16, 3).fileno() > 0",
    "set-user-ID": "os.chmod(made, 0o4755) is None",
    "set-user-ID at once": "os.open(made + '2', os.O_CREAT | os.O_WRONLY, 0o4755) > 0",
    "mount": "libc.unshare(0x20000) == 0 and libc.mount(b'n', b'/tmp', b'tmpfs', 0, None) == 0",
}
SCRIPT = """
import ctypes, os, socket, sys
libc = ctypes.CDLL(None)
made = sys.argv[1] + "/made"
open(made, "w").close()
try:
    print("done" if {call} else "refused")
except OSError:
    print("refused")
"""


@pytest.fixture(scope="module")
def sandbox() -> SandboxLauncher:
    require("bubblewrap", bool(shutil.which("bwrap")), "apt-get install bubblewrap")
    return SandboxLauncher(grace=GRACE)


@pytest.fixture
def inside(sandbox: SandboxLauncher, tmp_path: Path) -> Ground:
    return Ground(sandbox, tmp_path, None)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of calls are x86-64's")
def test_refused_system_calls_are_real(inside: Ground) -> None:
    lost = inside.launcher.capabilities().lost
    require("libseccomp", "system call filter" not in lost, "apt-get install libseccomp2")
    code = inside.folder / "code"
    code.mkdir()
    for name, call in CALLS.items():
        (code / f"{name}.py").write_text(SCRIPT.format(call=call))
    line = 'for one in *.py; do echo "$one: $(python "$one" /tmp)"; done'
    unit, end = inside.run(line, code=code)
    assert end.code == 0
    said = dict(row.split(": ") for row in (unit.folder / "stdout").read_text().splitlines())
    assert said == {f"{name}.py": "refused" for name in CALLS}
    if os.geteuid() == 0:  # others may do less of it themselves
        for name in CALLS:
            control = subprocess.run(
                [sys.executable, code / f"{name}.py", inside.folder], capture_output=True, text=True
            )
            assert control.stdout == "done\n", name
            (inside.folder / "made2").unlink(missing_ok=True)


def test_what_stays_possible(inside: Ground) -> None:
    code = inside.folder / "code"
    code.mkdir()
    (code / "work.py").write_text(
        "import socket, subprocess, threading, multiprocessing, tempfile, duckdb\n"
        "with multiprocessing.Pool(2) as pool: assert pool.map(abs, [-1, -2]) == [1, 2]\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "client = socket.create_connection(server.getsockname())\n"
        "assert duckdb.sql('SELECT 42').fetchall() == [(42,)]\n"
        "tempfile.NamedTemporaryFile().write(b'x')\n"
        "print(subprocess.run(['id', '-un'], capture_output=True, text=True).stdout)\n"
    )
    unit, end = inside.run("python work.py", code=code, memory=2**29)
    assert (unit.folder / "stderr").read_text() == ""
    assert (end.code, (unit.folder / "stdout").read_text().strip()) == (0, "job")


def test_the_machine_cannot_be_seen(inside: Ground) -> None:
    secret = inside.folder / "secret"
    secret.write_text("x")
    data = inside.folder / "data"
    data.mkdir(mode=0o700)
    (data / "one").write_text("1")
    os.environ["STUDIUM_SECRET_OF_TEST"] = "x"
    line = (
        f"[ -e {secret} ] && echo file; env | grep -c SECRET; [ -e /etc/shadow ] && echo shadow;"
        "echo x >/input/data/one && echo input; echo x >/usr/x && echo usr;"
        "ls -d /proc/[0-9]* | wc -l; cat /input/data/one"
    )
    try:
        unit, _ = inside.run(line, inputs=(Mount("data", data),))
    finally:
        del os.environ["STUDIUM_SECRET_OF_TEST"]
    said = (unit.folder / "stdout").read_text().split()
    assert said[0] == "0"
    assert int(said[1]) < 10  # processes: its own
    assert said[2:] == ["1"]
    assert (data / "one").read_text() == "1"


def test_placeholders_of_ours_in_words_of_theirs_stay(inside: Ground) -> None:
    unit, _ = inside.run('echo "{outputs} {uid} $A"', environment={"A": "{seccomp}"})
    assert (unit.folder / "stdout").read_text() == "{outputs} {uid} {seccomp}\n"


def test_what_it_cannot_run_is_said_by_field(inside: Ground) -> None:
    unit = inside.unit(
        "true",
        image="sha256:" + "0" * 64,
        profile="legacy",
        inputs=(Mount("../x", inside.folder / "none"),),
        environment={"A=B": "x", "C": "a\0b"},
        code=inside.folder / "nowhere",
        memory=1000,
    )
    said = inside.launcher.validate(unit)
    assert [one.partition(":")[0] for one in said] == [
        "image", "profile", "command", "environment", "inputs", "inputs.../x", "code", "memory",
    ]  # fmt: skip
    assert inside.launcher.validate(inside.unit("true", key="fine")) == []


def test_a_user_is_free_again_with_its_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uids, "LOCKS", tmp_path)
    one, first = uids.take_uid(930_000, 930_001)
    two, second = uids.take_uid(930_000, 930_001)
    assert {one, two} == {930_000, 930_001}
    with pytest.raises(uids.NoUidError, match="930000 … 930001"):
        uids.take_uid(930_000, 930_001)
    os.close(first)
    again, third = uids.take_uid(930_000, 930_001)
    assert again == one
    os.close(second)
    os.close(third)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_a_user_of_whom_a_process_lives_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uids, "LOCKS", tmp_path)
    left = subprocess.Popen(["sleep", "60"], user=930_100)
    try:
        taken, lock = uids.take_uid(930_100, 930_101)
        os.close(lock)
        assert taken == 930_101
    finally:
        left.kill()
        left.wait()


@pytest.fixture
def version2(tmp_path: Path) -> cgroups.Tree:
    """Files as a delegated cgroup of version 2 has them; no kernel is behind them."""
    base = tmp_path / "base"
    (base / "unit-1").mkdir(parents=True)
    return cgroups.Tree({}, base, frozenset(("memory", "pids", "cpu")))


def test_limits_of_version_2(version2: cgroups.Tree) -> None:
    group = cgroups.make_group(version2, "unit-1", LIMITS)
    folder = group.version2
    assert folder
    written = {path.name: path.read_text() for path in folder.iterdir()}
    assert written == {
        "memory.max": str(LIMITS.memory),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": str(LIMITS.processes + 4),
        "cpu.max": "100000 100000",
    }
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    (folder / "memory.peak").write_text("4096\n")
    (folder / "cpu.stat").write_text("usage_usec 1500000\n")
    assert (group.oom_kills(), group.peak_memory(), group.cpu_seconds()) == (2, 4096, 1.5)


def test_cgroups_that_are_not_there_are_lost_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("0::/\n")
    (tmp_path / "mounts").write_text(f"cgroup2 {tmp_path}/none cgroup2 ro 0 0\n")
    tree = cgroups.find_tree(proc=tmp_path)
    assert set(tree.lost) == {"memory", "pids", "cpu"}
    assert all("none: No such file" in why for why in tree.lost.values())
    assert not any(tree.has(name) for name in cgroups.CONTROLLERS)


def test_outputs_are_measured_once_a_file_and_taken_over(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    (outputs / "deep").mkdir(parents=True)
    (outputs / "deep" / "file").write_bytes(b"x" * 10_000)
    os.link(outputs / "deep" / "file", outputs / "again")
    (outputs / "out").symlink_to("/etc")
    with (outputs / "sparse").open("wb") as sparse:
        sparse.truncate(1_000_000)
    os.chmod(outputs / "deep" / "file", 0o4777)
    os.chmod(outputs / "deep", 0o000)
    size, count = files.measure(outputs)
    assert count == 5 if os.geteuid() == 0 else count == 4
    files.take_over(outputs)
    assert 1_010_000 <= files.measure(outputs)[0] < 1_040_000
    assert (outputs / "deep" / "file").stat().st_mode & 0o7777 == 0o600
    assert size


def test_the_end_takes_no_more_room_than_was_made_for_it(tmp_path: Path) -> None:
    draft = tmp_path / "draft"
    files.reserve(draft)
    blocks = draft.stat().st_blocks
    files.fill(draft, tmp_path / "exit.json", b'{"a": 1}')
    assert (tmp_path / "exit.json").stat().st_blocks == blocks > 0
    assert (tmp_path / "exit.json").stat().st_size == files.ROOM


def test_doctor_tells_of_launchers(tmp_path: Path) -> None:
    with init_site(tmp_path / "site") as site:
        found = {one.check: one for one in checks.examine_launchers(site)}
        assert list(found) == [f"launcher {name}" for name in LAUNCHERS]
        sandbox = launcher_of(site, "sandbox")
        if sandbox.capabilities().available:
            assert "guarantees hold" in found["launcher sandbox"].found
        assert found["launcher sandbox"].ok == (not refusals(site, sandbox))


def test_a_sandbox_that_is_not_installed(
    sandbox: SandboxLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = SandboxLauncher().capabilities()
    assert (found.available, found.guarantees) == (False, frozenset())
    assert "apt-get install bubblewrap" in found.reason
