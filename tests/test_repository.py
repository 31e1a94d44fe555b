"""What must hold for the repository as a whole, whatever it does."""

import json
import re
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src" / "studium").rglob("*.py"))
LOCKS = ("runtime.txt", "container.txt", "dev.txt", "build.txt", "uv.txt")

# Paths of whoever works here: written down, they hold on that machine only.
PLACES = "|".join(re.escape(str(path)) for path in (ROOT, ROOT.parent / "shared", Path.home()))
FORBIDDEN = {
    "a place on one machine": rf"(?<![\w.])(?:{PLACES})(?![\w-])",
    "a package index": r"pypi\.org|pythonhosted\.org|extra-index-url|find-links\b.*[=:/]",
    "unfinished work": r"\b(?:TODO|FIXME|XXX|HACK)\b",
    "an unresolved merge": r"^(?:<{7}|>{7}) ",
}
HEAVY = (
    "alembic",
    "deltalake",
    "duckdb",
    "numpy",
    "pyarrow",
    "pyspark",
    "scipy",
    "sqlalchemy",
    "sqlglot",
)
BARE_APP = """
import typer

app = typer.Typer(rich_markup_mode=None)  # with Rich it takes three times as long

@app.command()
def first(name: str = "x") -> None: ...

@app.command()
def second(name: str = "y") -> None: ...

app()
"""
HELP_THEN_MODULES = """
import json, sys
from studium.cli import main

try:
    main()
except SystemExit as stopped:
    assert not stopped.code, stopped.code
print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))
"""


def tracked() -> list[Path]:
    """Files under version control; of an unpacked archive, the files that come with it."""
    # The checkout may belong to another user than the one who tests, as in a container.
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0 and listing.stdout:
        found = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    else:
        places = ["src", "tests", "docs", "requirements", "scripts", "*.md", "*.toml", "Makefile"]
        found = [
            path
            for place in places
            for top in ROOT.glob(place)
            for path in (top.rglob("*") if top.is_dir() else [top])
            if "__pycache__" not in path.parts
        ]
    # This file has to name what it looks for.
    return [path for path in found if path.is_file() and path != Path(__file__).resolve()]


def text_of(path: Path) -> str | None:
    """The text of a file, None for a binary one."""
    content = path.read_bytes()
    return None if b"\0" in content[:8192] else content.decode("utf-8", "replace")


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_is_left_over(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what], re.MULTILINE)
    found = [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for path in tracked()
        if (text := text_of(path)) is not None
        for match in pattern.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a place on one machine", f"see {ROOT}/src"),
        ("a place on one machine", f"cd {Path.home()}"),
        ("a package index", "https://files.pythonhosted.org/packages/x"),
        ("unfinished work", "# TODO: later"),
        ("an unresolved merge", "<<<<<<< HEAD"),
    ],
)
def test_the_search_for_left_overs_finds_them(what: str, line: str) -> None:
    assert re.search(FORBIDDEN[what], line, re.MULTILINE)


def test_python_leaves_no_file_too_long() -> None:
    lengths = {str(path.relative_to(ROOT)): path.read_text("utf-8").count("\n") for path in SOURCES}
    assert lengths, "no modules found under src/studium"
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return normalized(match[0])


def pins(lock: str) -> dict[str, list[str]]:
    """Package → hashes, of one requirements file."""
    found: dict[str, list[str]] = {}
    text = (ROOT / "requirements" / lock).read_text("utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        assert "==" in line, f"{lock}: not pinned: {line[:60]}"
        found[requirement_name(line)] = re.findall(r"--hash=sha256:[0-9a-f]{64}\b", line)
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_carries_hashes(lock: str) -> None:
    locked = pins(lock)
    assert locked
    assert [name for name, hashes in locked.items() if not hashes] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_name_no_place(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text("utf-8")
    assert re.findall(r"https?:|file:|^-[a-z-]|^--|(?:^| )/\S+", text, re.MULTILINE) == []


def test_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    direct = {requirement_name(line) for line in project["project"]["dependencies"]}
    spark = {
        requirement_name(line) for line in project["project"]["optional-dependencies"]["spark"]
    }
    dev = {requirement_name(line) for line in project["dependency-groups"]["dev"]}
    runtime, develop = pins("runtime.txt"), pins("dev.txt")
    assert direct - runtime.keys() == set()
    assert (direct | spark | dev) - develop.keys() == set()
    assert {name: (hashes, develop[name]) for name, hashes in runtime.items()} == {
        name: (hashes, hashes) for name, hashes in runtime.items()
    }, "tests would run on other versions than users: make lock"


def test_the_container_holds_the_tested_versions_of_every_extra_but_spark() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {
        requirement_name(line)
        for extra, lines in extras["optional-dependencies"].items()
        if extra != "spark"  # needs Java
        for line in lines
    }
    container, runtime, develop = pins("container.txt"), pins("runtime.txt"), pins("dev.txt")
    assert (wanted | runtime.keys()) - container.keys() == set(), "make lock"
    assert {name: hashes for name, hashes in container.items() if develop[name] != hashes} == {}


def run(command: list[str]) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def seconds(command: list[str]) -> float:
    """Processor time of a command: what it costs, not how busy the machine is."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def test_help_loads_nothing_heavy() -> None:
    output = run([sys.executable, "-c", HELP_THEN_MODULES, "--help"])
    loaded = json.loads(output.splitlines()[-1])
    assert "typer" in loaded
    assert sorted(set(loaded) & set(HEAVY)) == []


def test_help_is_about_as_fast_as_typer_itself(tmp_path: Path) -> None:
    bare = tmp_path / "bare.py"
    bare.write_text(BARE_APP, "utf-8")
    theirs = [sys.executable, str(bare), "--help"]
    ours = [sys.executable, "-c", "from studium.cli import main; main()", "--help"]
    # Taken in turns, and the smallest of each: load on the machine only ever adds.
    pairs = [(seconds(theirs), seconds(ours)) for _ in range(5)]
    assert min(ours for _, ours in pairs) <= 2.5 * min(theirs for theirs, _ in pairs)
