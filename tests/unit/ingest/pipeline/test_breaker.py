"""The breaker: when writes are tried, what is said and how often; with probes and writes that end as the test says."""

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from gateway.core.clock import SystemClock
from gateway.core.errors import SinkFault, SinkUnavailable, SpoolFull
from gateway.domain.contracts.ingest import Written
from gateway.domain.model import Outcome
from gateway.ingest.pipeline import breaker as under_test
from gateway.ingest.pipeline.breaker import Breaker
from gateway.ingest.pipeline.fallback import Fallback
from gateway.telemetry import events
from tests.fakes.spool import MemorySpool


class Shortest(Random):
    """Never waits longer than it must."""

    def uniform(self, a: float, _b: float) -> float:
        return a


class Server:
    """A database: `ails` says why nothing can be written, `hidden` the same where no probe sees it."""

    def __init__(self) -> None:
        self.ails: Exception | None = None
        self.hidden: Exception | None = None
        self.probes = 0
        self.said: list[tuple[str, str]] = []
        self.failures: list[str] = []

    async def probe(self) -> None:
        self.probes += 1
        if self.ails:
            raise self.ails

    async def write(self, group: Any, *, atomic: bool = False) -> Written:  # noqa: ARG002 - the sink's signature
        if error := self.ails or self.hidden:
            raise error
        return Written([Outcome(0) for _ in group], [])


class Scene:
    def __init__(self, server: Server, breaker: Breaker) -> None:
        self.server, self.breaker, self.spool = server, breaker, MemorySpool()
        self.fallback = Fallback(server, self.spool, breaker)

    async def write(self) -> str:
        """Return where a batch went."""
        written = await self.fallback.write([])
        assert not written.outcomes
        return "spool" if self.breaker.is_open else "db"

    async def until_probed(self) -> None:
        before = self.server.probes
        async with asyncio.timeout(10):
            while self.server.probes == before:  # noqa: ASYNC110 - the breaker tells nobody
                await asyncio.sleep(0.001)
        await asyncio.sleep(0)


@pytest_asyncio.fixture(name="scene")
async def opened(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    server = Server()
    monkeypatch.setattr(events, "database_lost", lambda _error, kind: server.said.append(("lost", kind)))
    monkeypatch.setattr(events, "database_back", lambda _secs: server.said.append(("back", "")))
    monkeypatch.setattr(events, "write_failed", server.failures.append)
    monkeypatch.setattr(under_test, "FIRST_RETRY_SECS", 0.001)
    monkeypatch.setattr(under_test, "LONGEST_RETRY_SECS", 0.01)
    async with Breaker(server.probe, rng=Shortest(), clock=SystemClock()) as breaker:
        yield Scene(server, breaker)


async def test_a_failure_is_counted_said_once_and_over_with_the_first_probe_that_succeeds(scene: Scene) -> None:
    assert await scene.write() == "db"
    scene.server.ails = SinkFault("no right")
    assert await scene.write() == "spool"
    for _ in range(5):
        await scene.until_probed()
        assert await scene.write() == "spool"
    assert scene.server.said == [("lost", "fault")]
    assert scene.server.failures == ["fault"]  # what was not tried did not fail
    trouble = scene.breaker.trouble
    assert trouble is not None
    assert (trouble.error, trouble.kind) == ("no right", "fault")
    scene.server.ails = None
    await scene.until_probed()
    assert scene.breaker.trouble is None
    assert await scene.write() == "db"
    assert scene.server.said == [("lost", "fault"), ("back", "")]


async def test_what_a_probe_does_not_see_is_said_once_and_tried_less_and_less(scene: Scene) -> None:
    assert await scene.write() == "db"
    scene.server.hidden = SinkFault("disk full")
    pauses = []
    for _ in range(12):
        assert await scene.write() == "spool"
        pauses.append(scene.breaker._pause())
        await scene.until_probed()
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.0, under_test.LONGEST_RETRY_SECS / 2)
    assert scene.server.said == [("lost", "fault"), ("back", ""), ("lost", "fault")]
    assert scene.breaker.trouble is not None  # though writes are let through
    assert not scene.breaker.is_open
    scene.server.hidden = None
    assert await scene.write() == "db"
    assert scene.breaker.trouble is None
    assert scene.server.said[3:] == [("back", "")]
    assert scene.breaker._pause() == 0.0


async def test_without_anything_to_write_a_probe_is_believed_in_the_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "HELD_SECS", 0.05)
    scene.server.hidden = SinkFault("disk full")
    for _ in range(2):
        await scene.write()
        await scene.until_probed()
    assert scene.breaker.trouble is not None
    async with asyncio.timeout(10):
        while scene.breaker.trouble is not None:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
    assert scene.server.said[-1] == ("back", "")


async def test_a_write_that_began_before_the_outage_says_nothing_of_now(scene: Scene) -> None:
    await scene.write()
    term = scene.breaker.term
    scene.breaker.failed(term, SinkUnavailable("gone"))
    await scene.until_probed()
    scene.breaker.failed(term, SinkUnavailable("the same outage, noticed late"))
    assert not scene.breaker.is_open
    assert scene.server.said == [("lost", "transient"), ("back", "")]


async def test_an_outage_that_turns_into_a_fault_is_said_again(scene: Scene) -> None:
    scene.server.ails = SinkUnavailable()
    await scene.write()
    await scene.until_probed()
    for _ in range(3):
        scene.server.ails = SinkFault()
        await scene.until_probed()
        scene.server.ails = SinkUnavailable()
        await scene.until_probed()
    assert scene.server.said == [("lost", "transient"), ("lost", "fault")]


async def test_an_atomic_body_fails_and_counts_once(scene: Scene) -> None:
    scene.server.ails = SinkFault()
    with pytest.raises(SinkFault):
        await scene.fallback.write([], atomic=True)
    with pytest.raises(SinkUnavailable):
        await scene.fallback.write([], atomic=True)
    assert scene.server.failures == ["fault"]


async def test_whoever_drains_asks_without_a_change_of_what_is_believed(scene: Scene) -> None:
    assert await scene.write() == "db"
    term = scene.breaker.term
    assert await scene.breaker.answers()
    assert (scene.breaker.term, scene.breaker.trouble, scene.server.said) == (term, None, [])
    scene.server.ails = SinkFault("no right")
    with pytest.raises(SinkFault):
        await scene.fallback.drain([])
    assert (scene.breaker.is_open, scene.server.failures) == (False, ["fault"])
    assert not await scene.breaker.answers()
    assert scene.breaker.is_open
    assert scene.server.said == [("lost", "fault")]
    with pytest.raises(SinkUnavailable):
        await scene.fallback.drain([])


async def test_a_full_spool_is_no_failure_of_the_database(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_: object) -> None:
        raise SpoolFull

    scene.server.ails = SinkUnavailable()
    monkeypatch.setattr(scene.spool, "append", full)
    with pytest.raises(SpoolFull):
        await scene.fallback.write([])
    assert scene.server.failures == ["transient"]


@pytest.mark.parametrize(
    ("error", "kind"), [(SinkFault(), "fault"), (SinkUnavailable(), "transient"), (OSError(), "fault")]
)
async def test_it_opens_with_a_database_that_does_not_take_writes(error: Exception, kind: str) -> None:
    server = Server()
    server.ails = error
    async with Breaker(server.probe, rng=Shortest(), clock=SystemClock()) as breaker:
        assert breaker.is_open
        assert breaker.trouble is not None
        assert breaker.trouble.kind == kind
