"""HTTP/1.1 connections of a client: requests in, responses or an answer that does not end out. Nothing is repeated."""

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import cast

from simulator.core.errors import ConnectionLost
from simulator.send.drivers.http_reader import Response, ResponseReader

_PIECE = 64 * 1024
_CLOSE_S = 1.0


class HttpProtocol(asyncio.Protocol, ABC):
    """One connection: one request on the way at a time; what comes of it is for `_deliver` and `_fail`."""

    def __init__(self) -> None:
        self._reader = ResponseReader()
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and not self._transport.is_closing() and self._reader.is_idle

    def close(self) -> None:
        """Close the connection; a request on the way fails."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be told that the connection is open."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Be given what came in."""
        self._take(lambda: self._reader.feed(data))

    def eof_received(self) -> None:
        """Be told that nothing more comes in."""
        self._take(self._reader.end)

    def connection_lost(self, exc: Exception | None) -> None:
        """Be told that the connection has ended."""
        self._fail(ConnectionLost(str(exc or "closed by the peer")))

    def _take(self, read: Callable[[], Response | None]) -> None:
        try:
            response = read()
            if response is not None:
                self._deliver(response)
        except ConnectionLost as error:
            self._fail(error)
            self.close()

    @abstractmethod
    def _deliver(self, response: Response) -> None:
        """Take a response. Raises ConnectionLost if nobody asked for it."""

    @abstractmethod
    def _fail(self, error: ConnectionLost) -> None:
        """Take the end of the connection, which may be told several times."""


class HttpConnection(HttpProtocol):
    """A connection on which each response is awaited."""

    def __init__(self) -> None:
        super().__init__()
        self._answer: asyncio.Future[Response] | None = None

    async def request(self, data: bytes) -> Response:
        """Send a whole request, return its response. Raises ConnectionLost. Cancelled, it closes the connection."""
        if self._transport is None or not self.is_open:
            raise ConnectionLost("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._transport.write(data)
            return await self._answer
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        finally:
            self._answer = None

    async def request_in_parts(self, parts: Iterable[bytes], *, pause: float) -> Response:
        """Send a request piece by piece, `pause` seconds apart, until the response is there; then wait for that."""
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._answer = answer
        try:
            for part in parts:
                if self._transport is not None:
                    self._transport.write(part)
                await asyncio.wait([answer], timeout=pause)
                if answer.done():
                    break
            return await answer
        finally:
            self._answer = None
            self.close()

    def send_and_leave(self, data: bytes) -> None:
        """Send a part of a request, and close the connection behind it."""
        if self._transport is not None:
            self._transport.write(data)
            self._transport.close()

    def _deliver(self, response: Response) -> None:
        if self._answer is None or self._answer.done():
            raise ConnectionLost("a response nobody asked for")
        if not response.keep_alive:
            self.close()
        self._answer.set_result(response)

    def _fail(self, error: ConnectionLost) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


class HttpStream:
    """One answer that may not end. `status` is known from the beginning."""

    def __init__(self, reader: asyncio.StreamReader, *, silence: float) -> None:
        """`silence` in seconds: how long nothing may come before the connection is taken for dead."""
        self._reader = reader
        self._silence = silence
        self._parser = ResponseReader()
        self._whole: Response | None = None

    @property
    def status(self) -> int:
        """The status code."""
        return self._parser.status if self._whole is None else self._whole.status

    async def begin(self) -> None:
        """Wait for the head of the answer. Raises ConnectionLost."""
        while not self._parser.has_head and self._whole is None:
            await self._read()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body until it ends. Raises ConnectionLost if it is cut off."""
        while self._whole is None:
            piece = self._parser.take()
            if piece:
                yield piece
            await self._read()
        if self._whole.body:
            yield self._whole.body

    async def _read(self) -> None:
        async with trying(self._silence, otherwise=f"nothing came for {self._silence:g} s"):
            data = await self._reader.read(_PIECE)
        self._whole = self._parser.feed(data) if data else self._parser.end()
        if self._whole is None and not data:
            raise ConnectionLost("closed by the peer")


@asynccontextmanager
async def streamed(
    data: bytes, *, host: str, port: int, tls: ssl.SSLContext | None, silence: float
) -> AsyncIterator[HttpStream]:
    """Send a request on a connection of its own and yield its answer. Raises ConnectionLost."""
    async with trying(silence, otherwise="no connection in time"):
        reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        writer.write(data)
        stream = HttpStream(reader, silence=silence)
        await stream.begin()
        yield stream
    finally:
        writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await writer.wait_closed()


@asynccontextmanager
async def trying(timeout: float, *, otherwise: str = "no answer in time") -> AsyncIterator[None]:
    """Turn what may happen to a connection, also if it takes longer than `timeout` seconds, into ConnectionLost."""
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError as error:
        raise ConnectionLost(otherwise) from error
    except OSError as error:
        raise ConnectionLost(error.strerror or str(error)) from error
