"""In: stored blocks. Out: the newest message per device and shape, from a dict. Never used by a running gateway."""

from collections.abc import Sequence

from gateway.contracts import Newest
from gateway.errors import StateUnavailable
from gateway.model import Block


class MemoryState:
    """`contracts.LiveState` without Redis; while `away` is set every call raises StateUnavailable."""

    def __init__(self) -> None:
        self._devices: dict[str, dict[int, Newest]] = {}
        self.away = False

    async def apply(self, blocks: Sequence[Block]) -> None:
        """Keep each message if it is not older than what is there. Raises StateUnavailable."""
        self._check()
        for block in blocks:
            for i, name in enumerate(block.names):
                entry = _to_entry(block, i)
                entries = self._devices.setdefault(name, {})
                current = entries.get(entry.shape_id)
                if current is None or current.time_us <= entry.time_us:
                    entries[entry.shape_id] = entry

    async def read(self, devices: Sequence[str]) -> list[list[Newest]]:
        """Return what is known of each device, in order. Raises StateUnavailable."""
        self._check()
        return [list(self._devices.get(device, {}).values()) for device in devices]

    async def ping(self) -> None:
        """Raise StateUnavailable while away."""
        self._check()

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
