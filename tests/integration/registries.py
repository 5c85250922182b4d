"""Registries for tests of the HTTP door: one that must not be asked, and one on a real database."""

import time
from collections.abc import Mapping
from typing import Any, cast

from gateway.domain.contracts.newest import NewestTimes
from gateway.services.device_listing import DeviceListing
from gateway.services.registry import Registrar, build_registrar
from gateway.timescale.connections.pool import Pool
from tests.fakes.clock import ManualClock
from tests.fakes.state import MemoryState


class Silence:
    """Nobody was ever heard of."""

    async def times(self, reported: Mapping[str, bool]) -> NewestTimes:
        return NewestTimes(dict.fromkeys(reported), "redis")


def registrar_on(pool: Pool) -> Registrar:
    """The registry of this database, beside a state in memory."""
    return build_registrar(pool, MemoryState(), clock=ManualClock())


NO_REGISTRAR = registrar_on(Pool(cast("Any", None), cast("Any", None), acquire_timeout=1))
"""A registry that must not be asked: tests of it bring a real one."""
NO_LISTING = DeviceListing(
    NO_REGISTRAR.devices, Silence(), clock=ManualClock(), monotonic=time.monotonic, offline_after_secs=900
)
