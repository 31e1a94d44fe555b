"""The container launcher and the builds of a site, by its settings."""

from __future__ import annotations

from pathlib import Path

from studium.jobs.launchers.container.images import BuildPolicy
from studium.jobs.launchers.container.launcher import ContainerLauncher
from studium.jobs.launchers.uids import UIDS
from studium.settings import parse_size
from studium.site import Site

STORE = "containers"
"""The folder of a site in which Podman keeps images and containers."""


def container_launcher(site: Site) -> ContainerLauncher:
    """The launcher as a site's settings have it; images are in its folder ``containers``."""
    jobs = site.settings.jobs
    first, _, last = jobs.uids.partition("-")
    uids = (int(first), int(last)) if last else UIDS
    return ContainerLauncher(
        _store(site), uids, legacy=jobs.legacy == "allow", needed=jobs.guarantees
    )


def build_policy(site: Site) -> BuildPolicy:
    """What builds may have by a site's settings; nothing of the site is visible to them."""
    jobs = site.settings.jobs
    hidden = [path for path in site.root.iterdir() if path != _store(site)]
    hidden += [site.root / source for source in jobs.sources]
    hidden += [
        path
        for path in (site.lake_dir, site.jobs_dir)
        if isinstance(path, Path) and not path.is_relative_to(site.root)
    ]
    return BuildPolicy(
        network=jobs.build_network, context=parse_size(jobs.submission), hidden=tuple(hidden)
    )


def _store(site: Site) -> Path:
    return site.root / STORE
