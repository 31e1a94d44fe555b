"""What every launcher must do, whatever it is made of: the conformance suite."""

import os
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from studium.errors import LaunchError
from studium.jobs.launchers import units
from studium.jobs.launchers.claim import Claim, alive, read_claim
from studium.jobs.launchers.plan import Plan
from studium.jobs.launchers.protocol import GUARANTEES, Mount, Phase
from tests.launchers import GRACE, LIMITS, Ground, processes_with, wait_for
from tests.services import require

EXIT = (
    '{"reason": "exit", "code": 0, "signal": null, "started": "", "ended": "", "seconds": 1,'
    ' "cpu_seconds": null, "peak_memory": null, "stdout": 0, "stderr": 0, "text": ""}'
)


def count_runs(folder: Path) -> int:
    return (folder / "outputs" / "runs").read_text().count("run")


def test_success_leaves_outputs_and_an_account(ground: Ground) -> None:
    data = ground.folder / "data"
    data.write_text("seven\n")
    data.chmod(0o600)
    code = ground.folder / "code"
    code.mkdir(mode=0o700)
    (code / "run.sh").write_text('cat "$STUDIUM_INPUT/one" >"$STUDIUM_OUTPUT/copy"; echo done $WHO')
    unit, end = ground.run(
        ". ./run.sh",
        inputs=(Mount("one", data),),
        code=code,
        environment={"WHO": "a b; $HOME"},
    )
    assert (end.reason, end.code, end.signal) == ("exit", 0, None)
    assert (unit.folder / "outputs" / "copy").read_text() == "seven\n"
    assert (unit.folder / "stdout").read_text() == "done a b; $HOME\n"
    assert (unit.folder / "stderr").read_bytes() == b""
    assert end.stdout == len("done a b; $HOME\n")
    assert datetime.fromisoformat(end.started) <= datetime.fromisoformat(end.ended)
    copied = (unit.folder / "outputs" / "copy").stat()
    assert (copied.st_uid, stat.S_IMODE(copied.st_mode)) == (os.geteuid(), 0o600)


def test_an_exit_code_is_kept(ground: Ground) -> None:
    unit, end = ground.run("echo no >&2; exit 3")
    assert (end.reason, end.code, end.stderr) == ("exit", 3, 3)
    assert (unit.folder / "stderr").read_bytes() == b"no\n"
    assert list((unit.folder / "outputs").iterdir()) == []  # that is all there is of no output


def test_a_signal_is_no_exit_code(ground: Ground) -> None:
    _, end = ground.run("kill -9 $$; sleep 0.1")
    assert (end.reason, end.code, end.signal) in {
        ("signal", None, 9),
        # The first process of a container's namespace cannot kill itself.
        *([("exit", 0, None)] if ground.image else []),
    }


def test_a_command_that_does_not_exist(ground: Ground) -> None:
    _, end = ground.run("", command=("there-is-no-such-command",))
    assert (end.reason, end.code) in {("exit", 127), ("not started", None)}
    assert end.code != 0


def test_time_is_up(ground: Ground) -> None:
    _, end = ground.run("echo up; sleep 50", seconds=0.3)
    assert (end.reason, end.code) == ("timeout", None)
    assert end.seconds < 40


def test_cancelled_before_it_starts(ground: Ground) -> None:
    unit = ground.unit("echo run >>/output/runs")
    units.request_cancel(unit.folder)
    end = ground.end(unit, ground.launcher.submit(unit))
    assert end.reason == "cancelled"
    assert not (unit.folder / "outputs" / "runs").exists()


def test_cancelled_while_it_runs_it_may_say_good_bye(ground: Ground) -> None:
    unit = ground.unit(
        'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.05; done', key="u"
    )
    native = ground.launcher.submit(unit)
    ground.says(unit, native, "up")
    ground.launcher.cancel(native, unit.folder)
    ground.launcher.cancel(native, unit.folder)
    end = ground.end(unit, native)
    assert (end.reason, end.code) == ("cancelled", None)
    assert ground.launcher.tail(native, unit.folder, "stdout", 3, 4) == b"bye\n"
    ground.launcher.cancel(native, unit.folder)  # too late: no change
    assert ground.end(unit, native) == end


def test_who_ignores_term_is_killed(ground: Ground) -> None:
    unit = ground.unit('trap "" TERM; echo up; while :; do sleep 0.05; done')
    native = ground.launcher.submit(unit)
    ground.says(unit, native, "up")
    ground.launcher.cancel(native, unit.folder)
    end = ground.end(unit, native)
    assert end.reason == "cancelled"
    assert end.seconds >= GRACE


