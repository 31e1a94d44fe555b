"""A step in a child: its answer, its crash, its end, and that it dies with its worker."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from select import select

import pytest

from studium.jobs.worker.children import Answer, Child, start_child


def finished(child: Child, seconds: float = 20) -> Answer:
    deadline = time.monotonic() + seconds
    while not child.ended():
        assert select([child.pipe], [], [], deadline - time.monotonic())[0], "it hangs"
    return child.finish()


def crash(number: int) -> None:
    os.kill(os.getpid(), number)


def fail() -> None:
    raise FileNotFoundError("/secret")


@pytest.mark.parametrize(
    ("work", "answer"),
    [
        (lambda: {"a": [1, None, "ü"]}, Answer({"a": [1, None, "ü"]})),
        (lambda: "x" * 300_000, Answer("x" * 300_000)),
        (lambda: crash(signal.SIGKILL), Answer(crash="signal 9")),
        (lambda: crash(signal.SIGTERM), Answer(crash="signal 15")),
        (lambda: os._exit(3), Answer(crash="exit code 3")),
        (lambda: os._exit(0), Answer(crash="no answer")),
        (fail, Answer(crash="FileNotFoundError")),
        (lambda: sys.exit(1), Answer(crash="exit code 70")),
        (lambda: "x" * (2 << 20), Answer(crash="no answer")),
    ],
)
def test_answers(tmp_path: Path, work: object, answer: Answer) -> None:
    child = start_child(work, 60, str(tmp_path / "log"))  # type: ignore[arg-type]
    assert finished(child) == answer


def test_what_it_prints_goes_to_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert finished(start_child(lambda: print("hello"), 60, str(log))) == Answer()
    finished(start_child(fail, 60, str(log)))
    text = log.read_text()
    assert text.startswith("hello\n")
    assert "FileNotFoundError: /secret" in text


def test_stop_ends_it_with_what_it_has_started() -> None:
    def work() -> None:
        subprocess.run(["sleep", "1000"], check=False)

    child = start_child(work, 60)
    children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    deadline = time.monotonic() + 20
    while not (inner := children.read_text().split()):
        assert time.monotonic() < deadline
        os.sched_yield()
    child.stop()
    assert child.finish() == Answer(crash="signal 9")
    while Path(f"/proc/{inner[0]}/stat").exists():
        if Path(f"/proc/{inner[0]}/stat").read_text().split()[2] == "Z":
            break
        assert time.monotonic() < deadline
        os.sched_yield()
    child.stop()  # once more, which must not hit anybody else


WORKER = """
import os, sys, time
from studium.jobs.worker.children import start_child
child = start_child(lambda: time.sleep(1000), 60)
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_it_dies_with_its_worker() -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    pid = int(worker.stdout.readline())
    descriptor = os.pidfd_open(pid)
    worker.kill()
    worker.communicate()
    assert select([descriptor], [], [], 20)[0], "the child lives on"
    os.close(descriptor)
