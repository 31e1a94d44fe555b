"""The documentation is true: its transcripts are run, its reference is made from the code."""

import re
from pathlib import Path

import pytest

from docs.generate.inserts import INSERTS, filled
from docs.generate.reference import INGESTED, meanings, pages
from docs.generate.stage import Stage, pages_with_transcripts
from docs.generate.transcripts import Outcome, agrees, problems, read_steps, refreshed
from studium.lenses import tables
from studium.settings.layers import variable_of
from studium.settings.model import keys
from studium.sources.lms.tables import TABLES as LMS_TABLES
from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# Transcripts


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("stage"))


# These take half a minute each.
LONG_PAGES = {
    f"docs/how-to/{name}.md"
    for name in (
        "backup",
        "compare-with-the-old-store",
        "forget",
        "from-the-old-pipeline",
        "import-history",
        "nightly",
        "repair",
        "verify",
        "why",
    )
}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.long] if name_of(page) in LONG_PAGES else [])
        for page in pages_with_transcripts()
    ],
    ids=name_of,
)
def test_transcript(stage: Stage, page: Path) -> None:
    steps = read_steps(page.read_text("utf-8"))
    found = problems(steps, stage.play(page))
    assert not found, "\n\n".join([*found, "If the page should change: make docs TRANSCRIPTS=1"])


def test_picture_shows_the_demo_of_the_readme(stage: Stage) -> None:
    shown = (ROOT / "docs/images/enrollment.svg").read_text("utf-8")
    assert shown == stage.picture(), "make docs TRANSCRIPTS=1"


def test_pages_with_transcripts_are_found() -> None:
    names = {name_of(page) for page in pages_with_transcripts()}
    assert {"README.md", "docs/tutorial/first-site.md", "docs/how-to/extend.md"} <= names


@pytest.mark.parametrize(
    ("expected", "printed", "fits"),
    [
        (["a", "b"], ["a", "b"], True),
        (["a", "b"], ["a", "c"], False),
        (["a"], ["a", "b"], False),
        (["a", "b"], ["a"], False),
        ([], [], True),
        ([], ["a"], False),
        (["took … s"], ["took 1.5 s"], True),
        (["took … s"], ["took 1.5 ms"], False),
        (["…"], [], True),
        (["a", "…", "z"], ["a", "b", "c", "z"], True),
        (["a", "…", "z"], ["b", "c", "z"], False),
        (["a."], ["ab"], False),
        (["a"], ["a  "], True),
        (["… 3 rows"], ["… 3 rows"], True),
    ],
)
def test_what_fits_a_transcript(expected: list[str], printed: list[str], fits: bool) -> None:
    assert agrees(expected, printed) is fits


PAGE = """Text
```console
$ cat <<END
> one
> END
one
$ false
$ echo $?
1
```
```sh
$ not this
```
"""


def test_a_page_is_read_into_commands() -> None:
    steps = read_steps(PAGE)
    assert [step.command for step in steps] == ["cat <<END\none\nEND", "false", "echo $?"]
    assert [step.expected for step in steps] == [("one",), (), ("1",)]
    assert [step.line for step in steps] == [3, 7, 8]


def test_what_differs_is_found_and_can_be_written_down() -> None:
    steps = read_steps(PAGE)
    good = [Outcome(("one",), 0), Outcome((), 1), Outcome(("1",), 0)]
    assert problems(steps, good) == []
    assert refreshed(PAGE, steps, good) == PAGE
    other = [Outcome(("two",), 0), *good[1:]]
    assert "line 3" in problems(steps, other)[0]
    assert refreshed(PAGE, steps, other) == PAGE.replace("END\none", "END\ntwo")


def test_a_command_that_fails_is_a_problem_unless_the_page_asks_for_its_code() -> None:
    steps = read_steps("```console\n$ true\n$ echo ok\nok\n```\n")
    found = problems(steps, [Outcome((), 3), Outcome(("ok",), 0)])
    assert "code 3" in found[0]


# What is made from the code


@pytest.mark.parametrize("path", pages())
def test_reference_is_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text("utf-8") == pages()[path], "make docs"


@pytest.mark.parametrize("path", INSERTS)
def test_generated_part_is_up_to_date(path: str) -> None:
    # Of the README: every figure of speed is one of bench/results.json.
    assert filled(path) == (ROOT / path).read_text("utf-8"), "make docs"


def test_every_command_has_a_section() -> None:
    from typer.main import get_command

    from studium.cli import make_app

    commands = get_command(make_app()).commands
    sections = HEADING.findall((ROOT / "docs/reference/commands.md").read_text("utf-8"))
    assert "run" in commands
    assert {f"studium {name}" for name in commands} - set(sections) == set()
    assert [name for name, command in commands.items() if not command.help] == []


def test_every_setting_has_a_row() -> None:
    text = (ROOT / "docs/reference/settings.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z0-9_.]+)` \|.*`(STUDIUM_[A-Z0-9_]+)` \|$", text, re.MULTILINE)
    assert dict(rows) == {name: variable_of(name) for name in keys()}


def test_every_table_and_column_is_described() -> None:
    text = (ROOT / "docs/reference/tables.md").read_text("utf-8")
    described = {}
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        described[name] = re.findall(r"^\| `(\w+)` \|", body.partition("\n## ")[0], re.MULTILINE)
    expected = {table.name: list(table.column_names) for table in tables()}
    expected |= {name: list(columns) for name, (_, columns, _) in INGESTED.items()}
    expected |= {table.name: list(table.columns) for table in LMS_TABLES}
    assert described == expected


def test_meanings_are_of_the_columns_that_there_are() -> None:
    columns = {name: set(columns) for name, (_, columns, _) in INGESTED.items()}
    columns |= {table.name: set(table.columns) for table in LMS_TABLES}
    assert {name: set(meant) for name, meant in meanings().items()} == columns


# Links


def anchors(page: Path) -> set[str]:
    """Anchors of a page, made from its headings as GitHub makes them."""
    text = FENCED.sub("", page.read_text("utf-8"))
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in HEADING.findall(text))
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(FENCED.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_the_index() -> None:
    index = ROOT / "docs/index.md"
    linked = {
        (index.parent / link.partition("#")[0]).resolve()
        for link in LINK.findall(index.read_text("utf-8"))
    }
    assert {name_of(page) for page in (ROOT / "docs").rglob("*.md")} - {
        name_of(page) for page in {*linked, index}
    } == set()
