"""Repair of devices that Redis has lost, or never had whole: read from the database, and whole in Redis again.

Redis may drop a key at any moment (maxmemory-policy allkeys-..., DEL by hand). What is written afterwards makes a new
one, without the mark of a whole device: it is read from the database until it is repaired. Claim it, read the
database, fill it: what came in before the claim is in what is read, and what comes later is in the key, or else the
claim is gone with the key and it is not filled.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Self

from gateway.core.errors import GatewayError
from gateway.core.tasks import end
from gateway.domain.contracts.newest import LiveState, NewestMessage, NewestStored
from gateway.telemetry import state_events

MOST = 100_000
"""Devices that wait; what does not fit is repaired when it is read."""
AT_ONCE = 500
"""Devices of one query."""
GATHER_SECS = 0.02
"""How long others may join a query before it is asked."""
AGAIN_SECS = 1.0
"""Pause after something failed, and how often it is asked whether it is worth while."""
REST_SECS = 1.0
"""Longest rest between two queries; it is as long as a query took."""


async def repair(
    state: LiveState, stored: NewestStored, devices: Sequence[str], *, anew: bool = False
) -> list[list[NewestMessage]]:
    """Return what the database holds of each device, in order, and fill the state with it.

    Raises StateUnavailable, SinkUnavailable, SinkFault.
    """
    claims = await state.claim(devices, anew=anew)
    found = await stored.read(devices)
    await state.restore(devices, claims, found)
    return found


class Repairer:
    """Repairs in the background what was found not to be whole. `async with` starts and stops it."""

    def __init__(self, state: LiveState, stored: NewestStored, *, worth: Callable[[], bool] = lambda: True) -> None:
        """`worth` says whether repair is of use: a rebuild makes all devices whole."""
        self._state = state
        self._stored = stored
        self._worth = worth
        self._waiting: dict[str, None] = {}
        self._size = AT_ONCE
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work(), name="state.repair")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task:
            await end(self._task)

    def soon(self, devices: Iterable[str]) -> None:
        """Repair these devices, as far as there is room."""
        self._waiting.update(dict.fromkeys(devices))
        while len(self._waiting) > MOST:
            self._waiting.popitem()
        self._wake.set()

    async def _work(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_SECS)
            began = now()
            try:
                rest = 0.0 if await self._round() else AGAIN_SECS
            except GatewayError:
                rest = AGAIN_SECS
            except Exception as exc:  # noqa: BLE001 - a mistake of ours must not end it; reads repair too
                state_events.mending_failed(exc)
                rest = AGAIN_SECS
            await asyncio.sleep(rest or min(now() - began, REST_SECS))

    async def _round(self) -> bool:
        """Repair some of those that wait; they wait again if that fails. False if it is of no use now."""
        if not self._worth():
            return False
        some = list(self._waiting)[: self._size]
        for device in some:
            del self._waiting[device]
        if not self._waiting:
            self._wake.clear()
        try:
            await self._repair(some)
        except BaseException:
            self._size = max(1, self._size // 2)  # perhaps it was too much at once
            self.soon(some)
            raise
        self._size = min(AT_ONCE, 2 * self._size)
        return True

    async def _repair(self, devices: Sequence[str]) -> None:
        claims = await self._state.claim(devices)
        lost = [(device, claim) for device, claim in zip(devices, claims, strict=True) if claim]
        if lost:
            names = [device for device, _ in lost]
            found = await self._stored.read(names)
            state_events.mended(await self._state.restore(names, [claim for _, claim in lost], found))
