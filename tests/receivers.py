"""Real receivers of messages: a mail server and a web server on free loopback ports."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller


class Letters:
    """What a mail server was given."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.messages.append(message_from_bytes(envelope.content))
        return "250 OK"


class MailServer(Controller):
    """One that says on which free port it is."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server() -> Iterator[tuple[int, Letters]]:
    """The port of a mail server, and what it was given."""
    letters = Letters()
    controller = MailServer(letters, hostname="127.0.0.1", port=0)
    controller.start()
    try:
        yield controller.port, letters
    finally:
        controller.stop()


@dataclass(frozen=True)
class Post:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Hook:
    """A web server; ``answer`` says what it does with a request, default: 200."""

    port: int
    posts: list[Post] = field(default_factory=list)
    answer: Callable[[Post, BaseHTTPRequestHandler], None] | None = None


@contextmanager
def web_server(certificate: str = "") -> Iterator[Hook]:
    """A web server, with TLS if there is a ``certificate`` (a PEM file with its key)."""
    lock = threading.Lock()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            headers = {name.lower(): value for name, value in self.headers.items()}
            post = Post(self.path, headers, self.rfile.read(length))
            with lock:
                hook.posts.append(post)
            if hook.answer:
                hook.answer(post, self)
                return
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # of five, more that come at once are left to try again

        def handle_error(self, *_: object) -> None: ...  # a client that hung up

    server = Server(("127.0.0.1", 0), Receiver)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    hook = Hook(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
