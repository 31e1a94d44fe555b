"""Where the transcripts of the documentation are played.

The README makes a demo site. A page with the comment ``<!-- plays in the demo site -->`` starts
in it, as it was then; every other page starts in an empty folder. A block after ``<!-- file:
src/studium/… -->`` is put into a copy of the package, which the page then runs.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from shlex import quote

from docs.generate.picture import draw, read_curves
from docs.generate.reference import ROOT
from docs.generate.transcripts import Outcome, read_steps, run_steps

README = ROOT / "README.md"
IN_DEMO = "<!-- plays in the demo site -->"
DEMO = "studium-demo"
FILE = re.compile(
    r"^<!-- file: (src/studium/\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL
)


def pages_with_transcripts() -> list[Path]:
    """Pages with console blocks, the README first: it makes what others use."""
    pages = [README, *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in pages if read_steps(page.read_text("utf-8"))]


class Stage:
    """Plays pages, each in a fresh folder, with the ``studium`` of this source tree on PATH."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stored: Path | None = None
        for name, arguments in (("studium", " -m studium"), ("python", "")):
            command = folder / "bin" / name
            command.parent.mkdir(parents=True, exist_ok=True)
            command.write_text(f'#!/bin/sh\nexec {quote(sys.executable)}{arguments} "$@"\n')
            command.chmod(0o755)

    def play(self, page: Path) -> list[Outcome]:
        """What the commands of a page printed."""
        text = page.read_text("utf-8")
        demo = self._demo() if page != README and IN_DEMO in text else None
        # Always the same place: the site remembers its log files by their whole paths.
        place = self._folder / "play"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        if demo is not None:
            shutil.copytree(demo, place / DEMO)
            place /= DEMO
        files = FILE.findall(text)
        environment = {
            "PATH": f"{self._folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self._extended(files) if files else ROOT / "src"),
        }
        outcomes = run_steps(read_steps(text), place, environment)
        if page == README:
            self._stored = self._folder / "stored"
            shutil.rmtree(self._stored, ignore_errors=True)
            shutil.copytree(place / DEMO, self._stored)
        return outcomes

    def picture(self) -> str:
        """Enrollment in the demo of the README, as SVG."""
        return draw(read_curves(self._demo() / "results.db"))

    def _extended(self, files: list[tuple[str, str]]) -> Path:
        """A folder with the package and these files more."""
        copy = self._folder / "extended"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
        for name, content in files:
            path = copy / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, "utf-8")
        return copy / "src"

    def _demo(self) -> Path:
        if self._stored is None:
            self.play(README)
        assert self._stored is not None
        return self._stored
