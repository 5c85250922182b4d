"""/readyz while the pipeline stands still: not ready, though the database and the spool seem well."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.app.health import readiness
from gateway.app.health.conditions import Spells
from gateway.app.health.readiness import Monitor
from gateway.core.settings import Settings, SpoolSettings
from gateway.ingest.pipeline.drainer import SpoolBacklog
from gateway.ingest.pipeline.stall import STALL_SECS, Stall
from tests.fakes.clock import ManualClock


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def _nothing(*_: object) -> None:
    return


def monitor(stall: Stall) -> Monitor:
    storage: Any = SimpleNamespace(
        state=SimpleNamespace(ping=_nothing),
        breaker=SimpleNamespace(trouble=None),
        drainer=SimpleNamespace(waiting=lambda: SpoolBacklog(0, 0, None, "")),
        committer=SimpleNamespace(batcher=SimpleNamespace(rows=7, size=70), in_hand=3),
        publisher=SimpleNamespace(behind=0, healthy=True),
        watcher=SimpleNamespace(facts=lambda: {"complete": True}, evicts=False),
        damaged=lambda: 0,
        spool=SimpleNamespace(size=0, is_open=True, refusal=None, margin=2**20),
    )
    settings, pool = Settings(spool=SpoolSettings(dir="/")), cast(Any, None)
    spells = Spells("w1", ManualClock(), monotonic=stall._monotonic)
    return Monitor(pool, storage, settings=settings, stall=stall, consumer=None, spells=spells)


async def test_a_stall_is_not_ready_until_something_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def well(_: object) -> SimpleNamespace:
        return SimpleNamespace(kind="postgresql", postgres="17", timescale=None)

    monkeypatch.setattr(readiness, "probe", well)
    time = Time()
    stall = Stall(time)
    watched = monitor(stall)
    stall.entered()
    assert (await watched.health()).ready
    time.now = STALL_SECS
    stalled = await watched.health()
    assert (stalled.ready, stalled.status) == (False, "unready")
    assert [each.part for each in stalled.degraded] == ["queue"]
    assert (stalled.parts["queue"]["ok"], stalled.parts["queue"]["stalled_secs"]) == (False, STALL_SECS)
    assert stalled.parts["database"]["ok"]
    assert stalled.parts["spool"]["ok"]
    stall.durable()
    assert (await watched.health()).ready
