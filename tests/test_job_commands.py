"""``studium job``: every command, as somebody at a terminal sees it; upkeep of folders and rows."""

import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from studium.cli import make_app
from studium.errors import JobError, SpecError, StudiumError, UsageError
from studium.jobs import table, units
from studium.jobs.folder import JobFolder, folder_of, save_status
from studium.jobs.inputs import digest_of
from studium.jobs.states import Failure, State
from studium.lake.store import Lake
from studium.site import Site, init_site
from tests.test_lake import MON, commit

RUNNER = CliRunner()
JOB = """
name = "weekly"
command = ["python3", "main.py"]
[inputs.counts]
table = "counts"
[outputs.a]
file = "a.csv"
type = "csv"
level = "aggregate"
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with init_site(tmp_path / "site") as made:
        commit(Lake(made.root / "lake"), 1, {MON: [1, 2]})
        yield made


@pytest.fixture
def code(tmp_path: Path) -> Path:
    place = tmp_path / "code"
    place.mkdir()
    (place / "job.toml").write_text(JOB)
    (place / "main.py").write_text("print(1)")
    (place / ".git").mkdir()
    return place


def ask(site: Site, *words: object, typed: str | None = None) -> str:
    answer = RUNNER.invoke(
        make_app(),
        ["--site", str(site.root), "job", *map(str, words)],
        typed,
        catch_exceptions=False,
    )
    assert answer.exit_code == 0, answer.output
    return answer.output


def refused(site: Site, kind: type[StudiumError], *words: object) -> str:
    with pytest.raises(kind) as caught:
        RUNNER.invoke(
            make_app(), ["--site", str(site.root), "job", *map(str, words)], catch_exceptions=False
        )
    return str(caught.value)


def submit(site: Site, code: Path, *words: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask(site, "submit", code, "--json", *words))
    return found


def place_of(site: Site, name: str) -> JobFolder:
    return folder_of(site.jobs_dir, name)


def go(site: Site, name: str, end: State, failure: Failure | None = None) -> None:
    """Bring a queued job to an end, as a worker would."""
    with site.state.begin() as conn:
        attempt = table.read(conn, name).attempt
        table.prepare(conn, name, "worker", attempt)
        units.add(conn, name, attempt, 1)
        table.run(conn, name, "worker", attempt)
        if failure is None:
            table.collect(conn, name, "worker", attempt)
            table.move(conn, name, State.COLLECTING, end, "worker", attempt=attempt)
        else:
            details = {"code": 3, "text": "undeclared: row-of-ana.csv"}
            table.fail(conn, name, "worker", attempt, failure, details)
    save_status(site.state, place_of(site, name))


def release(site: Site, name: str, files: dict[str, str]) -> None:
    place = place_of(site, name)
    for file, text in files.items():
        (place.released / file).parent.mkdir(parents=True, exist_ok=True)
        (place.released / file).write_text(text)
    listed = [
        {"name": file, "type": "csv", "size": len(text), "rows": 1, "withheld": False,
         "sha256": digest_of(place.released / file)}
        for file, text in files.items()
    ]  # fmt: skip
    place.released_manifest.write_text(json.dumps({"files": listed}))


def test_a_job_is_submitted_and_shown(site: Site, code: Path) -> None:
    said = ask(site, "submit", code, "--dry-run")
    assert "job.toml" in said
    assert "left out: .git" in said
    assert "2 files" in said
    assert "weekly" not in ask(site, "list")
    job = submit(site, code, "--priority", 2)
    name = job["name"]
    assert name.startswith("weekly-")
    assert (job["state"], job["priority"]) == ("queued", 2)
    assert name in ask(site, "list", "--state", "queued")
    assert name not in ask(site, "list", "--owner", "nobody")
    shown = ask(site, "show", name)
    assert "reads     counts: table counts version 1" in shown
    assert "writes    a.csv: csv, leaves, checked" in shown
    assert "python3 main.py" in shown
    document = json.loads(ask(site, "show", name, "--json"))
    assert document["spec"]["inputs"]["counts"]["version"] == 1
    assert [one["what"] for one in document["history"]] == ["created", "queued"]
    assert ask(site, "status", name) == f"{name}  queued, 0 of 1 unit done\n"
    assert "states" in refused(site, UsageError, "list", "--state", "done")


def test_what_is_wrong_is_said_before_anything_is_made(site: Site, code: Path) -> None:
    (code / "job.toml").write_text(JOB + "[resorces]\nmemory = 1\n")
    assert "resorces: no such field; did you mean resources?" in refused(
        site, SpecError, "submit", code
    )
    (code / "job.toml").write_text(JOB.replace('"counts"', '"nothing"'))
    assert "there is no table nothing" in refused(site, SpecError, "submit", code)
    assert "There is no" in refused(site, SpecError, "submit", code / "none")
    (code / "job.toml").write_text(f'code = "/etc"\n{JOB}')
    assert "not below" in refused(site, JobError, "submit", code, "--dry-run")
    assert not site.jobs_dir.exists() or list(site.jobs_dir.iterdir()) == []


def test_cancel_and_submit_again(site: Site, code: Path) -> None:
    name = submit(site, code)["name"]
    assert "is queued" in refused(site, JobError, "resubmit", name)
    assert ask(site, "cancel", name) == f"Job {name} is cancelled.\n"
    assert ask(site, "cancel", name) == f"Job {name} is cancelled.\n"
    assert json.loads(place_of(site, name).status.read_text())["job"]["state"] == "cancelled"
    assert ask(site, "resubmit", name) == f"Job {name} is queued, attempt 2.\n"
    with site.state.begin() as conn:
        table.prepare(conn, name, "worker", 2)
    assert "is preparing and will be cancelled" in ask(site, "cancel", name)
    said = ask(site, "resubmit", name, "--clone")
    clone = said.split()[1]
    assert clone != name
    assert (place_of(site, clone).code / "main.py").read_text() == "print(1)"


def test_watching_ends_with_the_job(site: Site, code: Path) -> None:
    name = submit(site, code)["name"]
    go(site, name, State.SUCCEEDED)
    assert ask(site, "status", name, "--watch").startswith(f"{name}  succeeded, 0 of 1 unit done")
    other = submit(site, code)["name"]
    go(site, other, State.FAILED, Failure.EXIT)
    answer = RUNNER.invoke(
        make_app(), ["--site", str(site.root), "job", "status", other, "--watch", "--json"]
    )
    assert answer.exit_code == 1
    assert json.loads(answer.output)["failure"] == "exit code"


def test_logs_of_protected_jobs_are_for_operators_who_are_recorded(site: Site, code: Path) -> None:
    name = submit(site, code)["name"]
    go(site, name, State.FAILED, Failure.EXIT)
    unit = place_of(site, name).unit(1, 0)
    unit.mkdir(parents=True)
    (unit / "stdout").write_bytes(b"learner ana \x1b[2J\xff\n")
    answer = RUNNER.invoke(make_app(), ["--site", str(site.root), "job", "logs", name])
    assert isinstance(answer.exception, JobError)
    assert "failed" in answer.output
    assert "code 3" in answer.output
    for shown in (answer.output, ask(site, "show", name), ask(site, "show", name, "--json")):
        assert "ana" not in shown.replace("main.py", "")  # nor what a worker noted for operators
    assert ask(site, "logs", name, "--operator") == "learner ana \\x1b[2J\\xff\n"
    with site.state.read() as conn:
        entries = conn.exec_driver_sql("SELECT what, subject FROM audit").all()
    assert [tuple(one) for one in entries] == [("read log", name)]
    assert "has no stderr yet" in refused(site, JobError, "logs", name, "--operator", "--stderr")


def test_logs_of_synthetic_data_are_shown(site: Site, code: Path) -> None:
    without = JOB.replace('[inputs.counts]\ntable = "counts"\n', "")
    (code / "job.toml").write_text(f'privacy = "synthetic"\n{without}')
    name = submit(site, code)["name"]
    unit = place_of(site, name).unit(1, 0)
    unit.mkdir(parents=True)
    (unit / "stderr").write_text("warning\tone\n")
    assert ask(site, "logs", name, "--stderr") == "warning one\n"


def test_results_are_what_the_manifest_names(site: Site, code: Path, tmp_path: Path) -> None:
    name = submit(site, code)["name"]
    assert "has no results: it is queued" in refused(site, JobError, "results", name)
    go(site, name, State.SUCCEEDED)
    release(site, name, {"a.csv": "n\n1\n", "0/b.csv": "n\n2\n"})
    (place_of(site, name).released / "other.csv").write_text("not released")
    assert "2 files." in ask(site, "results", name)
    target = tmp_path / "results"
    assert f"2 files copied to {target}." in ask(site, "results", name, target)
    assert sorted(one.name for one in target.rglob("*") if one.is_file()) == ["a.csv", "b.csv"]
    ask(site, "results", name, target)  # once more
    with site.state.read() as conn:
        details = conn.exec_driver_sql("SELECT details FROM audit WHERE what = 'fetch'").scalars()
        manifest = digest_of(place_of(site, name).released_manifest)
        assert json.loads(next(iter(details))) == {"files": 2, "manifest": manifest}
    (target / "a.csv").write_text("mine")
    assert "is there already, and another" in refused(site, JobError, "results", name, target)
    (place_of(site, name).released / "a.csv").write_text("n\n7\n")
    assert "is not as it was released" in refused(site, JobError, "results", name, tmp_path / "x")
    release(site, name, {"../../../x": "n\n1\n"})
    assert "cannot be read" in refused(site, JobError, "results", name, tmp_path / "y")


def test_deletion_asks_and_is_recorded(site: Site, code: Path) -> None:
    name = submit(site, code)["name"]
    ask(site, "cancel", name)
    answer = RUNNER.invoke(
        make_app(), ["--site", str(site.root), "job", "delete", name], input="n\n"
    )
    assert answer.exit_code == 1
    assert place_of(site, name).path.is_dir()
    assert "1 job deleted" in ask(site, "delete", name, typed="y\n")
    assert list(site.jobs_dir.iterdir()) == []
    assert "There is no job" in refused(site, JobError, "show", name)
    assert "Nothing is named" in refused(site, UsageError, "delete")
    with site.state.read() as conn:
        assert conn.exec_driver_sql("SELECT what FROM audit").scalars().all() == ["delete job"]
    assert "0 jobs deleted" in ask(site, "delete", "--expired")


def test_deletion_goes_on_after_one_that_cannot_be(site: Site, code: Path) -> None:
    waits, ended = (submit(site, code)["name"] for _ in range(2))
    ask(site, "cancel", ended)
    words = ["--site", str(site.root), "job", "delete", waits, ended, "--yes", "--json"]
    answer = RUNNER.invoke(make_app(), words)
    assert answer.exit_code == 1
    said = json.loads(answer.stdout)
    assert said["deleted"] == [ended]
    assert "is queued" in said["failed"][waits]


def test_who_asks_is_whom_the_machine_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    from studium.cli.job import account

    monkeypatch.setenv("LOGNAME", "root of all")
    assert account() == pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)
    assert account() == "uid 4000000001"


def test_the_log_of_a_build_is_for_its_submitter(site: Site, code: Path) -> None:
    name = submit(site, code)["name"]
    assert "No image was built" in refused(site, JobError, "logs", name, "--build")
    (place_of(site, name).path / "build.log").write_bytes(b"STEP 1/2\x1b[2J\n")
    assert ask(site, "logs", name, "--build") == "STEP 1/2\\x1b[2J\n"
