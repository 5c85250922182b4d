"""Lanes and fleets small enough to look at."""

import time
from collections.abc import Sequence
from typing import Any

from simulator.plan.fleet import Fleet, Lane, Transport
from simulator.plan.load import LoadOptions
from simulator.plan.metrics import DOOR, FIRMWARE_VERSION, numbers
from simulator.plan.plan import Plan
from simulator.plan.scenario import Compression, Shape
from simulator.send.encode import Encoder
from simulator.targets.gateway import Native

METRICS = (*numbers(2), DOOR, FIRMWARE_VERSION)
START_MS = 1_790_000_000_000


def fleet(*, seed: int = 1, prefix: str = "sim-1-test") -> Fleet:
    return Fleet(prefix, seed, METRICS)


def lane(
    transport: Transport = "http",
    *,
    devices: int = 3,
    messages: int = 2,
    run: int = 1,
    posts: int = 6,
    first: int = 0,
    rate: float = 100.0,
    step_ms: int = 100,
) -> Lane:
    return Lane(
        transport=transport,
        first=first,
        devices=devices,
        metrics=len(METRICS),
        messages=messages,
        run=run,
        posts=posts,
        rate=rate,
        start_ms=START_MS,
        step_ms=step_ms,
    )


def native_encoder(
    of: Fleet, given: Lane, *, shapes: Sequence[Shape], compression: Sequence[Compression] = ("none",)
) -> Encoder:
    """What writes the posts of a lane as a gateway reads them."""
    return Encoder(of, given, Native(of.metrics, given, shapes=shapes).write, compression=compression)


def plan(**changes: Any) -> Plan:
    """A run of ten devices for a second, as options make it, but for the changes."""
    given: dict[str, Any] = {
        "devices": 10,
        "rate": 1_000.0,
        "seconds": 1.0,
        "transport": "http",
        "run": "test",
        "start_ms": START_MS,
    }
    return LoadOptions(**(given | changes)).plan(now_ms=START_MS)


class ManualClock:
    """Time that moves only when told to, or when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def now_ms() -> int:
    return time.time_ns() // 1_000_000
