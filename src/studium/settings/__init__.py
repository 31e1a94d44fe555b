"""The settings of a site: one model, three layers, and where each value came from."""

from studium.settings.kinds import parse_size
from studium.settings.layers import FILE, PREFIX, Origin, load_settings, variable_of
from studium.settings.model import Key, Settings, keys, masked_values, values
from studium.settings.template import render_template, toml_value

__all__ = [
    "FILE",
    "PREFIX",
    "Key",
    "Origin",
    "Settings",
    "keys",
    "load_settings",
    "masked_values",
    "parse_size",
    "render_template",
    "toml_value",
    "values",
    "variable_of",
]
