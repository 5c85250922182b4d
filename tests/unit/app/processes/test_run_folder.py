"""The folders of runs: what a killed run left goes, and nothing else does."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.app.processes import run_folder

KEEPS = """
import fcntl, os, sys
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
print("kept", flush=True)
sys.stdin.read()
"""
LATER = run_folder.OLD_SECS + 1


def left_by_a_killed_run(base: Path, name: str) -> tuple[Path, Path]:
    folder, helper = base / f"{run_folder.PREFIX}{name}", base / f"pymp-{name}"
    folder.mkdir()
    helper.mkdir()
    (folder / "lock").touch()
    (folder / "counter_7.db").touch()
    (helper / "listener-x").touch()
    run_folder.note_helper(folder, str(helper))
    return folder, helper


def test_what_killed_runs_left_goes_after_a_while(tmp_path: Path) -> None:
    both = left_by_a_killed_run(tmp_path, "a")
    run_folder.sweep(tmp_path, now=time.time())
    assert all(each.exists() for each in both), "its workers may still be stopping"
    run_folder.sweep(tmp_path, now=time.time() + LATER)
    assert list(tmp_path.iterdir()) == []


def test_what_a_living_run_keeps_stays(tmp_path: Path) -> None:
    both = left_by_a_killed_run(tmp_path, "a")
    keeper = [sys.executable, "-c", KEEPS, str(both[0] / "lock")]
    with subprocess.Popen(keeper, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"kept\n"
        run_folder.sweep(tmp_path, now=time.time() + LATER)
        assert all(each.exists() for each in both)
        process.kill()
    run_folder.sweep(tmp_path, now=time.time() + LATER)
    assert not any(each.exists() for each in both)


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
