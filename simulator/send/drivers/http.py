"""An HTTP/1.1 keep-alive client for load: bodies in, responses out, over a bounded pool of connections.

Does one attempt at a time and never repeats a request by itself: whether to send again is the caller's knowledge.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from types import TracebackType
from typing import Self, cast

from simulator.core.addresses import masked, port_of, split
from simulator.core.errors import ConnectionLost, UsageError
from simulator.send.drivers.http_reader import Response, ResponseReader
from simulator.send.drivers.http_stream import HttpStream, opened

_KEYS = 8
"""Keys whose header is remembered: it is written once, and sent with every post."""
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


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `key` in place of the client's own, `media` and `encoding` of the body."""

    method: str
    path: str
    body: bytes = b""
    media: str = "application/json"
    encoding: str = ""
    key: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


def bearer(key: str) -> str:
    """Return the Authorization header for a key (RFC 6750), empty for none."""
    return f"Bearer {key}" if key else ""


def _line(name: str, value: str) -> str:
    """Return a line of a head; nothing for no value."""
    return f"{name}: {value}\r\n" if value else ""


class HttpClient:
    """A pool of keep-alive connections to one server; at most `connections` requests are on the way at a time."""

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        connections: int = 16,
        timeout: float = 30.0,
        authorize: Callable[[str], str] = bearer,
    ) -> None:
        """Raise UsageError for a URL that is not `http(s)://host[:port][/prefix]`; `timeout` in seconds, an attempt."""
        parts = split(url)
        port = 0 if parts is None else port_of(parts)
        if parts is None or parts.scheme not in _DEFAULT_PORTS or not parts.hostname or port == 0:
            raise UsageError(f"{masked(url)!r} is not a URL of the form http://host:port.")
        self.url = masked(url)
        """As it may be shown."""
        self._host = parts.hostname
        self._port = port or _DEFAULT_PORTS[parts.scheme]
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._prefix = parts.path.rstrip("/")
        self._timeout = timeout
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[HttpConnection] = []
        self._busy: set[HttpConnection] = set()
        self.key = key
        """What the requests that follow are authorised with."""
        self._authorization = lru_cache(_KEYS)(lambda key: _line("Authorization", authorize(key)))
        self._netloc = parts.netloc.rpartition("@")[2]

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

    def hang_up(self, *, all_of_them: bool) -> None:
        """Close a connection that stands idle, or all of them, and those that wait for an answer, too."""
        if all_of_them:
            self.close()
            for connection in self._busy:
                connection.close()
        elif self._idle:
            self._idle.pop().close()

    async def post(self, body: bytes, *, path: str = "/v1/readings", encoding: str = "") -> Response:
        """Post JSON. Raises ConnectionLost if there is no complete answer within the timeout."""
        return await self.request(Request("POST", path, body, encoding=encoding))

    async def request(self, request: Request) -> Response:
        """Send a request. Raises ConnectionLost if there is no complete answer within the timeout."""
        data = self._head(request) + request.body
        async with self._slots, self._trying(self._timeout):
            connection = await self._connection()
            self._busy.add(connection)
            try:
                response = await connection.request(data)
            finally:
                self._busy.discard(connection)
            if connection.is_open:
                self._idle.append(connection)
            return response

    async def request_in_parts(
        self, request: Request, parts: Iterable[bytes], *, pause: float, timeout: float
    ) -> Response:
        """Send a request's head and then these parts of its body, on a connection of its own, until it is answered.

        Raises ConnectionLost if there is no complete answer within `timeout` seconds.
        """
        async with self._trying(timeout):
            connection = await self._connect()
            return await connection.request_in_parts(chain([self._head(request)], parts), pause=pause)

    async def send_and_leave(self, request: Request, sent: int) -> None:
        """Send a request's head and so many bytes of its body, then close the connection. Raises ConnectionLost."""
        async with self._trying(self._timeout):
            connection = await self._connect()
            connection.send_and_leave(self._head(request) + request.body[:sent])

    @asynccontextmanager
    async def stream(self, request: Request, *, silence: float) -> AsyncIterator[HttpStream]:
        """Send a request whose answer does not end, on a connection beside the pool. Raises ConnectionLost.

        `silence` in seconds: how long nothing may come.
        """
        data = self._head(request) + request.body
        async with opened(data, host=self._host, port=self._port, tls=self._tls, silence=silence) as stream:
            yield stream

    def _head(self, request: Request) -> bytes:
        key = self.key if request.key is None else request.key
        more = "".join([_line(*header) for header in request.headers]) if request.headers else ""
        encoding = f"Content-Encoding: {request.encoding}\r\n" if request.encoding else ""
        return (
            f"{request.method} {self._prefix}{request.path} HTTP/1.1\r\nHost: {self._netloc}\r\n"
            f"{self._authorization(key)}Content-Type: {request.media}\r\n{encoding}{more}"
            f"Content-Length: {len(request.body)}\r\n\r\n"
        ).encode()

    @asynccontextmanager
    async def _trying(self, timeout: float) -> AsyncIterator[None]:
        """Turn what may happen to a connection into ConnectionLost."""
        try:
            async with asyncio.timeout(timeout):
                yield
        except TimeoutError as error:
            raise ConnectionLost("no answer in time") from error
        except OSError as error:
            raise ConnectionLost(error.strerror or str(error)) from error

    async def _connection(self) -> HttpConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return await self._connect()

    async def _connect(self) -> HttpConnection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(HttpConnection, self._host, self._port, ssl=self._tls)
        return connection
