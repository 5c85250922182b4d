"""Short versions of the attacks, one for each wall, on one gateway: what must hold on a busy machine, too.

How long somebody waits is told by the CPU that the gateway took meanwhile, which stands still while others have the
machine. Seconds on the wall are for `make hostile`.
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
from tests.hostile.trial import JUDGES, Bench, attempt

SECS, SEATS = 1.0, 800


class Scene:
    """One gateway for all attacks; a new one after one that it did not stand."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self.bench = Bench(secs=1.0)
        self._making: Iterator[tuple[Stage, Books]] | None = None

    def now(self) -> tuple[Stage, Books]:
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

    def _make(self) -> Iterator[tuple[Stage, Books]]:
        with stage(self._servers, workers=1, capacity_secs=0.5, seats=SEATS) as made:
            yield made, Books(made.books)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    raise_open_files()
    with have(lambda: ground(tmp_path_factory.mktemp("hostile"))) as found:
        made = Scene(Servers(found.postgres.url(), found.valkey.url(), found.broker.url, Path(found.folder)))
        yield made
        made.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, one in TABLE.items() if one.in_short])
def test_others_are_served_all_the_same(scene: Scene, name: str) -> None:
    made, books = scene.now()
    outcome = attempt(made, scene.bench, books, TABLE[name], SECS, judge=JUDGES["cpu"])
    if outcome.troubles or outcome.has_backlog:
        scene.close()
    assert outcome.troubles == []
    assert outcome.counts, "it attacked nobody"
