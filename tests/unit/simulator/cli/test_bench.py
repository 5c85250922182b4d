"""`simulator bench` as a user meets it, before it measures anything: exit codes and sentences."""

import os
import sys
from pathlib import Path

import pytest

from simulator.cli.app import main


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
