"""Real database servers for tests: MariaDB and PostgreSQL on free loopback ports.

Each test session (each worker of pytest-xdist) starts its own, in a folder of its own, at the
first test that asks; they end with it. A test gets a fresh, empty database from `Server.fresh`.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from pwd import getpwnam

from tests.services import require

_PATIENCE = 60.0
"""Seconds a server may take to answer its first question."""


@dataclass(frozen=True)
class Server:
    """A running database server; ``url(name)`` is a SQLAlchemy URL of one of its databases."""

    scheme: str  # "postgresql" or "mysql"
    port: int
    user: str
    password: str
    folder: Path
    client: tuple[str, ...]
    """A command that reads SQL statements from standard input."""
    default: str
    """The database that is always there."""
    _number: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str) -> str:
        return f"{self.scheme}://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def fresh(self) -> str:
        """The URL of a new empty database."""
        name = f"t{next(self._number)}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def sql(self, text: str, database: str | None = None) -> str:
        """What the server's own client prints for ``text``: an eye that is not ours."""
        found = subprocess.run(
            [*self.client, database or self.default],
            input=text,
            capture_output=True,
            text=True,
            env={**os.environ, "PGPASSWORD": self.password},
        )
        if found.returncode:
            raise AssertionError(found.stderr)
        return found.stdout


@contextmanager
def run_postgres() -> Iterator[Server]:
    """A PostgreSQL server; it refuses to run as root, so root runs it as ``nobody``."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    require("PostgreSQL", bool(places), "apt-get install postgresql-15")
    binaries = places[-1].parent
    with _folder("postgres") as folder:
        become: list[str] = []
        if os.geteuid() == 0:
            nobody = getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            become = [
                "setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"
            ]  # fmt: skip
        secret = folder / "secret"
        secret.write_text("studium")
        secret.chmod(0o644)
        data = folder / "data"
        _run([
            *become, str(binaries / "initdb"), "--pgdata", str(data), "--username=studium",
            f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8",
            "--no-sync",
        ])  # fmt: skip
        port = _free_port()
        command = [
            *become, str(binaries / "postgres"), "-D", str(data), "-p", str(port),
            "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}",
            "-c", "fsync=off", "-c", "max_connections=100",
        ]  # fmt: skip
        client = (
            str(binaries / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
            "-h", "127.0.0.1", "-p", str(port), "-U", "studium",
        )  # fmt: skip
        server = Server("postgresql", port, "studium", "studium", folder, client, "postgres")
        with _started(command, folder, server):
            yield server


@contextmanager
def run_mariadb() -> Iterator[Server]:
    """A MariaDB server, with ``local_infile`` as Debian ships it (on)."""
    daemon = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin")
    install = shutil.which("mariadb-install-db")
    require(
        "MariaDB", bool(daemon and install),
        "apt-get install mariadb-server-core mariadb-client-core",
    )  # fmt: skip
    assert daemon
    assert install
    with _folder("mariadb") as folder:
        data = folder / "data"
        user = ["--user=root"] if os.geteuid() == 0 else []
        _run([
            install, "--no-defaults", f"--datadir={data}", "--skip-test-db",
            "--auth-root-authentication-method=normal", *user,
        ])  # fmt: skip
        port = _free_port()
        socket_file = folder / "socket"
        command = [
            daemon, "--no-defaults", f"--datadir={data}", f"--port={port}",
            "--bind-address=127.0.0.1", f"--socket={socket_file}", *user,
            "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M",
            f"--pid-file={folder / 'pid'}", "--skip-name-resolve", "--max-connections=100",
            f"--log-error={folder / 'error.log'}", "--character-set-server=utf8mb4",
        ]  # fmt: skip
        client = (
            "mariadb", "--no-defaults", "--batch", "--skip-column-names",
            "--default-character-set=utf8mb4", f"--socket={socket_file}", "-u", "root",
        )  # fmt: skip
        server = Server("mysql", port, "studium", "studium", folder, client, "mysql")
        with _started(command, folder, server):
            server.sql(
                "CREATE USER studium@'127.0.0.1' IDENTIFIED BY 'studium';"
                "GRANT ALL ON *.* TO studium@'127.0.0.1'"
            )
            yield server


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    # Short: the path of a socket may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix=f"studium-{name}-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _started(command: list[str], folder: Path, server: Server) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        _await_answer(process, folder, server)
        yield
    finally:
        # PostgreSQL's fast end: the other one waits for clients that a failed test left behind.
        process.send_signal(signal.SIGINT if server.scheme == "postgresql" else signal.SIGTERM)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_answer(process: subprocess.Popen[bytes], folder: Path, server: Server) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            server.sql("SELECT 1")
        except AssertionError:
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(
                    f"{server.scheme} did not start: {(folder / 'log').read_text()}"
                ) from None
            time.sleep(0.1)
        else:
            return


def _run(command: list[str]) -> None:
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, f"{found.stdout}{found.stderr}"


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port
