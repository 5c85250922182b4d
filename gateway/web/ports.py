"""What handlers ask of the parts behind them, and no more: Protocols. Makes none, knows none of the real ones."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from gateway.domain.buckets import Cut
from gateway.domain.contracts.ingest import Charge, PendingBody
from gateway.domain.contracts.newest import DeviceState
from gateway.domain.dead_letters import DeadLetterFilter, StoredDeadLetter
from gateway.domain.history import HistoryRow, Order, RowPage, SeriesAnswer, SeriesQuery, Span
from gateway.domain.model import Receipt
from gateway.domain.principal import Principal
from gateway.timescale.registry.device_count import DeviceCount


class HttpPending(PendingBody, Protocol):
    """A body of an HTTP request that waits for its COMMIT."""

    @property
    def readings(self) -> int:
        """How many it holds."""
        ...


class HttpIntake(Protocol):
    """Where bodies with readings go, and what HTTP asks of it before and after."""

    @property
    def is_open(self) -> bool:
        """Whether `refuse_if_full` would say nothing."""
        ...

    def refuse_if_full(self) -> None:
        """Raise Overloaded or Draining if nothing would be taken now."""
        ...

    async def devices(self, body: bytes) -> Collection[str]:
        """Return whose readings a body holds that was taken in before."""
        ...

    async def take(
        self,
        body: bytes,
        *,
        principal: Principal,
        media: str | None,
        device: str | None,
        atomic: bool = False,
        max_errors: int = 100,
        charge: Charge | None = None,
        sent: int | None = None,
    ) -> Receipt:
        """Return after COMMIT. Raises the GatewayErrors that say no to the whole body."""
        ...

    def at_once(self, body: bytes, *, principal: Principal, device: str | None) -> HttpPending | None:
        """Take in a body that needs no waiting; None: `take` it. Never raises."""
        ...


class LiveReader(Protocol):
    """Where the newest state is read."""

    async def device(self, name: str) -> DeviceState | None:
        """Return the state of one device, None if it is not known. Raises Unavailable."""
        ...

    def soon(self, name: str) -> "asyncio.Future[Any]":
        """Return the same as a future: it is read together with others that are asked for now."""
        ...

    async def devices(self, names: Sequence[str]) -> Sequence[DeviceState | None]:
        """Return the states of devices, in order, in one round trip. Raises Unavailable."""
        ...


class Stored(Protocol):
    """Where stored readings are read back, by callers who have a share of that each.

    All methods raise UnknownDevice, TooManyAtOnce, Overloaded, QueryTimeout, Unavailable.
    """

    async def page(
        self, devices: Sequence[str], metrics: Collection[str] | None, *, order: Order, limit: int, caller: str
    ) -> RowPage:
        """Return the first `limit` rows; metrics None means all."""
        ...

    def stream(
        self, devices: Sequence[str], metrics: Collection[str] | None, *, order: Order, caller: str
    ) -> AsyncGenerator[list[HistoryRow], None]:
        """Yield all rows, a few at a time."""
        ...

    async def buckets(
        self, devices: Sequence[str], metrics: Collection[str] | None, *, cut: Cut, wish: SeriesQuery, caller: str
    ) -> SeriesAnswer:
        """Return series cut into buckets. Raises TooManyBuckets, BadRequest."""
        ...

    async def chart(
        self, devices: Sequence[str], metrics: Collection[str] | None, *, span: Span, points: int, caller: str
    ) -> SeriesAnswer:
        """Return series thinned to at most so many points each. Raises BadRequest."""
        ...


class Letters(Protocol):
    """Where dead letters are read."""

    async def page(
        self, wanted: DeadLetterFilter, /, *, before: int | None = None, limit: int = 100
    ) -> list[StoredDeadLetter]:
        """Return letters, newest id first; large payloads are left out. Raises Unavailable, SinkFault."""
        ...

    async def find(self, letter_id: int) -> StoredDeadLetter:
        """Return one letter with its payload. Raises NotFound, Unavailable, SinkFault."""
        ...


class Trouble(msgspec.Struct, frozen=True):
    """Something that is not well in this worker, while readings may be taken in all the same."""

    part: str
    what: str
    """In an operator's words, with the way out."""
    since: str
    """RFC 3339, UTC: when it was first seen."""


class Health(msgspec.Struct, frozen=True):
    """Whether this worker may take traffic, and how each part is."""

    ready: bool
    parts: Mapping[str, Mapping[str, object]]
    """Part name → its facts, such as {"ok": true, "version": "17.2"}."""
    degraded: Sequence[Trouble] = ()
    """What is not well, whether or not traffic may come."""

    @property
    def status(self) -> Literal["ready", "degraded", "unready"]:
        """In one word."""
        if not self.ready:
            return "unready"
        return "degraded" if self.degraded else "ready"


class DeviceCounts(Protocol):
    """Where devices are counted."""

    async def count(self) -> DeviceCount | None:
        """Return the newest count that can be had soon, None if there never was one. Never raises."""
        ...
