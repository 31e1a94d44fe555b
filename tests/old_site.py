"""Sites made by earlier versions, as found on a disk: stored under ``tests/old``.

``python -m tests.old_site REVISION`` runs the code of a revision of this repository over the small
history of the tests and stores the site with its logs, named for the revision of its state. To be
run once, before the first change of the state's tables after a version was given away.
"""

import gzip
import io
import os
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

from tests import sites
from tests.conftest import ROOT

FOLDER = ROOT / "tests" / "old"


def unpack(stored: Path, folder: Path) -> Path:
    """Unpack a stored site into ``folder``; the site lies beside its logs, in ``site``."""
    with tarfile.open(stored) as archive:
        archive.extractall(folder, filter="data")
    return folder / "site"


def make(revision: str) -> Path:
    """Store the site that the code of ``revision`` makes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = subprocess.run(
            ["git", "archive", revision, "src"], cwd=ROOT, check=True, capture_output=True
        )
        with tarfile.open(fileobj=io.BytesIO(source.stdout)) as archive:
            archive.extractall(folder, filter="data")
        site = folder / "site"
        sites.write_history(folder / "logs")
        environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "STUDIUM_SITE": str(site)}
        site.mkdir()
        (site / "studium.toml").write_text(
            f'[site]\nstart = {sites.FIRST}\n\n[edx]\nsource = ["../logs"]\n\n'
            "[run]\nmax_reject_share = 1\n"
        )
        _studium(environment, "run", *sites.FEW, "--until", str(sites.END))
        with closing(sqlite3.connect(site / "state.db")) as db:
            (at,) = db.execute("SELECT version_num FROM alembic_version").fetchone()
            db.execute("PRAGMA journal_mode = DELETE")
        FOLDER.mkdir(exist_ok=True)
        stored = FOLDER / f"site-{at}.tar.gz"
        with (
            stored.open("wb") as file,
            gzip.GzipFile("", "wb", 9, file, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w") as archive,
        ):
            for part in ("site/studium.toml", "site/state.db", "site/lake", "logs"):
                archive.add(folder / part, part)
        return stored


def _studium(environment: dict[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "studium", *arguments], env=environment, check=True)


if __name__ == "__main__":
    made = make(sys.argv[1])
    print(f"Written: {made.relative_to(ROOT)}, {made.stat().st_size:,} bytes")
