"""Backup and restore: a site comes back as it was, whatever went on or broke meanwhile."""

import json
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import studium
from studium.backup.restore import restore_site
from studium.backup.take import Taken, take_backup
from studium.backup.vault import Vault, open_vault
from studium.errors import BackupError, LockedError, SiteError, StateError, StudiumError, UsageError
from studium.state import open_state
from studium.state.facts import get_fact, set_fact
from tests import sites
from tests.children import Child, Nursery
from tests.databases import Server
from tests.sites import FEW, Done, contents

Run = Callable[[Path], Done]


@dataclass(frozen=True)
class Made:
    """A site after a run, and what it holds."""

    site: Path
    logs: Path
    contents: dict[str, Any]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery, sites.lent_engine():
        yield nursery


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Made:
    folder = tmp_path_factory.mktemp("made")
    logs = folder / "logs"
    sites.write_history(logs)
    site = sites.make_site(folder / "site", logs, run__max_reject_share=1)
    sites.run_job(site)
    return Made(site, logs, contents(site))


@pytest.fixture
def site(made: Made, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(made.site, tmp_path / "site"))


@pytest.fixture
def run(made: Made, tmp_path: Path) -> Run:
    """The main job over the logs of all, and those that a test adds."""

    def run(root: Path) -> Done:
        more = [str(tmp_path / "more")] if (tmp_path / "more").is_dir() else []
        return sites.run_job(root, edx__source=[str(made.logs), *more])

    return run


def add_a_day(tmp_path: Path) -> None:
    sites.write_log(tmp_path / "more", 6, [sites.enrollment(90, 6), sites.answer(3, 6)])


def take(root: Path, folder: Path, **options: Any) -> Taken:
    with studium.open(root) as opened:
        return take_backup(opened, folder, **options)


def restore(folder: Path, target: Path, name: str | None = None) -> Path:
    vault = open_vault(folder)
    return restore_site(vault, vault.read(name), target).root


def whole(folder: Path) -> list[str]:
    """The backups there are; each must be whole, or not be there."""
    vault = Vault(folder)
    for name in vault.names():
        assert vault.damaged(vault.read(name)) == []
    return vault.names()


# As it was


def test_a_destroyed_site_comes_back_and_has_nothing_to_build(
    site: Path, run: Run, made: Made, tmp_path: Path
) -> None:
    take(site, tmp_path / "backups")
    shutil.rmtree(site)
    restore(tmp_path / "backups", site)
    done = run(site)
    assert done.report is not None
    assert not [file for file in done.report.files if file.lines]
    assert done.built == []
    assert contents(site) == made.contents


def test_results_come_back_if_they_were_asked_for(site: Path, run: Run, tmp_path: Path) -> None:
    take(site, tmp_path / "without")
    take(site, tmp_path / "with", results=True)
    before = sites.published_rows(site)
    assert not (restore(tmp_path / "without", tmp_path / "one") / "results.db").exists()
    again = restore(tmp_path / "with", tmp_path / "two")
    assert sites.published_rows(again) == before
    assert run(again).published == []


