"""The folders of runs: what a killed run left goes, and nothing else does."""

import time
from pathlib import Path

import pytest

from gateway.app.processes import run_folder
from tests.builders.runs import left_by_a_killed_run

LATER = run_folder.OLD_SECS + 1


def test_what_killed_runs_left_goes_after_a_while(tmp_path: Path) -> None:
    both = left_by_a_killed_run(tmp_path, "a")
    run_folder.sweep(tmp_path, now=time.time())
    assert all(each.exists() for each in both), "its workers may still be stopping"
    run_folder.sweep(tmp_path, now=time.time() + LATER)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("helper", ["other", "../pymp-x", "/", ""])
def test_a_helper_that_is_none_is_left_alone(tmp_path: Path, helper: str) -> None:
    folder, _ = left_by_a_killed_run(tmp_path, "a")
    (tmp_path / "other").mkdir()
    (folder / "helper").write_text(str(tmp_path / helper) if helper else "")
    run_folder.sweep(tmp_path, now=time.time() + LATER)
    assert (tmp_path / "other").exists()
    assert not folder.exists()


def test_folders_without_our_lock_are_not_ours(tmp_path: Path) -> None:
    (tmp_path / f"{run_folder.PREFIX}x").mkdir()
    (tmp_path / "pymp-x").mkdir()
    run_folder.sweep(tmp_path, now=time.time() + LATER)
    assert len(list(tmp_path.iterdir())) == 2
