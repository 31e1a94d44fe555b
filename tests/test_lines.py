"""Files → lines: every byte comes out once, in a batch or refused, whatever the file is like.

Rules: specs/edx-enrollment-geography §1.1, §6 E06; design §3.4, "nothing is lost silently".
"""

import gzip
import io
import os
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from studium.sources.edx import decompress, lines
from studium.sources.edx.decompress import read_blocks
from studium.sources.edx.files import SourceFile
from studium.sources.edx.lines import CUT_OFF, NOT_UTF8, TOO_LONG, LineReader, Refused

MAX_LINE = 16 << 20


def source(path: Path) -> SourceFile:
    return SourceFile(str(path), path.stat().st_size if path.exists() else 0, 0)


def read(*paths: Path, max_line: int = MAX_LINE, max_lines: int = 10**9) -> LineReader:
    """A reader that has read everything; `good` and `refused` say what came out."""
    reader = LineReader([source(path) for path in paths], max_line)
    while not reader.exhausted:
        for batch in reader.batches(max_lines):
            GOOD.extend(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    return reader


GOOD: list[tuple[int, int, str]] = []


@pytest.fixture(autouse=True)
def _nothing_read_yet() -> None:
    GOOD.clear()


def out(reader: LineReader) -> dict[tuple[int, int], bytes]:
    """Every line that came out, by file and number, with its newline if it was kept."""
    refused = {(one.file_id, one.line_no): one.raw for one in refusals(reader)}
    good = {(file, number): text.encode() for file, number, text in GOOD}
    assert not refused.keys() & good.keys()
    assert len(good) == len(GOOD)
    return good | refused


def refusals(reader: LineReader) -> list[Refused]:
    assert isinstance(reader.refused, list)
    return reader.refused


def split(data: bytes) -> list[bytes]:
    """An independent split at newlines: the last line needs none."""
    return [line.removesuffix(b"\n") for line in io.BytesIO(data)]


def is_utf8(line: bytes) -> bool:
    return line.decode("utf-8", "ignore").encode() == line


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def plain(data: bytes) -> bytes:
    # What begins like gzip is gzip: no line of text does.
    return b" " + data if data[:1] in (b"\x1f", b"\x28") else data


WRITE = {"plain": plain, "gzip": gzip.compress, "zstd": zstd}

BYTES = st.lists(
    st.one_of(
        st.sampled_from([b"\n", b"\n\n", b"\r\n", b"\r", b"\0", b"\xff", b"\xed\xa0\x80", b"\xc3"]),
        st.sampled_from(["é🎓 שלום".encode(), b'{"a": 1}', b"", b" ", b"x" * 300, b"\xe2\x80\xa8"]),
        st.binary(max_size=20),
    ),
    max_size=30,
).map(b"".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lines")


@pytest.fixture(params=["large", "small"])
def blocks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Blocks as they are, and so small that lines and members go across their borders."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "small":
            patch.setattr(decompress, "READ", 7)
            patch.setattr(decompress, "READ_ZSTD", 5)
            patch.setattr(decompress, "BLOCK", 11)
            patch.setattr(lines, "BATCH_LINES", 3)
        yield


@pytest.mark.parametrize("form", WRITE)
@pytest.mark.usefixtures("blocks")
@settings(max_examples=40)
@given(data=BYTES)
@example(data=b"")
@example(data=b"\n")
@example(data=b"a")
@example(data=b"a\r\n\r\nb\n\xff\n")
def test_every_line_comes_out_with_its_number(folder: Path, form: str, data: bytes) -> None:
    data = plain(data)
    GOOD.clear()
    path = folder / form
    path.write_bytes(WRITE[form](data))
    reader = read(path)
    (reading,) = reader.readings
    expected = split(data)
    got = out(reader)
    assert reading.error is None
    assert reading.lines == len(expected)
    assert reading.bytes == path.stat().st_size
    file = reading.file.file_id
    assert [got[file, number + 1].removesuffix(b"\n") for number in range(len(expected))] == (
        expected
    )
    assert {one.line_no: one.reason for one in refusals(reader)} == {
        number + 1: NOT_UTF8 for number, line in enumerate(expected) if not is_utf8(line)
    }


@pytest.mark.parametrize("form", ["gzip", "zstd"])
@pytest.mark.usefixtures("blocks")
@settings(max_examples=40)
@given(data=BYTES.filter(bool), cut=st.floats(0, 1, exclude_max=True))
def test_a_cut_file_gives_all_its_lines_up_to_the_cut(
    folder: Path, form: str, data: bytes, cut: float
) -> None:
    GOOD.clear()
    whole = WRITE[form](data)
    length = max(4, int(len(whole) * cut))
    path = folder / f"cut-{form}"
    path.write_bytes(whole[:length])
    reader = read(path)
    (reading,) = reader.readings
    assert reading.error is not None
    assert "cut off" in reading.error or "corrupt" in reading.error
    got = out(reader)
    expected = split(data)
    assert sorted(number for _, number in got) == list(range(1, reading.lines + 1))
    last = [one.line_no for one in refusals(reader) if one.reason == CUT_OFF]
    assert last in ([], [reading.lines])
    for (_, number), line in got.items():
        if number in last:
            assert expected[number - 1].startswith(line)
        else:
            assert line.removesuffix(b"\n") == expected[number - 1]


@pytest.mark.usefixtures("blocks")
def test_nearly_all_of_a_large_cut_file_is_read(tmp_path: Path) -> None:
    """What was decoded in the same call as the damage is not thrown away."""
    texts = [f'{{"line": {number}, "x": "{number * 7919 % 104729}"}}' for number in range(3000)]
    whole = gzip.compress("".join(f"{text}\n" for text in texts).encode())
    path = tmp_path / "cut.gz"
    path.write_bytes(whole[: len(whole) * 9 // 10])
    reader = read(path)
    assert [text for _, _, text in GOOD] == [f"{text}\n" for text in texts[: len(GOOD)]]
    assert len(GOOD) > 2400
    assert [one.reason for one in refusals(reader)] == [CUT_OFF]
    assert reader.readings[0].error == "the gzip stream is cut off"


@pytest.mark.parametrize("form", ["gzip", "zstd"])
@pytest.mark.usefixtures("blocks")
def test_members_one_after_the_other_are_one_file(tmp_path: Path, form: str) -> None:
    pieces = [b"a\nb", b"", b"c\n", "é\n".encode() * 50, b"no newline"]
    path = tmp_path / "members"
    path.write_bytes(b"".join(map(WRITE[form], pieces)) + b"\0" * 100)
    read(path)
    assert "".join(text for _, _, text in GOOD).encode() == b"".join(pieces)
    assert [number for _, number, _ in GOOD] == list(range(1, len(GOOD) + 1))


@pytest.mark.parametrize("form", ["gzip", "zstd"])
@pytest.mark.usefixtures("blocks")
def test_what_follows_the_compressed_data_is_reported(tmp_path: Path, form: str) -> None:
    path = tmp_path / "followed"
    path.write_bytes(WRITE[form](b"a\nb\n") + b"\0\0plain text\n")
    reader = read(path)
    assert [text for _, _, text in GOOD] == ["a\n", "b\n"]
    assert reader.readings[0].error == f"bytes that are not {form} follow the compressed data"


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_a_changed_byte_is_noticed_and_the_lines_before_it_are_kept(
    tmp_path: Path, form: str
) -> None:
    rows = b"".join(b"%d\n" % (number * 48271 % 2147483647) for number in range(200_000))
    writer = zstandard.ZstdCompressor(write_checksum=True).compress
    whole = bytearray(gzip.compress(rows) if form == "gzip" else writer(rows))
    middle = len(whole) // 2
    whole[middle : middle + 20] = bytes(20)
    path = tmp_path / "changed"
    path.write_bytes(whole)
    reader = read(path)
    error = reader.readings[0].error
    assert error is not None
    assert error.startswith(f"the {form} data is corrupt")
    expected = rows.split(b"\n")
    same = [text.encode() == expected[number - 1] + b"\n" for _, number, text in GOOD]
    assert sum(same) > 40_000
    # What was decoded after the damage, but before anybody could notice, is at most one call's.
    assert same.count(False) <= 100_000


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_a_small_file_of_300_mb_comes_in_blocks(form: str) -> None:
    """A few kilobytes can stand for more than there is memory."""
    if form == "gzip":
        packer: Any = zlib.compressobj(9, wbits=31)
    else:
        packer = zstandard.ZstdCompressor().compressobj()
    packed = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(300)), packer.flush()])
    assert len(packed) < 1 << 19
    sizes = [len(block) for block in read_blocks(io.BytesIO(packed))]
    assert sum(sizes) == 300 << 20
    assert max(sizes) <= decompress.BLOCK + (16 << 20)


def test_the_name_of_a_file_does_not_say_how_it_is_compressed(tmp_path: Path) -> None:
    for name, data in (("a.gz", b"a\n"), ("b.log", gzip.compress(b"b\n")), ("c", zstd(b"c\n"))):
        (tmp_path / name).write_bytes(data)
    reader = read(*sorted(tmp_path.iterdir()))
    assert [text for _, _, text in GOOD] == ["a\n", "b\n", "c\n"]
    assert [reading.error for reading in reader.readings] == [None] * 3


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("end", [b"", b"\n", b"\nafter\n"])
@pytest.mark.parametrize("size", [1023, 1024, 1025, 1030, 1100, 5000])
@pytest.mark.parametrize("before", [b"", b"before\n", b"before, longer than a block\n"])
def test_a_line_may_be_as_long_as_the_limit_and_no_longer(
    tmp_path: Path, before: bytes, size: int, end: bytes
) -> None:
    path = tmp_path / "long"
    path.write_bytes(before + b"x" * size + end)
    reader = read(path, max_line=1024)
    kept = [text.encode() for _, _, text in GOOD]
    if size <= 1024:
        assert b"".join(kept) == before + b"x" * size + end
        assert refusals(reader) == []
    else:
        assert b"".join(kept) == before + end.removeprefix(b"\n")
        (refused,) = refusals(reader)
        assert refused.reason.startswith(f"{TOO_LONG}: {size} bytes, more than 1024")
        assert refused.raw == b"x" * size
        assert refused.line_no == before.count(b"\n") + 1
    assert reader.readings[0].lines == len(split(before + b"x" * size + end))


@pytest.mark.usefixtures("blocks")
def test_the_beginning_of_a_long_line_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "KEPT_OF_LONG_LINE", 50)
    path = tmp_path / "long"
    path.write_bytes(b"first\n" + bytes(range(65, 91)) * 400 + b"\nlast")
    reader = read(path, max_line=1024)
    (refused,) = refusals(reader)
    assert refused.reason.startswith(f"{TOO_LONG}: 10400 bytes, more than 1024; its first 50 ")
    assert refused.raw == (bytes(range(65, 91)) * 2)[:50]
    assert [(number, text) for _, number, text in GOOD] == [(1, "first\n"), (3, "last")]


