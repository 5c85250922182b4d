"""An HTTP/1.1 answer that does not end: a request in, pieces of the body out as they come. Never repeats a request."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from simulator.core.errors import ConnectionLost
from simulator.send.drivers.http_reader import Response, ResponseReader

_PIECE = 64 * 1024
_CLOSE_S = 1.0


class HttpStream:
    """One answer. `status` is known from the beginning."""

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
        try:
            async with asyncio.timeout(self._silence):
                data = await self._reader.read(_PIECE)
        except TimeoutError as error:
            raise ConnectionLost(f"nothing came for {self._silence:g} s") from error
        except OSError as error:
            raise ConnectionLost(error.strerror or str(error)) from error
        self._whole = self._parser.feed(data) if data else self._parser.end()
        if self._whole is None and not data:
            raise ConnectionLost("closed by the peer")


@asynccontextmanager
async def opened(
    data: bytes, *, host: str, port: int, tls: ssl.SSLContext | None, silence: float
) -> AsyncIterator[HttpStream]:
    """Send a request on a connection of its own and yield its answer. Raises ConnectionLost."""
    try:
        async with asyncio.timeout(silence):
            reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    except TimeoutError as error:
        raise ConnectionLost("no connection in time") from error
    except OSError as error:
        raise ConnectionLost(error.strerror or str(error)) from error
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
