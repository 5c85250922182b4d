"""Unit tests start no process and speak to no server: whatever tries is stopped with a sentence."""

import sys
from collections.abc import Iterator

import pytest

_FORBIDDEN = {"subprocess.Popen", "os.fork", "os.posix_spawn", "socket.bind", "socket.connect"}
_SENTENCE = "A unit test starts no process and no server ({}): give it a fake of tests/fakes, or move it to integration"
_running: list[str] = []
_tried: list[str] = []


def _watch(event: str, _: object) -> None:
    if _running and event in _FORBIDDEN:
        _tried.append(event)
        raise AssertionError(_SENTENCE.format(event))


sys.addaudithook(_watch)  # a hook stays for as long as the process: it is idle while no unit test runs


@pytest.fixture(autouse=True)
def _neither_process_nor_server(request: pytest.FixtureRequest) -> Iterator[None]:
    """Forbid both; what the code under test swallows fails the test all the same."""
    _running.append(request.node.nodeid)
    yield
    _running.clear()
    tried = _tried[:]
    _tried.clear()
    assert not tried, _SENTENCE.format(tried[0])
