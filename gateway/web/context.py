"""What handlers work with, as one typed object per worker, found at `app.ctx.gateway`. Holds parts, makes none.

The runtime opens the parts and hands them over; handlers know only what is asked of each part here.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec
from sanic import Request

from gateway.contracts import Clock, Receipts
from gateway.letters import Letter, Wanted
from gateway.model import Kind, Principal, Receipt
from gateway.redelivery import Redelivery
from gateway.settings import Http, Settings
from gateway.web.bodies import Bodies
from gateway.web.request_ids import RequestIds

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


class Context:
    """The parts of one worker."""

    def __init__(
        self,
        settings: Settings,
        *,
        worker: str,
        intake: Intake,
        authenticator: Authenticator,
        live: LiveReader,
        letters: Letters,
        redelivery: Redelivery,
        receipts: Receipts,
        health: Callable[[], Awaitable[Health]],
        clock: Clock,
    ) -> None:
        self.http: Http = settings.http
        self.worker = worker
        self.intake = intake
        self.authenticator = authenticator
        self.live = live
        self.letters = letters
        self.redelivery = redelivery
        self.receipts = receipts
        self.health = health
        self.clock = clock
        self.bodies = Bodies(settings.http)
        self.request_ids = RequestIds()
        self.draining = False
        """Told to stop: not ready any more, connections are closed after their reply."""


def context_of(request: Request) -> Context:
    """Return the context of the app that serves this request."""
    context: Context = request.app.ctx.gateway
    return context
