"""Where values come from: ``studium.toml`` < ``STUDIUM_SECTION__KEY`` < options.

Variables without a double underscore after the section are not settings: ``STUDIUM_SITE`` selects
the site's directory. Why not pydantic-settings: it takes ``STUDIUM_SITE`` for the section
``site``, passes over misspelt variables and cannot say where a value came from.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from studium.errors import SettingsError
from studium.settings.model import ADDRESSES, Settings, keys
from studium.urls import has_password, mask_password

FILE = "studium.toml"
PREFIX = "STUDIUM_"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from; ``detail`` is the file, the variable or the key of the option."""

    kind: Literal["default", "file", "environment", "option"]
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.detail}".rstrip()


def load_settings(
    root: Path, overrides: Mapping[str, object] | None = None
) -> tuple[Settings, dict[str, Origin]]:
    """The settings of the site at ``root`` and where each value came from, by dotted key.

    ``overrides`` holds options by dotted key; None is an option that was not given. A missing
    ``studium.toml`` counts as an empty one. Raises SettingsError for an unknown key, a bad value
    or a password in the file.
    """
    given: dict[str, object] = {}
    origins = {name: Origin("default") for name in keys()}
    for layer in (
        _from_file(root / FILE),
        _from_environment(os.environ),
        _from_options(overrides or {}),
    ):
        for name, (value, origin) in layer.items():
            given[name], origins[name] = value, origin
    tree: dict[str, dict[str, object]] = {}
    for name, value in given.items():
        section, _, key = name.partition(".")
        tree.setdefault(section, {})[key] = value
    try:
        return Settings.model_validate(tree), origins
    except ValidationError as error:
        wrong = dict.fromkeys(".".join(map(str, e["loc"][:2])) for e in error.errors())
    raise SettingsError("\n".join(_bad_value(n, given[n], origins[n]) for n in wrong))


Layer = dict[str, tuple[object, Origin]]


def _from_file(path: Path) -> Layer:
    origin = Origin("file", str(path))
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read: {error}.",
            "Correct it; `studium init` in an empty folder writes one to compare with.",
        ) from None
    layer: Layer = {}
    sections = {name.partition(".")[0] for name in keys()}
    for section, table in tree.items():
        if section not in sections:
            names = [f"{section}.{key}" for key in table] if isinstance(table, dict) else []
            raise _unknown_key((names or [section])[0], origin)
        if not isinstance(table, dict):
            raise SettingsError(
                f"{section} in {path} is a section, not a value.",
                f"Write [{section}] and its keys.",
            )
        for key, value in table.items():
            name = f"{section}.{key}"
            if name not in keys():
                raise _unknown_key(name, origin)
            secret = name in ADDRESSES and any(map(_may_hold_token, _texts_in(value)))
            if secret or any(has_password(text) for text in _texts_in(value)):
                variable = variable_of(name)
                raise SettingsError(
                    f"{name} in {path} holds a password{' or a token' if secret else ''}.",
                    f"Take it out of the file and set the environment variable {variable}.",
                )
            layer[name] = (value, origin)
    return layer


def _may_hold_token(url: str) -> bool:
    """Messengers have tokens anywhere in their addresses; mail and plain webhooks need not."""
    kinds = ("mailto", "mailtos", "json", "jsons", "xml", "xmls", "form", "forms")
    return bool(url) and url.partition(":")[0].lower() not in kinds


def _from_environment(environment: Mapping[str, str]) -> Layer:
    layer: Layer = {}
    flat = {variable_of(name).replace("__", "_"): name for name in keys()}
    for variable, value in environment.items():
        if not variable.startswith(PREFIX):
            continue
        section, separator, key = variable.removeprefix(PREFIX).lower().partition("__")
        if separator:
            name = f"{section}.{key}"
            if name not in keys():
                raise _unknown_key(name, Origin("environment", variable))
            layer[name] = (value, Origin("environment", variable))
        elif variable in flat:
            raise SettingsError(
                f"The environment variable {variable} has no effect.",
                f"Write {variable_of(flat[variable])}, with two underscores.",
            )
    return layer


def _from_options(overrides: Mapping[str, object]) -> Layer:
    layer: Layer = {}
    for name, value in overrides.items():
        if name not in keys():
            raise _unknown_key(name, Origin("option", name))
        if value is not None:
            layer[name] = (value, Origin("option", name))
    return layer


def variable_of(name: str) -> str:
    """The environment variable of the key ``name``: ``STUDIUM_ENGINE__MEMORY``."""
    return PREFIX + name.replace(".", "__").upper()


def _texts_in(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts_in(item)


def _unknown_key(name: str, origin: Origin) -> SettingsError:
    section, _, last = name.rpartition(".")
    siblings = {key.partition(".")[2]: key for key in keys() if key.startswith(f"{section}.")}
    namesakes = [key for key in keys() if key.endswith(f".{last}")]
    if siblings:
        near = [siblings[key] for key in difflib.get_close_matches(last, siblings, n=1)]
    else:
        near = difflib.get_close_matches(name, keys(), n=1) or namesakes[:1]
    if near:
        variable = origin.kind == "environment"
        hint = f"Did you mean {variable_of(near[0]) if variable else near[0]}?"
    else:
        hint = f"There are {', '.join(siblings.values() or keys())}."
    return SettingsError(f"{name} ({_place(origin)}) is not a setting.", hint)


def _bad_value(name: str, value: object, origin: Origin) -> str:
    shown = mask_password(repr(value) if isinstance(value, str) else str(value))
    return f"{name} = {shown} ({_place(origin)}) is not allowed: give {keys()[name].allowed}."


def _place(origin: Origin) -> str:
    match origin.kind:
        case "file":
            return f"in {origin.detail}"
        case "environment":
            return f"from the environment variable {origin.detail}"
        case "option":
            return "from an option of the command"
        case "default":
            return "the default"
