"""The registry as admission sees it: cards of devices, cached, looked up in one round trip by all who ask at once."""

import asyncio
from collections.abc import Callable, Collection

from gateway.contracts import Card
from gateway.timescale.dictionary import Dictionary
from gateway.timescale.pool import Pool
from gateway.timescale.queries import query

MAX_CARDS = 200_000
"""Cards kept, about 1 KiB each."""
MAX_STRANGERS = 100_000
"""Names known not to exist, kept for STRANGER_SECS."""
STRANGER_SECS = 1.0
LOOK_UP_ROWS = 10_000
"""Names sent in one statement."""


class TimescaleDirectory:
    """`contracts.Directory` on the database."""

    def __init__(self, pool: Pool, dictionary: Dictionary, *, monotonic: Callable[[], float]) -> None:
        self._pool = pool
        self._dictionary = dictionary
        self._monotonic = monotonic
        self._cards: dict[str, Card] = {}
        self._strangers: dict[str, tuple[Card, float]] = {}
        self._wanted: set[str] = set()
        self._flight: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._generation = 0

    def card(self, device: str) -> Card | None:
        """Return what is cached; None means: look it up."""
        card = self._cards.get(device)
        if card is None and device in self._strangers:
            stranger, until = self._strangers[device]
            return stranger if self._monotonic() < until else None
        return card

    async def look_up(self, devices: Collection[str]) -> None:
        """Load the cards of these devices. Raises SinkUnavailable, SinkFault."""
        self._wanted.update(devices)
        if self._flight is None:
            self._flight = asyncio.create_task(self._fly(), name="directory.look_up")
        await asyncio.shield(self._flight)

    def forget(self, devices: Collection[str] | None) -> None:
        """Look these devices (None: all) up again: they were changed."""
        self._generation += 1
        if devices is None:
            self._cards.clear()
            return
        for device in devices:
            self._cards.pop(device, None)

    async def _fly(self) -> None:
        """Take all names wanted by the time the look-up before this one is back."""
        async with self._turn:
            wanted, self._wanted, self._flight = list(self._wanted), set(), None
            for start in range(0, len(wanted), LOOK_UP_ROWS):
                await self._load(wanted[start : start + LOOK_UP_ROWS])

    async def _load(self, names: list[str]) -> None:
        generation = self._generation
        async with self._pool.connection() as connection:
            rows = await connection.fetch(query("device_cards"), names)
        shapes = await self._dictionary.shapes({i for row in rows for i in row["shape_ids"]})
        self._make_room(len(names))
        for row in rows:
            card = Card(enabled=row["enabled"])
            for shape_id in row["shape_ids"]:
                card.note(shapes[shape_id])
            self._keep(row["name"], card, fresh=generation == self._generation)
            self._dictionary.remember_device(row["name"], row["id"])
        for name in set(names) - {row["name"] for row in rows}:
            self._strangers[name] = (Card(known=False), self._monotonic() + STRANGER_SECS)

    def _keep(self, name: str, card: Card, *, fresh: bool) -> None:
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
