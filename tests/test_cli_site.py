"""`studium init`, `studium config`, what all commands share, and the site behind them."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import duckdb
import pytest
import typer

import studium
from studium import cli
from studium.cli import main
from studium.errors import (
    FAILED,
    REJECTS,
    USAGE,
    LockedError,
    SiteError,
    SourceError,
    StudiumError,
)
from studium.settings import keys, render_template

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in `tmp_path`; gives exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STUDIUM_SITE", raising=False)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["studium", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert isinstance(stopped.value.code, int)
        captured = capsys.readouterr()
        return stopped.value.code, captured.out, captured.err

    return run


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Add a command `try` to the command line, as a module of commands does."""

    def add(function: Callable[[], None]) -> None:
        module = ModuleType("commands_of_a_test")
        module.register = lambda app: app.command("try")(function)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(cli, "MODULES", (*cli.MODULES, module.__name__))

    return add


# init


def test_init_makes_a_site_here(run: Run, tmp_path: Path) -> None:
    code, out, err = run("init")
    assert (code, err) == (0, "")
    assert str(tmp_path) in out
    assert (tmp_path / "studium.toml").read_text("utf-8") == render_template()


def test_init_makes_a_site_where_it_is_told(run: Run, tmp_path: Path) -> None:
    assert run("init", "a/b")[0] == 0
    assert run("--site", "c", "init")[0] == 0
    assert run("--site", "c", "init", "d")[0] == 0
    assert sorted(str(p.parent.relative_to(tmp_path)) for p in tmp_path.rglob("studium.toml")) == [
        "a/b",
        "c",
        "d",
    ]


def test_init_spares_a_site_that_is_there(run: Run, tmp_path: Path) -> None:
    (tmp_path / "studium.toml").write_text("[run]\nlookback = 3\n")
    code, out, err = run("init")
    assert (code, out) == (USAGE, "")
    assert "already" in err
    assert (tmp_path / "studium.toml").read_text() == "[run]\nlookback = 3\n"


def test_init_does_not_make_a_site_of_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    assert run("init", "notes")[0] == USAGE
    assert run("init", "notes/deeper")[0] == USAGE
    assert (tmp_path / "notes").read_text() == "mine"


# config


def test_config_shows_every_key_its_value_and_its_origin(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "studium.toml").write_text("[run]\nlookback = 3\n")
    monkeypatch.setenv("STUDIUM_ENGINE__MEMORY", "3GB")
    code, out, err = run("config")
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in out.splitlines()}
    assert list(rows) == list(keys())
    assert rows["run.lookback"].split() == ["3", "file", "studium.toml"]
    assert rows["engine.memory"].split() == [
        '"3GB"',
        "environment",
        "STUDIUM_ENGINE__MEMORY",
    ]
    assert rows["site.start"].split() == ["2012-01-01", "default"]


