"""A raw HTTP connection for tests: bytes as they are in, one answer at a time out, each wait bounded."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """A raw connection: bytes as they are, one answer at a time, each wait bounded."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await asyncio.wait_for(self._writer.drain(), 10)

    async def post(self, body: bytes, *, path: str = "/v1/readings", more: Sequence[str] = ()) -> Answer:
        await self.send(head(path, f"Content-Length: {len(body)}", *more) + body)
        return await self.answer()

    async def answer(self) -> Answer:
        start = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 10)
        status_line, *lines = start.decode().split("\r\n")[:-2]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(status_line.split()[1])
        if status == 100:
            return Answer(status, headers, b"")
        size = int(headers.get("content-length", "0"))
        return Answer(status, headers, await asyncio.wait_for(self._reader.readexactly(size), 10))

    def put(self, data: bytes) -> None:
        """Send without waiting for anything."""
        self._writer.write(data)

    async def drained(self) -> None:
        """Wait until what was put has left, as long as that takes."""
        await self._writer.drain()

    async def some(self) -> bytes:
        """What has come, as soon as something has; nothing at the end."""
        return await self._reader.read(65_536)

    def abort(self) -> None:
        """Hang up at once."""
        self._writer.transport.abort()

    async def is_closed(self) -> bool:
        """Wait until the server ends the connection."""
        try:
            return await asyncio.wait_for(self._reader.read(1), 10) == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await asyncio.wait_for(self._writer.wait_closed(), 10)


def head(path: str, *lines: str, token: str = "admin") -> bytes:
    """The start of a POST request, up to and with the empty line."""
    fixed = (f"POST {path} HTTP/1.1", "Host: gateway", f"Authorization: Bearer {token}")
    return "\r\n".join((*fixed, *lines, "", "")).encode()
