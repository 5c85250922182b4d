"""In: memory spools. Out: a drainer between them and a memory sink, in virtual time. Never sleeps for real."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any

from gateway.domain.model import Batch, Outcome
from gateway.ingest.pipeline.drainer import Drainer, Refresh
from tests.fakes import MemorySink
from tests.fakes.spool import MemorySpool


class _Skipping(selectors.DefaultSelector):
    """Lets the waited-for time pass at once."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits for ever"
        self.passed += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only while everybody waits."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.passed


def virtual(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


class Highest(Random):
    """Draws the top of the span, so that a test can say how long a wait is."""

    def uniform(self, a: float, b: float) -> float:  # noqa: ARG002 - the signature of Random
        return b


class Bench:
    """A drainer between memory spools and a memory sink; notes what happens and when."""

    def __init__(self, *spools: MemorySpool, max_rows: int = 20_000, refresh: Refresh | None = None) -> None:
        self.spools = spools or (MemorySpool(),)
        self.sink = MemorySink()
        self.live = False
        self.stored: list[tuple[float, list[str]]] = []
        self.failed: list[float] = []
        self.buried: list[tuple[str, Outcome]] = []
        self.fails_to_bury: Exception | None = None
        self.takes_secs = 0.0
        self.drainer = Drainer(
            self.spools,
            self.store,
            bury=self.bury,
            busy=lambda: self.live,
            rng=Highest(),
            max_rows=max_rows,
            refresh=refresh,
        )

    async def store(self, group: Sequence[Batch]) -> list[Outcome]:
        await asyncio.sleep(self.takes_secs)
        try:
            written = await self.sink.write(group)
        except Exception:
            self.failed.append(now())
            raise
        self.stored.append((now(), [one.devices[0] for one in group]))
        return written.outcomes

    async def bury(self, one: Batch, outcome: Outcome) -> None:
        if self.fails_to_bury:
            raise self.fails_to_bury
        assert self.spools[0].rows, "removed before it was buried"
        self.buried.append((one.devices[0], outcome))

    async def until_empty(self) -> None:
        async with asyncio.timeout(1000):
            while self.drainer.waiting().rows:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.001)

    @property
    def order(self) -> list[str]:
        return [device for _, group in self.stored for device in group]


def now() -> float:
    return asyncio.get_running_loop().time()
