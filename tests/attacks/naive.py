"""What somebody would write who trusts a job: the controls of attacks by files."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path


def copy_out(outputs: Path, target: Path) -> None:
    """Copy everything that is there."""
    for folder, _, names in os.walk(outputs, followlinks=True):
        for name in names:
            path = Path(folder) / name
            place = target / path.relative_to(outputs)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)


def copy_checked(path: Path, target: Path, meanwhile: object = None) -> None:
    """Copy a file after a look at it; in between, the job does something."""
    assert path.is_file()
    assert not path.is_symlink()
    if callable(meanwhile):
        meanwhile()
    shutil.copyfile(path, target)


def unpack(archive: Path, target: Path) -> None:
    """Unpack members where they say."""
    with zipfile.ZipFile(archive) as zipped:
        for one in zipped.infolist():
            place = Path(os.path.join(target, one.filename))
            place.parent.mkdir(parents=True, exist_ok=True)
            if (one.external_attr >> 16) & 0o170000 == 0o120000:
                place.symlink_to(zipped.read(one).decode())
            else:
                place.write_bytes(zipped.read(one))
