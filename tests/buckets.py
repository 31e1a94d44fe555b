"""An S3 store of this session (moto's server on a free port) and a proxy in front of it that fails.

``Bucket`` is a bucket of its own for one test.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

SECRET = "wJalrXUtnFEMI-not-to-be-shown"
_NUMBERS = count()
_CONTROL = "-control-"
ROOT = Path(__file__).resolve().parent.parent

# In place of a status: no answer at all, and half of one.
HANG, CUT = -1, -2

# moto looks at the name of the key only.
_SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=AKIATESTS/20250101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
}
_CODES = {500: "InternalError", 503: "SlowDown", 403: "AccessDenied"}


@dataclass(frozen=True)
class Store:
    """moto's server behind a proxy, in a process of its own: deltalake keeps Python waiting while
    it asks S3, so that no thread of the same process could answer it."""

    upstream: str
    url: str

    def environment(self) -> dict[str, str]:
        """How a program finds it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "AKIATESTS",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def fresh(self) -> "Bucket":
        """An empty bucket; the store answers well again."""
        self.fail()
        self.forget()
        name = f"bucket-{os.getpid()}-{next(_NUMBERS)}"
        httpx.put(f"{self.upstream}/{name}", headers=_SIGNED).raise_for_status()
        return Bucket(self, name)

    def fail(self, *faults: int, always: int = 0, only: str = "") -> None:
        """The next requests get these statuses (or HANG or CUT) in place of an answer, and all
        after them ``always``; 0 is an answer. With ``only`` it is those whose "METHOD path range"
        holds it."""
        self._tell("fail", faults=faults, always=always, only=only)

    @property
    def pending(self) -> int:
        """Faults that no request has met yet."""
        return int(self._tell("state")["pending"])

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Method and path of every request since `forget`."""
        return [(method, path) for method, path in self._tell("state")["requests"]]

    def forget(self) -> None:
        self._tell("forget")

    def fill(self, bucket: str, keys: Sequence[str]) -> None:
        """Put many small objects, without a request each."""
        self._tell("fill", bucket=bucket, keys=keys)

    def _tell(self, do: str, **what: object) -> dict[str, Any]:
        answer = httpx.post(f"{self.url}/{_CONTROL}/{do}", json=what, timeout=60)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told


@dataclass(frozen=True)
class Bucket:
    """A bucket; keys in, bytes out, past the proxy."""

    store: Store
    name: str

    def url(self, key: str = "") -> str:
        return f"s3://{self.name}/{key}"

    def put(self, key: str, body: bytes) -> None:
        self._ask("PUT", key, body)

    def get(self, key: str) -> bytes:
        return self._ask("GET", key).content

    def delete(self, key: str) -> None:
        self._ask("DELETE", key)

    def keys(self, prefix: str = "") -> list[str]:
        """All keys (of up to 1000) below a prefix."""
        from xml.etree import ElementTree

        text = self._ask("GET", f"?list-type=2&prefix={prefix}").text
        tree = ElementTree.fromstring(text)
        return [one.text or "" for one in tree.findall(".//{*}Key")]

    def put_folder(self, folder: Path, prefix: str) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder)}", path.read_bytes())

    def _ask(self, method: str, key: str, body: bytes | None = None) -> httpx.Response:
        place = f"{self.store.upstream}/{self.name}/"
        answer = httpx.request(method, place + key, content=body, headers=_SIGNED)
        answer.raise_for_status()
        return answer


@contextmanager
def run_store() -> Iterator[Store]:
    """moto's server and the proxy, both on free ports of the loopback address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.buckets"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        yield Store(*process.stdout.readline().split())
    finally:
        process.communicate()  # it ends when its input does


def serve() -> None:
    """The other process: say where the servers are, and stay until the input ends."""
    from moto.server import ThreadedMotoServer

    # moto says on standard output that it starts.
    out, sys.stdout = sys.stdout, sys.stderr
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    upstream = f"http://{host}:{port}"
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(_Faults(upstream)))
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    print(upstream, f"http://127.0.0.1:{proxy.server_address[1]}", file=out, flush=True)
    sys.stdin.read()


@dataclass
class _Faults:
    upstream: str
    faults: list[int] = field(default_factory=list)
    always: int = 0
    only: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    conditional: threading.Lock = field(default_factory=threading.Lock)

    def next(self, method: str, path: str, part: str) -> int:
        """What happens to a request in place of an answer; 0: nothing."""
        with self.lock:
            self.requests.append((method, path))
            if self.only not in f"{method} {path} {part}":
                return 0
            return self.faults.pop(0) if self.faults else self.always

    def control(self, do: str, told: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            if do == "fail":
                self.faults, self.always, self.only = told["faults"], told["always"], told["only"]
            elif do == "forget":
                self.requests.clear()
            elif do == "fill":
                from moto.s3.models import s3_backends

                backend = s3_backends["123456789012"]["aws"]
                for key in told["keys"]:
                    backend.put_object(told["bucket"], key, b"x")
            return {"pending": len(self.faults), "requests": self.requests}


@pytest.fixture(scope="session")
def store() -> Iterator[Store]:
    with run_store() as store:
        yield store


@pytest.fixture
def bucket(store: Store, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket that this process finds by its environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in store.environment().items():
        monkeypatch.setenv(name, value)
    return store.fresh()


def _handler(faults: _Faults) -> type[BaseHTTPRequestHandler]:
    client = httpx.Client(timeout=60)

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            if self.path.startswith(f"/{_CONTROL}/"):
                told = faults.control(self.path.rsplit("/", 1)[-1], json.loads(body))
                self._answer(200, {}, json.dumps(told).encode())
                return
            fault = faults.next(self.command, self.path, self.headers.get("Range", ""))
            if fault == HANG:
                self.close_connection = True
                threading.Event().wait(60)
                return
            if fault > 0:
                self._answer(fault, {}, _error(fault))
                return
            headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
            # S3 looks whether a key is there and puts it in one step, moto in two.
            with faults.conditional if "If-None-Match" in self.headers else nullcontext():
                answer = client.request(
                    self.command, faults.upstream + self.path, content=body, headers=headers
                )
            kept = len(answer.content) // 2 if fault == CUT else None
            self._answer(answer.status_code, dict(answer.headers), answer.content, kept)

        def _answer(
            self, status: int, headers: dict[str, str], body: bytes, kept: int | None = None
        ) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name not in ("connection", "content-length", "content-encoding"):
                    self.send_header(name, value)
            length = str(len(body))
            if self.command == "HEAD":
                length = headers.get("content-length", "0")
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[:kept])
            if kept is not None:
                self.close_connection = True

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

        def log_message(self, format: str, *args: object) -> None: ...

    return Proxy


def _error(status: int) -> bytes:
    return f"<Error><Code>{_CODES[status]}</Code><Message>{SECRET}</Message></Error>".encode()


if __name__ == "__main__":
    serve()
