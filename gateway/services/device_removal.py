"""Removal of devices, from registry, credentials, readings and state. Never leaves an orphan for good.

It is out of the registry at once and refused by every gateway within a second; its messages and its state follow in
bounded steps. What a call does not get done `sweeping` does, also after a crash.
"""

import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import timedelta

from gateway.core.errors import GatewayError, StateUnavailable
from gateway.domain.contracts.newest import RemovableState
from gateway.telemetry import registry_events
from gateway.telemetry.periodic import repeating
from gateway.timescale.registry.audit import UNNAMED, AuditLog
from gateway.timescale.registry.device_removal import Due, RemovedDevices
from gateway.timescale.registry.devices import DeviceRegistry

BUDGET_SECS = 5.0
"""How long a call over HTTP removes messages before it leaves the rest to `sweeping`."""
SWEEP_SECS = 2.0
PURGES = 300
"""Sweeps for each look at the age of the audit."""


class DeviceRemoval:
    """Removes devices."""

    def __init__(
        self,
        devices: DeviceRegistry,
        removed: RemovedDevices,
        states: RemovableState,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._devices = devices
        self._removed = removed
        self._states = states
        self._monotonic = monotonic

    async def remove(
        self,
        name: str,
        *,
        with_readings: bool,
        if_match: Collection[str] | None = None,
        actor: str = UNNAMED,
        budget_secs: float = BUDGET_SECS,
    ) -> bool:
        """Remove a device, and return whether its readings are gone too; else they are within minutes.

        Raises BadRequest, UnknownDevice, PreconditionFailed, DeviceHasReadings, SinkUnavailable, SinkFault.
        """
        device_id = await self._devices.unregister(name, with_readings=with_readings, if_match=if_match, actor=actor)
        try:
            return await self._empty(Due(device_id, name), until=self._monotonic() + budget_secs)
        except GatewayError as exc:  # it is out of the registry: that must not sound like a failure
            registry_events.removal_left(exc)
            return False

    async def sweep(self) -> None:
        """Do what calls have left, and what was written while they ran. Raises Unavailable, SinkFault: sweep again."""
        for due in await self._removed.due():
            await self._empty(due, until=self._monotonic() + BUDGET_SECS)

    async def _empty(self, due: Due, *, until: float) -> bool:
        away = await self._forget_state(due)
        some = 0
        while removed := await self._removed.remove_some(due.id):
            some += removed
            if self._monotonic() > until:
                return False
        if some:  # a device that was made again may have got what was late: it is read anew
            away = await self._forget_state(due)
        if away is not None:
            await self._removed.note_emptied(due.id)
            raise away
        await self._removed.note_pass(due.id)
        return True

    async def _forget_state(self, due: Due) -> StateUnavailable | None:
        """Return why the state still has it: no reason to keep its readings."""
        try:
            await self._states.note_removal(due.name, due.id)
            await self._states.remove([due.name])  # a new device of this name is read from the database, and whole
        except StateUnavailable as exc:
            return exc
        return None


@asynccontextmanager
async def sweeping(
    removal: DeviceRemoval, audit: AuditLog, *, keep_days: int, every_secs: float = SWEEP_SECS
) -> AsyncIterator[None]:
    """Sweep, and remove lines of audit that are older, now and then every so many seconds, until the block ends.

    Gateways may sweep at the same time, as calls may remove at the same time: what one finds gone is done.
    """
    age = timedelta(days=keep_days)
    async with (
        repeating(removal.sweep, name="registry.sweep", every_secs=every_secs, on_failure=registry_events.sweep_failed),
        repeating(
            lambda: audit.purge(age),
            name="audit.purge",
            every_secs=PURGES * every_secs,
            on_failure=registry_events.audit_purge_failed,
        ),
    ):
        yield
