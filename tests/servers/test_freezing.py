"""What is frozen is frozen whole, and nothing stays so: not when a child ends meanwhile, not when the block fails."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from gateway.app.dev_servers import child_process
from tests.servers import freezing
from tests.servers.freezing import frozen, state_of

SLEEPER = "import time; time.sleep(60)"
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {SLEEPER!r}])
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    """A process and its child."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            yield parent.pid, child
        finally:
            for pid in (child, parent.pid):
                subprocess.run(["kill", "-KILL", str(pid)], check=False)


@pytest.fixture
def gone() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_all_are_stopped_and_go_on(family: tuple[int, int]) -> None:
    with frozen(family[0]):
        assert [state_of(pid) for pid in family] == ["T", "T"]
    assert not {state_of(pid) for pid in family} & set("TXZ")


def test_a_child_that_has_ended_leaves_nobody_frozen(
    family: tuple[int, int], gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, child = family
    monkeypatch.setattr(
        freezing, "children_of", lambda pid: (gone, *child_process.children_of(pid)) if pid == parent else ()
    )
    with frozen(parent):
        assert state_of(child) == "T"
    assert not {state_of(pid) for pid in family} & set("TXZ")


def test_a_block_that_fails_leaves_nobody_frozen(family: tuple[int, int]) -> None:
    with pytest.raises(ZeroDivisionError), frozen(family[0]):
        _ = 1 / 0
    assert not {state_of(pid) for pid in family} & set("TXZ")


def test_nothing_to_freeze_is_a_mistake(gone: int) -> None:
    with pytest.raises(ProcessLookupError), frozen(gone):
        pass
