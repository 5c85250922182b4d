"""Sampler of rates: every 5 s the metrics of all workers → the history. Reads their files in a thread; never fails.

Every worker samples for itself and at the same moments of the clock, so that it does not matter which one is asked.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from gateway.core.tasks import background
from gateway.telemetry import events, exposition, prometheus
from gateway.telemetry.declared import name_of
from gateway.telemetry.rates import EVERY_SECS, Backlog, RateHistory, Sums

NOT_STORED = (
    prometheus.readings_conflict,
    prometheus.readings_refused,
    prometheus.readings_dead_lettered,
    prometheus.readings_failed,
)
LATENCY = name_of(prometheus.ingest_commit)
EARLY_MS = 100
"""A sleep may end so much before its moment."""


@asynccontextmanager
async def sampling(history: RateHistory, *, every_secs: float = EVERY_SECS) -> AsyncIterator[None]:
    """Fill the history until the end of the block."""
    async with background(_sample(history, every_secs=every_secs), name="history.sample"):
        yield


async def _sample(history: RateHistory, *, every_secs: float) -> None:
    while True:
        try:
            at_ms = to_step(time.time_ns() // 1_000_000, int(every_secs * 1000))
            history.add(to_sums(await asyncio.to_thread(totals), at_ms=at_ms, at_secs=time.monotonic()))
        except Exception as exc:  # noqa: BLE001 - a worker may leave, and its files with it, while they are read
            events.sample_failed(exc)
        await asyncio.sleep(every_secs - time.time() % every_secs)


def to_step(now_ms: int, step_ms: int) -> int:
    """Return the beginning of the step that a moment lies in."""
    return (now_ms + EARLY_MS) // step_ms * step_ms


def totals() -> dict[str, list[float]]:
    """Return the values of every sample of our metrics by its name, whatever its labels; buckets in rising order."""
    found: dict[str, list[float]] = defaultdict(list)
    for family in exposition.families():
        for sample in family.samples:
            found[sample.name].append(sample.value)
    found[f"{LATENCY}_bucket"].sort()
    return found


def to_sums(values: Mapping[str, Sequence[float]], *, at_ms: int, at_secs: float) -> Sums:
    """Return what these values say of the whole gateway."""

    def total(name: str) -> int:
        return int(sum(values.get(name, ())))

    return Sums(
        at_ms=at_ms,
        at_secs=at_secs,
        requests=total(prometheus.http_requests.sample),
        messages=total(name_of(prometheus.messages_committed)),
        readings=total(prometheus.readings_received.sample),
        refused=sum([total(one.sample) for one in NOT_STORED]),
        latency=_buckets(values.get(f"{LATENCY}_bucket", [])),
        waiting=Backlog(
            queue_rows=total(name_of(prometheus.queue_rows)),
            queue_bytes=total(name_of(prometheus.queue_bytes)),
            spool_rows=total(name_of(prometheus.spool_rows)),
            spool_bytes=total(name_of(prometheus.spool_bytes)),
        ),
        mqtt_connections=total(name_of(prometheus.mqtt_connected)),
    )


def _buckets(counts: Sequence[float]) -> tuple[int, ...]:
    """Return as many counts as there are bounds and one: before the first observation there may be none."""
    return tuple(map(int, counts)) if counts else (0,) * (len(prometheus.LATENCY_BUCKETS) + 1)
