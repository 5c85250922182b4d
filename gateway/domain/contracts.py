"""The joints where stages meet. Each has two implementations that pass one suite: the real one, and `testing`."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from gateway.domain.dead_letters import DeadLetter
from gateway.domain.model import Batch, Block, Metric, Outcome, Shape
from gateway.domain.principal import Principal


class Clock(Protocol):
    """Time, as an argument."""

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        ...


class Written(NamedTuple):
    """What a sink did with a group of batches."""

    outcomes: list[Outcome]
    """One for each batch, in order."""
    newest: list[Block]
    """The newest stored message per device and shape, for the live state."""


Toll = Callable[[int], Awaitable[bool]]
"""Told how many readings a body holds before any is stored; may wait or raise; returns whether they are backfill."""


class Sink(Protocol):
    """Where batches become durable."""

    async def write(self, group: Sequence[Batch], *, atomic: bool = False) -> Written:
        """Return after COMMIT. Safe to call concurrently; the same batch again is absorbed as duplicates.

        With `atomic` (a group of one batch) a conflict or a rejected message leaves nothing stored: `stored` is 0.
        Messages that the database refuses for their data are dead-lettered and named in the outcome.
        Raises SinkUnavailable if the same batch may succeed later, SinkFault if an operator must act first.
        """
        ...


class Card:
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

    def card(self, device: str) -> Card | None:
        """Return what is cached; None means: look it up."""
        ...

    async def look_up(self, devices: Collection[str]) -> None:
        """Load the cards of these devices, in one round trip shared by all who ask at the same time.

        A device that does not exist gets a card with known=False for a second. Raises SinkUnavailable.
        """
        ...


class Newest(NamedTuple):
    """A stored message as the state store keeps it: one per device and shape."""

    shape_id: int
    time_us: int
    doubles: tuple[float, ...]
    ints: tuple[int, ...]
    texts: tuple[str, ...]


class LiveState(Protocol):
    """The newest message per device and shape. Derived: it can always be rebuilt from the database.

    It may lose a device at any moment, and knows of each whether it is whole: filled from the database, or given
    everything since. What is not whole is not told.
    """

    async def apply(self, blocks: Sequence[Block], *, later_wins: bool = True) -> list[str]:
        """Keep each message if it is not older than what is there; atomic per call. Raises StateUnavailable.

        Of messages of equal times the later one given wins, or without `later_wins` the one that is there. Returned are
        devices that were not there: until they are filled they are not whole.
        """
        ...

    async def claim(self, devices: Sequence[str], *, anew: bool = False) -> list[bytes]:
        """Say that devices are about to be read from the database to be filled; atomic per call.

        Returned is for each what `restore` wants, empty if it is whole. With `anew` what is there is forgotten first.
        Raises StateUnavailable.
        """
        ...

    async def restore(self, devices: Sequence[str], claims: Sequence[bytes], stored: Sequence[Sequence[Newest]]) -> int:
        """Fill devices with what was read since they were claimed, and return how many are whole now; atomic per call.

        What is there wins unless it is older. A device that was lost since its claim is left alone.
        Raises StateUnavailable.
        """
        ...

    async def read(self, devices: Sequence[str]) -> list[list[Newest] | None]:
        """Return all that is known of each device, None of one that is not whole; in order, in one round trip.

        Raises StateUnavailable, also while the state is not known to be complete.
        """
        ...

    async def times(self, devices: Sequence[str]) -> list[int | None]:
        """Return the time (µs) of each device's newest message, in order, in one round trip; raises as `read`.

        None: it has none, or is not whole.
        """
        ...

    async def remove(self, devices: Sequence[str]) -> None:
        """Forget devices (at least one) that are no more. Raises StateUnavailable."""
        ...


class DevicePage(NamedTuple):
    """Some of the devices that have reported."""

    devices: list[str]
    looked_at: int
    """Series (a shape of a device) they have, of the last one perhaps not all; 0 after the last page."""
    last: int
    """Where the next page begins."""


class NewestStored(Protocol):
    """The newest message per device and shape, from the database: slower than the live state, and always right."""

    async def read(self, devices: Sequence[str]) -> list[list[Newest]]:
        """Return what is stored of each device, in order, in one bounded query. Raises SinkUnavailable, SinkFault."""
        ...

    async def times(self, devices: Sequence[str]) -> list[int | None]:
        """Return the time (µs) of each device's newest message, in order. Raises SinkUnavailable, SinkFault."""
        ...

    async def count(self) -> int:
        """Return how many series there are. Raises SinkUnavailable, SinkFault."""
        ...

    async def page(self, after: int, *, size: int) -> DevicePage:
        """Return devices that follow `after`, 0 before the first, with about `size` series: one device at least.

        Raises SinkUnavailable, SinkFault.
        """
        ...


class ShapeBook(Protocol):
    """Shape ids → shapes."""

    async def shapes(self, ids: Collection[int]) -> Mapping[int, Shape]:
        """Return the shapes that exist, from the cache or in one round trip. Raises SinkUnavailable."""
        ...


class Credentials(Protocol):
    """Where hashed tokens are kept."""

    async def find(self, digest: bytes) -> tuple[Principal, int | None] | None:
        """Return who presents the token with this SHA-256 digest and when it expires (µs), if it is valid.

        Raises SinkUnavailable.
        """
        ...


class DeadLetters(Protocol):
    """Where refused items are kept to look at."""

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Return after COMMIT. An item that is kept already may be counted instead. Raises SinkUnavailable."""
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


class Kept(NamedTuple):
    """The answer to a request, or with status 0 the claim of one that is still running."""

    fingerprint: bytes
    """32 bytes, of the whole request."""
    status: int
    body: bytes
    since_us: int = 0
    """When its key was claimed, on the clock of whoever keeps it."""


class Claim(NamedTuple):
    """The right to answer under a key, until it runs out: nobody else's calls can undo it."""

    fingerprint: bytes
    owner: bytes
    """Random."""
    since_us: int


class Receipts(Protocol):
    """Answers by idempotency key, for a while. A loss costs nothing but a repeated body that is taken in again.

    All methods raise StateUnavailable.
    """

    async def claim(self, key: str, fingerprint: bytes) -> Kept | Claim:
        """Return what is kept, or a claim: the caller goes on."""
        ...

    async def renew(self, key: str, claim: Claim) -> None:
        """Let a claim run out later. Without effect if the key is somebody else's by now, as in what follows."""
        ...

    async def keep(self, key: str, claim: Claim, kept: Kept) -> None:
        """Keep an answer in place of the claim."""
        ...

    async def release(self, key: str, held: Claim | Kept) -> None:
        """Give up a claim, since nothing was answered that could be repeated, or an answer that holds no more."""
        ...

    async def removed(self, devices: Collection[str], *, since_us: int) -> bool:
        """Return whether one of these devices was removed since then."""
        ...
