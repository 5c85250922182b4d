"""One worker of the gateway, in this process, whole from the bytes of a connection to the library that writes.

Real: connections and head parser, authenticator, intake, admission, committer, writer, publisher, state, MQTT consumer.
Faked: the servers (servers.py), the registry, the clock. Nothing of it polls.
"""

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any, NamedTuple, cast

from gateway.core.settings import AuthSettings, MqttSettings, Settings
from gateway.domain.layouts import Layouts
from gateway.ingest import receipts
from gateway.ingest.admission.admission import Admission
from gateway.ingest.admission.auth import TokenAuthenticator
from gateway.ingest.intake import BodyIntake
from gateway.ingest.pipeline.committer import Committer
from gateway.ingest.pipeline.stall import Stall
from gateway.mqtt import consumer
from gateway.state import script_connection, store
from gateway.state.publisher import Publisher
from gateway.state.read import NewestReader
from gateway.timescale.connections import direct
from gateway.timescale.connections.pool import Pool
from gateway.timescale.write.name_ids import Dictionary
from gateway.timescale.write.writer import Writer
from gateway.web.app import create_app
from gateway.web.context import Context
from gateway.web.server.sanic import App
from tests.fakes.clock import ManualClock
from tests.fakes.credentials import MemoryCredentials
from tests.fakes.directory import MemoryDirectory
from tests.instructions.servers import Database, DatabaseConnection, DatabasePool, RedisClient, RedisTransport
from tests.instructions.still import NOW_US, STOOD_STILL
from tests.integration.sanic_server import running
from tests.integration.web_server import OURS, Door

KEY = "instructions-0123456789abcdef0123456789"
SETTINGS = Settings(auth=AuthSettings(admin_key=KEY), mqtt=MqttSettings(url="mqtt://127.0.0.1:1"))


class Worker(NamedTuple):
    """What a workload drives, and looks at."""

    app: App
    consumer: consumer.Consumer
    directory: MemoryDirectory
    redis: RedisClient
    database: Database


class BudgetDoor(Door):
    """A door with everything real behind it that a reading passes."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.directory, self.redis, self.database = MemoryDirectory(), RedisClient(), Database()
        self.consumer: consumer.Consumer

    @asynccontextmanager
    async def open_runtime(self, settings: Settings, worker: str) -> AsyncIterator[Context]:
        clock, layouts = ManualClock(NOW_US), Layouts()
        self.authenticator = cast("Any", TokenAuthenticator(MemoryCredentials(clock=clock), admin_key=KEY, clock=clock))
        async with AsyncExitStack() as stack:
            context = await stack.enter_async_context(super().open_runtime(settings, worker))
            pool = Pool(cast("Any", None), cast("Any", DatabasePool(self.database)), acquire_timeout=1)
            dictionary = Dictionary(pool)
            state = await stack.enter_async_context(store.open_state(settings.redis, site="s"))
            await state.check()
            publisher = await stack.enter_async_context(Publisher(state, settings.redis))
            writer = Writer(settings.database, dictionary, cast("Any", None), overwrite=False)
            limits, slots = settings.queue, settings.database.writer_slots
            committer = await stack.enter_async_context(
                Committer(writer, publisher.publish, limits=limits, slots=slots)
            )
            admission = Admission(
                self.directory, layouts, devices=settings.devices, clock=settings.clock, retention=settings.retention
            )
            stall, most = Stall(lambda: STOOD_STILL), settings.http.max_readings
            intake = BodyIntake(admission, committer, layouts, clock, stall=stall, max_readings=most)
            self.consumer = consumer.build(
                settings.mqtt, intake, cast("Any", None), encode=receipts.to_json, client_id="c", rng=Random(1)
            )
            context.intake, context.clock = intake, clock
            context.live = NewestReader(state, dictionary, self.directory, stored=cast("Any", None))
            yield context


@asynccontextmanager
async def working() -> AsyncIterator[Worker]:
    """Open a worker until the end of the block."""
    door = BudgetDoor(SETTINGS)

    async def connect(*_: object, **__: object) -> DatabaseConnection:
        return DatabaseConnection(door.database)

    @asynccontextmanager
    async def open_client(*_: object, **__: object) -> AsyncIterator[RedisClient]:
        yield door.redis

    async def open_line(_: object) -> script_connection.RespLine:
        line = script_connection.RespLine()
        line.connection_made(RedisTransport(door.redis, line))
        return line

    setattr(store, "open_client", open_client)  # noqa: B010 -- as below
    setattr(script_connection, "open_line", open_line)  # noqa: B010 -- as below
    setattr(direct, "connect", connect)  # noqa: B010 -- the library itself, for this process
    app = create_app(SETTINGS, door.open_runtime)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        async with running(app, listening, protocol=OURS):
            yield Worker(app, door.consumer, door.directory, door.redis, door.database)