def test_out_of_memory(ground: Ground) -> None:
    lost = ground.launcher.capabilities().lost
    require("a limit of memory", "memory limit" not in lost, lost.get("memory limit", ""))
    _, end = ground.run("head -c 100000000 /dev/zero | tail -c 90000000 >/dev/null")
    assert (end.reason, end.code) == ("out of memory", None)
    _, control = ground.run("head -c 100000000 /dev/zero | tail -c 9", key="control")
    assert (control.reason, control.code) == ("exit", 0)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("head -c 3000000 /dev/zero >/output/a", id="one file"),
        pytest.param(
            "for i in 1 2 3 4 5 6; do head -c 300000 /dev/zero >/output/$i; done; sleep 40",
            id="many",
        ),
    ],
)
def test_outputs_that_are_too_large(ground: Ground, line: str) -> None:
    unit, end = ground.run(line)
    assert end.reason == "output too large"
    assert end.seconds < 30
    written = sum(path.stat().st_size for path in (unit.folder / "outputs").iterdir())
    assert written <= 2 * LIMITS.output


def test_a_flood_is_counted_and_dropped(ground: Ground) -> None:
    unit, end = ground.run("yes | head -c 20000000; echo end >&2", log=1000)
    assert (end.reason, end.code) == ("exit", 0)
    assert (end.stdout, end.stderr) == (20_000_000, 4)
    assert (unit.folder / "stdout").read_bytes() == b"y\n" * 500
    native = ground.launcher.submit(unit)
    assert ground.launcher.tail(native, unit.folder, "stdout", 998, 100) == b"y\n"


def test_a_daemon_ends_with_its_unit(ground: Ground) -> None:
    seconds = f"8{os.getpid()}"
    line = f"(setsid sleep {seconds} &) ; (trap '' HUP TERM; sleep {seconds} &) ; "
    unit = ground.unit(line + "sleep 30")
    native = ground.launcher.submit(unit)
    wait_for(lambda: len(processes_with(seconds)) >= 2)  # it is real
    ground.launcher.cancel(native, unit.folder)
    ground.end(unit, native)
    assert processes_with(seconds) == []
    _, end = ground.run(line + "true", key="unit-2")
    assert (end.reason, end.code) == ("exit", 0)
    assert processes_with(seconds) == []


def test_without_its_supervisor_a_unit_is_lost_and_gone(ground: Ground) -> None:
    seconds = f"9{os.getpid()}"
    unit = ground.unit(f"echo run >>/output/runs; sleep {seconds}")
    native = ground.launcher.submit(unit)
    wait_for(lambda: bool(processes_with(seconds)))
    holder = read_claim(unit.folder)
    assert holder
    os.kill(holder.pid, signal.SIGKILL)
    wait_for(lambda: ground.launcher.status({native: unit.folder})[native].phase is Phase.LOST)
    wait_for(lambda: processes_with(seconds) == [])
    assert ground.launcher.submit(unit) == native  # the same key: never started again
    assert ground.launcher.status({native: unit.folder})[native].phase is Phase.LOST
    ground.launcher.cleanup(native, unit.folder)
    ground.launcher.cleanup(native, unit.folder)
    assert count_runs(unit.folder) == 1


def test_a_new_worker_finds_what_a_killed_one_started(ground: Ground) -> None:
    unit = ground.unit(
        "echo run >>/output/runs; echo up; until [ -e /output/go ]; do sleep 0.05; done; echo end"
    )
    ground.launcher.capabilities()  # probed before the fork, which then only submits
    worker = os.fork()
    if worker == 0:
        ground.launcher.submit(unit)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(worker, 0)[1]) == signal.SIGKILL
    native = ground.launcher.submit(unit)
    assert ground.launcher.status({native: unit.folder})[native].phase is Phase.RUNNING
    ground.says(unit, native, "up")
    (unit.folder / "outputs" / "go").touch()
    end = ground.end(unit, native)
    assert (end.reason, end.code, count_runs(unit.folder)) == ("exit", 0, 1)
    assert (unit.folder / "stdout").read_text() == "up\nend\n"


def test_told_several_times_at_once_it_starts_once(ground: Ground) -> None:
    unit = ground.unit("echo run >>/output/runs")
    ground.launcher.capabilities()
    with ThreadPoolExecutor(4) as pool:
        natives = set(pool.map(lambda _: ground.launcher.submit(unit), range(4)))
    (native,) = natives
    assert ground.end(unit, native).code == 0
    assert count_runs(unit.folder) == 1


