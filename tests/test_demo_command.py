"""`studium demo`: from nothing to tables in one command, the same every time."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from studium.cli import main
from studium.errors import DONE, USAGE
from tests import sites

ARGUMENTS = ("--events", "3000", "--start", "2025-09-01")

Demo = Callable[..., tuple[int, str, str]]


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Demo:
    """Run the command; gives exit code, output and errors."""

    def demo(folder: Path, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["studium", "demo", str(folder), *ARGUMENTS, *arguments])
        with sites.lent_engine(), pytest.raises(SystemExit) as stopped:
            main()
        assert isinstance(stopped.value.code, int)
        said = capsys.readouterr()
        return stopped.value.code, said.out, said.err

    return demo


def test_the_demo_shows_headlines(tmp_path: Path, demo: Demo) -> None:
    folder = tmp_path / "demo"
    code, out, err = demo(folder)
    assert (code, err) == (DONE, "")
    lines = out.splitlines()
    (title,) = [n for n, line in enumerate(lines) if line.startswith("Enrollment per course on")]
    assert lines[title].endswith("2025-11-23"), "the last day of twelve weeks"
    heads, *courses = lines[title + 1 : lines.index("", title)]
    assert heads.split()[0] == "course"
    assert len(courses) == 5
    for line in courses:
        assert re.search(r"[▁▂▃▄▅▆▇█]{10,12}$", line), "a sparkline, week by week"
    assert "Published " in out
    assert any(line.startswith("84 files") for line in lines), "a log a day"

    first = sites.contents(folder)
    rows = {row[0]: row[2] for row in first["published"]["studium_published"]}
    assert rows["course_enrollment_daily"] == len(first["published"]["course_enrollment_daily"])
    assert len(first["lake"]["events"]) > 2_900
    assert first["rejects"], "the demo has broken lines to look at"

    tried = [line.split("#")[0].split() for line in lines if line.startswith("  ")]
    assert [words[1] for words in tried if words[0] == "studium"] == [
        "show",
        "report",
        "rejects",
        "run",
        "plan",
    ]


@pytest.mark.long
def test_the_demo_is_the_same_every_time(tmp_path: Path, demo: Demo) -> None:
    folder = tmp_path / "demo"
    code, out, err = demo(folder)
    assert (code, err) == (DONE, "")
    first = sites.contents(folder)
    assert demo(folder) == (DONE, out, "")
    assert sites.contents(folder) == first


@pytest.mark.parametrize("made", ["file", "folder"])
def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, demo: Demo, made: str) -> None:
    folder = tmp_path / "mine"
    if made == "file":
        folder.write_text("a thesis")
    else:
        folder.mkdir()
        (folder / "thesis.txt").write_text("a thesis")
    code, out, err = demo(folder)
    assert (code, out) == (USAGE, "")
    assert "is not empty" in err
    kept = folder if made == "file" else folder / "thesis.txt"
    assert kept.read_text() == "a thesis"


def test_a_site_with_logs_of_its_own_is_not_a_demo(tmp_path: Path, demo: Demo) -> None:
    folder = tmp_path / "mine"
    sites.write_history(folder / "raw" / "logs")
    before = sorted(path.name for path in (folder / "raw" / "logs").iterdir())
    code, _, err = demo(folder)
    assert code == USAGE
    assert "is not empty" in err
    assert sorted(path.name for path in (folder / "raw" / "logs").iterdir()) == before
