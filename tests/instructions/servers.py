"""Servers that answer at once: asyncpg's connections and redis-py's client, faked where the gateway calls the library.

In: statements and scripts by their text. Out: what a real server would say to whom everything is new. What the
libraries and the servers cost is not counted.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gateway.state import codec
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
            query("shape_id"): lambda *key: self._id(str(key)),
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
        self._written: list[bytes] = []
        self._answers: dict[str, Callable[..., Any]] = {
            script("newest_wins"): self._write,
            script("check"): lambda **_: [self.RUN_ID, 1, -1, -1],
            script("read"): self._read,
        }
        self._hashes: dict[str, list[bytes]] = {}

    def register_script(self, source: str) -> Callable[..., Awaitable[Any]]:
        known = (answer for text, answer in self._answers.items() if source.endswith(text))
        answer: Callable[..., Any] = next(known, lambda **_: [])

        async def call(**given: Any) -> Any:
            await asyncio.sleep(0)
            return answer(**given)

        return call

    def take_in(self) -> None:
        """Make readable what was written: not while it is written, since that is counted."""
        for blob in self._written:
            for device, field, packed in codec.split(blob):
                self._hashes[device] = [codec.MARK, b"1", field, packed]
        self._written.clear()

    def _write(self, *, args: Sequence[Any], **_: Any) -> list[Any]:
        self._written[:] = [*self._written[-8:], args[0]]
        return [0, []]

    def _read(self, *, args: Sequence[str], **_: Any) -> list[Any]:
        return [self.RUN_ID, *[self._hashes[device] for device in args]]
