"""Countries of addresses, from a MaxMind DB file (`specs/edx-enrollment-geography` §3.5).

Any `.mmdb` file with countries will do: GeoLite2, GeoIP2, DB-IP, of countries or of cities.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

from studium.errors import UsageError

if TYPE_CHECKING:
    from maxminddb.reader import Reader

UNKNOWN: Final = "UNKNOWN"
"""Stands for the country of an address that cannot be told; NULL is for no address at all."""

_LONGEST_CODE = 10


@dataclass(frozen=True)
class CountryFile:
    """A country database; ``build`` names its edition, its date and the md5 of its bytes."""

    path: Path
    build: str


@dataclass(frozen=True)
class Place:
    """What a text in the log says of a country. ``found``: country, not found, private, invalid."""

    country_code: str
    found: str


def inspect_countries(path: Path) -> CountryFile:
    """Which edition ``path`` holds; a file that is none is a UsageError."""
    with open_countries(path) as reader:
        told = reader.metadata()
        built = datetime.fromtimestamp(told.build_epoch, UTC).date()
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "md5").hexdigest()
    return CountryFile(path, f"{told.database_type} {built} {digest}")


@contextmanager
def open_countries(path: Path) -> Iterator[Reader]:
    """The database at ``path``; a UsageError if it cannot be read."""
    import maxminddb

    advice = "Bring the .mmdb file again, or set geography.database."
    try:
        reader = maxminddb.open_database(path)
    except (OSError, maxminddb.InvalidDatabaseError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"the country database {path} cannot be read: {why}.", advice) from error
    with reader:
        yield reader


def find_place(reader: Reader, text: str) -> Place:
    """The country of the first address in ``text``.

    As logged, it may be a list (``X-Forwarded-For``) and may have ports. Only an address that the
    database does not know is asked whether it is private: test networks have countries, too.
    """
    address = _first_address(text)
    if address is None:
        return Place(UNKNOWN, "invalid")
    country = _country(reader, address)
    if country is not None:
        return Place(country, "country")
    return Place(UNKNOWN, "not found" if address.is_global else "private")


def _first_address(text: str) -> IPv4Address | IPv6Address | None:
    for part in text.split(","):
        part = part.strip()
        if part.startswith("["):
            part = part[1:].partition("]")[0]
        elif part.count(":") == 1:
            part = part.partition(":")[0]
        try:
            address = ip_address(part.partition("%")[0])
        except ValueError:
            continue
        return getattr(address, "ipv4_mapped", None) or address
    return None


def _country(reader: Reader, address: IPv4Address | IPv6Address) -> str | None:
    if address.version == 6 and reader.metadata().ip_version == 4:
        return None
    record = reader.get(address)
    if not isinstance(record, dict):
        return None
    traits = record.get("traits")
    # Where a proxy or a satellite stands says nothing of the learner.
    if isinstance(traits, dict) and (
        traits.get("is_anonymous_proxy") or traits.get("is_satellite_provider")
    ):
        return None
    country = record.get("country")
    code = country.get("iso_code") if isinstance(country, dict) else None
    if not isinstance(code, str) or not code.strip() or len(code) > _LONGEST_CODE:
        return None
    return code
