"""A gateway in a few lines: takes readings in all four shapes, answers as documented, misbehaves when told to.

It keeps what it stored in memory (`readings`) and can copy it into a database laid out as documented. Shares no code
with either side.
"""

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg

from tests.fakes.listening import listening

Key = tuple[str, str, int]
Call = Callable[[str, str, bytes], "tuple[int, dict[str, Any]] | None"]
Trick = Callable[["FakeGateway", list[dict[str, Any]]], "tuple[int, dict[str, Any]] | None"]


class FakeGateway:
    """`tricks` are used up one a request, then all is stored; a trick that returns None closes the connection.

    `calls` answers what is not ingestion: see `fake_api`.
    """

    def __init__(self) -> None:
        self.url = ""
        self.database = ""
        self._saved = 0
        self.readings: dict[Key, Any] = {}
        self.messages: list[tuple[str, int, dict[str, Any]]] = []
        self.tricks: deque[Trick] = deque()
        self.bodies: list[bytes] = []
        self.keys: list[str] = []
        self.states: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self.headers: dict[str, str] = {}
        self.calls: list[Call] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await self._answer(reader, writer):
            pass

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, target, _ = head[0].split(" ")
        self.keys.append(headers.get("authorization", ""))
        answer = self._dispatch(method, target, body)
        await self._save()
        if answer is None:
            return False
        status, reply = answer
        data = b"" if status == 204 else json.dumps(reply).encode()
        more = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        writer.write(f"HTTP/1.1 {status} Whatever\r\n{more}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        await writer.drain()
        return True

    def _dispatch(self, method: str, target: str, body: bytes) -> tuple[int, dict[str, Any]] | None:
        path = target.partition("?")[0]
        if path == "/v1/states:query":
            return self._query(body)
        if (method, path) == ("POST", "/v1/readings"):
            return self._ingest(body)
        for call in self.calls:
            found = call(method, target, body)
            if found is not None:
                return found
        return 404, {"code": "not_found"}

    def _query(self, body: bytes) -> tuple[int, dict[str, Any]]:
        return 200, {
            "states": {d: {"metrics": self.states[d]} for d in json.loads(body)["devices"] if d in self.states}
        }

    def _ingest(self, body: bytes) -> tuple[int, dict[str, Any]] | None:
        self.bodies.append(body)
        items = json.loads(body)
        if self.tricks:
            return self.tricks.popleft()(self, items)
        return self.store(items)

    def store(self, items: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        """Store all, say so."""
        count = sum(self.take(*message) for item in items for message in messages_of(item))
        return 200, {"accepted": count, "duplicates": 0, "conflicts": 0, "refused": 0, "durability": "db", "errors": []}

    def take(self, device: str, ts: int, values: dict[str, Any]) -> int:
        """Store a message, once."""
        if (device, next(iter(values)), ts) not in self.readings:
            self.messages.append((device, ts, values))
        for metric, value in values.items():
            self.readings[device, metric, ts] = value
            shown = self.states[device].get(metric)
            if shown is None or shown["ms"] <= ts:
                self.states[device][metric] = {"value": value, "ms": ts, "ts": to_text(ts)}
        return len(values)

    async def _save(self) -> None:
        """Have it in the database before the answer goes out, if there is a database."""
        if self.database:
            new, self._saved = self.messages[self._saved :], len(self.messages)
            await save(self.database, new)

    async def copy_to(self, url: str) -> None:
        """Write all that is stored into a database."""
        await save(url, self.messages)


@asynccontextmanager
async def running() -> AsyncIterator[FakeGateway]:
    gateway = FakeGateway()
    async with listening(gateway.serve) as port:
        gateway.url = f"http://127.0.0.1:{port}"
        yield gateway


def messages_of(item: dict[str, Any], device: str = "") -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Read an item of any of the four shapes."""
    device = item.get("device", device)
    if "readings" in item:
        for inner in item["readings"]:
            yield device, inner["ts"], inner["values"]
    elif "metric" in item:
        yield device, item["ts"], {item["metric"]: item["value"]}
    elif isinstance(item["ts"], list):
        for i, ts in enumerate(item["ts"]):
            yield device, ts, {metric: column[i] for metric, column in item["values"].items()}
    else:
        yield device, item["ts"], item["values"]


def to_text(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1_000, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def close_unstored(_: FakeGateway, __: list[dict[str, Any]]) -> None:
    """Die before the readings are stored."""
    return


def close_stored(gateway: FakeGateway, items: list[dict[str, Any]]) -> None:
    """Die after the readings are stored, before the answer."""
    gateway.store(items)


def overloaded(_: FakeGateway, __: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
    return 503, {"code": "overloaded"}


async def save(url: str, messages: list[tuple[str, int, dict[str, Any]]]) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await _copy(connection, messages)
    finally:
        await connection.close()


async def _copy(connection: Any, messages: list[tuple[str, int, dict[str, Any]]]) -> None:
    for device, ts, values in messages:
        shape = await _shape(connection, values)
        device_id = await connection.fetchval(
            "insert into devices (name) values ($1) on conflict (name) do update set name = excluded.name returning id",
            device,
        )
        names = sorted(values)
        numbers = [float(values[n]) for n in names if not isinstance(values[n], str)]
        texts = [values[n] for n in names if isinstance(values[n], str)]
        await connection.execute(
            "insert into messages (time, device_id, shape_id, values, texts) values ($1, $2, $3, $4, $5)",
            datetime.fromtimestamp(ts / 1_000, UTC),
            device_id,
            shape,
            numbers or None,
            texts or None,
        )


async def _shape(connection: Any, values: dict[str, Any]) -> int:
    ids: dict[str, int] = {}
    for name in sorted(values):
        value = values[name]
        kind = "bool" if isinstance(value, bool) else "text" if isinstance(value, str) else "double"
        ids[name] = await connection.fetchval(
            "insert into metrics (name, kind) values ($1, $2) "
            "on conflict (name, kind) do update set kind = excluded.kind returning id",
            name,
            kind,
        )
    texts = [ids[n] for n in ids if isinstance(values[n], str)]
    found = await connection.fetchval(
        "insert into shapes (value_metrics, int_metrics, text_metrics) values ($1, '{}', $2) "
        "on conflict (value_metrics, int_metrics, text_metrics) do update set int_metrics = '{}' returning id",
        [ids[n] for n in ids if n not in {t for t in values if isinstance(values[t], str)}],
        texts,
    )
    assert isinstance(found, int)
    return found
