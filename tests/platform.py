"""An Open edX platform on loopback that speaks its REST APIs: tokens that end, pages, bad days.

It answers as the LMS and Discovery do: OAuth2 client credentials, ``next`` and ``pagination.next``,
blocks by course, grading policies, 404 for a course that is gone. ``troubles`` are answers to be
given first, by path.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

CLIENT, SECRET = "studium-client", "hunter2"


@dataclass
class Platform:
    """What the platform holds, what went wrong on purpose, and what was asked of it."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    courses: list[dict[str, Any]] = field(default_factory=list)
    blocks: dict[str, dict[str, Any]] = field(default_factory=dict)
    policies: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    token_uses: int = 1_000_000
    """Requests for which a token is good."""
    expires_in: int = 3600
    troubles: dict[str, list[tuple[int, dict[str, str]] | None]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """Path → answers (status and headers) before the right one; None: the line is cut."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    circle: bool = False
    """Every page is the first one."""
    tokens: dict[str, int] = field(default_factory=dict)
    url: str = ""


@contextmanager
def run_platform(platform: Platform) -> Iterator[Platform]:
    """Serve ``platform`` at its ``url``."""

    class Handler(_Handler):
        at = platform

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    platform.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield platform
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    at: Platform

    def do_POST(self) -> None:
        form = dict(parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
        self.at.asked.append((self.path, form))
        if self._trouble(self.path):
            return
        wanted = {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET}
        if self.path != "/oauth2/access_token" or not wanted.items() <= form.items():
            self._send(401, {"error": "invalid_client"})
            return
        token = f"token{len(self.at.tokens) + 1}"
        self.at.tokens[token] = self.at.token_uses
        kind = "JWT" if form.get("token_type") == "jwt" else "Bearer"
        answer = {"access_token": token, "expires_in": self.at.expires_in, "token_type": kind}
        self._send(200, answer)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        self.at.asked.append((parts.path, query))
        if self._trouble(parts.path) or not self._let_in():
            return
        course = unquote(parts.path.removeprefix("/api/grades/v1/policy/courses/").rstrip("/"))
        if parts.path == "/api/courses/v1/courses/":
            page = self._page(self.at.courses, query, "page_size")
            self._send(200, {"results": page["results"], "pagination": {**page, "results": None}})
        elif parts.path == "/discovery/api/v1/course_runs/":
            runs = [r for r in self.at.runs if query.get("partner") in (None, r.get("partner"))]
            self._send(200, self._page(runs, query, "limit"))
        elif parts.path == "/api/courses/v1/blocks/" and query["course_id"] in self.at.blocks:
            self._send(200, self.at.blocks[query["course_id"]])
        elif course in self.at.policies:
            self._send(200, self.at.policies[course])
        elif parts.path == "/login":
            self._send(200, "<html>Sign in</html>")
        else:
            self._send(404, {"detail": "Not found."})

    def _page(self, entries: list[Any], query: dict[str, str], size_name: str) -> dict[str, Any]:
        size = int(query[size_name])
        number = 1 if self.at.circle else int(query.get("page", "1"))
        more = None
        if number * size < len(entries):
            # As behind a proxy: the name of the server is one that only it knows.
            parts = urlsplit(self.path)
            more = f"http://lms.internal{parts.path}?{urlencode({**query, 'page': number + 1})}"
        return {
            "count": len(entries),
            "next": more,
            "results": entries[(number - 1) * size : number * size],
        }

    def _let_in(self) -> bool:
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        left = self.at.tokens.get(token, 0)
        if kind not in ("JWT", "Bearer") or left < 1:
            self._send(401, {"detail": "Token is expired."})
            return False
        self.at.tokens[token] = left - 1
        return True

    def _trouble(self, path: str) -> bool:
        if not self.at.troubles[path]:
            return False
        trouble = self.at.troubles[path].pop(0)
        if trouble is None:
            self.close_connection = True
            self.connection.close()
        else:
            self._send(trouble[0], {"detail": "trouble"}, trouble[1])
        return True

    def _send(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        html = isinstance(body, str)
        data = str(body).encode() if html else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "text/html" if html else "application/json")
        self.send_header("content-length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None: ...
