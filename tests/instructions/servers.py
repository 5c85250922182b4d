"""Servers that answer at once: asyncpg's connections and redis-py's client, faked where the gateway calls the library;
of the connection for scripts the transport is.

In: statements and scripts by their text. Out: what a real server would say to whom everything is new. What the
libraries and the servers cost is not counted.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import hiredis

from gateway.state import codec
from gateway.state.script_connection import Script
from gateway.state.store import script
from gateway.timescale.queries import query


class Row(dict[str, Any]):
    """A record of asyncpg's: its columns by name, and one after the other."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())


class Database:
    """A server: gives ids, and takes every row."""

    def __init__(self) -> None:
        self._ids: dict[object, int] = {}
        self._answers: dict[str, Callable[..., Any]] = {
            query("device_ids"): lambda names: [Row(name=name, id=self._id(name)) for name in names],
            query("metric_ids"): self._metrics,
            query("shape_ids"): lambda *keys: [
                Row(n=n, id=self._id(key)) for n, key in enumerate(zip(*keys, strict=True), 1)
            ],
            query("insert_device_shapes"): lambda devices, _: len(set(devices)),
            query("lock_table"): lambda: Row(each=64, sessions=100, indexes=2, timescale=True),
            query("chunk_width"): lambda: 86_400_000_000,
        }
        self.copied = 0
        """Bytes."""

    def ask(self, statement: str, arguments: Sequence[Any]) -> Any:
        """Answer a statement; None to one that asks for nothing."""
        answer = self._answers.get(statement)
        return None if answer is None else answer(*arguments)

    def _id(self, name: object) -> int:
        return self._ids.setdefault(name, len(self._ids) + 1)

    def _metrics(self, names: Sequence[str], kinds: Sequence[str]) -> list[Row]:
        each = zip(names, kinds, strict=True)
        return [Row(name=name, kind=kind, id=self._id((name, kind))) for name, kind in each]


class DatabaseConnection:
    """A connection of asyncpg's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def execute(self, statement: str, *arguments: Any) -> str:
        self._database.ask(statement, arguments)
        return ""

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        return self._database.ask(statement, arguments) or []

    async def fetchval(self, statement: str, *arguments: Any) -> Any:
        return self._database.ask(statement, arguments)

    fetchrow = fetchval

    async def copy_to_table(self, _table: str, *, source: AsyncIterable[bytes], **_: Any) -> None:
        async for data in source:
            self._database.copied += len(data)
        await asyncio.sleep(0)  # the answer comes in another turn of the loop

    def is_closed(self) -> bool:
        return False

    def terminate(self) -> None:
        """Nothing is open."""

    async def close(self, **_: Any) -> None:
        """Nothing is open."""


class DatabasePool:
    """A pool of asyncpg's."""

    def __init__(self, database: Database) -> None:
        self._connection = DatabaseConnection(database)

    @asynccontextmanager
    async def acquire(self, **_: Any) -> AsyncIterator[DatabaseConnection]:
        yield self._connection


class RedisClient:
    """A client of redis-py's; knows our scripts, and keeps the newest messages as bytes until it is asked for them."""

    RUN_ID = b"run"

    def __init__(self) -> None:
        self.connection_pool = self
        self._written: list[bytes] = []
        self._answers: dict[str, Callable[..., Any]] = {
            script("check"): lambda **_: [self.RUN_ID, 1, -1, -1],
        }
        self._read_sha = Script(script("read")).sha
        self._hashes: dict[bytes, bytes] = {}
        """Of each device what a server writes of its fields and values."""

    def register_script(self, source: str) -> Callable[..., Awaitable[Any]]:
        known = (answer for text, answer in self._answers.items() if source.endswith(text))
        answer: Callable[..., Any] = next(known, lambda **_: [])

        async def call(**given: Any) -> Any:
            await asyncio.sleep(0)
            return answer(**given)

        return call

    def make_connection(self) -> "RedisClient":
        """Return where to connect to: here."""
        return self

    password = username = client_name = ""
    db = 0

    def take_in(self) -> None:
        """Make readable what was written: not while it is written, since that is counted."""
        for command in self._written:
            reader = hiredis.Reader()
            reader.feed(command)
            for device, field, packed in codec.split(reader.gets()[6]):
                told = [codec.MARK, b"1", field, packed]
                self._hashes[device.encode()] = b"*4\r\n" + b"".join([b"$%d\r\n%b\r\n" % (len(t), t) for t in told])
        self._written.clear()

    def answer(self, command: bytes) -> bytes:
        """Return what the server writes to one EVALSHA of the state's."""
        if self._read_sha in command[:80]:
            found = [self._hashes[device] for device in command.split(b"\r\n")[12:-1:2]]
            return b"*%d\r\n$3\r\n%b\r\n%b" % (len(found) + 1, self.RUN_ID, b"".join(found))
        self._written[:] = [*self._written[-8:], command]
        return b"*2\r\n:0\r\n*0\r\n"


class RedisTransport(asyncio.Transport):
    """The other end of the connection for scripts: answers in the next turn of the loop."""

    def __init__(self, client: RedisClient, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._client = client
        self._protocol = protocol
        self._call_soon = asyncio.get_running_loop().call_soon

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._call_soon(self._protocol.data_received, self._client.answer(bytes(data)))

    def abort(self) -> None:
        self._call_soon(self._protocol.connection_lost, None)
