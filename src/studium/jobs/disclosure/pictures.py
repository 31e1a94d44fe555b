"""PNG: the picture alone, compressed anew; texts, times and trailing bytes stay behind."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from studium.jobs.disclosure.model import Reason, Refused

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
MAX_PIXELS = 16 * 10**6


def clean_png(source: Path, target: Path) -> None:
    """Write the picture at ``source`` anew to ``target``.

    Raises Refused (``wrong type``) for what is not a whole PNG file, or an interlaced one, and
    (``output too large``) beyond 16 million pixels.
    """
    data = source.read_bytes()
    if not data.startswith(_SIGNATURE):
        raise _wrong("no PNG signature")
    chunks: dict[bytes, bytes] = {}
    pixels: list[bytes] = []
    place = len(_SIGNATURE)
    while b"IEND" not in chunks:
        if place + 12 > len(data):
            raise _wrong("cut off")
        (length,) = struct.unpack_from(">I", data, place)
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        end = place + 12 + length
        if end > len(data) or zlib.crc32(kind + body) != struct.unpack_from(">I", data, end - 4)[0]:
            raise _wrong("a damaged chunk")
        if kind == b"IDAT":
            pixels.append(body)
        elif kind in (b"IHDR", b"PLTE", b"tRNS", b"IEND"):
            if kind in chunks or (not chunks and kind != b"IHDR"):
                raise _wrong("chunks twice or out of order")
            chunks[kind] = body
        elif not kind[0] & 0x20:
            raise _wrong("a critical chunk that is not known")
        place = end
    size = _unpacked_size(chunks[b"IHDR"])
    unpack = zlib.decompressobj()
    try:
        raw = unpack.decompress(b"".join(pixels), size + 1)
    except zlib.error as error:
        raise _wrong(str(error)) from None
    if len(raw) != size:
        raise _wrong("more or fewer pixels than its header says")
    colour = chunks[b"IHDR"][9]
    palette, transparent = chunks.get(b"PLTE"), chunks.get(b"tRNS")
    if colour == 3 and (palette is None or len(palette) % 3 or not 0 < len(palette) <= 768):
        raise _wrong("no palette")
    if transparent is not None and len(transparent) > (256 if colour == 3 else 6):
        raise _wrong("too long a tRNS chunk")
    out = [_SIGNATURE, _chunk(b"IHDR", chunks[b"IHDR"])]
    if colour == 3 and palette is not None:
        out.append(_chunk(b"PLTE", palette))
    if transparent is not None and colour in (0, 2, 3):
        out.append(_chunk(b"tRNS", transparent))
    out += [_chunk(b"IDAT", zlib.compress(raw, 9)), _chunk(b"IEND", b"")]
    target.write_bytes(b"".join(out))


def _unpacked_size(header: bytes) -> int:
    if len(header) != 13:
        raise _wrong("a header of another length")
    width, height, depth, colour, method, filtering, interlace = struct.unpack(">IIBBBBB", header)
    if depth not in _DEPTHS.get(colour, ()) or method or filtering or interlace or not width:
        raise _wrong("a header that is not allowed, or an interlaced picture")
    if width * height > MAX_PIXELS or width > MAX_PIXELS or height > MAX_PIXELS or not height:
        raise Refused(Reason.SIZE, detail="too many pixels, or none")
    return int(height * (1 + (width * _SAMPLES[colour] * depth + 7) // 8))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _wrong(why: str) -> Refused:
    return Refused(Reason.TYPE, detail=f"not a PNG file that can be written anew: {why}")
