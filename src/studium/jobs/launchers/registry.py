"""The launchers of a site, and which of them its policy lets run jobs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module

from studium.errors import LaunchError, SettingsError
from studium.jobs.launchers.protocol import GUARANTEES, Launcher
from studium.site import Site

LAUNCHERS = ("sandbox", "container")
"""Each has a module here of that name with ``<name>_launcher(site)``."""


def open_launchers(site: Site) -> dict[str, Launcher]:
    """Every launcher by its name, whether this machine can run it or not."""
    return {name: _open(site, name) for name in LAUNCHERS}


def launcher_of(site: Site, name: str) -> Launcher:
    """The launcher of that name; LaunchError if there is none."""
    if name not in LAUNCHERS:
        raise LaunchError(f"There is no launcher {name!r}.", f"Choose from {', '.join(LAUNCHERS)}.")
    return _open(site, name)


def refusals(site: Site, launcher: Launcher) -> list[str]:
    """Why the policy of the site (``jobs.guarantees``) forbids it to run anything, each a
    sentence; empty if it may. Raises SettingsError for a guarantee that is none."""
    wanted = wanted_guarantees(site)
    can = launcher.capabilities()
    if not can.available:
        return [can.reason]
    return [
        f"It cannot guarantee {name!r} here: {can.lost.get(name) or 'not on this machine'}."
        for name in wanted
        if name not in can.guarantees
    ]


def wanted_guarantees(site: Site) -> list[str]:
    """``jobs.guarantees``; SettingsError for one that is none."""
    wanted = site.settings.jobs.guarantees
    unknown = [name for name in wanted if name not in GUARANTEES]
    if unknown:
        raise SettingsError(
            f"jobs.guarantees: {', '.join(unknown)}: no launcher guarantees such a thing.",
            f"Choose from: {', '.join(GUARANTEES)}.",
        )
    return wanted


def policy_of(site: Site, launchers: Mapping[str, Launcher]) -> partial[list[str]]:
    """``refusals`` by the name of a launcher, as a worker asks."""
    return partial(_refusals_by_name, site, launchers)


def _refusals_by_name(site: Site, launchers: Mapping[str, Launcher], name: str) -> list[str]:
    return refusals(site, launchers[name])


def _open(site: Site, name: str) -> Launcher:
    module = import_module(f"studium.jobs.launchers.{name}")
    launcher: Launcher = getattr(module, f"{name}_launcher")(site)
    return launcher
