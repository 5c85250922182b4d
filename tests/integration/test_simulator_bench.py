"""`simulator bench` on a gateway's real database, beside a gateway that is away."""

import os
import subprocess
import sys
from pathlib import Path

from tests.servers.databases import Database

LIMIT_S = 60


def test_a_gateway_that_is_away_is_exit_2(tmp_path: Path, plain_db: Database) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SIMULATOR_")}
    done = subprocess.run(
        [sys.executable, "-m", "simulator", "bench", "--database", plain_db.url, "--url", "http://127.0.0.1:1"],
        cwd=tmp_path,
        env=environ | {"PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 2, done.stdout
    assert "does not answer" in done.stderr
    assert "Traceback" not in done.stderr
