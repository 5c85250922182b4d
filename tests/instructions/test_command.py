"""The command as `make check` runs it: a planted slowdown is found and named, and what is not slower passes."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.instructions import __main__ as command
from tests.instructions import budget, callgrind

HERE = pytest.mark.skipif(not callgrind.is_here(), reason="no valgrind here")


@pytest.fixture(name="place")
def own_ceilings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file of figures of this test's own."""
    monkeypatch.setattr(budget, "PLACE", tmp_path / "ceilings.json")
    return tmp_path / "ceilings.json"


@HERE
def test_a_planted_slowdown_is_found_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the figures that are stored, whatever interpreter this is."""
    assert command.main(["W1", "--plant", "tests.instructions.planted"]) == command.DEARER
    told = capsys.readouterr().out.splitlines()
    assert told[1].startswith("W1      DEARER: ")
    assert told[2].strip().startswith("tests/instructions/planted.py at_once: 0 → ")
    assert any("sha256: 1 → 2 calls a request" in line for line in told), told
    assert told[-1].endswith(command.UPDATE)


def test_without_valgrind_it_says_so_and_still_judges_python(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(callgrind, "is_here", lambda: False)
    assert command.main(["W1", "--update"]) == 0
    assert place.exists()
    assert command.main(["W1"]) == command.UNCOUNTED
    assert "valgrind" in capsys.readouterr().out
    assert command.main(["W1", "--plant", "tests.instructions.planted"]) == command.DEARER
    assert "planted.py at_once" in capsys.readouterr().out


def test_help_tells_the_workloads_and_the_exit_codes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.instructions", "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    assert "Exit codes" in done.stdout
    assert re.search(r"W4 +MQTT", done.stdout)
    assert shutil.which("make") is None or "make instructions" in done.stdout
