"""Sites that are measured, and how Studium is called."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

from studium.site import init_site

START = date(2025, 9, 1)
STUDIUM = (sys.executable, "-m", "studium")
# Beside enrollment; built and published.
LENSES = ("geography", "engagement", "video", "answers", "learners")


def make_site(site: Path, raw: Path, logs: Path) -> Path:
    """A site over ``logs`` with the LMS tables and countries of the institution in ``raw``."""
    values = {
        "site.start": START,
        "edx.source": [str(logs)],
        "lms.source": str(raw / "lms"),
        "geography.database": str(raw / "countries.mmdb"),
    }
    init_site(site, values).close()
    return site