def test_config_for_machines(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "studium.toml"
    file.write_text('[edx]\nsource = ["é*.gz"]\n', "utf-8")
    code, out, _ = run("config", "--json")
    shown = json.loads(out)
    assert code == 0
    assert list(shown) == list(keys())
    assert shown["edx.source"] == {"value": ["é*.gz"], "origin": "file", "detail": str(file)}
    assert shown["site.start"] == {"value": "2012-01-01", "origin": "default", "detail": ""}
    assert shown["engine.threads"]["value"] == 0


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_config_shows_no_password(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    (tmp_path / "studium.toml").touch()
    monkeypatch.setenv("STUDIUM_STATE__URL", "postgresql://me:hunter2@host/db")
    monkeypatch.setenv("STUDIUM_EDX__SOURCE", '["s3://key:hunter2@bucket/"]')
    code, out, err = run("config", *options)
    assert code == 0
    assert "postgresql://me:***@host/db" in out
    assert "hunter2" not in out + err


def test_config_opens_no_database(run: Run, tmp_path: Path) -> None:
    (tmp_path / "studium.toml").touch()
    assert run("config")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["studium.toml"]


# What all commands share


def test_the_site_is_chosen_by_option_then_environment_then_place(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, folder in enumerate((".", "env", "opt")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "studium.toml").write_text(f"[run]\nlookback = {number}\n")

    def lookback(*options: str) -> int:
        shown = json.loads(run(*options, "config", "--json")[1])
        return int(shown["run.lookback"]["value"])

    assert lookback() == 0
    monkeypatch.setenv("STUDIUM_SITE", str(tmp_path / "env"))
    assert lookback() == 1
    assert lookback("--site", "opt") == 2


def test_no_site_says_how_to_make_or_choose_one(run: Run, tmp_path: Path) -> None:
    code, out, err = run("config")
    assert (code, out) == (USAGE, "")
    assert err.startswith(f"Error: {tmp_path} is not a Studium site")
    for way in ("studium init", "--site", "STUDIUM_SITE"):
        assert way in err


def test_a_bad_setting_ends_with_its_message_only(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "studium.toml"
    file.write_text("[engine]\nmemroy = 1\n")
    assert run("config") == (
        USAGE,
        "",
        f"Error: engine.memroy (in {file}) is not a setting.\n       Did you mean engine.memory?\n",
    )


@pytest.mark.parametrize("arguments", [["nonsense"], ["config", "--nonsense"], ["--site"]])
def test_a_bad_command_line_is_bad_usage(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (USAGE, "")
    assert arguments[-1] in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SourceError("No file matches x.", "Look again."), FAILED),
        (LockedError("Held."), FAILED),
        (SiteError("None here."), USAGE),
    ],
)
def test_an_error_is_its_message_and_its_exit_code(
    run: Run,
    command: Callable[[Callable[[], None]], None],
    error: StudiumError,
    code: int,
) -> None:
    def fail() -> None:
        raise error

    command(fail)
    hint = f"       {error.hint}\n" if error.hint else ""
    assert run("try") == (code, "", f"Error: {error.message}\n{hint}")


def test_a_command_may_choose_its_exit_code(
    run: Run, command: Callable[[Callable[[], None]], None]
) -> None:
    def stop() -> None:
        raise typer.Exit(REJECTS)

    command(stop)
    assert run("try") == (REJECTS, "", "")


def test_ctrl_c_is_said_and_told_to_the_shell(
    run: Run, command: Callable[[Callable[[], None]], None]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    command(interrupt)
    code, out, err = run("try")
    assert (code, out) == (130, "")
    assert err.startswith("Interrupted.")


def test_ctrl_c_in_the_middle_of_a_query(
    run: Run, command: Callable[[Callable[[], None]], None]
) -> None:
    def query() -> None:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        duckdb.connect().execute(
            "SELECT sum(a.i * b.i) FROM range(100000) a(i), range(1000000) b(i)"
        )

    command(query)
    # A shell's background jobs, such as these tests may be, do not hear it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code, out, err = run("try")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (code, out) == (130, "")
    assert err.startswith("Interrupted.")


def test_help_lists_the_commands(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for word in ("init", "config", "--site", "STUDIUM_SITE", "--version"):
        assert word in out


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"studium {studium.__version__}\n", "")


LIGHT = """
import sys
{code}
heavy = {{"typer", "rich", "pydantic", "sqlalchemy", "alembic"}}
print(sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("import studium; studium.StudiumError, studium.Interval", []),
        ("import studium.cli; studium.cli.make_app()", ["typer"]),
        ("import studium; studium.open", ["pydantic"]),
    ],
)
def test_names_load_what_they_need_and_no_more(code: str, loaded: list[str]) -> None:
    command = [sys.executable, "-c", LIGHT.format(code=code)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out.strip() == str(loaded)


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "studium", "--site", str(tmp_path), "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == USAGE
    assert "is not a Studium site" in done.stderr
    assert "Traceback" not in done.stderr


# The façade


def test_the_facade_is_sorted_and_whole() -> None:
    assert studium.__all__ == sorted(studium.__all__)
    assert set(studium.__all__) <= set(dir(studium))
    for name in studium.__all__:
        assert getattr(studium, name), name
    with pytest.raises(AttributeError, match="nonsense"):
        _ = studium.nonsense


def test_a_site_is_opened_with_options_and_closed(tmp_path: Path) -> None:
    studium.init(tmp_path / "site").close()
    with studium.open(tmp_path / "site", {"lake.path": "elsewhere"}) as site:
        assert site.root == tmp_path / "site"
        assert site.lake_dir == site.root / "elsewhere"
        assert site.scratch == site.root / "scratch"
        assert site.origins["lake.path"].kind == "option"
        assert not (site.root / "state.db").exists()
        assert site.state is site.state
        assert (site.root / "state.db").is_file()
    assert [path.name for path in site.root.glob("state.db*")] == ["state.db"]


def test_a_lake_may_lie_elsewhere(tmp_path: Path) -> None:
    studium.init(tmp_path / "site").close()
    with studium.open(tmp_path / "site", {"lake.path": str(tmp_path / "lake")}) as site:
        assert site.lake_dir == tmp_path / "lake"


def test_a_site_has_one_writer_and_its_patience_is_a_setting(tmp_path: Path) -> None:
    holder = "from pathlib import Path; import sys, studium\n"
    holder += "with studium.open(sys.argv[1]).writer('studium run'): print(flush=True); input()"
    with studium.init(tmp_path / "site") as made:
        root = made.root
    child = subprocess.Popen(
        [sys.executable, "-c", holder, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child, studium.open(root, {"site.lock_wait": 0.1}) as site:
        assert child.stdout is not None
        child.stdout.readline()
        with (
            pytest.raises(LockedError, match=r"`studium run`.*waited 0\.1 seconds"),
            site.writer("studium build"),
        ):
            pytest.fail("two writers at once")
        child.communicate("\n")
        with site.writer("studium build"):
            pass
