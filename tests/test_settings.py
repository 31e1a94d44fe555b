"""Settings: file < environment < options; what is wrong is named, and no password is shown."""

import os
import re
import tomllib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studium.errors import USAGE, SettingsError, UsageError
from studium.settings import (
    Origin,
    Settings,
    keys,
    load_settings,
    masked_values,
    parse_size,
    render_template,
    values,
    variable_of,
)
from studium.urls import has_password, mask_password

DEFAULTS = {name: key.default for name, key in keys().items()}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("STUDIUM_"):
            monkeypatch.delenv(name)


def write(root: Path, text: str) -> Path:
    path = root / "studium.toml"
    path.write_text(text, "utf-8")
    return path


def refusal(root: Path, **overrides: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(root, overrides or None)
    assert caught.value.exit_code == USAGE
    return str(caught.value)


def test_without_any_layer_every_value_is_the_default(tmp_path: Path) -> None:
    settings, origins = load_settings(tmp_path)
    assert values(settings) == DEFAULTS
    assert origins == {name: Origin("default") for name in keys()}
    assert settings.site.start == date(2012, 1, 1)
    assert settings.edx.max_line_bytes == 16 * 1024 * 1024


def test_option_comes_before_environment_before_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, '[engine]\nname = "spark"\nmemory = "3GB"\nthreads = 3\n')
    monkeypatch.setenv("STUDIUM_ENGINE__MEMORY", "2GB")
    monkeypatch.setenv("STUDIUM_ENGINE__THREADS", "2")
    settings, origins = load_settings(
        tmp_path, {"engine.threads": 1, "run.lookback": None, "edx.source": ("a", "b")}
    )
    assert settings.engine.model_dump() == {"name": "spark", "memory": "2GB", "threads": 1}
    assert settings.edx.source == ["a", "b"]
    assert origins["engine.name"] == Origin("file", str(path))
    assert origins["engine.memory"] == Origin("environment", "STUDIUM_ENGINE__MEMORY")
    assert origins["engine.threads"] == Origin("option", "engine.threads")
    assert origins["run.lookback"] == Origin("default")  # None: the option was not given


def test_a_file_may_set_every_kind_of_value(tmp_path: Path) -> None:
    write(
        tmp_path,
        "[site]\nstart = 2020-02-29\nlock_wait = 5\n"
        '[edx]\nsource = ["logs/*.gz", "s3://bucket/"]\n[run]\nmax_reject_share = 0\n',
    )
    settings, _ = load_settings(tmp_path)
    assert settings.site.start == date(2020, 2, 29)
    assert settings.site.lock_wait == 5.0
    assert settings.edx.source == ["logs/*.gz", "s3://bucket/"]
    assert settings.run.max_reject_share == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("logs/*.gz", ["logs/*.gz"]),
        ('["a b", "c"]', ["a b", "c"]),
        ("[ab]*.log", ["[ab]*.log"]),
        ("", []),
    ],
)
def test_a_list_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: list[str]
) -> None:
    monkeypatch.setenv("STUDIUM_EDX__SOURCE", text)
    assert load_settings(tmp_path)[0].edx.source == expected


def test_variables_that_are_no_settings_are_let_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIUM_SITE", str(tmp_path))
    monkeypatch.setenv("STUDIUM_PORT", "tcp://10.0.0.1:80")
    assert values(load_settings(tmp_path)[0]) == DEFAULTS


def test_a_variable_with_one_underscore_is_pointed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIUM_RUN_MAX_REJECT_SHARE", "1")
    assert "STUDIUM_RUN__MAX_REJECT_SHARE" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("engine.memroy", "Did you mean engine.memory?"),
        ("engin.memory", "Did you mean engine.memory?"),
        ("spark.lookback", "Did you mean run.lookback?"),
        ("engine.wheels", "There are engine.name, engine.memory, engine.threads."),
    ],
)
def test_an_unknown_key_names_the_nearest(tmp_path: Path, name: str, near: str) -> None:
    section, key = name.split(".")
    path = write(tmp_path, f"[{section}]\n{key} = 1\n")
    assert refusal(tmp_path) == f"{name} (in {path}) is not a setting. {near}"
    path.unlink()
    assert refusal(tmp_path, **{name: 1}).startswith(f"{name} (from an option of the command)")


def test_an_unknown_variable_names_the_nearest_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIUM_ENGIN__MEMORY", "2GB")
    message = refusal(tmp_path)
    assert "environment variable STUDIUM_ENGIN__MEMORY" in message
    assert message.endswith("Did you mean STUDIUM_ENGINE__MEMORY?")


@pytest.mark.parametrize("text", ["memory = 1", "[bogus]", "engine = 1"])
def test_what_is_outside_the_sections_is_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    message = refusal(tmp_path)
    assert str(path) in message
    assert re.split(r"\W+", text.strip("["))[0] in message


BAD = {
    "site.start": ["20200101", "tomorrow", "2023-02-29"],
    "site.lock_wait": ["-1", "long", "nan", "inf"],
    "state.url": ["state.db", "mysql://h/d", ""],
    "lake.path": ["", "gs://bucket/lake", "s3://"],
    "results.url": ["oracle://h/d", "results.db"],
    "engine.name": ["polars", ""],
    "engine.memory": ["1", "GB", "0MB", "-1GB", "1 lump"],
    "engine.threads": ["-1", "1.5", "all"],
    "edx.window_days": ["-1", "x"],
    "edx.date_pattern": [r"\d{8}", "(?P<date>", r"(?P<day>\d{8})"],
    "edx.date_format": ["%Y%m", "%Y%Y%m%d", "%", "", "%Q"],
    "edx.max_line_bytes": ["0", "1023", "16MB"],
    "run.lookback": ["-1"],
    "run.max_reject_share": ["-0.1", "1.1", "10%", "nan"],
    "run.compact_after": ["0"],
}


