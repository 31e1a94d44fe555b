"""A unit that cannot be watched any more does not run on."""

import os
import subprocess
import sys
from pathlib import Path

from studium.jobs.launchers.files import UNKNOWN, measure, measure_unlinked

# In a process of its own: whoever watches kills all of its descendants.
_PROGRAM = """
import os, subprocess, sys
from pathlib import Path
from studium.jobs.launchers.logs import Log
from studium.jobs.launchers.plan import Plan
from studium.jobs.launchers.protocol import Limits
from studium.jobs.launchers.watch import Watch, watch_unit
folder = Path(sys.argv[1])
unit = subprocess.Popen(["sleep", "1000"])
logs = Log(folder / "out", 100), Log(folder / "err", 100)
wakeup, _ = os.pipe()
os.close(logs[0].descriptor)  # what it watches is gone
plan = Plan(("x",), {}, Limits(9, 1, 1, 1, 1, 1, 1), kill=("touch", str(folder / "killed")))
try:
    watch_unit(Watch(folder, plan, None, None, unit.pid, logs, wakeup, None))
except OSError as error:
    print(type(error).__name__, os.path.exists(f"/proc/{unit.pid}"))
"""


def test_who_cannot_watch_kills(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, tmp_path], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["OSError", "False"], done.stderr
    assert (tmp_path / "killed").exists()


def test_what_cannot_be_opened_is_too_much(tmp_path: Path) -> None:
    """As an /output that a rootless container has closed: nobody sees what is in it."""
    assert measure(tmp_path / "gone") == (0, UNKNOWN)
    (tmp_path / "link").symlink_to(tmp_path)
    assert measure(tmp_path / "link") == (0, UNKNOWN)
    assert measure_unlinked([os.getpid()], tmp_path / "gone") == 0
