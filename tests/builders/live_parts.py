"""In: what a test wants to be seen live. Out: streams over a log in memory. Never a Redis."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from gateway.core import settings
from gateway.domain.contracts.newest import DeviceState, NewestMessage
from gateway.domain.devices import Tag
from gateway.domain.model import Kind, Metric, Shape, Value
from gateway.live.streams import Streams
from tests.fakes.live import MemoryChangeLog

NOON_US = 1_732_277_000_123_000
SHAPES = {
    1: Shape((Metric("t", Kind.DOUBLE),), (), ()),
    2: Shape(
        (Metric("open", Kind.BOOL), Metric("t", Kind.DOUBLE)), (Metric("n", Kind.INT),), (Metric("fw", Kind.TEXT),)
    ),
}
LIMITS = settings.LiveSettings(ping_secs=1.0, stall_secs=2.0)


def reading(value: float, *, after: int = 0) -> NewestMessage:
    """A message of `t` alone."""
    return NewestMessage(1, NOON_US + after, (value,), (), ())


class KnownStates:
    """Newest values as a test sets them."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, tuple[Value, int, Kind]]] = {}
        self.reads = 0
        self.failure: Exception | None = None

    async def devices(self, names: Sequence[str]) -> Sequence[DeviceState | None]:
        self.reads += 1
        if self.failure is not None:
            raise self.failure
        return [DeviceState(name, self.known[name], "redis") if name in self.known else None for name in names]


class KnownTags:
    """Devices and their tags."""

    def __init__(self) -> None:
        self.devices: dict[str, dict[str, str]] = {}
        self.failure: Exception | None = None

    async def tagged(self, tags: Collection[Tag], *, limit: int) -> list[str]:
        if self.failure is not None:
            raise self.failure
        return sorted(
            name
            for name, has in self.devices.items()
            if all(key in has and value in (None, has[key]) for key, value in tags)
        )[:limit]


class KnownShapes:
    async def shapes(self, ids: Collection[int]) -> Mapping[int, Shape]:
        return {number: SHAPES[number] for number in ids if number in SHAPES}


class Stage:
    """Streams and all that stands behind them."""

    def __init__(self, limits: settings.LiveSettings = LIMITS) -> None:
        self.log = MemoryChangeLog()
        self.states = KnownStates()
        self.tags = KnownTags()
        self.streams = Streams(self.log, KnownShapes(), by_tag=self.tags, states=self.states, limits=limits)


@asynccontextmanager
async def staged(limits: settings.LiveSettings = LIMITS) -> AsyncIterator[Stage]:
    stage = Stage(limits)
    async with stage.streams:
        yield stage
