"""Taking in code: what is taken, what is left out, and every way in which it is refused."""

import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from studium.errors import JobError
from studium.jobs.folder import JobFolder
from studium.jobs.submission import (
    MAX_FILES,
    Submission,
    list_folder,
    read_submission,
    take_code,
)

MIB = 2**20


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    place = JobFolder(tmp_path / "job")
    place.path.mkdir()
    return place


@pytest.fixture
def code(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "lib").mkdir(parents=True)
    (source / "main.py").write_text("print(1)\n")
    (source / "lib" / "tool.sh").write_text("true\n")
    (source / "lib" / "tool.sh").chmod(0o755)
    return source


def zipped(path: Path, *members: tuple[str, str], **options: int) -> Path:
    with zipfile.ZipFile(path, "w", options.get("compression", zipfile.ZIP_STORED)) as archive:
        for name, text in members:
            archive.writestr(zipfile.ZipInfo(name), text, archive.compression)
    return path


def names(taken: Submission) -> list[str]:
    return [file.path for file in taken.files]


def test_a_folder_and_its_zip_have_the_same_fingerprint(
    folder: JobFolder, code: Path, tmp_path: Path
) -> None:
    taken = take_code(code, folder, MIB)
    assert names(taken) == ["lib/tool.sh", "main.py"]
    assert taken.files[0].executable
    assert taken.size == sum(path.stat().st_size for path in code.rglob("*") if path.is_file())
    assert read_submission(folder) == taken
    assert (folder.code / "main.py").read_text() == "print(1)\n"
    assert stat.S_IMODE((folder.code / "lib/tool.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((folder.code / "main.py").stat().st_mode) == 0o644
    archive = tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for path in code.rglob("*"):
            made.write(path, path.relative_to(tmp_path))  # below one folder, as of a repository
    again = take_code(archive, folder, MIB)
    assert again == taken
    (code / "main.py").write_text("print(2)\n")
    assert take_code(code, folder, MIB).fingerprint != taken.fingerprint
    (code / "main.py").write_text("print(1)\n")
    (code / "main.py").chmod(0o755)
    assert take_code(code, folder, MIB).fingerprint != taken.fingerprint


def test_history_environments_caches_and_secrets_are_left_out(
    folder: JobFolder, code: Path, tmp_path: Path
) -> None:
    for name in (".git/config", "env/pyvenv.cfg", "__pycache__/a.pyc", "lib/.env", "x.pyc"):
        (code / name).parent.mkdir(exist_ok=True)
        (code / name).write_text("x")
    left = [".git", "__pycache__", "env", "lib/.env", "x.pyc"]
    found, left_out = list_folder(code)
    assert ([name for name, _ in found], left_out) == (["lib/tool.sh", "main.py"], left)
    taken = take_code(code, folder, MIB)
    assert (names(taken), list(taken.left_out)) == (["lib/tool.sh", "main.py"], left)
    archive = zipped(tmp_path / "a.zip", ("main.py", "1"), (".git/config", "x"), ("a/.env", "x"))
    assert names(take_code(archive, folder, MIB)) == ["main.py"]


def test_a_link_within_the_folder_becomes_a_file(folder: JobFolder, code: Path) -> None:
    (code / "link.py").symlink_to("main.py")
    take_code(code, folder, MIB)
    assert not (folder.code / "link.py").is_symlink()
    assert (folder.code / "link.py").read_text() == "print(1)\n"


Spoil = Callable[[Path], object]
FOLDERS: dict[str, tuple[Spoil, str]] = {
    "a link out": (lambda code: (code / "a").symlink_to("/etc/passwd"), "leads out"),
    "a link to a folder": (lambda code: (code / "a").symlink_to("/etc"), "link to a folder"),
    "a broken link": (lambda code: (code / "a").symlink_to("none"), "to nothing"),
    "a circle": (lambda code: (code / "a").symlink_to("a"), "to nothing"),
    "a pipe": (lambda code: os.mkfifo(code / "a"), "not a plain file"),
    "a newline in a name": (lambda code: (code / "a\nb").touch(), "cannot be shown"),
    "a right-to-left name": (lambda code: (code / "\u202egpj.exe").touch(), "cannot be shown"),
    "a backslash": (lambda code: (code / "a\\b").touch(), "Windows"),
    "names that differ in case": (lambda code: (code / "MAIN.py").touch(), "there twice"),
    "too large": (lambda code: (code / "a").write_bytes(b"x" * (MIB + 1)), "more than 1MiB"),
    "not UTF-8": (lambda code: (code / os.fsdecode(b"\xff")).touch(), "cannot be shown"),
}


@pytest.mark.parametrize("what", FOLDERS)
def test_folders_that_are_refused(folder: JobFolder, code: Path, what: str) -> None:
    spoil, said = FOLDERS[what]
    spoil(code)
    refused(folder, code, said)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED])
