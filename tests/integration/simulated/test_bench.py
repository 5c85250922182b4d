"""`simulator bench` as a user meets it, before it measures anything: exit codes and sentences."""

import os
import subprocess
import sys
from pathlib import Path

LIMIT_S = 60


def bench(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SIMULATOR_")}
    return subprocess.run(
        [sys.executable, "-m", "simulator", "bench", *options],
        cwd=folder,
        env=environ | {"PYTHONPATH": str(Path.cwd()), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_a_refusal_of_a_process_is_a_sentence_without_a_traceback(tmp_path: Path) -> None:
    done = bench(tmp_path, "--database", "postgresql://127.0.0.1:1/x")
    assert done.returncode == 2, done.stdout
    assert "The database does not answer" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_help_shows_what_is_measured(tmp_path: Path) -> None:
    done = bench(tmp_path, "--help")
    assert done.returncode == 0
    for word in ("--workloads", "W3f", "--gateway-pid", "--append", "--redis", "closed loop", "Exit codes"):
        assert word in " ".join(done.stdout.split())
