"""The Makefile, as `make -n` reads it: what is installed for whom, and on which interpreter. Nothing is run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

RUN, DEV = "-e '.[local,simulator]'", "-e '.[dev]'"


@pytest.fixture(name="checkout")
def fresh(tmp_path: Path) -> Path:
    """A folder in which nothing is installed yet."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def said(checkout: Path, *words: str) -> list[str]:
    """The commands that make would give; what another make, which runs the tests, was told is not passed on."""
    done = subprocess.run(
        ["make", "-n", *words],
        cwd=checkout,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout.splitlines()


def installs(lines: list[str]) -> list[str]:
    return [line.partition("constraints.txt ")[2] for line in lines if "pip install" in line]


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        *[(target, RUN) for target in ("up", "shell")],
        *[
            (target, DEV)
            for target in ("test", "check", "instructions", "bench", "peers", "chaos", "hostile", "install")
        ],
    ],
)
def test_who_only_looks_at_it_installs_no_tools(checkout: Path, target: str, wanted: str) -> None:
    assert installs(said(checkout, target)) == [wanted]


def test_what_is_installed_is_not_installed_again(checkout: Path) -> None:
    (checkout / ".venv/bin").mkdir(parents=True)
    for name in ("bin/python", ".installed"):
        (checkout / ".venv" / name).touch()
    assert installs(said(checkout, "up")) == []
    assert installs(said(checkout, "test")) == [DEV]
    (checkout / ".venv/.installed-dev").touch()
    assert installs(said(checkout, "test", "up")) == []
    assert "touch .venv/.installed .venv/.installed-dev" in said(checkout, "-W", "pyproject.toml", "test")


def test_another_interpreter_has_an_environment_of_its_own(checkout: Path) -> None:
    lines = said(checkout, "test", "PYTHON=/opt/bin/python3.13")
    assert lines[0] == "/opt/bin/python3.13 -m venv .venv-python3.13"
    assert all(
        line.startswith(".venv-python3.13/bin/python -m ") for line in lines if "pip" in line or "pytest" in line
    )
    assert said(checkout, "test")[0] == "python3 -m venv .venv"


def test_what_a_request_costs_is_part_of_check(checkout: Path) -> None:
    """Where valgrind is missing that is no failure (exit code 3), unless it is required."""
    (line,) = [line for line in said(checkout, "check") if "tests.instructions" in line]
    for code, required, passes in ((0, "", True), (1, "", False), (2, "", False), (3, "", True), (3, "1", False)):
        judged = line.replace(".venv/bin/python -m tests.instructions", f"(exit {code})")
        done = subprocess.run(["sh", "-c", judged], env={"REQUIRE_VALGRIND": required}, check=False, timeout=30)
        assert (done.returncode == 0) is passes, (code, required)
