"""Whose moves they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studium.jobs.folder import LOG, JobFolder, folder_of
from studium.site import Site


@dataclass(frozen=True, slots=True)
class Hand:
    """A worker of a site, by its name."""

    site: Site
    name: str

    @property
    def lease(self) -> float:
        """Seconds for which a lease is taken."""
        return self.site.settings.worker.lease

    def folder(self, name: str) -> JobFolder:
        """The folder of a job."""
        return folder_of(self.site.jobs_dir, name)

    def log(self, name: str) -> Path:
        """What steps of a job say, for operators."""
        return self.folder(name).path / LOG