@pytest.mark.usefixtures("blocks")
def test_reading_stops_after_so_many_lines_and_goes_on(tmp_path: Path) -> None:
    paths = []
    for name, count in (("a", 5), ("b", 0), ("c", 1), ("d", 40)):
        path = tmp_path / name
        path.write_text("".join(f"{name}{number}\n" for number in range(count)))
        paths.append(path)
    for limit in (1, 2, 5, 6, 46, 47):
        GOOD.clear()
        reader = read(*paths, max_lines=limit)
        assert [text for _, _, text in GOOD] == [
            *(f"a{number}\n" for number in range(5)),
            "c0\n",
            *(f"d{number}\n" for number in range(40)),
        ]
        assert [reading.lines for reading in reader.readings] == [5, 0, 1, 40]
        assert all(reading.done for reading in reader.readings)


def test_no_files_are_read_at_once() -> None:
    assert read().readings == []


def test_progress_adds_up_to_the_bytes_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(os.urandom(100_000)))
    (tmp_path / "b").write_bytes(b"x\n" * 1000)
    seen: list[int] = []
    reader = LineReader([source(path) for path in tmp_path.iterdir()], MAX_LINE, seen.append)
    for _ in reader.batches(10**9):
        pass
    assert sum(seen) == sum(path.stat().st_size for path in tmp_path.iterdir())


