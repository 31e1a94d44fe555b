"""A country database for the invented networks, so that the demo has countries to show.

Format: MaxMind DB 2.0 (maxmind.github.io/MaxMind-DB), the one of GeoIP2 and GeoLite2: a binary
search tree over the bits of an address, then the data, then the metadata. An IPv4 address stands
at ::/96 of the tree.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from studium.demo.people import COUNTRIES, Country

Value = str | bytes | dict[str, "Value"] | list["Value"]
"""What the metadata and the records hold; ``bytes`` are numbers, encoded already."""

_METADATA_MARK = b"\xab\xcd\xefMaxMind.com"
_SEPARATOR = bytes(16)
_RECORD_BITS = 24


def write_countries(path: Path, built: date) -> None:
    """Write the database of all countries to ``path``; ``built`` is the date that it tells."""
    data, places = bytearray(), {}
    for country in COUNTRIES:
        places[country.code] = len(data)
        data += _encode(_record(country))
    tree: list[list[int | str | None]] = [[None, None]]
    for country in COUNTRIES:
        for network in networks(country):
            _insert(tree, network, country.code)
    nodes = bytearray()
    for node in tree:
        for child in node:
            if child is None:
                number = len(tree)
            elif isinstance(child, int):
                number = child
            else:
                number = len(tree) + len(_SEPARATOR) + places[child]
            nodes += number.to_bytes(_RECORD_BITS // 8, "big")
    epoch = int(datetime(built.year, built.month, built.day, tzinfo=UTC).timestamp())
    metadata: Value = {
        "binary_format_major_version": _number(2),
        "binary_format_minor_version": _number(0),
        "build_epoch": _number(epoch, 8),
        "database_type": "Studium-Demo-Country",
        "description": {"en": "Invented countries of reserved networks"},
        "ip_version": _number(6),
        "languages": ["en"],
        "node_count": _number(len(tree), 4),
        "record_size": _number(_RECORD_BITS),
    }
    path.write_bytes(bytes(nodes) + _SEPARATOR + data + _METADATA_MARK + _encode(metadata))


def networks(country: Country) -> tuple[IPv4Network | IPv6Network, ...]:
    """What ``draw_address`` draws from, apart from the private addresses."""
    block = country.block
    return (
        ip_network(f"198.{18 + block // 8}.{32 * (block % 8)}.0/19"),
        ip_network(f"2001:db8:{block:x}::/48"),
    )


def _record(country: Country) -> Value:
    names: Value = {"en": country.name}
    place: Value = {"iso_code": country.code, "names": names}
    return {"country": place, "registered_country": place}


def _insert(
    tree: list[list[int | str | None]], network: IPv4Network | IPv6Network, code: str
) -> None:
    bits = f"{int(network.network_address):0{network.max_prefixlen}b}"[: network.prefixlen]
    if network.version == 4:
        bits = "0" * 96 + bits
    at = 0
    for bit in bits[:-1]:
        child = tree[at][int(bit)]
        if not isinstance(child, int):
            child = len(tree)
            tree.append([None, None])
            tree[at][int(bit)] = child
        at = child
    tree[at][int(bits[-1])] = code


def _encode(value: Value) -> bytes:
    """The data format: a control byte of type and size, then the payload."""
    if isinstance(value, str):
        payload = value.encode()
        return _control(2, len(payload)) + payload
    if isinstance(value, dict):
        items = [_encode(key) + _encode(item) for key, item in value.items()]
        return _control(7, len(items)) + b"".join(items)
    if isinstance(value, list):
        return _control(11, len(value)) + b"".join(_encode(item) for item in value)
    return value


def _number(number: int, size: int = 2) -> bytes:
    """Readers insist on the width that the format gives to each number of the metadata."""
    return _control({2: 5, 4: 6, 8: 9}[size], size) + number.to_bytes(size, "big")


def _control(kind: int, size: int) -> bytes:
    """Sizes from 29 on take a byte of their own; kinds above 7 follow in a byte of their own."""
    first, more = (size, b"") if size < 29 else (29, bytes([size - 29]))
    if kind > 7:
        return bytes([first, kind - 7]) + more
    return bytes([kind << 5 | first]) + more
