"""Compressed files → blocks of bytes, everything that is readable before any damage.

The readers of the standard library throw away what they decoded in the same call when a file
turns out to be cut off; a truncated log still holds good lines, so blocks are made here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

READ = 256 << 10
# Its decoder cannot be told how much to give at most, and makes up to 32,768 bytes of one.
READ_ZSTD = 512
BLOCK = 8 << 20


class DamagedFileError(ValueError):
    """A compressed file that is cut off or corrupt; raised after its good blocks were given."""


def read_blocks(raw: BinaryIO) -> Iterator[bytes]:
    """Blocks of at most a few MiB; gzip and zstd are told by their first bytes, not by the name.

    Several compressed members one after the other, as ``cat a.gz b.gz`` makes, are one file.
    """
    magic = raw.read(4)
    raw.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return _members(raw, _new_gzip, magic[:2], "gzip")
    if magic == b"\x28\xb5\x2f\xfd":
        return _members(raw, _new_zstd, magic, "zstd")
    return iter(lambda: raw.read(BLOCK), b"")


def _new_gzip() -> Any:
    from isal import isal_zlib

    return isal_zlib.decompressobj(wbits=31)


def _new_zstd() -> Any:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()


def _members(raw: BinaryIO, new: Any, magic: bytes, kind: str) -> Iterator[bytes]:
    member = new()
    pending: list[bytes] = []
    size = 0
    damage: Exception | None = None
    while damage is None:
        try:
            data = raw.read(READ_ZSTD if kind == "zstd" else READ)
        except OSError as error:
            damage = error
            break
        if not data:
            if not member.eof:
                damage = DamagedFileError(f"the {kind} stream is cut off")
            break
        full = False  # the last call gave as much as it may, so there may be more without input
        while data or full:
            if member.eof:
                # Padding with zeros is what tapes and block devices leave; anything else is not.
                data = data.lstrip(b"\0")
                if not data:
                    break
                if not data.startswith(magic[: len(data)]):
                    damage = DamagedFileError(
                        f"bytes that are not {kind} follow the compressed data"
                    )
                    break
                member = new()
            try:
                out = member.decompress(data, BLOCK) if kind == "gzip" else member.decompress(data)
            except Exception as error:  # each library has its own classes
                damage = DamagedFileError(f"the {kind} data is corrupt ({error})")
                break
            full = kind == "gzip" and len(out) == BLOCK and not member.eof
            data = member.unused_data if member.eof else getattr(member, "unconsumed_tail", b"")
            pending.append(out)
            size += len(out)
            if size >= BLOCK:
                yield b"".join(pending)
                pending, size = [], 0
    if size:
        yield b"".join(pending)
    if damage is not None:
        raise damage
