"""Admission of messages, by device, name, clock and limits. Waits only when a device was never seen before.

What passed once is remembered as (device, layout) pairs. A batch made of known pairs with sane clocks is let through by
three C-speed calls, whatever its size; everything else is checked message by message.
"""

from collections.abc import Iterable

import numpy as np

from gateway.core import settings
from gateway.core.durations import DAY_US, SECOND_US
from gateway.core.errors import SinkUnavailable
from gateway.core.slices import Slices
from gateway.domain.contracts.ingest import Directory
from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch, Decoded
from gateway.domain.names import DEVICE_NAME
from gateway.domain.principal import Principal
from gateway.domain.refusals import LISTED
from gateway.ingest.admission.newcomers import Newcomers
from gateway.ingest.admission.rules import AdmissionRules

MAX_PAIRS = 1_000_000
"""Known pairs kept; beyond it they are learned anew."""
SMALL = 32
"""Below this many messages plain Python beats numpy."""


class Admission:
    """What passed before, and the rules. One per worker."""

    def __init__(
        self,
        directory: Directory,
        layouts: Layouts,
        *,
        devices: settings.DeviceSettings,
        clock: settings.ClockSettings,
        retention: settings.RetentionSettings,
        share: int = 1,
    ) -> None:
        """`share` is the number of workers."""
        self._newcomers = Newcomers(directory, devices, share=share)
        self._directory = directory
        self._layouts = layouts
        self._devices = devices
        self._clock = clock
        self._retention = retention
        self.slices = Slices()
        """What the intake does its long work in, too."""
        self._forgotten = 0
        """How often `forget` was called: what was judged before must not be remembered."""
        self._known: set[tuple[str, int]] = set()
        self._table = layouts.table
        """What the numbers in `_known` refer to."""

    def passes(self, principal: Principal, batch: Batch, now_us: int) -> bool:
        """Whether the whole batch may come in as it is, told from memory alone. False means: sift it."""
        if not batch.devices:
            return True
        if batch.table is not self._table:
            return False
        if not principal.writes_any and not all(map(principal.may_write, batch.devices)):
            return False
        earliest, latest = _span(batch)
        if (
            latest > now_us + self._clock.max_ahead_secs * SECOND_US
            or earliest < now_us - self._retention.days * DAY_US
        ):
            return False
        return self._known.issuperset(zip(batch.devices, batch.layouts, strict=True))

    async def admit(self, principal: Principal, decoded: Decoded, now_us: int, *, listed: int = LISTED) -> Decoded:
        """Return the messages that may come in, and a refusal for each that may not. Raises SinkUnavailable.

        So many refusals are said in words, and the others counted.
        """
        await self._meet(principal, decoded.batch.devices)
        layouts, forgotten = self._layouts.pinned(), self._forgotten
        rules = AdmissionRules(
            principal,
            self._directory,
            layouts,
            devices=self._devices,
            clock=self._clock,
            retention=self._retention,
            newcomers=self._newcomers,
        )
        admitted = await self.slices.run(rules.apply(decoded, now_us, listed=listed))
        if forgotten == self._forgotten:
            self._remember(admitted.batch)
        return admitted

    def forget(self) -> None:
        """Look at every pair again: a device was changed, or a metric declared anew."""
        self._known.clear()
        self._forgotten += 1

    async def _meet(self, principal: Principal, names: Iterable[str]) -> None:
        """Have a card of every device that matters; making room for new ones may push out others of the same batch."""
        wanted = {name for name in set(names) if DEVICE_NAME.fullmatch(name) and principal.may_write(name)}
        card = self._directory.card
        strangers = {name for name in wanted if card(name) is None}
        try:
            if strangers:
                await self._directory.look_up(strangers)
            if any(card(name) is None for name in wanted):
                await self._directory.look_up(wanted)
        except SinkUnavailable:
            if self._devices.unknown != "auto":
                raise  # whether the device is registered cannot be told now

    def _remember(self, batch: Batch) -> None:
        if batch.table is not self._layouts.table:  # a new one began meanwhile
            return
        if batch.table is not self._table or len(self._known) > MAX_PAIRS:
            self._known.clear()
            self._table = self._layouts.table
        self._known.update(zip(batch.devices, batch.layouts, strict=True))


def _span(batch: Batch) -> tuple[int, int]:
    """Return the first and the last time (µs)."""
    if len(batch) <= SMALL:
        return min(batch.times), max(batch.times)
    times = np.frombuffer(batch.times, np.int64)
    return int(np.minimum.reduce(times)), int(np.maximum.reduce(times))
