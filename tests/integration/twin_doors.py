"""The HTTP door twice, over our connections and over Sanic's alone, each with a store of its own in memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from gateway.core import settings
from gateway.core.settings import HttpSettings, Settings
from gateway.domain.layouts import Layouts
from gateway.domain.model import Block, Kind
from gateway.domain.principal import Principal
from gateway.ingest.admission.admission import Admission
from gateway.ingest.intake import BodyIntake
from gateway.ingest.pending import SubmittedBody
from gateway.ingest.pipeline.committer import Committer
from gateway.ingest.pipeline.stall import Stall
from gateway.web.context import Context
from gateway.web.limits.connection_budget import ConnectionBudgets, Holder
from gateway.web.limits.rate_limits import RateLimits
from gateway.web.request_ids import RequestIds
from gateway.web.server.paced import PacedConnection
from tests.fakes.directory import MemoryDirectory
from tests.fakes.sink import MemorySink
from tests.integration.web_server import NOW_US, Door, FixedClock, known_state, serving

TURNS = 3
"""Turns of the loop between two pieces, in which the server, which has the same loop, reads the first."""
DEVICES = ("d1", "d2", "far:away.4")


class SanicConnection(PacedConnection):
    """A connection that hands every byte to Sanic."""

    async def hold_back(self, secs: float) -> None:
        await asyncio.sleep(secs)


class Heard(NamedTuple):
    """What was answered (but for a header that Sanic leaves out where it is served by itself)."""

    answered: bytes
    whole: bool
    """Not so where a server hung up on what came after: the system then may drop what was under way to us."""


class CountingIntake(BodyIntake):
    """Counts what it took at once."""

    taken = 0

    def at_once(
        self, body: bytes, *, principal: Principal, device: str | None = None, source: str = "http"
    ) -> SubmittedBody | None:
        pending = super().at_once(body, principal=principal, device=device, source=source)
        self.taken += pending is not None
        return pending


class CountingBudgets(ConnectionBudgets):
    """Counts the requests that were held for their rest."""

    held = 0

    def expect(self, holder: Holder) -> None:
        super().expect(holder)
        self.held += 1


class StoringDoor(Door):
    """A door that leads to a real intake and committer, with a sink in memory."""

    max_readings = 1000

    def __init__(self, tree: Settings, *, queue: settings.QueueSettings | None = None) -> None:
        super().__init__(tree)
        self.budgets: CountingBudgets
        self.now = 1000.0
        """What the limits take for the time (s): answers tell seconds."""
        self._queue = queue or settings.QueueSettings()
        self.sink = MemorySink()
        self.committer: Committer
        self.storing: CountingIntake
        for name in DEVICES:
            self.live.known[name] = known_state(name, {"t": (1.5, NOW_US, Kind.DOUBLE), "ok": (True, 0, Kind.BOOL)})

    @asynccontextmanager
    async def open_runtime(self, tree: Settings, worker: str) -> AsyncIterator[Context]:
        layouts, directory = Layouts(), MemoryDirectory()
        directory.add(*DEVICES)
        admission = Admission(
            directory,
            layouts,
            devices=tree.devices,
            clock=tree.clock,
            retention=settings.RetentionSettings(days=36_500),
        )
        async with (
            super().open_runtime(tree, worker) as context,
            Committer(self.sink, _shown, limits=self._queue, slots=1) as self.committer,
        ):
            context.intake = self.storing = CountingIntake(
                admission,
                self.committer,
                layouts,
                FixedClock(),
                stall=Stall(lambda: 0.0),
                max_readings=self.max_readings,
            )
            context.request_ids = RequestIds("id")
            context.budgets = self.budgets = CountingBudgets(context.bodies, context.turns)
            if context.limits is not None:
                context.limits = RateLimits(tree, monotonic=lambda: self.now)
            yield context

    @property
    def taken_at_once(self) -> int:
        """Bodies that were taken without waiting."""
        return self.storing.taken

    async def converse(self, pieces: Sequence[bytes]) -> Heard:
        """Send the pieces apart, one after the other; return all that is answered until the server hangs up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        answered, whole = bytearray(), False
        with suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                for _ in range(TURNS):
                    await asyncio.sleep(0)
            async with asyncio.timeout(10):
                while more := await reader.read(65_536):
                    answered += more
            whole = True
        writer.close()
        return Heard(bytes(answered), whole)


class Twins(NamedTuple):
    """The same door over both kinds of connections."""

    ours: StoringDoor
    sanic: StoringDoor


@asynccontextmanager
async def twins(limits: settings.LimitSettings | None = None) -> AsyncIterator[Twins]:
    """Serve both until the end of the block."""
    http = HttpSettings(drain_secs=0, grace_secs=1, body_deadline_secs=5, max_body_bytes=4096)
    async with (
        serving(http, limits=limits, make=StoringDoor) as ours,
        serving(http, limits=limits, make=StoringDoor, protocol=SanicConnection) as sanic,
    ):
        assert isinstance(ours, StoringDoor)
        assert isinstance(sanic, StoringDoor)
        yield Twins(ours, sanic)


async def _shown(_: Sequence[Block]) -> None:
    pass