def test_a_damaged_zip_is_named(folder: JobFolder, tmp_path: Path, method: int) -> None:
    archive = tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w", method) as made:
        made.writestr("a.txt", "a" * 10_000)
    data = bytearray(archive.read_bytes())
    data[40:60] = b"\xff" * 20
    archive.write_bytes(data)
    with pytest.raises(JobError, match=r"code\.zip is not a zip that can be read"):
        take_code(archive, folder, MIB)


ZIPS: dict[str, tuple[list[tuple[str, str]], str]] = {
    "an absolute name": ([("/etc/cron.d/x", "x")], "absolute"),
    "up": ([("main.py", ""), ("../x", "x")], "leads out"),
    "up within": ([("a/../../x", "x")], "leads out"),
    "a drive": ([("C:/x", "x")], "absolute"),
    "backslashes": ([("..\\..\\x", "x")], "Windows"),
    "twice": ([("a", "1"), ("b", ""), ("a", "2")], "there twice"),
    "a file as a folder": ([("a", "1"), ("a/b", "2")], "file and a folder at once"),
    "a long name": ([("x" * 10_000, "x")], "too long"),
    "a long part": ([("x" * 300, "x")], "255 bytes"),
    "a deep one": ([("/".join("a" * 50), "x")], "too deep"),
    "control characters": ([("a\x1b[2Jb", "x")], "cannot be shown"),
    "nothing": ([], "no files"),
    "only what is left out": ([(".git/config", "x")], "no files"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("what", ZIPS)
def test_zips_that_are_refused(folder: JobFolder, tmp_path: Path, what: str) -> None:
    members, said = ZIPS[what]
    refused(folder, zipped(tmp_path / "a.zip", *members), said)


def test_zips_that_lie(folder: JobFolder, tmp_path: Path) -> None:
    bomb = zipped(tmp_path / "b.zip", ("b", "0" * 30 * MIB), compression=zipfile.ZIP_DEFLATED)
    refused(folder, bomb, "a bomb", limit=100 * MIB)
    refused(folder, bomb, "more than 1MiB")
    # The size that is declared is not believed.
    data = bomb.read_bytes()
    small = data.replace((30 * MIB).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert small != data
    (tmp_path / "c.zip").write_bytes(small)
    refused(folder, tmp_path / "c.zip", "not taken", limit=100 * MIB)
    (tmp_path / "d.zip").write_bytes(data[: len(data) // 2])
    refused(folder, tmp_path / "d.zip", "not a zip that can be read")
    (tmp_path / "e.zip").write_bytes(b"nothing like it")
    refused(folder, tmp_path / "e.zip", "not a zip that can be read")
    many = zipped(tmp_path / "f.zip", *((f"{number}", "") for number in range(MAX_FILES + 1)))
    refused(folder, many, "more than 10,000 files")


def test_a_zip_with_a_link_or_a_password(folder: JobFolder, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        member = zipfile.ZipInfo("link")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/shadow")
    refused(folder, tmp_path / "a.zip", "is a link or a device")
    locked = zipped(tmp_path / "b.zip", ("a", "1")).read_bytes().replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"
    )  # fmt: skip
    (tmp_path / "b.zip").write_bytes(locked)
    refused(folder, tmp_path / "b.zip", "is encrypted")


def test_what_is_neither(folder: JobFolder, tmp_path: Path) -> None:
    refused(folder, tmp_path / "none", "neither a folder nor a zip")


def refused(folder: JobFolder, source: Path, said: str, limit: int = MIB) -> None:
    with pytest.raises(JobError, match=said) as caught:
        take_code(source, folder, limit)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500
    # Nothing of it is left.
    assert list(folder.path.iterdir()) == []
    assert not (folder.path.parent / "x").exists()
