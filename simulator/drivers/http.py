"""An HTTP/1.1 keep-alive client for load: bodies in, responses out, over a bounded pool of connections.

Does one attempt at a time and never repeats a request by itself: whether to send again is the caller's knowledge.
"""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, cast
from urllib.parse import urlsplit

from simulator.drivers.http_reader import Response, ResponseReader
from simulator.errors import ConnectionLost, UsageError

_DEFAULT_PORTS = {"http": 80, "https": 443}


class HttpConnection(asyncio.Protocol):
    """One connection: one request on the way at a time."""

    def __init__(self) -> None:
        self._reader = ResponseReader()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Response] | None = None

    @property
    def is_open(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and not self._transport.is_closing() and self._reader.is_idle

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

    def close(self) -> None:
        """Close the connection; a request on the way fails."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be told that the connection is open."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Be given what came in."""
        with self._reading():
            self._deliver(self._reader.feed(data))

    def eof_received(self) -> None:
        """Be told that nothing more comes in."""
        with self._reading():
            self._deliver(self._reader.end())

    def connection_lost(self, exc: Exception | None) -> None:
        """Be told that the connection has ended."""
        self._fail(ConnectionLost(str(exc or "closed by the peer")))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except ConnectionLost as error:
            self._fail(error)
            self.close()

    def _deliver(self, response: Response | None) -> None:
        if response is None:
            return
        if self._answer is None or self._answer.done():
            raise ConnectionLost("a response nobody asked for")
        if not response.keep_alive:
            self.close()
        self._answer.set_result(response)

    def _fail(self, error: ConnectionLost) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


class HttpClient:
    """A pool of keep-alive connections to one server; at most `connections` requests are on the way at a time."""

    def __init__(self, url: str, *, key: str = "", connections: int = 16, timeout: float = 30.0) -> None:
        """Raise UsageError for a URL that is not `http(s)://host[:port][/prefix]`; `timeout` in seconds, an attempt."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or port == 0:
            raise UsageError(f"{url!r} is not a URL of the form http://host:port.")
        self.url = url
        self._host = parts.hostname
        self._port = port or _DEFAULT_PORTS[parts.scheme]
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._prefix = parts.path.rstrip("/")
        self._timeout = timeout
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[HttpConnection] = []
        authorization = f"Authorization: Bearer {key}\r\n" if key else ""
        self._headers = f"Host: {parts.netloc.rpartition('@')[2]}\r\n{authorization}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that stand idle."""
        while self._idle:
            self._idle.pop().close()

    async def post(self, body: bytes, *, path: str = "/v1/readings") -> Response:
        """Post JSON. Raises ConnectionLost if there is no complete answer within the timeout."""
        head = (
            f"POST {self._prefix}{path} HTTP/1.1\r\n{self._headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return await self._request(head.encode() + body)

    async def _request(self, data: bytes) -> Response:
        async with self._slots:
            try:
                async with asyncio.timeout(self._timeout):
                    connection = await self._connection()
                    response = await connection.request(data)
            except TimeoutError as error:
                raise ConnectionLost("no answer in time") from error
            except OSError as error:
                raise ConnectionLost(error.strerror or str(error)) from error
            if connection.is_open:
                self._idle.append(connection)
            return response

    async def _connection(self) -> HttpConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(HttpConnection, self._host, self._port, ssl=self._tls)
        return connection
