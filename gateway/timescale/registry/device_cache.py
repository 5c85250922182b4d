"""Cache of devices as admission sees them: cards, looked up in one round trip by all who ask at once."""

import asyncio
from collections.abc import Callable, Collection

from gateway.core.errors import SinkUnavailable
from gateway.core.single_flight import SingleFlight
from gateway.domain.contracts.ingest import DeviceCard
from gateway.timescale.connections.pool import Pool
from gateway.timescale.queries import query
from gateway.timescale.write.name_ids import Dictionary

MAX_CARDS = 200_000
"""Cards kept, about 1 KiB each."""
MAX_STRANGERS = 100_000
"""Names known not to exist, kept for STRANGER_SECS."""
STRANGER_SECS = 1.0
LOOK_UP_ROWS = 10_000
"""Names sent in one statement."""
MAX_EXPECTED = 100_000
"""Names of devices that are about to be made."""
COUNT_SECS = 5.0
"""How long a count of all devices is good for; it is asked for when one is looked up that does not exist."""
LOOK_UPS = 5
"""How often a look-up starts again because its cards were dropped before they could be read."""


class TimescaleDirectory:
    """`contracts.Directory` on the database."""

    def __init__(self, pool: Pool, dictionary: Dictionary, *, monotonic: Callable[[], float]) -> None:
        self._pool = pool
        self._dictionary = dictionary
        self._monotonic = monotonic
        self._cards: dict[str, DeviceCard] = {}
        self._strangers: dict[str, tuple[DeviceCard, float]] = {}
        self._wanted: set[str] = set()
        self._look_ups = SingleFlight[None, None]("directory.look_up")
        """The one that still takes names waits for the one before it."""
        self._turn = asyncio.Lock()
        self._generation = 0
        self._counted = 0
        self._count_until = 0.0
        self._expected: set[str] = set()

    @property
    def registered(self) -> int:
        """How many devices there are, as last counted, with those that are expected."""
        return self._counted + len(self._expected)

    def is_expected(self, device: str) -> bool:
        """Whether it was expected since the last count."""
        return device in self._expected

    def expect(self, device: str) -> None:
        """Note that a device is going to be made by what it sends."""
        if len(self._expected) >= MAX_EXPECTED:  # the database is away, or slow: names are not kept for ever
            self._counted += len(self._expected)
            self._expected.clear()
        self._expected.add(device)

    def card(self, device: str) -> DeviceCard | None:
        """Return what is cached; None means: look it up."""
        card = self._cards.get(device)
        if card is None and device in self._strangers:
            stranger, until = self._strangers[device]
            return stranger if self._monotonic() < until else None
        return card

    async def look_up(self, devices: Collection[str]) -> None:
        """Load the cards of these devices. Raises SinkUnavailable, SinkFault.

        On return `card` knows each of them: the caller must read the cards before it waits for anything else.
        """
        for _ in range(LOOK_UPS):
            self._wanted.update(devices)
            await self._look_ups.do(None, self._look_up)
            if all(self.card(device) is not None for device in devices):
                return
        raise SinkUnavailable("the registry changes faster than it can be read; try again")

    def forget(self, devices: Collection[str] | None) -> None:
        """Look these devices (None: all) up again: they were changed."""
        self._generation += 1
        if devices is None:
            self._cards.clear()
            self._strangers.clear()
            return
        for device in devices:
            self._cards.pop(device, None)
            self._strangers.pop(device, None)

    async def _look_up(self) -> None:
        """Take all names wanted by the time the look-up before this one is back."""
        async with self._turn:
            self._look_ups.leave(None)
            wanted, self._wanted = list(self._wanted), set()
            for start in range(0, len(wanted), LOOK_UP_ROWS):
                await self._load(wanted[start : start + LOOK_UP_ROWS])

    async def _load(self, names: list[str]) -> None:
        generation = self._generation
        async with self._pool.connection() as connection:
            rows = await connection.fetch(query("device_cards"), names)
            if len(rows) < len(names) and self._monotonic() >= self._count_until:
                self._counted = await connection.fetchval(query("count_devices"))
                self._count_until = self._monotonic() + COUNT_SECS
                self._expected.clear()
        shapes = await self._dictionary.shapes({i for row in rows for i in row["shape_ids"]})
        self._make_room(len(names))
        for row in rows:
            card = DeviceCard(enabled=row["enabled"])
            for shape_id in row["shape_ids"]:
                if shape_id in shapes:
                    card.note(shapes[shape_id])
            fresh = generation == self._generation
            self._keep(row["name"], card, fresh=fresh)
            if fresh:
                self._dictionary.remember_device(row["name"], row["id"])
        for name in set(names) - {row["name"] for row in rows}:
            self._strangers[name] = (DeviceCard(known=False), self._monotonic() + STRANGER_SECS)

    def _keep(self, name: str, card: DeviceCard, *, fresh: bool) -> None:
        """Cache a card; one that may have been changed while it was read serves the callers waiting, for a moment."""
        if fresh:
            self._strangers.pop(name, None)
            self._cards[name] = card
        else:
            self._strangers[name] = (card, self._monotonic() + STRANGER_SECS)

    def _make_room(self, coming: int) -> None:
        if len(self._cards) + coming > MAX_CARDS:
            self._cards.clear()
        if len(self._strangers) + coming > MAX_STRANGERS:
            self._strangers.clear()
