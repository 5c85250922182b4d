"""In: stored blocks. Out: the newest message per device and shape, from a dict. Never used by a running gateway."""

from collections.abc import Sequence

from gateway.core.errors import StateUnavailable
from gateway.domain.contracts.newest import NewestMessage
from gateway.domain.model import Block


class MemoryState:
    """`contracts.LiveState` without Redis; while `away` is set every call raises StateUnavailable.

    Reads do so too unless `complete` is set, as it is at first.
    """

    def __init__(self) -> None:
        self._devices: dict[str, dict[int, NewestMessage]] = {}
        self.removals: list[tuple[str, int]] = []
        self._marks: dict[str, bytes] = {}
        """Who claims to fill a device; empty: it is whole."""
        self._claims = 0
        self.spooled: set[str] = set()
        """Devices of which something was shown from a spool."""
        self.away = False
        self.complete = True

    async def apply(self, blocks: Sequence[Block], *, later_wins: bool = True, spooled: bool = False) -> list[str]:
        """Keep what is not older than what is there; return devices that were not there. Raises StateUnavailable."""
        self._check()
        part: dict[str, None] = {}
        if spooled:
            self.spooled.update(name for block in blocks for name in block.names)
        for block in blocks:
            for i, name in enumerate(block.names):
                entry = _to_entry(block, i)
                if name not in self._marks and entry.shape_id not in self._devices.get(name, {}):
                    part[name] = None
                self._keep(name, entry, equal_wins=later_wins)
        return list(part)

    async def claim(self, devices: Sequence[str], *, anew: bool = False) -> list[bytes]:
        """Say that devices are about to be read to be filled; `anew` forgets them first. Raises StateUnavailable."""
        self._check()
        self._claims += 1
        found = []
        for device in devices:
            if anew:
                self.forget(device)
            found.append(self._marks.setdefault(device, b"%d" % self._claims))
            self._devices.setdefault(device, {})
        return found

    async def restore(
        self, devices: Sequence[str], claims: Sequence[bytes], stored: Sequence[Sequence[NewestMessage]]
    ) -> int:
        """Fill devices unless they were lost since they were claimed; return how many. Raises StateUnavailable."""
        self._check()
        whole = 0
        for device, claim, messages in zip(devices, claims, stored, strict=True):
            if claim and self._marks.get(device) == claim:
                self._marks[device] = b""
                whole += 1
                for message in messages:
                    self._keep(device, message, equal_wins=False)
        return whole

    async def read(self, devices: Sequence[str]) -> list[list[NewestMessage] | None]:
        """Return all that is known of each device, None if it is not whole. Raises StateUnavailable."""
        self._check()
        if not self.complete:
            raise StateUnavailable
        return [self.held(device) if self._marks.get(device) == b"" else None for device in devices]

    async def times(self, devices: Sequence[str]) -> list[int | None]:
        """Return the time of each device's newest message. Raises StateUnavailable, also if not complete."""
        return [max([entry.time_us for entry in entries or ()], default=None) for entries in await self.read(devices)]

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

    def held(self, device: str) -> list[NewestMessage]:
        """Return what is there of a device, be it whole or not."""
        return list(self._devices.get(device, {}).values())

    def forget(self, device: str) -> None:
        """Lose a device, as a server that evicts does."""
        self._devices.pop(device, None)
        self._marks.pop(device, None)

    def _keep(self, name: str, entry: NewestMessage, *, equal_wins: bool) -> None:
        entries = self._devices.setdefault(name, {})
        current = entries.get(entry.shape_id)
        newer = current is None or current.time_us < entry.time_us
        if newer or (equal_wins and current is not None and current.time_us == entry.time_us):
            entries[entry.shape_id] = entry

    def _check(self) -> None:
        if self.away:
            raise StateUnavailable


def _to_entry(block: Block, i: int) -> NewestMessage:
    return NewestMessage(
        int(block.shapes[i]),
        int(block.times[i]),
        tuple(block.doubles[i].tolist()),
        tuple(block.ints[i].tolist()),
        block.texts[i] if block.texts else (),
    )
