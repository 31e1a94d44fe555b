"""Random bytes for what reads files of others: the line reader, the shredder, the dump parser.

``make prove`` runs it for FUZZ_MINUTES. Nothing may crash, and every line is accounted for.
"""

import tempfile
import time
from collections import Counter
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from isal import igzip

from studium.engines.duckdb import connect
from studium.errors import SourceError
from studium.sources.edx import decompress, lines
from studium.sources.edx.files import SourceFile
from studium.sources.edx.lines import LineReader
from studium.sources.edx.rejects import RejectsFile
from studium.sources.edx.staging import Days, load_slab
from studium.sources.lms.dump import read_blocks_of_dump
from tests import sites

_AT_ONCE = 100
_QUIET = {
    "max_examples": _AT_ONCE,
    "database": None,
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
}
_LINES = [
    sites.enrollment(1, 0), sites.video(2, 1), sites.answer(3, 2), "{}", "[]", "null", '{"a": 1}',
    '<13>Sep 1 host logger: ' + sites.enrollment(4, 0), '{"time": 1e999}', '{"time": {"$": []}}',
]  # fmt: skip
_WHOLE = st.sampled_from([line.encode() for line in _LINES])
_PIECES = st.sampled_from(
    [b"\n", b"\r\n", b"\0", b"\xff", b"\xed\xa0\x80", b"\\u0000", b"\\ud800", b'"', b"{", b"}",
     b"[", b"]", b":", b",", b"null", b"1e400", b"-0", b"\xe2\x80\xa8", b'"event": "', b'"time":',
     b"\t"]
)  # fmt: skip


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    """Good lines, with bytes put in, taken out and changed."""
    parts = draw(
        st.lists(
            st.one_of(*[_WHOLE] * 4, _PIECES, st.binary(max_size=12)),
            max_size=20,
        )
    )
    data = bytearray(draw(st.sampled_from([b"\n", b"\n", b"\n\n", b""])).join(parts))
    return _damaged(draw, data)


def _damaged(draw: st.DrawFn, data: bytearray) -> bytes:
    for _ in range(draw(st.sampled_from([0, 1, 1, 4]))):
        place = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from([0, 0, 1, 5, 40]))
        data[place : place + length] = draw(st.one_of(_PIECES, st.binary(max_size=3)))
    return bytes(data)


_TOKENS = st.sampled_from(
    ["1", "-2.5", "NULL", "'a'", "'it''s'", r"'\\'", r"'\''", "x'ff'", "0b1", "_utf8'é'", "'-- '",
     "'/*'", "';'", '"q"', "''", "N'n'", "true"]
)  # fmt: skip
_DECLARED = "CREATE TABLE `t` (`n` int, `secret` text, `s` text);\n"
_WANTED = {"t": {"n": True, "s": False}}


@st.composite
def dumps(draw: st.DrawFn) -> tuple[bytes, int | None]:
    """A dump, and how many rows it has; None if it was damaged."""
    count = 0
    text = _DECLARED
    for _ in range(draw(st.integers(0, 3))):
        rows = draw(st.lists(st.tuples(_TOKENS, _TOKENS, _TOKENS), min_size=1, max_size=4))
        gap = draw(st.sampled_from(["", " ", "\n", "/* ' */", " -- ;\n"]))
        listed = f",{gap}".join(f"({gap}{gap.join([', '.join(row)])}{gap})" for row in rows)
        text += draw(st.sampled_from(["", "-- a comment\n", "/*!40101 SET x=1 */;\n"]))
        text += f"INSERT INTO `t` VALUES {listed};\n"
        count += len(rows)
    data = text.encode()
    if draw(st.booleans()):
        return _damaged(draw, bytearray(data)), None
    return data, count


def fuzz(seconds: float) -> dict[str, Any]:
    """All of it until the time is up; how much was tried."""
    until, done = time.monotonic() + seconds, Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < until:
            fuzz_lines(Path(folder), done)
            fuzz_dumps(done)
    return dict(done)


def fuzz_lines(folder: Path, done: Counter[str], examples: int = _AT_ONCE) -> None:
    """Files of any bytes: lines read = kept + refused, by an independent count of the lines."""
    path = folder / "log"
    with closing(connect("1GB", 1)) as db, pytest.MonkeyPatch.context() as patch:

        @settings(**{**_QUIET, "max_examples": examples})
        @given(
            data=logs(),
            pack=st.sampled_from([bytes, igzip.compress, zstandard.ZstdCompressor().compress]),
            block=st.sampled_from([7, 64, 1 << 20]),
            longest=st.sampled_from([1 << 20, 1 << 20, 200]),
        )
        def try_one(data: bytes, pack: Any, block: int, longest: int) -> None:
            if pack is bytes and data[:1] in (b"\x1f", b"\x28"):
                data = b" " + data  # no line of text begins as gzip and zstd do
            patch.setattr(decompress, "READ", block)
            patch.setattr(decompress, "BLOCK", block)
            patch.setattr(lines, "KEPT_OF_LONG_LINE", 50)
            path.write_bytes(pack(data))
            file = SourceFile(str(path), path.stat().st_size, 0)
            reader = LineReader([file], longest)
            refused = RejectsFile(folder / "rejects", "reading", {file.file_id: str(path)})
            reader.refused = refused
            days = Days(date(2025, 1, 1), date(2026, 1, 1))
            seen = 0
            while not reader.exhausted:
                load_slab(db, reader, refused, days, 10**6)
                seen += db.execute("SELECT count(*) FROM slab WHERE day IS NOT NULL").fetchall()[0][
                    0
                ]
            refused.close()
            expected = data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
            (reading,) = reader.readings
            assert reading.error is None
            assert reading.lines == expected
            assert seen + refused.counts.total() == expected
            done["files"] += 1
            done["lines"] += expected
            done["events"] += seen

        try_one()


def fuzz_dumps(done: Counter[str], examples: int = _AT_ONCE) -> None:
    """Dumps cut anywhere: every row of a good one, and rows or a SourceError of a damaged one."""

    @settings(**{**_QUIET, "max_examples": examples})
    @given(dump=dumps(), cut=st.sampled_from([1, 3, 17, 1 << 20]))
    def try_one(dump: tuple[bytes, int | None], cut: int) -> None:
        data, rows = dump
        blocks = [data[at : at + cut] for at in range(0, len(data), cut)]
        found = None
        try:
            # Of a table whose columns are all others, nothing is read.
            read = [one for one in read_blocks_of_dump(blocks, _WANTED) if one.values]
            found = sum(len(one.values[0]) for one in read)
        except SourceError:
            assert rows is None, data
            done["dumps refused"] += 1
        if rows is not None:
            assert found == rows
            done["rows"] += rows
        done["dumps"] += 1

    try_one()
