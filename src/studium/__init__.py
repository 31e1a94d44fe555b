"""Studium: from what a learning platform leaves behind to daily tables.

>>> import studium
>>> with studium.open("mysite") as site:        # doctest: +SKIP
...     print(site.settings.engine.name)
duckdb

Names are loaded on first use: ``import studium`` alone costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from studium.clock import Interval
    from studium.errors import StudiumError
    from studium.site import Site
    from studium.site import init_site as init
    from studium.site import open_site as open

    __version__: str

_PLACES = {
    "Interval": ("studium.clock", "Interval"),
    "Site": ("studium.site", "Site"),
    "StudiumError": ("studium.errors", "StudiumError"),
    "init": ("studium.site", "init_site"),
    "open": ("studium.site", "open_site"),
}

__all__ = ["Interval", "Site", "StudiumError", "__version__", "init", "open"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    try:
        module, attribute = _PLACES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("studium")
    except PackageNotFoundError:  # a source tree that was not installed
        return "0+unknown"
