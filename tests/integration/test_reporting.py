"""No test takes its worker down: what cannot be told of it is told all the same, as a failure, and the others run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TROUBLE = {
    "cannot be sent: a message": 'def test_it(): assert False, "half a \\ud800 pair"',
    "cannot be sent: a log": 'import logging\ndef test_it(): logging.warning("half a \\ud800 pair"); assert False',
    "cannot be sent: a property": "def test_it(record_property): record_property('x', object()); assert False",
    "cannot be shown": """
class Rude:
    def __repr__(self): raise SystemExit(4)
def test_it(): assert Rude() == 3
""",
    "cannot be compared": """
class Rude(Exception):
    def __eq__(self, other): raise TypeError("not with me")
    __hash__ = Exception.__hash__
def test_it():
    try:
        raise Rude
    except Rude as exc:
        second = ValueError()
        second.__context__ = Rude()
        second.__context__.__context__ = exc
        raise ExceptionGroup("both", [second, second])
""",
    "is not torn down": """
import pytest
@pytest.fixture
def rude():
    yield
    raise ValueError("at the teardown")
class Rude:
    def __repr__(self): raise SystemExit(4)
def test_it(rude): assert Rude() == 3
""",
}
BROKEN_WORKER = """
import pytest
@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    if hasattr(session.config, "workerinput"):
        raise OSError("of the worker")
"""
SETTINGS = "[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n"
AFTERWARDS = "\ndef test_what_comes_after(): pass\n"


def run(folder: Path, *options: str) -> tuple[int, str]:
    """Run the tests of a folder in two workers, with our plugin and nothing else of ours."""
    (folder / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n"
    )
    argv = [sys.executable, "-m", "pytest", "-c", str(folder / "pytest.ini"), "--rootdir", str(folder), *options]
    plugins = ("-p", "tests.reporting", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile")
    done = subprocess.run(
        [*argv, *plugins, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    return done.returncode, done.stdout + done.stderr


def test_what_cannot_be_told_is_told_and_the_others_run(tmp_path: Path) -> None:
    for number, text in enumerate(TROUBLE.values()):
        (tmp_path / f"test_{number}.py").write_text(text + AFTERWARDS)
    code, output = run(tmp_path)
    assert "INTERNALERROR" not in output
    failed = set(re.findall(r"^(?:FAILED|ERROR) (?:\S*/)?(test_\d)\.py::test_it", output, re.MULTILINE))
    assert failed == {f"test_{number}" for number in range(len(TROUBLE))}, output
    assert f"{len(TROUBLE)} passed" in output
    assert code == pytest.ExitCode.TESTS_FAILED
    assert output.count("half a \\ud800 pair") >= 2
    assert "at the teardown" in output
    assert "the test itself had raised" in output


def test_an_internal_error_that_is_left_fails_the_run_and_has_the_last_word(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(BROKEN_WORKER)
    (tmp_path / "test_it.py").write_text(AFTERWARDS)
    code, output = run(tmp_path)
    assert code == pytest.ExitCode.INTERNAL_ERROR, output
    assert "OSError: of the worker" in output.rpartition("the first internal error:")[2]
