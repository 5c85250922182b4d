"""The folder of a run whose processes live is left alone, whatever its age."""

import subprocess
import sys
import time
from pathlib import Path

from gateway.app.processes import run_folder
from tests.builders.runs import left_by_a_killed_run

KEEPS = """
import fcntl, os, sys
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
print("kept", flush=True)
sys.stdin.read()
"""
LATER = run_folder.OLD_SECS + 1


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
