"""Make what is generated in the documentation.

python -m docs.generate                 reference pages, generated parts of others
python -m docs.generate --transcripts   also run every console block and write what it prints,
                                        and draw the picture from the demo of the README
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from docs.generate.inserts import INSERTS, filled
from docs.generate.reference import ROOT, pages
from docs.generate.stage import Stage, pages_with_transcripts
from docs.generate.transcripts import read_steps, refreshed


def main() -> None:
    """Write what has changed, and say so."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__)
    parser.add_argument("--transcripts", action="store_true")
    wanted = parser.parse_args()
    for path, text in pages().items():
        _write(ROOT / path, text)
    for path in INSERTS:
        _write(ROOT / path, filled(path))
    if wanted.transcripts:
        _write_transcripts()


def _write_transcripts() -> None:
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        for page in pages_with_transcripts():
            text = page.read_text("utf-8")
            steps, outcomes = read_steps(text), stage.play(page)
            _write(page, refreshed(text, steps, outcomes))
        _write(ROOT / "docs/images/enrollment.svg", stage.picture())


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text("utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
