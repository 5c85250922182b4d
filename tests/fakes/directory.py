"""In: the registry as a test writes it. Out: the cards admission asks for, from memory. Never used by a gateway."""

from collections.abc import Callable, Collection

from gateway.core.errors import GatewayError, SinkUnavailable
from gateway.domain.contracts.ingest import DeviceCard
from gateway.domain.model import Shape

STRANGER_SECS = 1.0
"""How long a device that does not exist is remembered as such."""
LOOK_UPS = 5
"""How often a look-up starts again because its cards were dropped before they could be read."""


class MemoryDirectory:
    """`contracts.Directory` without a database.

    `add`, `set_enabled` and `report` write to the registry; a card shows it as it was when it was looked up, until
    `forget`. `looked_up` holds the names of each look-up, sorted. While `failure` is set every look-up raises it. Of
    more than `max_cards` cards all others are dropped.
    """

    def __init__(self, *, monotonic: Callable[[], float] = lambda: 0.0, max_cards: int = 200_000) -> None:
        self._monotonic = monotonic
        self._max_cards = max_cards
        self._enabled: dict[str, bool] = {}
        self._shapes: dict[str, list[Shape]] = {}
        self._cards: dict[str, DeviceCard] = {}
        self._strangers: dict[str, tuple[DeviceCard, float]] = {}
        self._expected: set[str] = set()
        self.looked_up: list[list[str]] = []
        self.failure: GatewayError | None = None

    @property
    def registered(self) -> int:
        """How many devices there are, or are going to be."""
        return len(self._enabled.keys() | self._expected)

    def is_expected(self, device: str) -> bool:
        """Whether `expect` was called for it."""
        return device in self._expected

    def expect(self, device: str) -> None:
        """Note that a device is going to be made by what it sends."""
        self._expected.add(device)

    def add(self, *devices: str) -> None:
        """Register devices."""
        self._enabled.update(dict.fromkeys(devices, True))

    def set_enabled(self, device: str, *, enabled: bool) -> None:
        """Enable or disable a registered device."""
        self._enabled[device] = enabled

    def report(self, device: str, shape: Shape) -> None:
        """Store that a registered device has sent a message of this shape."""
        self._shapes.setdefault(device, []).append(shape)

    def card(self, device: str) -> DeviceCard | None:
        """Return what is cached; None means: look it up."""
        card = self._cards.get(device)
        if card is None and device in self._strangers:
            stranger, until = self._strangers[device]
            return stranger if self._monotonic() < until else None
        return card

    async def look_up(self, devices: Collection[str]) -> None:
        """Load the cards of these devices. Raises `failure`, and SinkUnavailable if they cannot all be kept."""
        for _ in range(LOOK_UPS):
            self.looked_up.append(sorted(devices))
            if self.failure is not None:
                raise self.failure
            self._load(devices)
            if all(self.card(device) is not None for device in devices):
                return
        raise SinkUnavailable("the registry changes faster than it can be read; try again")

    def forget(self, devices: Collection[str] | None) -> None:
        """Look these devices (None: all) up again: they were changed."""
        for device in list(self._enabled if devices is None else devices):
            self._cards.pop(device, None)
        for device in list(self._strangers if devices is None else devices):
            self._strangers.pop(device, None)

    def _load(self, devices: Collection[str]) -> None:
        if len(self._cards) + len(devices) > self._max_cards:
            self._cards.clear()
        for device in devices:
            if device not in self._enabled:
                self._strangers[device] = (DeviceCard(known=False), self._monotonic() + STRANGER_SECS)
                continue
            card = self._cards[device] = DeviceCard(enabled=self._enabled[device])
            for shape in self._shapes.get(device, ()):
                card.note(shape)
