"""Commands in processes of their own, which can be stopped or killed at any point.

One process imports everything and forks a child for each command, as importing takes longer than
a small run. ``Nursery`` is its other end, in the tests.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TextIO

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Child:
    """A command that was started; ``points`` are known once it has ended by itself."""

    pid: int
    folder: Path
    code: int | None = None
    points: list[str] = field(default_factory=list)

    @property
    def out(self) -> str:
        """What it has printed so far."""
        out = self.folder / "out"  # made by the child, which may not have come that far
        return out.read_text(encoding="utf-8") if out.exists() else ""

    def listen(self) -> TextIO:
        """Standard error, as it is said; to be kept open until the child has ended."""
        return (self.folder / "err").open(encoding="utf-8")

    @property
    def err(self) -> str:
        """What it has said on standard error so far."""
        err = self.folder / "err"
        return err.read_text(encoding="utf-8") if err.exists() else ""


class Nursery:
    """Starts commands; a context manager. All children are waited for before it ends."""

    def __enter__(self) -> "Nursery":
        self._folder = tempfile.TemporaryDirectory()
        self._count = 0
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STUDIUM_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.children"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()
        self._folder.cleanup()

    def start(
        self,
        site: Path,
        *arguments: str,
        kill_at: int = 0,
        stop_at: int = 0,
        lock_wait: float = 60,
        pipe: bool = False,
        results: str = "",
        state: str = "",
        zone: str = "",
    ) -> Child:
        """Start ``studium ARGUMENTS`` on ``site``; at point ``kill_at`` it dies, at ``stop_at`` it
        stops until it gets SIGCONT. With ``pipe`` its standard error is to be read by ``listen``.
        ``results`` is the URL of another result store than the site's own, ``state`` that of
        another state database, ``zone`` the machine's time zone.
        """
        self._count += 1
        folder = Path(self._folder.name) / str(self._count)
        folder.mkdir()
        if pipe:
            os.mkfifo(folder / "err")
        environment = {"STUDIUM_SITE": str(site), "STUDIUM_SITE__LOCK_WAIT": str(lock_wait)}
        if results:
            environment["STUDIUM_RESULTS__URL"] = results
        if state:
            environment["STUDIUM_STATE__URL"] = state
        if zone:
            environment["TZ"] = zone
        answer = self._ask(
            do="start", arguments=arguments, folder=str(folder), environment=environment,
            kill_at=kill_at, stop_at=stop_at,
        )  # fmt: skip
        return Child(int(answer["pid"]), folder)

    def wait(self, child: Child, kill_after: float = 0.0) -> int:
        """The exit code, negative for a signal; a child that takes longer than ``kill_after``
        seconds is killed."""
        child.code = int(self._ask(do="wait", pid=child.pid, kill_after=kill_after)["code"])
        points = child.folder / "points"
        if points.is_file():
            child.points = json.loads(points.read_text(encoding="utf-8"))
        return child.code

    def stopped(self, child: Child) -> None:
        """Wait until the child has stopped itself."""
        assert self._ask(do="stopped", pid=child.pid)["stopped"], f"it ended: {child.err}"

    def resume(self, child: Child) -> None:
        """Let a child that has stopped itself go on."""
        os.kill(child.pid, signal.SIGCONT)

    def run(
        self,
        site: Path,
        *arguments: str,
        kill_at: int = 0,
        kill_after: float = 0.0,
        results: str = "",
    ) -> Child:
        """Start a command and wait for its end."""
        child = self.start(site, *arguments, kill_at=kill_at, results=results)
        self.wait(child, kill_after)
        return child

    def _ask(self, **request: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def serve() -> None:
    """Answer requests, one JSON object a line, until the input ends."""
    _import_everything()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    answers = {"start": _start, "wait": _wait, "stopped": _stopped}
    # Unbuffered: a child must not take requests with it.
    while line := _read_line():
        request = json.loads(line)
        print(json.dumps(answers[request.pop("do")](**request)), flush=True)


def _import_everything() -> None:
    from importlib import import_module

    from studium import cli
    from studium.lenses import tables

    for name in (
        *cli.MODULES, "alembic.command", "deltalake", "duckdb", "isal.igzip", "pyarrow.compute",
        "pyarrow.dataset", "pyarrow.parquet", "sqlalchemy.dialects.sqlite", "sqlglot",
        "studium.autopilot.checks", "studium.autopilot.steps", "studium.engines.duckdb",
        "studium.lake.vacuum", "studium.state.database", "studium.state.migrate", "tests.bare",
        "tests.points",
    ):  # fmt: skip
        import_module(name)
    tables()


def _read_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


def _start(
    arguments: Sequence[str],
    folder: str,
    environment: Mapping[str, str],
    kill_at: int,
    stop_at: int,
) -> dict[str, Any]:
    pid = os.fork()
    if pid:
        return {"pid": pid}
    try:
        _run(arguments, Path(folder), environment, kill_at, stop_at)
    finally:
        os._exit(99)


def _run(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    kill_at: int,
    stop_at: int,
) -> NoReturn:
    from studium.cli import main as cli
    from tests.bare import main as bare_worker
    from tests.points import watched

    main = bare_worker if arguments[0] == "bare-worker" else cli

    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT, 0o644), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    os.environ.update(environment)
    time.tzset()
    sys.argv = ["studium", *arguments]
    passed: list[str] = []

    def hit(name: str) -> None:
        passed.append(name)
        if len(passed) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if len(passed) == stop_at:
            os.kill(os.getpid(), signal.SIGSTOP)

    code = 99
    try:
        with watched(hit):
            main()
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else 98
    (folder / "points").write_text(json.dumps(passed), encoding="utf-8")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _wait(pid: int, kill_after: float) -> dict[str, Any]:
    if kill_after and signal.sigtimedwait({signal.SIGCHLD}, kill_after) is None:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    signal.sigtimedwait({signal.SIGCHLD}, 0)  # the signal of this child, if it is still pending
    return {"code": os.waitstatus_to_exitcode(status)}


def _stopped(pid: int) -> dict[str, Any]:
    _, status = os.waitpid(pid, os.WUNTRACED)
    return {"stopped": os.WIFSTOPPED(status)}


if __name__ == "__main__":
    serve()
