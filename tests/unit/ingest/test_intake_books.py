"""What the intake tells the books and the stall watchdog, case by case; random histories are in `property`."""

import json
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from gateway.core import settings
from gateway.core.errors import BadPayload, SinkUnavailable
from gateway.domain.layouts import Layouts
from gateway.domain.ledger import Fate
from gateway.domain.principal import Principal, Role
from gateway.ingest.intake import BodyIntake
from gateway.ingest.pipeline.committer import Committer
from gateway.ingest.pipeline.stall import STALL_SECS, Stall
from gateway.telemetry import ledger_events
from tests.builders.gates import usual_gate
from tests.fakes import MemorySink
from tests.fakes.clock import ManualClock
from tests.fakes.directory import MemoryDirectory

NOW_US = 1_700_000_000_000_000
ADMIN = Principal(Role.ADMIN)


class Site(NamedTuple):
    intake: BodyIntake
    sink: MemorySink
    stall: Stall
    clock: ManualClock

    async def take(self, *devices: str, atomic: bool = False, source: str = "http") -> Fate:
        """Take a message of two readings of each device in; return what the books say of it."""
        items = [{"device": device, "ts": NOW_US, "values": {"a": 1.5, "b": 2.5}} for device in devices]
        before = fate_of(source)
        await self.intake.take(json.dumps(items).encode(), principal=ADMIN, atomic=atomic, source=source)
        return Fate(*[new - old for new, old in zip(fate_of(source), before, strict=True)])


def fate_of(source: str) -> Fate:
    account = ledger_events.read().sources.get(source)
    return Fate() if account is None else Fate(*[getattr(account, field) for field in Fate._fields])


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    layouts, directory, sink, clock = Layouts(), MemoryDirectory(), MemorySink(), ManualClock(NOW_US)
    directory.add("d1", "poison")
    sink.rejects["poison"] = "23514: no"
    admission = usual_gate(directory, layouts)
    stall = Stall(lambda: clock.now_us() / 1e6)

    async def publish(_: object) -> None:
        return

    async with Committer(sink, publish, limits=settings.QueueSettings(), slots=1) as committer:
        yield Site(BodyIntake(admission, committer, layouts, clock, stall=stall, max_readings=100), sink, stall, clock)


@pytest.mark.parametrize(
    ("source", "atomic", "fate"),
    [
        ("http", False, Fate(stored=2, refused=2, dead_lettered=2)),
        ("mqtt", False, Fate(stored=2, dead_lettered=4)),
        ("replay", False, Fate(stored=2, refused=2, dead_lettered=2)),
        ("http", True, Fate(refused=6)),
    ],
)
async def test_refused_and_rejected_readings(site: Site, source: str, atomic: bool, fate: Fate) -> None:
    assert await site.take("d1", "stranger", "poison", source=source, atomic=atomic) == fate


async def test_what_an_atomic_body_is_rejected_for_was_rolled_back_and_is_no_dead_letter(site: Site) -> None:
    assert await site.take("d1", "poison", atomic=True) == Fate(refused=4)


async def test_a_body_that_cannot_be_read_holds_no_readings(site: Site) -> None:
    before = ledger_events.read()
    with pytest.raises(BadPayload):
        await site.intake.take(b"{", principal=ADMIN)
    assert ledger_events.read() == before


async def test_only_what_becomes_durable_ends_a_stall(site: Site) -> None:
    site.sink.failure = SinkUnavailable()
    for _ in range(2):
        with pytest.raises(SinkUnavailable):
            await site.take("d1")
        await site.take("stranger")
        site.clock.advance(STALL_SECS)
    assert site.stall.secs
    site.sink.failure = None
    await site.take("d1")
    assert site.stall.secs == 0


async def test_what_is_refused_is_no_input_that_waits(site: Site) -> None:
    await site.take("stranger")
    site.clock.advance(STALL_SECS + 1)
    assert site.stall.secs == 0
