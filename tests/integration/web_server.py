"""A real Sanic server on a loopback port with scripted parts behind it, for tests of the HTTP door."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple, cast

import httpx
from sanic import Sanic

from gateway.core.errors import NotFound, Unauthorized
from gateway.core.settings import HttpSettings, LimitSettings, Settings
from gateway.domain.contracts.ingest import Charge, HoldBack
from gateway.domain.contracts.newest import DeviceState, Reading
from gateway.domain.dead_letters import DeadLetterFilter, StoredDeadLetter
from gateway.domain.model import Receipt
from gateway.domain.principal import Principal, Role
from gateway.services.dead_letter_replay import DeadLetterReplay
from gateway.telemetry.rates import RateHistory
from gateway.timescale.dead_letters.browse import StoredDeadLetters
from gateway.timescale.registry.audit import AuditedAct
from gateway.timescale.registry.device_count import DeviceCount
from gateway.web.app import create_app
from gateway.web.context import Context, IngestParts, ReadParts, RegistryParts
from gateway.web.ports import Health
from gateway.web.server.protocol import Connection
from tests.builders.live_parts import Stage
from tests.conformance import conform
from tests.fakes.receipts import MemoryReceipts
from tests.integration.registries import NO_LISTING, NO_REGISTRAR
from tests.integration.sanic_server import running
from tests.integration.web_wire import Wire
from tests.servers import plain_http

Sanic.test_mode = True  # several apps in one process

NOW_US = 1_732_277_000_123_000
CLEAN = Receipt(accepted=5, duplicates=0, conflicts=0, refused=0, durability="db", errors=[], errors_truncated=False)
TOKENS = {
    "admin": Principal(Role.ADMIN, key=1),
    "ingest": Principal(Role.INGEST, prefix="d", key=2),
    "reader": Principal(Role.READER, key=3),
    "d1": Principal(Role.DEVICE, device="d1", key=4),
}


class Taken(NamedTuple):
    body: bytes
    device: str | None
    principal: Principal
    atomic: bool
    max_errors: int


class ScriptedIntake:
    """Notes what it is given and answers as told."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.replays: list[int | None] = []
        """The times of receipt of what was replayed."""
        self.readings = 5
        """What each body is said to hold."""
        self.backfill: list[bool] = []
        self.answer: Callable[[bytes], Awaitable[Receipt]] = self._clean
        self.full: Exception | None = None
        """What `refuse_if_full` raises."""

    @property
    def is_open(self) -> bool:
        return self.full is None

    def refuse_if_full(self) -> None:
        if self.full:
            raise self.full

    async def take(
        self,
        body: bytes,
        *,
        principal: Principal,
        media: str | None = None,
        device: str | None,
        atomic: bool = False,
        max_errors: int = 100,
        source: str = "http",
        received_us: int | None = None,
        charge: Charge | None = None,
        sent: int | None = None,  # noqa: ARG002
    ) -> Receipt:
        assert media is None
        self.replays += [received_us] if source == "replay" else []
        self.backfill.append(charge is not None and await charge(self.readings))
        self.taken.append(Taken(body, device, principal, atomic, max_errors))
        return await self.answer(body)

    async def devices(self, body: bytes) -> set[str]:
        found = json.loads(body)
        return {item["device"] for item in (found if isinstance(found, list) else [found])}

    def at_once(self, body: bytes, **_: object) -> None:
        """Nothing is taken at once here: it is asked for as Sanic asks."""

    def fail(self, exc: Exception) -> None:
        async def raising(_: bytes) -> Receipt:
            raise exc

        self.answer = raising

    async def _clean(self, _: bytes) -> Receipt:
        return CLEAN


class ScriptedAuthenticator:
    def __init__(self) -> None:
        self.tokens = dict(TOKENS)
        """Those that are valid now."""
        self.cached: set[str] = set()
        self.unheard = 0.0

    def principal(self, header: str | None) -> Principal | None:
        return self.tokens.get(header.removeprefix("Bearer ")) if header in self.cached else None

    def still(self, header: str | None, principal: Principal) -> bool | None:
        return self.tokens.get((header or "").removeprefix("Bearer ")) == principal

    def unheard_secs(self, _: str | None) -> float:
        return self.unheard

    async def authenticate(
        self,
        header: str | None,
        address: str = "",  # noqa: ARG002 - as the real one
        *,
        hold_back: HoldBack = asyncio.sleep,  # noqa: ARG002 - as the real one
    ) -> Principal:
        await asyncio.sleep(0)
        scheme, _, token = (header or "").partition(" ")
        token.encode()  # as hashing it would
        principal = self.tokens.get(token)
        if header is None or scheme != "Bearer" or principal is None:
            raise Unauthorized
        self.cached.add(header)
        return principal


