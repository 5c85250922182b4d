"""Readers of the live stream: a thousand cheap ones on raw sockets, and one that comes back for as long as it must."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from httpx_sse import aconnect_sse

from tests.e2e.serving import ADMIN_KEY
from tests.servers import plain_http

HEADERS = {"Authorization": f"Bearer {ADMIN_KEY}"}
MARK = b'"sent":'
"""The metric whose value is when the reading was posted."""


class Cheap(asyncio.Protocol):
    """Counts the readings it sees and how late they are; parses nothing else."""

    def __init__(self, query: str) -> None:
        self._query = query
        self._rest = b""
        self.begun = False
        self.late: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(
            f"GET /v1/stream?{self._query} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {ADMIN_KEY}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        now = time.time()
        data = self._rest + data
        self.begun = self.begun or b"event: reset" in data
        pieces = data.split(MARK)
        for piece in pieces[1:]:
            number = piece.partition(b"}")[0]
            if b"}" in piece:
                self.late.append(now - float(number))
        last = data.rfind(MARK)
        self._rest = data[last:] if last >= 0 and b"}" not in data[last:] else data[-len(MARK) :]
        if self._rest.startswith(MARK) and b"}" in self._rest:
            self._rest = b""


@dataclass
class Faithful:
    """One reader that comes back with its last id, each time to the next address."""

    addresses: list[str]
    query: str
    seen: list[tuple[str, str]] = field(default_factory=list)
    """Device and time of every change, in order."""
    ids: list[str] = field(default_factory=list)
    resets: list[str] = field(default_factory=list)
    connections: int = 0

    async def follow(self, enough: Callable[["Faithful"], bool], *, leave_after: int) -> None:
        """Read until there is enough, leaving after every so many changes."""
        async with plain_http.AsyncClient(headers=HEADERS, trust_env=False, timeout=20) as client:
            while not enough(self):
                address = self.addresses[self.connections % len(self.addresses)]
                self.connections += 1
                try:
                    await self._once(client, address, enough, leave_after)
                except httpx.HTTPError:
                    await asyncio.sleep(0.05)

    async def _once(
        self, client: httpx.AsyncClient, address: str, enough: Callable[["Faithful"], bool], leave_after: int
    ) -> None:
        headers = {"Last-Event-ID": self.ids[-1]} if self.ids else {}
        until = len(self.seen) + leave_after
        async with aconnect_sse(client, "GET", f"{address}/v1/stream?{self.query}", headers=headers) as source:
            if source.response.status_code != httpx.codes.OK:
                await asyncio.sleep(0.05)
                return
            async for event in source.aiter_sse():
                self._take(event.event, event.id, event.json())
                if len(self.seen) >= until or enough(self):
                    return

    def _take(self, name: str, number: str, data: dict[str, Any]) -> None:
        if name == "change":
            self.seen += [(change["device"], change["ts"]) for change in data["changes"]]
        elif name == "reset":
            self.resets.append(data["reason"])
        if number and (not self.ids or self.ids[-1] != number):
            self.ids.append(number)


class Device:
    """Posts each body until it is answered with 200, at one address or another: as a device does."""

    def __init__(self, client: httpx.AsyncClient, addresses: list[str]) -> None:
        self._client = client
        self._addresses = addresses

    async def post(self, body: object, *, first: int = 0) -> None:
        async with asyncio.timeout(40):
            for turn in range(first, 10_000):
                address = self._addresses[turn % len(self._addresses)]
                try:
                    got = await self._client.post(f"{address}/v1/readings", json=body)
                except httpx.HTTPError:
                    got = None
                if got is not None and got.status_code == httpx.codes.OK:
                    return
                await asyncio.sleep(0.05)


@asynccontextmanager
async def device(*addresses: str) -> AsyncIterator[Device]:
    async with plain_http.AsyncClient(headers=HEADERS, trust_env=False, timeout=5) as client:
        yield Device(client, list(addresses))
