"""What handlers answer with, and answers as bytes (RFC 9112). The one place where content becomes JSON. Never fails."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple, Protocol, cast

import msgspec
import orjson

from gateway.domain.model import Value

JSON, PROBLEM = "application/json", "application/problem+json"
OK, CREATED, NO_CONTENT, NOT_MODIFIED = 200, 201, 204, 304
BODILESS = (NO_CONTENT, NOT_MODIFIED)
"""Statuses whose replies have no body (RFC 9110 6.4.1)."""
UNROUTED = "none"
"""The label of requests that no operation took."""
NO_STORE = {"cache-control": "no-store"}
REVALIDATED = {"cache-control": "private, no-cache"}

to_json = msgspec.json.Encoder(enc_hook=str).encode

SHORT = 1e16
"""Doubles from here on have an exponent in JSON."""


def exact(value: Value) -> Value:
    """Return a value of a reading as it shall stand in JSON: 1e+16, and not 1e16, as in all other answers of ours."""
    if type(value) is float and not -SHORT < value < SHORT:
        return cast("float", msgspec.Raw(orjson.dumps(value)))
    return value


class Answer(NamedTuple):
    """A whole answer."""

    content: object = b""
    """A struct, which is sent as JSON, or bytes."""
    status: int = OK
    headers: Mapping[str, str] = {}
    """In lower case; their values are ours, so that none needs cleaning."""
    media: str = JSON
    is_shared: bool = False
    """The content stands in memory anyway, however many are sent it."""

    @property
    def body(self) -> bytes:
        """What is sent."""
        return self.content if isinstance(self.content, bytes) else to_json(self.content)


class Gone(asyncio.CancelledError):
    """Nobody takes the answer any more: the other side has left."""


class StreamWire(Protocol):
    """The connection that takes a stream."""

    @property
    def request_id(self) -> str:
        """Of the answer; after `begin`."""
        ...

    @property
    def head_only(self) -> bool:
        """Whether HEAD asks: after `begin` there is nothing to send."""
        ...

    async def begin(self) -> None:
        """Send the head of the answer."""
        ...

    async def send(self, data: bytes) -> None:
        """Return when the connection has room. Raises Gone."""
        ...

    async def end(self) -> None:
        """Say that the answer is complete. Raises Gone."""
        ...

    def abort(self) -> None:
        """Close the connection at once."""
        ...

    def reset(self) -> None:
        """Reset it: over HTTP/1.0, without chunks, the end of the connection would be the end of the answer."""
        ...


class Stream(NamedTuple):
    """An answer that is sent in parts."""

    write: Callable[[StreamWire], Awaitable[None]]
    """Until it begins the answer, what it raises is a problem like any other."""
    media: str
    headers: Mapping[str, str] = {}
    endless: bool = False
    """It ends when its reader does, and its connection with it."""


def to_bytes(
    body: bytes, *, status: int, headers: Mapping[str, str], content_type: str = JSON, keep_alive: bool = True
) -> bytes:
    """Return a whole response as Sanic would send it (RFC 9112); header values are ours, as those of `Answer`."""
    head = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    connection = "keep-alive" if keep_alive else "close"
    if status in BODILESS:
        return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}connection: {connection}\r\n\r\n".encode(
            "ascii"
        )
    start = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n" if status != OK else "HTTP/1.1 200 OK\r\n"
    end = f"content-length: {len(body)}\r\nconnection: {connection}\r\ncontent-type: {content_type}\r\n\r\n"
    return (start + head + end).encode("ascii") + body