def known_state(device: str, metrics: Mapping[str, Reading], source: str = "redis") -> DeviceState:
    return DeviceState(device, metrics, source)


class ScriptedLive:
    def __init__(self) -> None:
        self.known: dict[str, DeviceState] = {}
        self.asked_soon = 0

    async def device(self, name: str) -> DeviceState | None:
        return self.known.get(name)

    def soon(self, name: str) -> "asyncio.Future[DeviceState | None]":
        self.asked_soon += 1
        return asyncio.ensure_future(self.device(name))

    async def devices(self, names: Sequence[str]) -> list[DeviceState | None]:
        return [self.known.get(name) for name in names]


class NoDeadLetters(StoredDeadLetters):
    def __init__(self) -> None:
        """None are kept, and no database is asked."""

    async def page(self, _: DeadLetterFilter, /, **__: object) -> list[StoredDeadLetter]:
        return []

    async def find(self, letter_id: int) -> StoredDeadLetter:
        raise NotFound(f"there is no dead letter {letter_id}")

    async def open_ids(self, _: DeadLetterFilter, /, **__: object) -> list[int]:
        return []

    async def count_open(self, _: DeadLetterFilter, /, **__: object) -> int:
        return 0

    async def mark_replayed(self, letter: StoredDeadLetter, act: AuditedAct) -> AuditedAct:
        raise AssertionError(letter, act)

    async def note_refused(self, act: AuditedAct, count: int) -> AuditedAct:
        raise AssertionError(act, count)


class ScriptedCensus:
    def __init__(self) -> None:
        self.known: DeviceCount | None = DeviceCount(3, 2, offline=1)
        self.asked = 0

    async def count(self) -> DeviceCount | None:
        self.asked += 1
        return self.known


class FixedClock:
    def now_us(self) -> int:
        return NOW_US


OURS = partial(Connection, more=False)  # a server in a test has no other that listens
NOTHING_STORED = cast("Any", None)
"""A history that must not be asked: tests of it bring a real one."""


class Door:
    """A running server and what stands behind it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.intake = ScriptedIntake()
        self.live = ScriptedLive()
        self.stage = Stage()
        self.authenticator = ScriptedAuthenticator()
        self.stored = NOTHING_STORED
        self.receipts = MemoryReceipts()
        self.health = Health(ready=True, parts={"database": {"ok": True}})
        self.asked: Callable[[], Awaitable[Health]] = self._health
        self.history = RateHistory()
        self.census = ScriptedCensus()
        self.closed = False
        self.port = 0
        self.context: Context
        self.client: httpx.AsyncClient
        self.stop: Callable[[], Coroutine[Any, Any, None]]
        self.connections: set[Any] = set()

    @asynccontextmanager
    async def open_runtime(self, settings: Settings, worker: str) -> AsyncIterator[Context]:
        self.context = Context(
            settings,
            worker=worker,
            clock=FixedClock(),
            authenticator=self.authenticator,
            ways_in=IngestParts(
                self.intake, self.receipts, NoDeadLetters(), DeadLetterReplay(self.intake, NoDeadLetters())
            ),
            ways_out=ReadParts(self.live, self.stored, self.stage.streams),
            fleet=RegistryParts(NO_REGISTRAR, NO_LISTING, self.census),
            health=self._answer_health,
            history=self.history,
        )
        async with self.stage.streams:
            yield self.context
        self.closed = True

    async def raw(self) -> "Wire":
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        return Wire(reader, writer)

    async def _health(self) -> Health:
        return self.health

    async def _answer_health(self) -> Health:
        return await self.asked()


@asynccontextmanager
async def serving(
    http: HttpSettings | None = None,
    *,
    limits: LimitSettings | None = None,
    make: Callable[[Settings], Door] = Door,
    protocol: Any = OURS,
    sent_bytes: int | None = None,
) -> AsyncIterator[Door]:
    """Serve with these limits until the end of the block, over our connections or Sanic's own.

    With `sent_bytes` the system takes no more of an answer than that, and as much again, before its reader does.
    """
    door = make(Settings(http=http or HttpSettings(drain_secs=0, grace_secs=1), limits=limits or LimitSettings()))
    app = create_app(door.settings, door.open_runtime)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if sent_bytes is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sent_bytes)
        door.port = listening.getsockname()[1]
        async with running(app, listening, protocol=protocol) as server:
            door.stop, door.connections = server.before_stop, server.connections
            async with plain_http.AsyncClient(
                base_url=f"http://127.0.0.1:{door.port}",
                headers={"Authorization": "Bearer admin"},
                trust_env=False,
                event_hooks={"response": [conform]},
            ) as door.client:
                yield door
