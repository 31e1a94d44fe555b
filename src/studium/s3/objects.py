"""Objects listed, looked at, fetched and uploaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from studium.s3.address import Address
from studium.s3.store import Waits, explained, open_bucket

PART = 8 << 20
"""Bytes asked for at once: short enough to come within a time limit, long enough for speed."""


@dataclass(frozen=True)
class Object:
    """An object as a listing saw it: ``size`` in bytes, ``etag`` changes with its content."""

    address: Address
    size: int
    etag: str | None


def list_objects(folder: Address, waits: Waits) -> Iterator[Object]:
    """All objects below ``folder``, at any depth; 1000 of them are one request."""
    store = open_bucket(folder.bucket, waits)
    import obstore

    with explained(str(folder)):
        for page in obstore.list(store, folder.key or None, chunk_size=1000):
            for one in page:
                yield Object(folder.at(one["path"]), one["size"], one["e_tag"])


def list_folder(folder: Address, waits: Waits) -> tuple[list[str], list[Object]]:
    """The names of the folders directly in ``folder``, and the objects directly in it."""
    store = open_bucket(folder.bucket, waits)
    import obstore

    with explained(str(folder)):
        found = obstore.list_with_delimiter(store, folder.key or None)
    names = [prefix.rstrip("/").rsplit("/", 1)[-1] for prefix in found["common_prefixes"]]
    objects = [
        Object(folder.at(one["path"]), one["size"], one["e_tag"]) for one in found["objects"]
    ]
    return names, objects


def look_at(address: Address, waits: Waits) -> Object | None:
    """The object at ``address``; None if there is none."""
    store = open_bucket(address.bucket, waits)
    import obstore

    try:
        with explained(str(address)):
            found = obstore.head(store, address.key)
    except FileNotFoundError:
        return None
    return Object(address, found["size"], found["e_tag"])


def upload(file: Path, address: Address, waits: Waits) -> None:
    """Put a file at ``address``. Nobody sees a part of it."""
    store = open_bucket(address.bucket, waits)
    import obstore

    with explained(str(address)):
        try:
            obstore.put(store, address.key, file)
        except FileNotFoundError as error:
            raise ValueError(str(error)) from None


def fetch(address: Address, target: Path, size: int, waits: Waits) -> None:
    """Get an object of ``size`` bytes into a file, which is there whole or not at all.

    Raises FileNotFoundError if there is no such object.
    """
    store = open_bucket(address.bucket, waits)
    import obstore

    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            for start in range(0, size, PART):
                with explained(str(address)):
                    part = obstore.get_range(
                        store, address.key, start=start, end=min(size, start + PART)
                    )
                file.write(part)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
