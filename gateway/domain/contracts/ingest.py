"""The path of a reading: who sends it, what takes it in, where it becomes durable or waits, and what keeps the rest."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from gateway.domain.dead_letters import DeadLetter
from gateway.domain.model import Batch, Block, Metric, Outcome, Receipt, Shape
from gateway.domain.principal import Grant, Principal

Charge = Callable[[int], Awaitable[bool]]
"""Told how many readings a body holds before any is stored; may wait or raise; returns whether they are backfill."""


class PendingBody(Protocol):
    """A body that was taken in and waits for its COMMIT. `receipt` or `abandon` is called, once, when it is `done`."""

    @property
    def ticket(self) -> "asyncio.Future[Any]":
        """Done after COMMIT; cancelled by whoever does not wait for it any more."""
        ...

    @property
    def is_clean(self) -> bool:
        """Whether all of it is stored, once the ticket is done: then `receipt` raises nothing and lists nothing."""
        ...

    def receipt(self) -> Receipt:
        """Return or raise what `Intake.take` returns or raises."""
        ...

    def abandon(self) -> None:
        """Close the accounts of a body whose sender is gone."""
        ...


class Intake(Protocol):
    """Where bodies with readings go, whoever brings them."""

    def at_once(self, body: bytes, *, principal: Principal, device: str | None, source: str) -> PendingBody | None:
        """Take in a body that needs no waiting; None: `take` it. Never raises."""
        ...

    async def take(
        self,
        body: bytes,
        *,
        principal: Principal,
        device: str | None,
        source: str,
        received_us: int | None = None,
        charge: Charge | None = None,
    ) -> Receipt:
        """Return once every reading is committed or refused.

        `received_us` is when the body first came, for readings without a time of their own; default: now.
        Raises a GatewayError; one with `retry_after` means: the same body may pass later.
        """
        ...


HoldBack = Callable[[float], Awaitable[None]]
"""Returns after so many seconds, or before, if there is need."""


class Authenticator(Protocol):
    """Authorization headers → principals."""

    def principal(self, header: str | None) -> Principal | None:
        """Return who is calling if that is cached, at once."""
        ...

    def still(self, header: str | None, principal: Principal) -> bool | None:
        """Whether the header means this principal as before; None: that is not known any more, ask `authenticate`."""
        ...

    async def authenticate(
        self, header: str | None, address: str = "", *, hold_back: HoldBack = asyncio.sleep
    ) -> Principal:
        """Return who is calling, from this address; `hold_back` is what a refusal waits by, if there are many.

        Raises Unauthorized, or Unavailable, SinkFault if it cannot be told now.
        """
        ...

    def unheard_secs(self, header: str | None) -> float:
        """For how many seconds a change of this credential could not have been heard of; 0 of one that has none."""
        ...


class Written(NamedTuple):
    """What a sink did with a group of batches."""

    outcomes: list[Outcome]
    """One for each batch, in order."""
    newest: list[Block]
    """The newest stored message per device and shape, for the live state."""


class Sink(Protocol):
    """Where batches become durable."""

    async def write(self, group: Sequence[Batch], *, atomic: bool = False) -> Written:
        """Return after COMMIT. Safe to call concurrently; the same batch again is absorbed as duplicates.

        With `atomic` (a group of one batch) a conflict or a rejected message leaves nothing stored: `stored` is 0.
        Messages that the database refuses for their data are dead-lettered and named in the outcome.
        Raises SinkUnavailable if the same batch may succeed later, SinkFault if an operator must act first.
        """
        ...


class DeviceCard:
    """What admission must know of one device: whether it may write, and what it has reported so far."""

    __slots__ = ("enabled", "known", "metrics", "shapes")

    def __init__(self, *, known: bool = True, enabled: bool = True) -> None:
        self.known = known
        self.enabled = enabled
        self.metrics: set[Metric] = set()
        self.shapes: set[Shape] = set()

    def note(self, shape: Shape) -> None:
        """Remember that the device reports this shape."""
        self.shapes.add(shape)
        self.metrics.update(shape.metrics)


class Directory(Protocol):
    """The registry as admission sees it: a bounded cache in front of the database."""

    def card(self, device: str) -> DeviceCard | None:
        """Return what is cached; None means: look it up."""
        ...

    @property
    def registered(self) -> int:
        """How many devices there are, as last counted, with those that are expected; 0 if it was never counted."""
        ...

    def is_expected(self, device: str) -> bool:
        """Whether `expect` was called for it since the last count."""
        ...

    def expect(self, device: str) -> None:
        """Note that a device is going to be made by what it sends."""
        ...

    async def look_up(self, devices: Collection[str]) -> None:
        """Load the cards of these devices, in one round trip shared by all who ask at the same time.

        A device that does not exist gets a card with known=False for a second. Raises SinkUnavailable.
        """
        ...


class Credentials(Protocol):
    """Where hashed tokens are kept."""

    async def find(self, digests: Collection[bytes]) -> Mapping[bytes, Grant]:
        """Return who presents the tokens with these SHA-256 digests, in one question; those that are valid alone.

        Raises SinkUnavailable, SinkFault.
        """
        ...


class DeadLetters(Protocol):
    """Where refused items are kept to look at."""

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Return after COMMIT. What is kept already, or is too much, may be counted instead. Raises SinkUnavailable."""
        ...


class Spooled(NamedTuple):
    """A batch that waits on disk."""

    id: int
    batch: Batch


class Spool(Protocol):
    """Where batches wait while the sink cannot be reached. Names, not ids: it means the same to any gateway."""

    async def append(self, batches: Sequence[Batch]) -> None:
        """Return when all of them are on disk (fsync). Raises SpoolFull (nothing of them is kept), SpoolFault."""
        ...

    async def oldest(self, max_rows: int, *, skip: Collection[int] = ()) -> list[Spooled]:
        """Return the oldest batches, at least one if there is any, else as many as hold `max_rows` messages.

        Those with the ids `skip` are passed over.
        """
        ...

    async def remove(self, ids: Sequence[int]) -> None:
        """Forget batches that are stored now."""
        ...

    @property
    def rows(self) -> int:
        """Messages that wait."""
        ...

    @property
    def size(self) -> int:
        """Bytes on disk, counted against spool.max_bytes."""
        ...

    @property
    def oldest_us(self) -> int | None:
        """When the oldest batch was appended (µs since 1970 UTC); None if nothing waits."""
        ...

    async def set_aside(self, number: int, why: str) -> None:
        """Take a batch out of the line that can neither be stored nor buried, and keep it. Raises SpoolFault."""
        ...
