"""The newest state of this database, opened for each call: a command seldom needs it at all."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gateway.core import settings
from gateway.domain.contracts.newest import RemovableState
from gateway.state.store import RedisState, open_state
from gateway.timescale.connections.pool import Pool
from gateway.timescale.server import site


def states_of(branch: settings.RedisSettings, pool: Pool) -> RemovableState:
    """Return the state that belongs to this database; nothing is connected yet."""
    return _States(branch, pool)


class _States:
    def __init__(self, branch: settings.RedisSettings, pool: Pool) -> None:
        self._branch = branch
        self._pool = pool

    async def remove(self, devices: Sequence[str]) -> None:
        async with self._opened() as state:
            await state.remove(devices)

    async def note_removal(self, device: str, device_id: int) -> None:
        async with self._opened() as state:
            await state.note_removal(device, device_id)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[RedisState]:
        async with open_state(self._branch, site=await site(self._pool)) as state:
            yield state
