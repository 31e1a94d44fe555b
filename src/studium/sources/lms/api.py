"""The REST APIs of an Open edX platform: tokens, pages, patience.

Rules: specs/edx-enrollment-geography appendix A (API client). A page is asked for again, with
exponential back-off, while the server is busy or away; anything else is an error at once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from studium.errors import SourceError

_AGAIN = frozenset((408, 429, 500, 502, 503, 504, 520, 521, 522, 524))
_LONGEST = 120.0  # seconds between two attempts, unless the server asks for more
_TIMEOUT = httpx.Timeout(120, connect=15)
_MARGIN = 30.0  # seconds before its end at which a token is not used any more

Pause = Callable[[float], None]
OnWait = Callable[[str], None]


class ClientCredentials(httpx.Auth):
    """OAuth2 client credentials: a token is asked for once and used until it ends, or until the
    server refuses it."""

    requires_response_body = True

    def __init__(
        self,
        url: str,
        client: str,
        secret: str,
        kind: str = "jwt",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._form = {
            "grant_type": "client_credentials",
            "client_id": client,
            "client_secret": secret,
            "token_type": kind,
        }
        self._clock = clock
        self._header = ""
        self._ends = 0.0

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Put the token on a request; ask for another one if it is over or refused."""
        fresh = not self._header or self._clock() >= self._ends
        if fresh:
            self._take((yield self._asked()))
        request.headers["Authorization"] = self._header
        response = yield request
        if response.status_code == 401 and not fresh:
            self._take((yield self._asked()))
            request.headers["Authorization"] = self._header
            yield request

    def _asked(self) -> httpx.Request:
        return httpx.Request("POST", self._url, data=self._form)

    def _take(self, response: httpx.Response) -> None:
        self._header = ""
        if response.status_code in _AGAIN:
            raise _BusyError(response)
        try:
            answer = response.json() if response.is_success else {}
            token, seconds = answer["access_token"], float(answer.get("expires_in", 3600))
            kind = str(answer.get("token_type", "Bearer"))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise SourceError(
                f"{self._url} gives no token: {_status(response)}.",
                "Check lms.client_id, STUDIUM_LMS_CLIENT_SECRET and lms.token_url.",
            ) from None
        # The LMS takes its own kind of token under its own name.
        self._header = f"{'JWT' if kind.lower() == 'jwt' else 'Bearer'} {token}"
        self._ends = self._clock() + max(seconds - _MARGIN, 0)


class _BusyError(Exception):
    """An answer that may be another one later."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response.status_code)
        self.response = response


@dataclass(frozen=True)
class Api:
    """One API; ``patience`` is how many seconds a page may be waited for, in all, and ``on_wait``
    is told once for each page that has to be waited for."""

    root: str
    client: httpx.Client
    patience: float
    pause: Pause = time.sleep
    on_wait: OnWait = lambda said: None

    def get(self, path: str, params: Mapping[str, str], missing: bool = False) -> Any:
        """What the API answers, from JSON; None for a 404 if it may be ``missing``.

        SourceError if the server stays busy or away, refuses, or answers no JSON.
        """
        url = f"{self.root}/{path}"
        response = self._answer(url, params)
        if missing and response.status_code == 404:
            return None
        if not response.is_success:
            raise _refused(url, response)
        try:
            return response.json()
        except ValueError:
            raise SourceError(
                f"{url} does not answer JSON ({response.headers.get('content-type', 'no type')}).",
                "Check the URL: it should be that of the API, not of a page.",
            ) from None

    def pages(self, path: str, params: Mapping[str, str]) -> Iterator[Any]:
        """The entries of all pages; the next one is named in ``next`` or ``pagination.next``."""
        seen: set[str] = set()
        asked: Mapping[str, str] | None = params
        while asked is not None:
            page = self.get(path, asked)
            results = page.get("results") if isinstance(page, dict) else page
            if not isinstance(results, list):
                raise SourceError(
                    f"{self.root}/{path} answers no page with results.", "Check the URL."
                )
            yield from results
            asked = None
            if isinstance(page, dict):
                more = page.get("next") or (page.get("pagination") or {}).get("next")
                if more in seen:
                    raise SourceError(
                        f"{self.root}/{path} names the page {more} twice as the next one.",
                        "Nothing was imported; tell the operator of the API.",
                    )
                if more:
                    seen.add(more)
                    # Only its query: a server behind a proxy often does not know its own name,
                    # and the token is for this one alone.
                    asked = {**params, **dict(parse_qsl(urlsplit(more).query))}

    def _answer(self, url: str, params: Mapping[str, str]) -> httpx.Response:
        waited, attempt = 0.0, 0
        while True:
            wait = 0.0
            try:
                response = self.client.get(url, params=dict(params))
            except _BusyError as busy:
                response, said = busy.response, f"its tokens: {_status(busy.response)}"
                wait = _asked_for(busy.response)
            except httpx.TransportError as error:
                said = str(error) or type(error).__name__
            except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
                raise SourceError(f"{url} cannot be asked: {error}.", "Check the URL.") from None
            else:
                if response.status_code not in _AGAIN:
                    return response
                wait, said = _asked_for(response), _status(response)
            # Between half and all of the time, so that many clients do not come together.
            wait = max(wait, min(2.0**attempt, _LONGEST) * random.uniform(0.5, 1))
            if waited + wait > self.patience:
                raise SourceError(
                    f"{url} does not answer: {said}; asked {attempt + 1} times.",
                    "Nothing was imported. Run again later, or raise lms.patience.",
                )
            if not attempt:
                self.on_wait(
                    f"{url} does not answer: {said}; it is asked again for {self.patience:.0f} s "
                    "at most (lms.patience) …"
                )
            self.pause(wait)
            waited, attempt = waited + wait, attempt + 1


def open_client(auth: httpx.Auth | None) -> httpx.Client:
    """A connection for APIs that share a token."""
    return httpx.Client(auth=auth, timeout=_TIMEOUT, follow_redirects=True)


def _asked_for(response: httpx.Response) -> float:
    """Seconds that the server asks to wait; a date instead is passed over."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else 0.0


def _status(response: httpx.Response) -> str:
    return f"{response.status_code} {response.reason_phrase}".strip()


def _refused(url: str, response: httpx.Response) -> SourceError:
    hint = "Check the URL."
    if response.status_code in (401, 403):
        hint = (
            "Set lms.client_id and its secret, of a client whose user is staff at the LMS: "
            "others are not shown all courses and blocks."
        )
    return SourceError(f"{url} refuses: {_status(response)}.", hint)
