"""A signed POST, after the Standard Webhooks specification (standardwebhooks.com), version 1.

::

    webhook-id: dlv_…                 the same for every try of a delivery
    webhook-timestamp: 1763707200     Unix seconds of this try
    webhook-signature: v1,…           Base64 of HMAC-SHA256 over "id.timestamp.body"
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studium.errors import UsageError
from studium.jobs.notify.receivers import Policy, check_callback

if TYPE_CHECKING:
    from httpx import URL, AsyncClient

_PREFIX = "whsec_"


def make_token(site_key: bytes, job: str) -> str:
    """The token of one job, from the key of the site: it need not be kept anywhere."""
    digest = hmac.digest(site_key, f"callback:{job}".encode(), hashlib.sha256)
    return _PREFIX + base64.b64encode(digest).decode()


def sign(token: str, delivery: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature``."""
    key = base64.b64decode(token.removeprefix(_PREFIX))
    signed = b"%s.%d.%s" % (delivery.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


class Refused(Exception):
    """Why a delivery did not arrive, in a few words of ours; ``final``: trying again is useless."""

    def __init__(self, why: str, final: bool = False) -> None:
        super().__init__(why)
        self.why, self.final = why, final


def open_client() -> AsyncClient:
    """A client for ``post``: no redirects, and no proxy of the environment, which would look up
    names again. Certificates are those of SSL_CERT_FILE if it is set."""
    import httpx

    return httpx.AsyncClient(
        verify=httpx.create_ssl_context(), trust_env=False, follow_redirects=False, timeout=None
    )


@dataclass(frozen=True, slots=True)
class Letter:
    """What is posted: ``body`` under the id ``delivery``, signed with ``token``."""

    url: str
    delivery: str
    token: str
    body: bytes


async def post(
    client: AsyncClient, letter: Letter, timestamp: int, policy: Policy, limit: float
) -> None:
    """Post within ``limit`` seconds in all; Refused unless the answer is 2xx."""
    import httpx

    try:
        url = check_callback(letter.url, policy)
    except UsageError:
        raise Refused("not an allowed receiver", final=True) from None
    headers = {
        "content-type": "application/json",
        "user-agent": "studium",
        "webhook-id": letter.delivery,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(letter.token, letter.delivery, timestamp, letter.body),
    }
    try:
        async with asyncio.timeout(limit):
            address = await _resolve(url, policy)
            status = await _send(client, url, address, headers, letter.body)
    except TimeoutError:
        raise Refused("timeout") from None
    except (httpx.TransportError, OSError):
        raise Refused("not reached") from None
    if 200 <= status < 300:
        return
    raise Refused(f"HTTP {status}", final=status == 410)  # 410 Gone: it wants no more


async def _resolve(url: URL, policy: Policy) -> str:
    """One address of the host; all of them must be allowed, or a name could have both kinds."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(url.host, url.port or 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Refused("name not found") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(policy.allows_address(address) for address in addresses):
        raise Refused("not an allowed address", final=True)
    return addresses[0]


async def _send(
    client: AsyncClient, url: URL, address: str, headers: dict[str, str], body: bytes
) -> int:
    # To the address that was looked at: a second look-up could give another. The certificate is
    # checked against the name all the same.
    async with client.stream(
        "POST",
        url.copy_with(host=f"[{address}]" if ":" in address else address),
        content=body,
        headers={**headers, "host": url.netloc.decode()},
        extensions={"sni_hostname": url.host},
    ) as response:
        return int(response.status_code)  # the answer's body is not read
