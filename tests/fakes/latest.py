"""In: a sink in memory. Out: the newest message per device and shape of what it holds. Never used by a gateway."""

from collections.abc import Sequence

from gateway.core.errors import GatewayError
from gateway.domain.contracts.newest import DevicePage, NewestMessage
from gateway.domain.model import Metric, Value
from tests.fakes.sink import Key, MemorySink


class MemoryNewest:
    """`contracts.NewestStored` over a MemorySink. While `failure` is set every call raises it."""

    def __init__(self, sink: MemorySink) -> None:
        self._sink = sink
        self.failure: GatewayError | None = None
        self.reads: list[list[str]] = []
        """The devices of each read."""

    async def read(self, devices: Sequence[str]) -> list[list[NewestMessage]]:
        """Return what is stored of each device, in order. Raises `failure`."""
        self.reads.append(list(devices))
        newest = self._newest()
        return [[message for (name, _), message in newest.items() if name == device] for device in devices]

    async def times(self, devices: Sequence[str]) -> list[int | None]:
        """Return the time of each device's newest message. Raises `failure`."""
        return [max([entry.time_us for entry in entries], default=None) for entries in await self.read(devices)]

    async def count(self) -> int:
        """Return how many series there are. Raises `failure`."""
        return len(self._newest())

    async def page(self, after: int, *, size: int) -> DevicePage:
        """Return devices that follow `after` with about `size` series. Raises `failure`."""
        names = list(dict.fromkeys(key.device for key in self._sink.messages))
        series = sorted(names.index(name) + 1 for name, _ in self._newest())
        page = [number for number in series if number > after][:size]
        found = sorted(set(page))
        return DevicePage([names[number - 1] for number in found], len(page), found[-1] if found else after)

    def _newest(self) -> dict[tuple[str, int], NewestMessage]:
        if self.failure is not None:
            raise self.failure
        found: dict[tuple[str, int], NewestMessage] = {}
        for key in sorted(self._sink.messages, key=lambda key: key.time_us):
            entry = _to_newest(self._sink.shape_id(key.shape), key, self._sink.messages[key])
            found[key.device, entry.shape_id] = entry
        return found


def _to_newest(shape_id: int, key: Key, values: dict[Metric, Value]) -> NewestMessage:
    doubles, ints, texts = (
        tuple(values[metric] for metric in column) for column in (key.shape.doubles, key.shape.ints, key.shape.texts)
    )
    return NewestMessage(
        shape_id, key.time_us, tuple(map(float, doubles)), tuple(map(int, ints)), tuple(map(str, texts))
    )
