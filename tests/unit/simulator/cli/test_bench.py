"""`simulator bench` as a user meets it, before it measures anything: exit codes and sentences."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.cli.app import main

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


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "Give the gateway's database with --database"),
        (("--workloads", "W1,W9"), "W9 is not among them"),
        (("--seconds", "0"), "--seconds must be from 0.2 to 60"),
        (("--seconds", "61"), "--seconds must be from 0.2 to 60"),
        (("--rounds", "0"), "--rounds must be from 1 to 20"),
        (("--rounds", "21"), "--rounds must be from 1 to 20"),
        (("--database", "postgresql://127.0.0.1:1/x"), "The database does not answer"),
        (("--database", "postgresql://127.0.0.1:1/x", "--url", "nowhere"), "http://host:port"),
        (("--database", "postgresql://127.0.0.1:1/x", "--mqtt", "ftp://x"), "host:port"),
    ],
)
def test_what_cannot_be_run_is_exit_2_and_one_sentence(
    tmp_path: Path,
    options: tuple[str, ...],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in os.environ if name.startswith("SIMULATOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["simulator", "bench", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert sentence in " ".join(capsys.readouterr().err.split())


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
