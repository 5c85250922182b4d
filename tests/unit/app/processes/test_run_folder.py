"""The folders of runs: what a killed run left goes, and nothing else does."""

import os
import time
from pathlib import Path

from gateway.app.processes import run_folder
from tests.builders.runs import left_by_a_killed_run

LATER = run_folder.OLD_SECS + 1


def test_what_killed_runs_left_goes_after_a_while(tmp_path: Path) -> None:
    folder = left_by_a_killed_run(tmp_path, "a")
    run_folder.sweep(tmp_path, now=time.time())
    assert folder.exists(), "its workers may still be stopping"
    run_folder.sweep(tmp_path, now=time.time() + LATER)
    assert list(tmp_path.iterdir()) == []


def test_folders_without_our_lock_are_not_ours(tmp_path: Path) -> None:
    (tmp_path / f"{run_folder.PREFIX}x").mkdir()
    (tmp_path / "pymp-x").mkdir()
    run_folder.sweep(tmp_path, now=time.time() + LATER)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_last_of_those_that_write_there_takes_the_folder_along(tmp_path: Path) -> None:
    folder = left_by_a_killed_run(tmp_path, "a")
    first, last = run_folder.join(folder), run_folder.join(folder)
    try:
        run_folder.forget_if_last(folder, first)
        assert (folder / "counter_7.db").exists(), "another still counts there while it stops"
        run_folder.forget_if_last(folder, last)
        assert not folder.exists()
    finally:
        os.close(first)
        os.close(last)


def test_a_link_of_that_name_is_not_ours_wherever_it_leads(tmp_path: Path) -> None:
    """Among temporary files anybody may put one, and root would empty what it leads to."""
    elsewhere = tmp_path / "var-lib"
    elsewhere.mkdir()
    left_by_a_killed_run(elsewhere, "a").rename(elsewhere / "dpkg")
    (tmp_path / f"{run_folder.PREFIX}evil").symlink_to(elsewhere / "dpkg")
    run_folder.sweep(tmp_path, now=time.time() + LATER)
    assert sorted(path.name for path in (elsewhere / "dpkg").iterdir()) == ["counter_7.db", "lock"]


def test_a_folder_that_others_can_write_is_not_ours(tmp_path: Path) -> None:
    folder = left_by_a_killed_run(tmp_path, "a")
    folder.chmod(0o777)
    run_folder.sweep(tmp_path, now=time.time() + LATER)
    assert (folder / "counter_7.db").exists()
