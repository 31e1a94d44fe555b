"""A connection to a bucket: what the environment says, how long to wait, what went wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from studium.errors import S3Error, advise_install

if TYPE_CHECKING:
    from obstore.store import S3Store

# Pauses double from a tenth of a second up to this; so many of them last longer than any patience.
_LONGEST_PAUSE = 10
_TRIES = 1000

_STATUS = re.compile(r"non-2xx status code\s*:?\s*(\d{3}[^:<\n]*)")
_CODE = re.compile(r"<Code>([A-Za-z0-9._-]{1,60})</Code>")
_PAINT = re.compile(r"\x1b\[[0-9;]*m|↳")
_TIMED_OUT = re.compile(r"timed out|TimedOut")

_REFUSED = {"401", "403"}
_HINT_RIGHTS = (
    "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION, and what "
    "they may do with the bucket."
)
_HINT_REACH = "Check AWS_ENDPOINT_URL and the store, then run again; what was committed stays."


@dataclass(frozen=True)
class Waits:
    """``timeout``: seconds without an answer after which a request is tried again;
    ``patience``: seconds for which it is tried before it fails."""

    timeout: float = 30.0
    patience: float = 180.0


DEFAULT_WAITS = Waits()


def open_bucket(bucket: str, waits: Waits) -> S3Store:
    """A connection to ``bucket``, kept for the next time."""
    environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    return _opened(bucket, waits, environment)


@lru_cache(maxsize=4)
def _opened(bucket: str, waits: Waits, environment: tuple[tuple[str, str], ...]) -> S3Store:
    try:
        from obstore.store import S3Store
    except ImportError:
        raise S3Error(
            "s3:// needs obstore, which is not installed.", advise_install("s3")
        ) from None
    with explained(f"the bucket {bucket}"):
        return S3Store(
            bucket,
            client_options={
                "allow_http": _allows_http(),
                "timeout": timedelta(seconds=waits.timeout),
                "connect_timeout": timedelta(seconds=min(5.0, waits.timeout)),
            },
            retry_config={
                "max_retries": _TRIES,
                "retry_timeout": timedelta(seconds=waits.patience),
                "backoff": {"max_backoff": timedelta(seconds=_LONGEST_PAUSE)},
            },
        )


def _allows_http() -> bool:
    return os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes", "on")


def delta_options(waits: Waits) -> dict[str, str]:
    """What ``deltalake`` is told beside what it takes from the environment itself. A commit is put
    only where there is none yet, so that of two at once one has to go after the other."""
    return {
        "aws_conditional_put": "etag",
        "allow_http": str(_allows_http()).lower(),
        "timeout": f"{round(waits.timeout * 1000)}ms",
        "connect_timeout": f"{round(min(5.0, waits.timeout) * 1000)}ms",
        "max_retries": str(_TRIES),
        "retry_timeout": f"{round(waits.patience * 1000)}ms",
        "backoff_config.max_backoff": f"{_LONGEST_PAUSE}s",
    }


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Errors of obstore as S3Error about ``what``; FileNotFoundError goes through."""
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise explain(what, error) from None
        raise
    except (BaseError, OSError, ValueError) as error:
        raise explain(what, error) from None


def explain(what: str, error: Exception) -> S3Error:
    """An error of obstore or deltalake as one to act on. Only codes are taken from its text, which
    may hold addresses and the names of keys."""
    text = _PAINT.sub("", str(error))
    status, code = _STATUS.search(text), _CODE.search(text)
    if code is not None and code[1] == "NoSuchBucket":
        return S3Error(f"{what}: there is no such bucket.", "Make it, or correct the address.")
    if status is not None or code is not None:
        number = " ".join(status[1].split()) if status else ""
        answer = " ".join(filter(None, (number, f"({code[1]})" if code else "")))
        refused = number[:3] in _REFUSED
        return S3Error(
            f"{what}: S3 answered {answer}{_how_often(text)}.",
            _HINT_RIGHTS if refused else _HINT_REACH,
        )
    if "builder error" in text or "scheme is not allowed" in text:
        return S3Error(
            f"{what}: the endpoint in AWS_ENDPOINT_URL is not https.",
            "If that is meant so, set AWS_ALLOW_HTTP=true.",
        )
    if "169.254.169.254" in text or "CredentialsNotLoaded" in text:
        return S3Error(f"{what}: there are no credentials for S3.", _HINT_RIGHTS)
    if "invalid path" in text:
        return S3Error(
            f"{what}: a key has an empty part, as in a//b, or one of dots.",
            "Such objects cannot be read; rename them or name another prefix.",
        )
    if "PreconditionFailed" in text or "precondition" in text:
        return S3Error(f"{what}: it was replaced while it was read.", "Run again.")
    how = "did not answer in time" if _TIMED_OUT.search(text) else "cannot be reached"
    return S3Error(f"{what}: S3 {how}{_how_often(text)}.", _HINT_REACH)


def _how_often(text: str) -> str:
    found = re.search(r"after (\d+) retries", text)
    return f", tried {int(found[1]) + 1} times" if found and found[1] != "0" else ""
