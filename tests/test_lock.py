"""The writer lock, between real processes."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from studium.errors import LockedError
from studium.state.lock import lock_holder, writer_lock

# Prints "held" with the lock in hand, and gives it back when its input ends.
HOLD = """
import sys
from pathlib import Path
from studium.state.lock import writer_lock

with writer_lock(Path(sys.argv[1]), "studium run --since 2024-01-01", 0):
    print("held", flush=True)
    sys.stdin.read()
print("released", flush=True)
"""

# Says when it has begun to wait, so that no test has to guess.
WAIT = """
import sys, time
from pathlib import Path
from studium.state import lock

asleep = time.sleep
def sleep(seconds):
    if not said:
        said.append(print("waiting", flush=True))
    asleep(seconds)
said = []
lock.time.sleep = sleep
with lock.writer_lock(Path(sys.argv[1]), "studium build", 60):
    print("held", flush=True)
"""

# Adds one to a number in a file, many times; without the lock most steps are lost.
ADD = """
import sys
from pathlib import Path
from studium.state.lock import writer_lock

site, number = Path(sys.argv[1]), Path(sys.argv[1]) / "number"
for _ in range(10):
    with writer_lock(site, "add", 60):
        number.write_text(str(int(number.read_text()) + 1))
"""


def python(code: str, site: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(site)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def test_a_second_writer_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    with python(HOLD, tmp_path) as child:
        assert line(child) == "held"
        since = json.loads((tmp_path / "writer.lock").read_text())["since"]
        with pytest.raises(LockedError) as caught, writer_lock(tmp_path, "studium build", 0.2):
            pytest.fail("two writers at once")
        message = str(caught.value)
        assert "`studium run --since 2024-01-01`" in message
        assert f"process {child.pid} " in message
        assert f"since {since}" in message
        assert "waited 0.2 seconds" in message
        assert "site.lock_wait" in message
        child.communicate()
    with writer_lock(tmp_path, "studium build", 0):
        pass


def test_a_killed_writer_leaves_nothing_behind(tmp_path: Path) -> None:
    with python(HOLD, tmp_path) as child:
        assert line(child) == "held"
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    with writer_lock(tmp_path, "studium build", 0):
        holder = lock_holder(tmp_path)
        assert holder is not None
        assert (holder.pid, holder.command) == (os.getpid(), "studium build")


def test_a_waiting_writer_goes_on_when_the_other_ends(tmp_path: Path) -> None:
    with python(HOLD, tmp_path) as first:
        assert line(first) == "held"
        with python(WAIT, tmp_path) as second:
            assert line(second) == "waiting"
            first.communicate()
            assert line(second) == "held"
        assert second.returncode == 0


def test_a_waiting_writer_goes_on_when_the_other_is_killed(tmp_path: Path) -> None:
    with python(HOLD, tmp_path) as first:
        assert line(first) == "held"
        with python(WAIT, tmp_path) as second:
            assert line(second) == "waiting"
            first.kill()
            assert line(second) == "held"
        assert second.returncode == 0


def test_writers_in_many_processes_lose_no_step(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    children = [python(ADD, tmp_path) for _ in range(4)]
    for child in children:
        child.communicate()
        assert child.returncode == 0
    assert (tmp_path / "number").read_text() == "40"


def test_the_lock_names_its_holder_only_while_it_is_held(tmp_path: Path) -> None:
    assert lock_holder(tmp_path) is None
    with writer_lock(tmp_path, "studium run", 0):
        holder = lock_holder(tmp_path)
        assert holder is not None
        assert holder.pid == os.getpid()
        assert set(json.loads((tmp_path / "writer.lock").read_text())) == {
            "pid",
            "command",
            "since",
            "host",
        }
    assert lock_holder(tmp_path) is None


def test_one_process_cannot_take_the_lock_twice(tmp_path: Path) -> None:
    with writer_lock(tmp_path, "studium run", 0):
        with (
            pytest.raises(LockedError, match="already: `studium run`"),
            writer_lock(tmp_path / "x" / "..", "studium build", 60),
        ):
            pytest.fail("taken twice")
        # The refusal has not given the lock away.
        with python(WAIT, tmp_path) as child:
            assert line(child) == "waiting"
            child.kill()


def test_nor_can_another_thread_of_it(tmp_path: Path) -> None:
    refused: list[str] = []

    def take() -> None:
        try:
            with writer_lock(tmp_path, "studium build", 60):
                pass
        except LockedError as error:
            refused.append(error.message)

    with writer_lock(tmp_path, "studium run", 0):
        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
    assert len(refused) == 1
    assert "`studium run`" in refused[0]


def test_an_error_gives_the_lock_back(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writer_lock(tmp_path, "studium run", 0):
        raise ZeroDivisionError
    with writer_lock(tmp_path, "studium run", 0):
        pass


def test_a_refused_writer_may_try_again(tmp_path: Path) -> None:
    with python(HOLD, tmp_path) as child:
        assert line(child) == "held"
        for _ in range(2):
            with pytest.raises(LockedError, match="--since"), writer_lock(tmp_path, "again", 0):
                pytest.fail("two writers at once")
        child.communicate()


def test_two_sites_have_two_locks(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with writer_lock(tmp_path / "a", "one", 0), writer_lock(tmp_path / "b", "two", 0):
        pass


def test_a_lock_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(LockedError, match=r"writer\.lock cannot be opened"),
        writer_lock(tmp_path / "missing", "studium run", 0),
    ):
        pytest.fail("locked nothing")
