"""Where the gateway is: a URL in, request heads and connections out. Sends nothing by itself."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Self, TypeVar

from simulator.core.addresses import masked, port_of, split
from simulator.core.errors import ConnectionLost, Unreachable, UsageError
from simulator.send.drivers.http import HttpConnection
from simulator.send.drivers.http_reader import Response

_PORTS = {"http": 80, "https": 443}
_CONNECT_S = 10.0
_ANSWER_S = 30.0

Protocol = TypeVar("Protocol", bound=asyncio.BaseProtocol)


class Gateway:
    """A gateway's address and our key there."""

    def __init__(self, host: str, port: int, *, prefix: str, tls: ssl.SSLContext | None, headers: str) -> None:
        self.host = host
        self.port = port
        self._prefix = prefix
        self._tls = tls
        self._headers = headers

    @classmethod
    def parse(cls, url: str, *, key: str) -> Self:
        """Read `http(s)://host[:port][/prefix]`. Raises UsageError."""
        parts = split(url)
        port = 0 if parts is None else port_of(parts)
        if parts is None or parts.scheme not in _PORTS or not parts.hostname or port == 0:
            raise UsageError(f"{masked(url)!r} is not a URL of the form http://host:port.")
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        authorization = f"Authorization: Bearer {key}\r\n" if key else ""
        headers = f"Host: {parts.netloc.rpartition('@')[2]}\r\n{authorization}"
        return cls(
            parts.hostname, port or _PORTS[parts.scheme], prefix=parts.path.rstrip("/"), tls=tls, headers=headers
        )

    def get(self, path: str) -> bytes:
        """Return a whole GET request."""
        return f"GET {self._prefix}{path} HTTP/1.1\r\n{self._headers}\r\n".encode()

    def head(self, path: str, length: int) -> bytes:
        """Return what comes before a JSON body of so many bytes."""
        return (
            f"POST {self._prefix}{path} HTTP/1.1\r\n{self._headers}"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        ).encode()

    async def connect(self, make: Callable[[], Protocol]) -> Protocol:
        """Open a connection. Raises Unreachable."""
        try:
            async with asyncio.timeout(_CONNECT_S):
                loop = asyncio.get_running_loop()
                _, protocol = await loop.create_connection(make, self.host, self.port, ssl=self._tls)
        except OSError as error:  # TimeoutError is one
            raise Unreachable(f"The gateway at {self.host}:{self.port} does not answer: {error}.") from error
        return protocol

    async def ask(self, request: bytes) -> Response:
        """Send one request on a connection of its own, return the response. Raises Unreachable."""
        connection = await self.connect(HttpConnection)
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await connection.request(request)
        except (ConnectionLost, TimeoutError) as error:
            raise Unreachable(f"The gateway at {self.host}:{self.port} does not answer: {error}.") from error
        finally:
            connection.close()