@pytest.mark.parametrize(("name", "text"), [(n, text) for n, bad in BAD.items() for text in bad])
def test_a_bad_value_is_named_with_what_is_allowed_and_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    variable = variable_of(name)
    monkeypatch.setenv(variable, text)
    assert refusal(tmp_path) == (
        f"{name} = {text!r} (from the environment variable {variable}) is not allowed: "
        f"give {keys()[name].allowed}."
    )


@pytest.mark.parametrize(
    ("name", "toml"),
    [
        ("site.start", "2020-01-01T00:00:00"),
        ("site.start", "20200101"),
        ("engine.threads", "true"),
        ("engine.threads", "1.5"),
        ("engine.memory", "1"),
        ("edx.source", "[1]"),
        ("edx.source", "3"),
        ("lms.source", "['a']"),
        ("run.max_reject_share", "false"),
    ],
)
def test_a_value_of_another_type_is_refused(tmp_path: Path, name: str, toml: str) -> None:
    section, key = name.split(".")
    path = write(tmp_path, f"[{section}]\n{key} = {toml}\n")
    message = refusal(tmp_path)
    assert message.startswith(f"{name} = ")
    assert f"(in {path})" in message
    assert message.endswith(f"give {keys()[name].allowed}.")


def test_all_bad_values_are_named_at_once(tmp_path: Path) -> None:
    write(tmp_path, '[engine]\nname = "x"\nthreads = -1\n')
    message = refusal(tmp_path)
    assert "engine.name = 'x'" in message
    assert "engine.threads = -1" in message


@pytest.mark.parametrize("content", [b"[engine\n", b"\xff\xfe", b"[a]\nb=1\nb=2\n"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "studium.toml").write_bytes(content)
    assert str(tmp_path / "studium.toml") in refusal(tmp_path)


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings, _ = load_settings(tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        settings.engine.threads = 4


# Secrets


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("state.url", "postgresql://me:hunter2@host/db"),
        ("results.url", "mysql://me:hun/ter2@host/db"),
        ("lms.source", "mysql+pymysql://host/db?user=me&password=hunter2"),
        ("edx.source", "s3://key:hunter2@bucket/logs/*"),
    ],
)
def test_a_password_in_the_file_is_refused_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, url: str
) -> None:
    section, key = name.split(".")
    value = [url] if name == "edx.source" else url
    path = write(tmp_path, f"[{section}]\n{key} = {value!r}\n")
    message = refusal(tmp_path)
    assert message.startswith(f"{name} in {path} holds a password.")
    assert variable_of(name) in message
    assert "ter2" not in message

    path.unlink()
    monkeypatch.setenv(variable_of(name), url)
    settings, _ = load_settings(tmp_path)
    assert values(settings)[name] == value
    assert "ter2" not in str(masked_values(settings))
    assert "***" in str(masked_values(settings)[name])


def test_a_bad_url_is_shown_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIUM_STATE__URL", "mysql://me:hunter2@host/db")
    message = refusal(tmp_path)
    assert "mysql://me:***@host/db" in message
    assert "hunter2" not in message


PASSWORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="@", exclude_categories=("Z", "C")), min_size=1
)


@given(PASSWORDS)
def test_no_password_outlives_the_mask(password: str) -> None:
    url = f"postgresql+psycopg://me:{password}@host:5432/db"
    assert has_password(url)
    assert mask_password(url) == "postgresql+psycopg://me:***@host:5432/db"


@pytest.mark.parametrize(
    "url",
    ["sqlite:///state.db", "postgresql://me@host:5432/db", "s3://bucket/a:b", "logs/2024:01/*.gz"],
)
def test_a_url_without_password_stays_as_it_is(url: str) -> None:
    assert not has_password(url)
    assert mask_password(url) == url


# The file of a new site


def test_the_template_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, render_template())
    settings, origins = load_settings(tmp_path)
    assert values(settings) == DEFAULTS
    assert {origin.kind for origin in origins.values()} == {"default"}


def test_the_template_says_every_default_and_help(tmp_path: Path) -> None:
    bare = re.sub(r"^# (\w+ = )", r"\1", render_template(), flags=re.MULTILINE)
    write(tmp_path, bare)
    settings, origins = load_settings(tmp_path)
    assert values(settings) == DEFAULTS
    assert {origin.kind for origin in origins.values()} == {"file"}
    assert list(tomllib.loads(bare)) == list(Settings.model_fields)
    for key in keys().values():
        assert key.help, key.name
        assert key.allowed, key.name
        assert f"# {key.help}\n" in render_template()


# Values with a form of their own


@pytest.mark.parametrize(
    ("text", "size"),
    [("1GB", 10**9), ("512MiB", 512 * 2**20), ("1.5 kb", 1500), ("7B", 7), (" 2tib ", 2 * 2**40)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "1", "0GB", "1e3MB", "-1MB", "1GBs", "٣GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(text))):
        parse_size(text)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("tracking.log-20240229.gz", "20240229"),
        ("20240229", "20240229"),
        ("tracking.log-20240229-1709164800.gz", "20240229"),
        ("tracking.log-1709164800.gz", None),
        ("tracking.log", None),
    ],
)
def test_the_default_pattern_finds_eight_digits_on_their_own(name: str, found: str | None) -> None:
    match = re.search(str(DEFAULTS["edx.date_pattern"]), name)
    assert (match["date"] if match else None) == found
