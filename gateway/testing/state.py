"""In: stored blocks. Out: the newest message per device and shape, from a dict. Never used by a running gateway."""

from collections.abc import Sequence

from gateway.contracts import Newest
from gateway.errors import StateUnavailable
from gateway.model import Block


class MemoryState:
    """`contracts.LiveState` without Redis; while `away` is set every call raises StateUnavailable.

    Reads do so too unless `complete` is set, as it is at first.
    """

    def __init__(self) -> None:
        self._devices: dict[str, dict[int, Newest]] = {}
        self.removals: list[tuple[str, int]] = []
        self.away = False
        self.complete = True

    async def apply(self, blocks: Sequence[Block]) -> None:
        """Keep each message if it is not older than what is there. Raises StateUnavailable."""
        self._check()
        for block in blocks:
            for i, name in enumerate(block.names):
                self._keep(name, _to_entry(block, i), equal_wins=True)

    async def restore(self, messages: Sequence[tuple[str, Newest]]) -> None:
        """Keep each device's message if it is newer than what is there. Raises StateUnavailable."""
        self._check()
        for name, entry in messages:
            self._keep(name, entry, equal_wins=False)

    async def read(self, devices: Sequence[str]) -> list[list[Newest]]:
        """Return what is known of each device, in order. Raises StateUnavailable, also if not complete."""
        self._check()
        if not self.complete:
            raise StateUnavailable
        return [list(self._devices.get(device, {}).values()) for device in devices]

    async def times(self, devices: Sequence[str]) -> list[int | None]:
        """Return the time of each device's newest message. Raises StateUnavailable, also if not complete."""
        return [max([entry.time_us for entry in entries], default=None) for entries in await self.read(devices)]

    async def remove(self, devices: Sequence[str]) -> None:
        """Forget devices. Raises StateUnavailable."""
        self._check()
        for device in devices:
            self.forget(device)

    async def note_removal(self, device: str, device_id: int) -> None:
        """Note a removal. Raises StateUnavailable."""
        self._check()
        self.removals.append((device, device_id))

    async def ping(self) -> None:
        """Raise StateUnavailable while away."""
        self._check()

    def forget(self, device: str) -> None:
        """Lose a device, as a server that evicts does."""
        self._devices.pop(device, None)

    def _keep(self, name: str, entry: Newest, *, equal_wins: bool) -> None:
        entries = self._devices.setdefault(name, {})
        current = entries.get(entry.shape_id)
        newer = current is None or current.time_us < entry.time_us
        if newer or (equal_wins and current is not None and current.time_us == entry.time_us):
            entries[entry.shape_id] = entry

    def _check(self) -> None:
        if self.away:
            raise StateUnavailable


def _to_entry(block: Block, i: int) -> Newest:
    return Newest(
        int(block.shapes[i]),
        int(block.times[i]),
        tuple(block.doubles[i].tolist()),
        tuple(block.ints[i].tolist()),
        block.texts[i] if block.texts else (),
    )
