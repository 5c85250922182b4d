"""The newest values of devices: what keeps them, what tells them, and what they are made of."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from gateway.domain.devices import Tag
from gateway.domain.model import Block, Kind, Shape, Value

Reading = tuple[Value, int, Kind]
"""The newest value of a metric, its time (µs) and kind. Thousands at a time: a plain tuple is made in C."""


class DeviceState(NamedTuple):
    """The newest values of a device."""

    device: str
    metrics: Mapping[str, Reading]
    source: str
    """`redis` or `db`."""


class NewestTimes(NamedTuple):
    """When devices were last heard of."""

    newest: Mapping[str, int | None]
    """Device name → the time of its newest reading (µs), None if there is none."""
    source: str
    """`redis`, or `db` if the database had to be asked for any of them."""


class DeviceStates(Protocol):
    """Where the newest values of devices are read."""

    async def devices(self, names: Sequence[str]) -> Sequence[DeviceState | None]:
        """Return the states, in order, None where there is no such device. Raises Unavailable, SinkFault."""
        ...


class LastHeard(Protocol):
    """Who knows when devices were last heard of."""

    async def times(self, reported: Mapping[str, bool]) -> NewestTimes:
        """Return it for each of these devices; told is whether each ever was. Raises SinkUnavailable, SinkFault."""
        ...


class TagLookup(Protocol):
    """Which devices there are."""

    async def tagged(self, tags: Collection[Tag], *, limit: int) -> list[str]:
        """Return the first devices by name that carry all of these tags. Raises SinkUnavailable, SinkFault."""
        ...


class NewestMessage(NamedTuple):
    """A stored message as the state store keeps it: one per device and shape."""

    shape_id: int
    time_us: int
    doubles: tuple[float, ...]
    ints: tuple[int, ...]
    texts: tuple[str, ...]


class RemovableState(Protocol):
    """The newest state as the removal of devices sees it."""

    async def remove(self, devices: Sequence[str]) -> None:
        """Forget devices (at least one) that are no more. Raises StateUnavailable."""
        ...

    async def note_removal(self, device: str, device_id: int) -> None:
        """Note that this device was removed; nothing more on a second pass. Raises StateUnavailable."""
        ...


class LiveState(RemovableState, Protocol):
    """The newest message per device and shape. Derived: it can always be rebuilt from the database.

    It may lose a device at any moment, and knows of each whether it is whole: filled from the database, or given
    everything since. What is not whole is not told.
    """

    async def apply(self, blocks: Sequence[Block], *, later_wins: bool = True, spooled: bool = False) -> list[str]:
        """Keep each message if it is not older than what is there; atomic per call. Raises StateUnavailable.

        Of messages of equal times the later one given wins, or without `later_wins` the one that is there. `spooled`
        ones are not in the database yet: when they are given again as stored, that is no repeat. Returned are devices
        that were not there: until they are filled they are not whole.
        """
        ...

    async def claim(self, devices: Sequence[str], *, anew: bool = False) -> list[bytes]:
        """Say that devices are about to be read from the database to be filled; atomic per call.

        Returned is for each what `restore` wants, empty if it is whole. With `anew` what is there is forgotten first.
        Raises StateUnavailable.
        """
        ...

    async def restore(
        self, devices: Sequence[str], claims: Sequence[bytes], stored: Sequence[Sequence[NewestMessage]]
    ) -> int:
        """Fill devices with what was read since they were claimed, and return how many are whole now; atomic per call.

        What is there wins unless it is older. A device that was lost since its claim is left alone.
        Raises StateUnavailable.
        """
        ...

    async def read(self, devices: Sequence[str]) -> list[list[NewestMessage] | None]:
        """Return all that is known of each device, None of one that is not whole; in order, in one round trip.

        Raises StateUnavailable, also while the state is not known to be complete.
        """
        ...

    async def times(self, devices: Sequence[str]) -> list[int | None]:
        """Return the time (µs) of each device's newest message, in order, in one round trip; raises as `read`.

        None: it has none, or is not whole.
        """
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

    async def read(self, devices: Sequence[str]) -> list[list[NewestMessage]]:
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