# Files that cannot be read


def test_a_file_that_is_not_there_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("b\n")
    reader = read(tmp_path / "a", tmp_path / "b", tmp_path)
    assert [reading.error for reading in reader.readings] == [
        "No such file or directory",
        None,
        "not a regular file",
    ]
    assert [text for _, _, text in GOOD] == ["b\n"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (reading,) = read(tmp_path / "pipe").readings
    assert (reading.error, reading.lines) == ("not a regular file", 0)


def test_an_input_error_ends_the_file_not_the_run(tmp_path: Path) -> None:
    unreadable = Path("/proc/self/mem")
    if not unreadable.exists():
        pytest.skip("no /proc")
    (tmp_path / "link").symlink_to(unreadable)
    (tmp_path / "next").write_text("fine")
    reader = read(tmp_path / "link", tmp_path / "next")
    assert reader.readings[0].error == "Input/output error"
    assert [text for _, _, text in GOOD] == ["fine"]


class FailingDisk(io.BytesIO):
    """A file whose disk fails after some bytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= 200_000:
            raise OSError(5, "Input/output error")
        return super().read(size)


@pytest.mark.parametrize("form", WRITE)
def test_what_was_read_before_the_disk_failed_is_kept(
    monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(decompress, "READ", 1000)
    monkeypatch.setattr(decompress, "BLOCK", 1000)
    text = plain(b"".join(b"%d\n" % (n * 48271 % 2147483647) for n in range(100_000)))
    blocks = read_blocks(FailingDisk(WRITE[form](text)))
    got: list[bytes] = []
    with pytest.raises(OSError, match="Input/output error"):
        deque(map(got.append, blocks))
    assert text.startswith(b"".join(got))
    assert sum(map(len, got)) >= 200_000


def test_the_disk_may_fail_in_an_uncompressed_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\nb\nhalf a line")

    def failing(raw: object) -> Iterator[bytes]:
        yield b"a\nb\nhalf"
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(lines, "read_blocks", failing)
    reader = read(path)
    assert [text for _, _, text in GOOD] == ["a\n", "b\n"]
    assert [(one.line_no, one.reason, one.raw) for one in refusals(reader)] == [
        (3, CUT_OFF, b"half")
    ]
    assert reader.readings[0].error == "Input/output error"
