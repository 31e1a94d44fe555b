"""Where callbacks may go: origins that the site names, at addresses that are public.

A job's owner chooses the URL, so the server could be made to talk to what only it can reach:
itself, its network, the metadata service of its cloud. A host is therefore taken from a list, its
name is resolved here, every address is looked at, and the connection goes to one that was; a
redirect is not followed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from studium.errors import SettingsError, UsageError
from studium.urls import has_password

if TYPE_CHECKING:
    from httpx import URL

_PORTS = {"http": 80, "https": 443}
_ORIGIN = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|(?:\*\.)?[a-z0-9._-]+)(?::([0-9]{1,5}))?/?")
_MAIL = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)*[A-Za-z0-9-]{1,63}")
_LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port; a host that begins with ``*.`` is every name below the rest."""

    scheme: str
    host: str
    port: int

    def covers(self, other: Origin) -> bool:
        """Whether a callback to ``other`` is allowed by this one."""
        if (self.scheme, self.port) != (other.scheme, other.port):
            return False
        if self.host.startswith("*."):
            return other.host.endswith(self.host[1:])
        return self.host == other.host


@dataclass(frozen=True, slots=True)
class Policy:
    """Origins that may be posted to, and networks that are not public and may be, too."""

    origins: tuple[Origin, ...]
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def allows_address(self, text: str) -> bool:
        """Whether a connection may go to this address."""
        address = _plain(text)
        if address is None or address.is_multicast or address.is_unspecified:
            return False
        if any(address in network for network in self.networks):
            return True
        # 6to4 carries an IPv4 address; ``is_reserved`` has NAT64 and the other old wrappings.
        wrapped = isinstance(address, IPv6Address) and address.sixtofour is not None
        return address.is_global and not address.is_reserved and not wrapped


def read_policy(callbacks: Sequence[str], networks: Sequence[str]) -> Policy:
    """The policy of ``notify.callbacks`` and ``notify.networks``; SettingsError if one is bad."""
    origins = []
    for text in callbacks:
        match = _ORIGIN.fullmatch(text.lower())
        if match is None:
            raise SettingsError(
                f"notify.callbacks: {text!r} is not an origin.",
                "Write scheme and host: https://hooks.example.org or http://intranet:8080.",
            )
        origins.append(Origin(match[1], match[2].strip("[]"), int(match[3] or _PORTS[match[1]])))
    found = []
    for text in networks:
        try:
            found.append(ip_network(text))
        except ValueError as error:
            raise SettingsError(
                f"notify.networks: {error}.", "Write a network as 10.1.0.0/16."
            ) from None
    return Policy(tuple(origins), tuple(found))


def check_callback(text: str, policy: Policy) -> URL:
    """The URL to post to, if the policy has its origin; UsageError that says why not."""
    import httpx

    if len(text) > _LONGEST or not text.isascii() or not text.isprintable() or has_password(text):
        raise UsageError(
            "callback is not a URL that can be used.",
            f"Give up to {_LONGEST:,} printable ASCII characters, without a password.",
        )
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise UsageError("callback is not a URL.", "Give an https:// URL.") from None
    if url.scheme not in _PORTS or not url.host or url.userinfo or url.fragment:
        raise UsageError(
            "callback is not a URL that can be posted to.",
            "Give an http:// or https:// URL without user name and fragment.",
        )
    origin = Origin(url.scheme, url.host, url.port or _PORTS[url.scheme])
    if not any(one.covers(origin) for one in policy.origins):
        raise UsageError(
            f"callback: {url.scheme}://{url.netloc.decode()} is not among the receivers that this "
            "site allows.",
            "Its operator lists them in notify.callbacks.",
        )
    return url


def check_mail(text: str) -> str:
    """The address, if it is one plain mail address; UsageError if not."""
    if len(text) > 254 or not _MAIL.fullmatch(text):
        raise UsageError(f"{text[:80]!r} is not a mail address.", "Write it as name@example.org.")
    return text


def _plain(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:  # an address with a zone, fe80::1%eth0, among them
        return None
    return getattr(address, "ipv4_mapped", None) or address
