"""Listing of devices, with when each was last heard of. Bounded work a call, never writes.

The registry chooses by name, tags and `enabled`; by age only what has been read can be chosen, so a page may be short.
"""

from collections.abc import Callable
from typing import NamedTuple

from gateway.core.clock import Clock
from gateway.domain.contracts.newest import LastHeard
from gateway.domain.devices import MAX_PAGE, Age, Device, DeviceFilter, LastSeen
from gateway.timescale.registry.devices import DeviceRegistry

MAX_SCANNED = 20_000
"""Devices that one call looks at."""
MAX_SECS = 3.0
"""After this a call goes no further and leaves the rest to the next page."""


class Listed(NamedTuple):
    """A page."""

    devices: list[LastSeen]
    last: str | None
    """The name after which the next page begins; None: there is none."""
    source: str


class CountStep(NamedTuple):
    """A step of counting devices."""

    devices: int
    """Those that are enabled."""
    offline: int
    """Those of them that are offline."""
    last: str | None
    """The name after which the next step begins; None: it was the last one."""


class DeviceListing:
    """Lists devices."""

    def __init__(
        self,
        devices: DeviceRegistry,
        last_heard: LastHeard,
        *,
        clock: Clock,
        monotonic: Callable[[], float],
        offline_after_secs: int,
    ) -> None:
        self._registry = devices
        self._last_heard = last_heard
        self._clock = clock
        self._monotonic = monotonic
        self.offline_after_secs = offline_after_secs

    async def one(self, device: Device) -> LastSeen:
        """Return when a device was last heard of. Raises SinkUnavailable, SinkFault."""
        heard = await self._last_heard.times({device.name: device.reported})
        return LastSeen(device, heard.newest[device.name])

    async def page(self, wanted: DeviceFilter, age: Age, *, after: str, limit: int) -> Listed:
        """Return up to `limit` devices, 1 … 1000, by name. Raises BadRequest, SinkUnavailable, SinkFault.

        Where devices are chosen by age it stops after 20,000 of them, or three seconds.
        """
        if not age.is_asked:
            return await self._next(wanted, after=after, limit=limit)
        until = self._monotonic() + MAX_SECS
        found: list[LastSeen] = []
        source, last = "redis", after
        for _ in range(MAX_SCANNED // MAX_PAGE):
            page = await self._next(wanted, after=last, limit=MAX_PAGE)
            source = page.source if page.source == "db" else source
            fitting = [seen for seen in page.devices if self._fits(seen, age)]
            found += fitting
            if len(found) > limit:
                return Listed(found[:limit], found[limit - 1].device.name, source)
            if page.last is None:
                return Listed(found, None, source)
            last = page.last
            if len(found) == limit or self._monotonic() > until:
                break
        return Listed(found, last, source)

    async def count(self, *, after: str = "") -> CountStep:
        """Count up to 1000 enabled devices that come after this name. Raises SinkUnavailable, SinkFault."""
        page = await self._next(DeviceFilter(enabled=True), after=after, limit=MAX_PAGE)
        offline = [seen for seen in page.devices if self._fits(seen, Age(offline=True))]
        return CountStep(len(page.devices), len(offline), page.last)

    async def _next(self, wanted: DeviceFilter, *, after: str, limit: int) -> Listed:
        found = await self._registry.page(wanted, after=after, limit=limit + 1)
        devices = found[:limit]
        if not devices:
            return Listed([], None, "redis")
        heard = await self._last_heard.times({device.name: device.reported for device in devices})
        last = devices[-1].name if len(found) > limit else None
        return Listed([LastSeen(device, heard.newest[device.name]) for device in devices], last, heard.source)

    def _fits(self, seen: LastSeen, age: Age) -> bool:
        return seen.fits(age, now_us=self._clock.now_us(), offline_after_secs=self.offline_after_secs)
