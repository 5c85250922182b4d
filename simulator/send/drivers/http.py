"""An HTTP/1.1 keep-alive client for load: bodies in, responses out, over a bounded pool of connections.

Does one attempt at a time and never repeats a request by itself: whether to send again is the caller's knowledge. Only
`ask`, for questions and not for load, asks until there is an answer that does not say "later".
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Self, TypeVar

from simulator.core.addresses import masked, port_of, split
from simulator.core.errors import ConnectionLost, Unreachable, UsageError
from simulator.core.json_objects import object_of
from simulator.send.drivers.http_connection import HttpConnection, HttpStream, streamed, trying
from simulator.send.drivers.http_reader import Response

_KEYS = 8
"""Keys whose header is remembered: it is written once, and sent with every post."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LATER = frozenset({429, 503})
_TRIES, PAUSE_S = 20, 0.5
Protocol = TypeVar("Protocol", bound=asyncio.BaseProtocol)


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
        self.host = parts.hostname
        self.port = port or _DEFAULT_PORTS[parts.scheme]
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

    async def __aexit__(self, *_: object) -> None:
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
        data = self.head(request, len(request.body)) + request.body
        async with self._slots, trying(self._timeout):
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
        async with trying(timeout):
            connection = await self.connect(HttpConnection)
            return await connection.request_in_parts(chain([self.head(request, len(request.body))], parts), pause=pause)

    async def send_and_leave(self, request: Request, sent: int) -> None:
        """Send a request's head and so many bytes of its body, then close the connection. Raises ConnectionLost."""
        async with trying(self._timeout):
            connection = await self.connect(HttpConnection)
            connection.send_and_leave(self.head(request, len(request.body)) + request.body[:sent])

    @asynccontextmanager
    async def stream(self, request: Request, *, silence: float) -> AsyncIterator[HttpStream]:
        """Send a request whose answer does not end, on a connection beside the pool. Raises ConnectionLost.

        `silence` in seconds: how long nothing may come.
        """
        data = self.head(request, len(request.body)) + request.body
        async with streamed(data, host=self.host, port=self.port, tls=self._tls, silence=silence) as stream:
            yield stream

    def head(self, request: Request, length: int) -> bytes:
        """Return what comes before a body of so many bytes on the wire."""
        key = self.key if request.key is None else request.key
        more = "".join([_line(*header) for header in request.headers]) if request.headers else ""
        if length or request.method != "GET":
            encoding = f"Content-Encoding: {request.encoding}\r\n" if request.encoding else ""
            more = f"Content-Type: {request.media}\r\n{encoding}{more}Content-Length: {length}\r\n"
        return (
            f"{request.method} {self._prefix}{request.path} HTTP/1.1\r\nHost: {self._netloc}\r\n"
            f"{self._authorization(key)}{more}\r\n"
        ).encode()

    async def _connection(self) -> HttpConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return await self.connect(HttpConnection)

    async def connect(self, make: Callable[[], Protocol]) -> Protocol:
        """Open a connection beside the pool. Raises OSError."""
        _, protocol = await asyncio.get_running_loop().create_connection(make, self.host, self.port, ssl=self._tls)
        return protocol


async def ask_once(client: HttpClient, request: Request, *, complaint: str) -> Response:
    """Return the response. Raises Unreachable, with the complaint and what was the matter, if there is none."""
    try:
        return await client.request(request)
    except ConnectionLost as error:
        raise Unreachable(f"{complaint}: {error}.") from error


async def ask(client: HttpClient, request: Request, *, complaint: str) -> Response:
    """Return the response; a server may just have been restarted.

    Raises Unreachable, with the complaint and what was the matter, after ten seconds of trying.
    """
    problem = ""
    for _ in range(_TRIES):
        try:
            response = await client.request(request)
        except ConnectionLost as error:
            problem = str(error)
        else:
            if response.status not in _LATER:
                return response
            problem = f"it answers with {said_by(response)}"
        await asyncio.sleep(PAUSE_S)
    raise Unreachable(f"{complaint}: {problem}.")


def said_by(response: Response) -> str:
    """Return the status of an answer, with the code of its problem if it has one."""
    return f"{response.status} {object_of(response.body).get('code', '')}".rstrip()
