"""Files that are damaged, huge, empty or no logs at all: the others go on, nothing is lost."""

import gzip
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sites import enrollment

STUDIUM = [sys.executable, "-m", "studium"]
UNTIL = ["--since", "2025-09-01", "--until", "2025-09-10"]


def studium(site: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, as cron would run it."""
    command = [*STUDIUM, "--site", str(site), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def run(site: Path, logs: Path) -> subprocess.CompletedProcess[str]:
    done = studium(site, "run", "--source", str(logs), *UNTIL, "--json")
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def site(tmp_path: Path) -> Path:
    place = tmp_path / "site"
    assert studium(tmp_path, "init", str(place)).returncode == 0
    return place


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "good.log").write_text("".join(enrollment(n, on=1) + "\n" for n in range(1, 41)))
    return folder


def enrolled(site: Path) -> int:
    shown = studium(site, "show", "course_enrollment_daily", "--format", "json")
    rows = json.loads(shown.stdout)
    return max(row["count"] for row in rows)


def test_everything_bad_at_once(site: Path, logs: Path) -> None:
    lines = [enrollment(n, on=2) + "\n" for n in range(101, 1101)]
    whole = gzip.compress("".join(lines).encode())
    (logs / "cut.log.gz").write_bytes(whole[: len(whole) // 2])
    (logs / "trailing.log.gz").write_bytes(gzip.compress(lines[0].encode()) + b"no gzip")
    (logs / "empty.log").touch()
    (logs / "folder.log").mkdir()
    (logs / "binary.log").write_bytes(bytes(range(256)) * 40)
    (logs / "loop.log").symlink_to(logs / "loop.log")
    os.mkfifo(logs / "pipe.log")  # would be waited for without end
    done = run(site, logs)
    assert done.returncode == 1
    for name, reason in [("cut.log.gz", "cut off"), ("trailing.log.gz", "not gzip")]:
        assert any(name in line and reason in line for line in done.stderr.splitlines())
    said = json.loads(done.stdout)
    of = {Path(file["path"]).name: file for file in said["files"]}
    assert (of["good.log"]["kept"], of["empty.log"]["lines"]) == (40, 0)
    assert 0 < of["cut.log.gz"]["kept"] < 1000
    assert of["binary.log"]["rejects"] == of["binary.log"]["lines"] > 0
    assert enrolled(site) == 40 + of["cut.log.gz"]["kept"] + of["trailing.log.gz"]["new"]
    # The whole file comes: what was cut off is added, nothing twice.
    (logs / "cut.log.gz").write_bytes(whole)
    for name in ("trailing.log.gz", "binary.log", "loop.log", "pipe.log"):
        (logs / name).unlink()
    assert run(site, logs).returncode == 0
    assert enrolled(site) == 1040


@pytest.mark.long
def test_more_refused_lines_than_allowed(site: Path, logs: Path) -> None:
    (logs / "bad.log").write_text("garbage\n" * 10)
    done = run(site, logs)
    assert done.returncode == 3
    assert "run.max_reject_share" in done.stderr
    assert enrolled(site) == 40


@pytest.mark.long
def test_a_line_of_200_megabytes(site: Path, logs: Path) -> None:
    with gzip.open(logs / "huge.log.gz", "wb", compresslevel=1) as out:
        out.write(b'{"event_type": "')
        for _ in range(200):
            out.write(b"x" * 2**20)
        out.write(b'"}\n' + enrollment(7000, on=3).encode() + b"\n")
    done = run(site, logs)
    assert done.returncode == 0
    of = {Path(file["path"]).name: file for file in json.loads(done.stdout)["files"]}
    assert (of["huge.log.gz"]["kept"], of["huge.log.gz"]["rejects"]) == (1, 1)
    shown = studium(site, "rejects", "--json")
    (row,) = json.loads(shown.stdout)
    assert "209,7" in f"{int(row['reason'].split()[3]):,}"
    assert len(row["raw"]) == 64 * 1024
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2 * 2**20  # KiB: 2 GiB


@pytest.mark.long
def test_depth_and_repeated_keys_and_one_busy_learner(site: Path, logs: Path) -> None:
    time = '"time": "2025-09-02T10:00:00+00:00", "event_type": "x"'
    deep = "[" * 10_000 + "]" * 10_000
    deeper = '{"a":' * 100_000 + "1" + "}" * 100_000
    odd = [
        f'{{{time}, "event": {deep}}}',
        f'{{{time}, "context": {deeper}}}',
        deep,
        "{" * 100_000,
        f'{{{time}, "event_type": "y", "event": {{}}}}',
        '{"time": "1970-01-01T00:00:00Z"}',
        '{"time": "2099-01-01T00:00:00Z"}',
    ]
    (logs / "odd.log").write_text("".join(line + "\n" for line in odd))
    (logs / "busy.log").write_text(
        "".join(enrollment(900, on=4, second=n) + "\n" for n in range(14 * 3600))
        + "".join(enrollment(900, on=5, second=n) + "\n" for n in range(14 * 3600))
    )
    done = run(site, logs)
    assert done.returncode == 0
    of = {Path(file["path"]).name: file for file in json.loads(done.stdout)["files"]}
    assert (of["odd.log"]["kept"], of["odd.log"]["rejects"]) == (3, 4)
    assert of["busy.log"]["new"] == 2 * 14 * 3600
    assert enrolled(site) == 41


@pytest.mark.long
def test_an_unreadable_file(site: Path, logs: Path) -> None:
    (logs / "secret.log").write_text(enrollment(50, on=2) + "\n")
    (logs / "secret.log").chmod(0)
    done = run(site, logs)
    if os.geteuid() == 0:  # root reads everything
        assert (done.returncode, enrolled(site)) == (0, 41)
    else:
        assert done.returncode == 1
        assert "secret.log: Permission denied" in done.stderr
        assert enrolled(site) == 40