def test_processes_are_bounded(ground: Ground) -> None:
    lost = ground.launcher.capabilities().lost
    require("a limit of processes", "process limit" not in lost, lost.get("process limit", ""))
    line = "n=0; while [ $n -lt 40 ]; do sleep 20 & n=$((n+1)); done; echo all"
    _, control = ground.run(line, key="control", processes=100)
    _, end = ground.run(line, processes=20)
    assert control.stdout == 4  # all of them can be started
    assert end.stdout == 0


def test_units_that_run_together_are_different_users(ground: Ground) -> None:
    lost = ground.launcher.capabilities().lost
    require("users", "user of its own" not in lost, lost.get("user of its own", ""))
    pair = [ground.unit("id -u; echo up; sleep 30", key=f"unit-{number}") for number in (1, 2)]
    natives = [ground.launcher.submit(unit) for unit in pair]
    users = set()
    for unit, native in zip(pair, natives, strict=True):
        ground.says(unit, native, "up")
        users.add(int((unit.folder / "stdout").read_text().split()[0]))
    for unit, native in zip(pair, natives, strict=True):
        ground.launcher.cancel(native, unit.folder)
        ground.end(unit, native)
    assert len(users) == 2
    assert all(user > 999 for user in users)


def test_nothing_but_its_own_network(ground: Ground) -> None:
    _, end = ground.run("tail -n +3 /proc/net/dev | grep -vq ' lo:'; [ $? = 1 ]")
    assert (end.reason, end.code) == ("exit", 0)
    assert len(Path("/proc/net/dev").read_text().splitlines()) > 3, "the machine has a network"


def test_ids_that_it_never_gave_are_lost(ground: Ground) -> None:
    natives = {"studium-0-x": ground.folder, "another": ground.folder / "nothing"}
    assert {seen.phase for seen in ground.launcher.status(natives).values()} == {Phase.LOST}


def test_what_it_lost_it_says_why(ground: Ground) -> None:
    found = ground.launcher.capabilities()
    assert found.available
    assert found.guarantees | found.lost.keys() == set(GUARANTEES)
    assert not found.guarantees & found.lost.keys()
    assert all(found.lost.values())


# What all of them share.


def test_a_number_that_another_process_has_now_fools_nobody(tmp_path: Path) -> None:
    me = os.getpid()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    start = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    assert alive(tmp_path, Claim(boot, me, start))
    assert not alive(tmp_path, Claim(boot, me, start - 1))
    other = Claim("another-boot", me, start)
    assert not alive(tmp_path, other)
    (tmp_path / "heartbeat").touch()
    assert alive(tmp_path, other)  # on another machine, that beats
    os.utime(tmp_path / "heartbeat", (1, 1))
    assert not alive(tmp_path, other)


def test_a_damaged_claim_hides_no_other_unit(tmp_path: Path) -> None:
    """As a power cut leaves it."""
    for name, text in (("empty", ""), ("list", "[]"), ("other", '{"x": 1}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "claim.json").write_text(text)
    (tmp_path / "ended").mkdir()
    (tmp_path / "ended" / "exit.json").write_text(EXIT)
    (tmp_path / "file").touch()  # "not a directory": it cannot be seen at all
    names = ("empty", "list", "other", "ended", "file/unit")
    seen = units.see({name: tmp_path / name for name in names})
    assert {name: one.phase for name, one in seen.items()} == {
        "empty": Phase.LOST, "list": Phase.LOST, "other": Phase.LOST, "ended": Phase.ENDED,
    }  # fmt: skip
    (tmp_path / "empty" / "heartbeat").touch()
    assert units.see({"a": tmp_path / "empty"})["a"].phase is Phase.RUNNING
    units.request_cancel(tmp_path / "empty")


def test_a_supervisor_that_cannot_start_says_so(tmp_path: Path) -> None:
    plan = Plan(argv=("/bin/true",), environment={}, limits=LIMITS)
    with pytest.raises(LaunchError, match="missing"):
        units.start(tmp_path / "missing", plan)


def test_a_runtime_that_is_missing_is_told(tmp_path: Path) -> None:
    plan = Plan(argv=("/there/is/none",), environment={}, limits=LIMITS)
    units.start(tmp_path, plan)
    wait_for(lambda: units.read_exit(tmp_path) is not None)
    end = units.read_exit(tmp_path)
    assert end
    assert (end.reason, end.code) == ("not started", None)
    assert "/there/is/none" in end.text
