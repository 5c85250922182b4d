"""Samples of the real metrics, alone and of several processes, and what happens when they cannot be read."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from gateway.domain.ledger import Fate
from gateway.telemetry import (
    events,
    exposition,
    ledger_events,
    prometheus,
)
from gateway.telemetry.rates import RateHistory, Sums
from gateway.telemetry.rates_sampler import sampling, to_step, to_sums, totals

SECS = 10.0


def now() -> Sums:
    return to_sums(totals(), at_ms=0, at_secs=0.0)


async def until_samples(history: RateHistory, count: int) -> None:
    async with asyncio.timeout(SECS):
        while len(history.series().ts) < count:  # noqa: ASYNC110 - nobody tells of a sample
            await asyncio.sleep(0.01)


async def test_a_sample_has_what_was_counted() -> None:
    before = now()
    with ledger_events.InHand("http", 12) as hand:
        hand.settle(Fate(stored=6, duplicates=1, conflicts=1, refused=1, dead_lettered=1, spooled=1, failed=1))
    await asyncio.sleep(0)
    events.http_answered("readings", 200)
    events.http_answered("readings", 422)
    events.committed(3, secs=0.01)
    events.acknowledged(0.002)
    after = now()
    assert after.readings - before.readings == 12
    assert after.refused - before.refused == 4
    assert after.requests - before.requests == 2
    assert after.messages - before.messages == 3
    grown = [new - old for old, new in zip(before.latency, after.latency, strict=True)]
    assert grown == [0, *[1] * len(prometheus.LATENCY_BUCKETS)]


async def test_samples_come_by_themselves_and_end_with_the_block() -> None:
    history = RateHistory()
    async with sampling(history, every_secs=0.02):
        await until_samples(history, 3)
    kept = len(history.series().ts)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "history.sample"]
    assert len(history.series().ts) == kept
    assert all(at % 20 == 0 for at in history.series().ts)


async def test_a_sample_that_fails_is_said_and_the_next_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, failures, said = exposition.families, iter([FileNotFoundError("gone")]), list[BaseException]()

    def families() -> Iterable[Any]:
        for failure in failures:
            raise failure
        return whole()

    monkeypatch.setattr(exposition, "families", families)
    monkeypatch.setattr(events, "sample_failed", said.append)
    history = RateHistory()
    async with sampling(history, every_secs=0.02):
        await until_samples(history, 2)
    assert [str(one) for one in said] == ["gone"]


@pytest.mark.parametrize(("at_ms", "step"), [(10_000, 10_000), (14_899, 10_000), (14_950, 15_000), (15_050, 15_000)])
def test_a_sleep_that_ends_early_counts_for_its_own_step(at_ms: int, step: int) -> None:
    assert to_step(at_ms, 5000) == step
