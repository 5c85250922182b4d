"""The folders of runs: what a killed run left goes, and nothing else does."""

import subprocess
import sys
import time
from pathlib import Path

from gateway.app.processes import run_folder

KEEPS = """
import fcntl, os, sys
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
print("kept", flush=True)
sys.stdin.read()
"""
LATER = run_folder.OLD_SECS + 1


def left_by_a_killed_run(base: Path, name: str) -> Path:
    folder = base / f"{run_folder.PREFIX}{name}"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "counter_7.db").touch()
    return folder


def test_what_killed_runs_left_goes_after_a_while(tmp_path: Path) -> None:
    folder = left_by_a_killed_run(tmp_path, "a")
    run_folder.sweep(tmp_path, now=time.time())
    assert folder.exists(), "its workers may still be stopping"
    run_folder.sweep(tmp_path, now=time.time() + LATER)
    assert list(tmp_path.iterdir()) == []


def test_what_a_living_run_keeps_stays(tmp_path: Path) -> None:
    folder = left_by_a_killed_run(tmp_path, "a")
    keeper = [sys.executable, "-c", KEEPS, str(folder / "lock")]
    with subprocess.Popen(keeper, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"kept\n"
        run_folder.sweep(tmp_path, now=time.time() + LATER)
        assert folder.exists()
        process.kill()
    run_folder.sweep(tmp_path, now=time.time() + LATER)
    assert not folder.exists()


def test_folders_without_our_lock_are_not_ours(tmp_path: Path) -> None:
    (tmp_path / f"{run_folder.PREFIX}x").mkdir()
    (tmp_path / "pymp-x").mkdir()
    run_folder.sweep(tmp_path, now=time.time() + LATER)
    assert len(list(tmp_path.iterdir())) == 2
