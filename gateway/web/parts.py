"""What handlers ask of the parts behind them, and no more: Protocols. Makes none, knows none of the real ones."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from gateway.letters import Letter, Wanted
from gateway.model import Kind, Principal, Receipt

Value = float | int | bool | str


class Intake(Protocol):
    """The one door for readings."""

    async def take(
        self,
        body: bytes,
        *,
        principal: Principal,
        media: str | None,
        device: str | None,
        atomic: bool = False,
        max_errors: int = 100,
    ) -> Receipt:
        """Return after COMMIT. Raises the GatewayErrors that say no to the whole body."""
        ...


class Authenticator(Protocol):
    """Authorization headers → principals."""

    def principal(self, header: str | None) -> Principal | None:
        """Return who is calling if that is cached, at once."""
        ...

    async def authenticate(self, header: str | None) -> Principal:
        """Return who is calling. Raises Unauthorized, or SinkUnavailable if it cannot be told now."""
        ...


class DeviceState(Protocol):
    """The newest readings of one device."""

    @property
    def device(self) -> str:
        """Its name."""
        ...

    @property
    def metrics(self) -> Mapping[str, tuple[Value, int, Kind]]:
        """Metric name → value, time (µs since 1970 UTC), kind."""
        ...

    @property
    def source(self) -> str:
        """`redis` or `db`."""
        ...


class LiveReader(Protocol):
    """Where the newest state is read."""

    async def device(self, name: str) -> DeviceState | None:
        """Return the state of one device, None if it is not known. Raises Unavailable."""
        ...

    async def devices(self, names: Sequence[str]) -> Sequence[DeviceState | None]:
        """Return the states of devices, in order, in one round trip. Raises Unavailable."""
        ...


class Letters(Protocol):
    """Where dead letters are read."""

    async def page(self, wanted: Wanted, /, *, before: int | None = None, limit: int = 100) -> list[Letter]:
        """Return letters, newest id first; large payloads are left out. Raises Unavailable, SinkFault."""
        ...

    async def find(self, letter_id: int) -> Letter:
        """Return one letter with its payload. Raises NotFound, Unavailable, SinkFault."""
        ...


class Health(msgspec.Struct, frozen=True):
    """Whether this worker may take traffic, and how each part is."""

    ready: bool
    parts: Mapping[str, Mapping[str, object]]
    """Part name → its facts, such as {"ok": true, "version": "17.2"}."""
