"""What a submitted Dockerfile may not ask of the machine that builds it."""

from __future__ import annotations

import re
import stat
from pathlib import Path

ENTRIES = 100_000
NAMES = ("Dockerfile", "Containerfile")

_COMMENT = re.compile(r"(?m)^[ \t]*#.*\n?")
_CONTINUED = re.compile(r"[\\`][ \t]*\r?\n")
_SYNTAX = re.compile(r"(?im)^[ \t]*#[ \t]*syntax[ \t]*=")
_RUN_FLAG = re.compile(r"(?im)^[ \t]*(?:onbuild[ \t]+)*run((?:[ \t]+--\S+)+)")
_FROM = re.compile(r"(?im)^[ \t]*from((?:[ \t]+--\S+)*)[ \t]+(\S+)(?:[ \t]+as[ \t]+(\S+))?")
_COPY = re.compile(r"(?im)^[ \t]*(?:onbuild[ \t]+)*copy(?:[ \t]+--\S+)*?[ \t]+--from=(\S+)")
_ADD = re.compile(r"(?im)^[ \t]*(?:onbuild[ \t]+)*add[ \t]+(.*)$")


def find_dockerfile(context: Path, name: str = "") -> Path | None:
    """The file of a context that says how to build it: an ordinary file, no link leads to it."""
    for path in [context / name] if name else [context / one for one in NAMES]:
        if path.is_file() and path.resolve() == context.resolve() / path.relative_to(context):
            return path
    return None


def check_dockerfile(text: str) -> list[str]:
    """Why it is refused, each a sentence; empty if it is not.

    A base image and build steps are free. What a step must not have: mounts (of caches that other
    builds fill, of folders), another network, more rights; a frontend from elsewhere. ADD
    takes files of the context only: what else it names is fetched with the machine's own network,
    whatever network the steps have.
    """
    found: list[str] = []
    if _SYNTAX.search(text):
        found.append("Dockerfile: `# syntax=` names another builder; remove that line.")
    joined = _joined(text)
    for match in _RUN_FLAG.finditer(joined):
        for flag in match[1].split():
            name = flag.partition("=")[0]
            found.append(
                f"Dockerfile: RUN may not have {name[:40]}; put the files into the folder."
            )
    for match in _ADD.finditer(joined):
        if "://" in match[1] or "git@" in match[1] or "$" in match[1]:
            found.append("Dockerfile: ADD takes files of the folder only; use COPY.")
    return found


def find_bases(text: str) -> list[str]:
    """The images that it takes from elsewhere: neither its own stages nor ``scratch``."""
    joined = _joined(text)
    own = {"scratch"}
    found = []
    for match in _FROM.finditer(joined):
        if match[2].lower() not in own:
            found.append(match[2])
        own.add((match[3] or "").lower())
    for match in _COPY.finditer(joined):
        if match[1].lower() not in own and not match[1].isdigit():
            found.append(match[1])
    return found


def _joined(text: str) -> str:
    return _CONTINUED.sub("", _COMMENT.sub("", text))


def measure_context(context: Path, most: int) -> str:
    """Why a folder cannot be a context, empty if it can: too large, or not only files and links."""
    size = entries = 0
    folders = [context]
    while folders:
        for path in folders.pop().iterdir():
            about = path.lstat()
            entries += 1
            if stat.S_ISDIR(about.st_mode):
                folders.append(path)
            elif stat.S_ISREG(about.st_mode):
                size += max(about.st_size, about.st_blocks * 512)
            elif not stat.S_ISLNK(about.st_mode):
                return f"{path.relative_to(context)} is neither a file nor a folder nor a link."
            if size > most or entries > ENTRIES:
                return f"The folder has more than {most:,} bytes or {ENTRIES:,} files."
    return ""
