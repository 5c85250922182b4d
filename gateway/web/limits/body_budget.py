"""Request streams in, whole bodies out, under a size cap, a deadline and a cap on all bodies in hand together.

Never parses a body. Raises TooLarge, BodyTimeout, Overloaded, and what `inflate` raises.
"""

import asyncio
from types import TracebackType
from typing import Any, Self

from sanic import Request
from sanic.http import Http as Stream

from gateway.core.errors import BodyTimeout, Overloaded, TooLarge
from gateway.core.settings import HttpSettings
from gateway.telemetry import events
from gateway.web.limits.decompress import inflate

INFLIGHT = "http.max_inflight_bytes"
CHUNKED: object = "chunked"
"""Sanic's mark of a body whose length is not declared."""


class Bodies:
    """The bodies one worker has in hand: from their first byte until their request is answered."""

    def __init__(self, limits: HttpSettings) -> None:
        self.limits = limits
        self.in_hand = 0
        """Bytes."""

    def has_room(self, size: int) -> bool:
        """Whether a body of so many bytes may be taken into hand."""
        return size <= self.limits.max_body_bytes and self.in_hand + size <= self.limits.max_inflight_bytes

    def hold(self) -> "Hold":
        """Return a context manager that counts one request's bytes and gives them back at its end."""
        return Hold(self)


class Hold:
    """The bytes of one request."""

    __slots__ = ("_bodies", "size")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bodies.in_hand -= self.size

    def outlive(self, work: "asyncio.Future[Any]") -> None:
        """Count the bytes until this work is done, though the request ends before."""
        bodies, size = self._bodies, self.size
        self.size = 0

        def give_back(_: "asyncio.Future[Any]") -> None:
            bodies.in_hand -= size

        work.add_done_callback(give_back)

    def add(self, size: int) -> None:
        """Count bytes that have arrived. Raises Overloaded when all bodies together pass the cap."""
        bodies = self._bodies
        self.size += size
        bodies.in_hand += size
        if bodies.in_hand > bodies.limits.max_inflight_bytes:
            events.overloaded(INFLIGHT)
            raise Overloaded(
                f"too many bytes of request bodies are in hand ({INFLIGHT}); send this again later",
                limit=INFLIGHT,
                value=bodies.limits.max_inflight_bytes,
            )

    async def read(self, request: Request) -> bytes:
        """Return the request's body, decompressed; to be called once."""
        stream = request.stream
        if not isinstance(stream, Stream):
            return b""
        raw = await self._arrived(stream)
        encoding = request.headers.getone("content-encoding", None)
        if encoding is None:
            return raw
        body = inflate(raw, encoding=encoding, limit=self._bodies.limits.max_inflated_bytes)
        self.add(max(0, len(body) - len(raw)))
        return body

    async def _arrived(self, stream: Stream) -> bytes:
        limits = self._bodies.limits
        if (stream.request_bytes_left or 0) > limits.max_body_bytes:
            raise too_large(limits)
        if is_here(stream):  # the usual case for a small body; a timer would cost more than reading it
            return await self._collect(stream)
        try:
            async with asyncio.timeout(limits.body_deadline_secs):
                return await self._collect(stream)
        except TimeoutError:
            raise BodyTimeout(
                f"the body did not arrive within {limits.body_deadline_secs:g} s (http.body_deadline_secs); "
                "send it faster, or in parts",
                limit="http.body_deadline_secs",
                value=limits.body_deadline_secs,
            ) from None

    async def _collect(self, stream: Stream) -> bytes:
        parts: list[bytes] = []
        while stream.request_body:
            part = await stream.read()
            if part:
                self.add(len(part))
                if self.size > self._bodies.limits.max_body_bytes:
                    raise too_large(self._bodies.limits)
                parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def is_here(stream: Stream) -> bool:
    """Whether the rest of a body of declared length has arrived already."""
    left = stream.request_bytes_left
    return stream.request_body != CHUNKED and left is not None and len(stream.recv_buffer) >= left


def too_large(limits: HttpSettings) -> TooLarge:
    """Return the error for a body over the cap."""
    return TooLarge(
        f"the body is larger than {limits.max_body_bytes} bytes (http.max_body_bytes); send it in parts",
        limit="http.max_body_bytes",
        value=limits.max_body_bytes,
    )
