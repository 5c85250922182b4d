"""A short version of every attack, all of them on one gateway: what must hold on a busy machine, too.

How slow others become is judged against a process that takes as much CPU as the attacker. How long something takes is
not judged by seconds but for what would be ten times as long.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.books import Books
from tests.chaos.scene import ground
from tests.conftest import have
from tests.hostile import attacks  # noqa: F401 - fills the table
from tests.hostile.attack import TABLE
from tests.hostile.bound_life import raise_open_files
from tests.hostile.stage import Servers, Stage, stage
from tests.hostile.trial import Bench, Judge, attempt

SECS = 1.2
BUSY = Judge(factor=10.0, health_secs=5.0, recovery_secs=10.0, failed_share=0.05)
"""Of a machine that does much else."""


class Scene:
    """One gateway for all attacks; a new one after one that it did not stand."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._making: Iterator[tuple[Stage, Bench, Books]] | None = None

    def now(self) -> tuple[Stage, Bench, Books]:
        """Return what runs, started if nothing does."""
        if self._making is None:
            self._making = self._make()
            self._made = next(self._making)
        return self._made

    def close(self) -> None:
        """End it; the next one is another."""
        if self._making is not None:
            next(self._making, None)
        self._making = None

    def _make(self) -> Iterator[tuple[Stage, Bench, Books]]:
        with stage(self._servers, workers=1, capacity_secs=0.5) as made:
            yield made, Bench(made, secs=1.0), Books(made.books)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    raise_open_files()
    with have(lambda: ground(tmp_path_factory.mktemp("hostile"))) as found:
        made = Scene(Servers(found.postgres.url(), found.valkey.url(), found.broker.url, Path(found.folder)))
        yield made
        made.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_others_are_served_all_the_same(scene: Scene, name: str) -> None:
    outcome = attempt(*scene.now(), TABLE[name], SECS, judge=BUSY)
    if outcome.troubles:
        scene.close()
    assert outcome.troubles == []
    assert outcome.counts, "it attacked nobody"