def test_the_next_backup_copies_only_what_is_new_and_both_can_be_restored(
    site: Path, run: Run, made: Made, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    first = take(site, folder)
    assert first.new > 0
    assert take(site, folder).new == 0
    add_a_day(tmp_path)
    run(site)
    changed = contents(site)
    second = take(site, folder)
    assert 0 < second.new < first.new
    assert len(whole(folder)) == 3
    old = restore(folder, tmp_path / "old", first.backup.name)
    new = restore(folder, tmp_path / "new")
    run(new)
    assert contents(new) == changed
    assert {name: sites.rows_of(old, name) for name in FEW} == {
        name: made.contents["lake"].get(name, []) for name in FEW
    }


def test_old_backups_go_and_the_kept_ones_stay_whole(site: Path, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    first = take(site, folder)
    add_a_day(tmp_path)
    run(site)
    second = take(site, folder, keep=1)
    assert second.pruned == 1
    assert whole(folder) == [second.backup.name]
    objects = {path.name for path in (folder / "objects").glob("*/*")}
    assert objects == {entry.sha256 for entry in second.backup.entries}
    assert {entry.sha256 for entry in first.backup.entries} - objects


def test_a_backup_is_for_its_owner_only(site: Path, tmp_path: Path) -> None:
    take(site, tmp_path / "backups")
    assert (tmp_path / "backups").stat().st_mode & 0o077 == 0


def test_the_state_may_be_in_postgresql(
    site: Path,
    run: Run,
    made: Made,
    tmp_path: Path,
    postgres: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "backups"
    take(site, folder)
    monkeypatch.setenv("STUDIUM_STATE__URL", postgres.fresh())
    moved = restore(folder, tmp_path / "moved")
    assert not (moved / "state.db").exists()
    assert run(moved).built == []
    assert contents(moved) == made.contents
    take(moved, folder)
    with pytest.raises(StateError, match="not empty"):
        restore(folder, tmp_path / "twice")
    monkeypatch.delenv("STUDIUM_STATE__URL")
    back = restore(folder, tmp_path / "back")
    assert run(back).built == []
    assert contents(back) == made.contents


def test_a_result_store_on_a_server_is_left_to_the_server(
    site: Path, tmp_path: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(site, tmp_path / "backups", results=True)
    monkeypatch.setenv("STUDIUM_RESULTS__URL", postgres.fresh())
    with pytest.raises(UsageError, match="own tools") as refused:
        take(site, tmp_path / "backups", results=True)
    assert postgres.password + "@" not in str(refused.value)
    assert len(whole(tmp_path / "backups")) == 1
    vault = open_vault(tmp_path / "backups")
    done = restore_site(vault, vault.read(), tmp_path / "moved")  # to a site that publishes there
    assert not done.results


# Damage


def spoil(path: Path) -> None:
    """Change one byte; the size stays."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("what", ["lake/events/", "state.db", "studium.toml"])
def test_a_damaged_object_is_found_and_no_site_is_made(
    site: Path, tmp_path: Path, nursery: Nursery, what: str
) -> None:
    folder = tmp_path / "backups"
    taken = take(site, folder)
    entry = next(one for one in taken.backup.entries if one.path.startswith(what))
    spoil(Vault(folder).object_path(entry.sha256))
    checked = nursery.run(site, "restore", str(folder), "--check")
    assert checked.code == 1
    assert entry.path in checked.out
    with pytest.raises(BackupError, match=f"damaged: {entry.path}"):
        restore(folder, tmp_path / "again")
    with pytest.raises(SiteError):
        studium.open(tmp_path / "again")
    with pytest.raises(SiteError, match="broken off"):
        restore(folder, tmp_path / "again")


def test_a_missing_object_is_found_before_anything_is_written(site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    taken = take(site, folder)
    Vault(folder).object_path(taken.backup.entries[0].sha256).unlink()
    with pytest.raises(BackupError, match="missing or cut"):
        restore(folder, tmp_path / "again")
    assert not (tmp_path / "again").exists()
    take(site, folder)  # brings it again
    assert len(whole(folder)) == 2


def test_a_damaged_manifest_is_found(site: Path, tmp_path: Path, nursery: Nursery) -> None:
    folder = tmp_path / "backups"
    taken = take(site, folder)
    spoil(folder / "backups" / f"{taken.backup.name}.json")
    with pytest.raises(BackupError, match="list of files"):
        restore(folder, tmp_path / "again")
    later = take(site, folder)
    assert len(nursery.run(site, "restore", str(folder), "--list").out.split("damaged")) == 2
    (folder / "backups" / f"{taken.backup.name}.json").unlink()
    assert whole(folder) == [later.backup.name]
    assert sites.rows_of(restore(folder, tmp_path / "again"), "events")


def test_a_lake_that_lost_a_file_is_not_backed_up(site: Path, tmp_path: Path) -> None:
    next((site / "lake" / "events").glob("day=*/*.parquet")).unlink()
    with pytest.raises(BackupError, match="is gone"):
        take(site, tmp_path / "backups")
    assert whole(tmp_path / "backups") == []


def test_a_lake_with_a_cut_file_is_not_backed_up(site: Path, tmp_path: Path) -> None:
    path = next((site / "lake" / "events").glob("day=*/*.parquet"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BackupError, match="the lake is damaged"):
        take(site, tmp_path / "backups")


# Others at work

BACKUP = "backup"


@pytest.fixture(scope="module")
def passed(made: Made, tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> list[str]:
    """The points that an undisturbed backup passes."""
    child = nursery.run(made.site, BACKUP, str(tmp_path_factory.mktemp("passed") / "backups"))
    assert child.code == 0, child.err
    return child.points


@pytest.fixture
def copying(site: Path, tmp_path: Path, nursery: Nursery) -> Child:
    """A backup that has stopped before the first data file: the writer lock is free again."""
    undisturbed = nursery.run(site, BACKUP, str(tmp_path / "undisturbed"))
    assert undisturbed.code == 0, undisturbed.err
    data = {
        entry.sha256
        for entry in Vault(tmp_path / "undisturbed").read().entries
        if entry.path.endswith(".parquet") and "_delta_log" not in entry.path
    }
    renamed = 2 * len(data) + 2  # before and after each of them, and the manifest
    point = len(undisturbed.points) - renamed + 1
    child = nursery.start(site, BACKUP, str(tmp_path / "backups"), stop_at=point)
    nursery.stopped(child)
    return child


def test_a_run_in_the_middle_of_a_backup_is_not_in_it(
    site: Path, run: Run, made: Made, tmp_path: Path, nursery: Nursery, copying: Child
) -> None:
    add_a_day(tmp_path)
    run(site)
    assert contents(site) != made.contents
    nursery.resume(copying)
    assert nursery.wait(copying) == 0, copying.err
    again = restore(tmp_path / "backups", tmp_path / "again")
    for name in made.contents["lake"]:
        assert sites.rows_of(again, name) == made.contents["lake"][name]
    run(again)
    assert contents(again) == contents(site)


def test_a_backup_whose_files_were_vacuumed_away_is_none(
    site: Path, run: Run, tmp_path: Path, nursery: Nursery, copying: Child
) -> None:
    add_a_day(tmp_path)
    run(site)
    sites.vacuum(site)
    nursery.resume(copying)
    assert nursery.wait(copying) == 1
    assert "a vacuum deleted it meanwhile" in copying.err
    assert whole(tmp_path / "backups") == []
    take(site, tmp_path / "backups")
    assert len(whole(tmp_path / "backups")) == 1


def test_a_backup_waits_for_a_writer(site: Path, tmp_path: Path, nursery: Nursery) -> None:
    with studium.open(site) as opened, opened.writer("studium run"):
        child = nursery.start(site, BACKUP, str(tmp_path / "backups"), lock_wait=0)
        assert nursery.wait(child) == 1
    assert "`studium run`" in child.err
    assert "Traceback" not in child.err
    assert whole(tmp_path / "backups") == []


def test_two_backups_into_one_folder_take_turns(
    site: Path, tmp_path: Path, nursery: Nursery, copying: Child
) -> None:
    with studium.open(site, {"site.lock_wait": 0}) as opened, pytest.raises(LockedError):
        take_backup(opened, tmp_path / "backups")
    nursery.resume(copying)
    assert nursery.wait(copying) == 0, copying.err


# Killed

EVERY_NTH = pytest.mark.parametrize("every", [67, pytest.param(5, marks=pytest.mark.long)])


@EVERY_NTH
def test_a_killed_backup_is_no_backup_and_harms_no_other(
    made: Made, tmp_path: Path, nursery: Nursery, passed: list[str], every: int
) -> None:
    for number in [*range(1, len(passed), every), len(passed) - 1, len(passed)]:
        folder = tmp_path / f"at{number}"
        child = nursery.run(made.site, BACKUP, str(folder), kill_at=number)
        assert child.code == -signal.SIGKILL, child.err
        shown = f"at point {number} of {len(passed)}"
        done = number == len(passed)  # after the manifest got its name
        assert len(whole(folder)) == done, shown
        assert take(made.site, folder).backup.name in whole(folder)
        assert not list(folder.rglob("*.partial"))


@EVERY_NTH
def test_a_killed_restore_is_no_site(
    made: Made, tmp_path: Path, nursery: Nursery, every: int
) -> None:
    folder = tmp_path / "backups"
    take(made.site, folder)
    started = time.monotonic()
    child = nursery.run(tmp_path, "restore", str(folder), str(tmp_path / "undisturbed"))
    seconds = time.monotonic() - started
    assert child.code == 0, child.err
    strikes: list[dict[str, Any]] = [
        *({"kill_at": n} for n in range(1, len(child.points), every)),
        *({"kill_after": seconds * part} for part in (0.3, 0.6, 0.9)),
    ]
    broken = 0
    for number, strike in enumerate(strikes):
        target = tmp_path / str(number)
        code = nursery.run(tmp_path, "restore", str(folder), str(target), **strike).code
        if (target / "studium.toml").is_file():  # whole, or not at all
            assert contents(target)["lake"] == made.contents["lake"]
            continue
        broken += 1
        assert code == -signal.SIGKILL
        if target.exists() and any(target.iterdir()):
            with pytest.raises(SiteError, match="broken off"):
                restore(folder, target)
    assert broken


# Refusals


def test_only_backups_go_into_a_folder_of_backups(site: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    for folder in (tmp_path / "other", site / "backups", site / "lake"):
        with pytest.raises(UsageError):
            take(site, folder)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.tex"]
    with pytest.raises(UsageError, match="not a folder of Studium backups"):
        open_vault(tmp_path / "other")


def test_a_restore_overwrites_nothing(site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    take(site, folder)
    before = contents(site)
    with pytest.raises(SiteError, match="not empty"):
        restore(folder, site)
    assert contents(site) == before
    (tmp_path / "volume" / "lost+found").mkdir(parents=True)
    restore(folder, tmp_path / "volume")


def test_a_restore_does_not_touch_a_lake_that_is_elsewhere(
    site: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(site, tmp_path / "backups")
    monkeypatch.setenv("STUDIUM_LAKE__PATH", str(site / "lake"))
    with pytest.raises(SiteError, match="not empty"):
        restore(tmp_path / "backups", tmp_path / "again")
    monkeypatch.delenv("STUDIUM_LAKE__PATH")
    assert run(site).built == []


def test_a_backup_made_by_a_newer_version_is_refused(site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    with studium.open(site) as opened, opened.state.begin() as conn:
        set_fact(conn, "kept", "yes")
    taken = take(site, folder)
    vault = Vault(folder)
    state = next(entry for entry in taken.backup.entries if entry.path == "state.db")
    newer = tmp_path / "newer.db"
    shutil.copy(vault.object_path(state.sha256), newer)
    opened_copy = open_state(f"sqlite:///{newer}", tmp_path)
    with opened_copy.read() as read:
        assert get_fact(read, "kept") == "yes"
    opened_copy.close()
    with closing(sqlite3.connect(newer)) as db, db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    entry, _ = vault.add(newer, "state.db")
    others = [one for one in taken.backup.entries if one.path != "state.db"]
    vault.write([entry, *others], "99.0")
    with pytest.raises(StateError, match="newer version"):
        restore(folder, tmp_path / "again")


# On the command line


def test_what_the_commands_say(site: Path, tmp_path: Path, nursery: Nursery) -> None:
    folder = str(tmp_path / "backups")
    first = nursery.run(site, "backup", folder, "--json")
    assert first.code == 0, first.err
    said = json.loads(first.out)
    assert said["new"] > 0
    assert said["files"] >= said["new"]
    assert " 0 new, 0.0 MB" in nursery.run(site, "backup", folder).out
    listing = nursery.run(site, "restore", folder, "--list").out
    assert len(listing.splitlines()) == 3
    assert said["backup"] in listing
    assert "all whole" in nursery.run(site, "restore", folder, "--check").out
    child = nursery.run(
        site, "restore", folder, str(tmp_path / "again"), "--backup", said["backup"]
    )
    assert child.code == 0, child.err
    assert "studium publish" in child.out
    for wrong in (
        ["restore", folder],  # into the site, which is there
        ["restore", str(site)],
        ["restore", folder, "x", "--backup", "nonsense"],
    ):
        child = nursery.run(site, *wrong)
        assert child.code in (1, 2)
        assert child.err.startswith("Error: ")


def test_every_error_is_one_that_a_user_can_act_on() -> None:
    assert issubclass(BackupError, StudiumError)
    assert BackupError.exit_code == 1
