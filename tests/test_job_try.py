"""``studium job try``: the same job, here, on synthetic data, with its whole log."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.services import require

EXAMPLE = ROOT / "examples" / "weekly-features"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("bubblewrap", shutil.which("bwrap") is not None, "apt-get install bubblewrap")
    return tmp_path_factory.mktemp("cache")


def trial(cache: Path, *words: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "studium", "job", "try", *map(str, words)],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_example_runs_on_synthetic_data(cache: Path, tmp_path: Path) -> None:
    code, said, err = trial(cache, EXAMPLE, "--output", tmp_path / "written")
    assert code == 0, said + err
    assert "rows of features" in said
    assert "The job has succeeded" in said
    assert sorted(os.listdir(tmp_path / "written")) == ["features.parquet", "weeks.csv"]
    head = (tmp_path / "written" / "weeks.csv").read_text().splitlines()[0]
    assert head == "week,learners,watched,answered,mean_active_days,mean_events"
    # Nothing of the trial is left but the data, which the next one finds.
    (site,) = (cache / "studium").iterdir()
    assert list((site / "jobs").iterdir()) == []
    made = (site / "studium.toml").stat().st_mtime_ns
    code_folder = tmp_path / "code"
    code_folder.mkdir()
    (code_folder / "job.toml").write_text(
        'command = ["sh", "-c", "cat /input/list; echo wrong >&2; exit 3"]\n'
        '[inputs.list]\njob = "features-abcdefghijklm"\n'
        '[outputs.a]\nfile = "a.csv"\ntype = "csv"\n'
    )
    (tmp_path / "list").write_text("one\n")
    code, said, err = trial(cache, code_folder, "--input", f"list={tmp_path / 'list'}")
    assert code == 1
    assert "--- stdout\none\n--- stderr\nwrong\n" in said
    assert "failed: exit code" in said
    assert (site / "studium.toml").stat().st_mtime_ns == made
    assert list((site / "jobs").iterdir()) == []
    code, said, err = trial(cache, code_folder)
    assert (code, said) == (2, "")
    assert "The input list is no table" in err
