"""The budget for bodies: arriving ones in, whole ones out, under a size cap, a deadline and a cap on all together.

Never parses a body. Raises TooLarge, BodyTimeout, Overloaded, and what `inflate` raises.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Protocol, Self

from gateway.core.errors import BodyTimeout, Overloaded, TooLarge
from gateway.core.settings import HttpSettings
from gateway.core.slices import Slices
from gateway.telemetry import events
from gateway.web.limits.arriving_turns import ArrivingTurns
from gateway.web.limits.decompress import InflatedLimits, inflate

INFLIGHT = "http.max_inflight_bytes"
UNKNOWN_SHARE = 4
"""Of all bytes in hand, strangers' may be one part of so many: those of connections that have shown no credential."""
CREDENTIAL_SHARE = 2
"""Of all bytes in hand, those of one credential whose bodies are still arriving may be one part of so many; one body
may be as large as any."""
SLOW_SECS = 10.0
"""So long a body may come as slowly as it likes."""
CHUNKED: object = "chunked"
"""Sanic's mark of a body whose length is not declared."""


class Incoming(Protocol):
    """A body that is still to be read."""

    @property
    def declared(self) -> int | None:
        """Bytes of it that were not read yet; None if they are not declared."""
        ...

    @property
    def is_here(self) -> bool:
        """Whether the rest of a body of declared length has arrived already."""
        ...

    @property
    def has_more(self) -> bool:
        """Whether there is something to read."""
        ...

    async def read(self) -> bytes | None:
        """Return the next bytes, as they come."""
        ...


class Bodies:
    """The bodies one worker has in hand: from their first byte until their request is answered."""

    def __init__(self, limits: HttpSettings) -> None:
        self.limits = limits
        self.slices = Slices()
        """What bodies are decompressed in."""
        self.turns = ArrivingTurns()
        """What bodies that are not whole yet are read in."""
        self.inflight_bytes = 0
        """Bytes."""
        self.unknown_bytes = 0
        """Those among them that strangers sent."""
        self.arriving: dict[str | None, int] = {}
        """Those among them of bodies that are not whole yet, by credential."""

    def has_room(self, size: int) -> bool:
        """Whether a body of so many bytes may be taken into hand."""
        return size <= self.limits.max_body_bytes and self.inflight_bytes + size <= self.limits.max_inflight_bytes

    def read_ahead(self, size: int, *, known: bool) -> bool:
        """Count bytes that came before anybody asked for them, or (negative) were taken; False if there is no room."""
        most = self.limits.max_inflight_bytes
        if size > 0 and self.inflight_bytes + size > most:
            return False
        if not known:
            if size > 0 and self.unknown_bytes + size > most // UNKNOWN_SHARE:
                return False
            self.unknown_bytes += size
        self.inflight_bytes += size
        return True

    def hold(self, credential: str | None) -> "Hold":
        """Return a context manager that counts one request's bytes and gives them back at its end."""
        return Hold(self, credential)

    def arrive(self, credential: str | None, size: int) -> None:
        """Count bytes of a body that is not whole yet, or (negative) that is. Raises Overloaded beyond a share."""
        arriving = self.arriving[credential] = self.arriving.get(credential, 0) + size
        if not arriving:
            del self.arriving[credential]
        share = max(self.limits.max_inflight_bytes // CREDENTIAL_SHARE, self.limits.max_body_bytes)
        if size > 0 and arriving > share:
            events.overloaded(INFLIGHT)
            raise Overloaded(
                f"bodies sent with your credential hold {arriving} bytes and are not whole; {share} may be, a part of"
                f" {INFLIGHT}: send fewer at once",
                limit=INFLIGHT,
                value=self.limits.max_inflight_bytes,
            )


class Hold:
    """The bytes of one request."""

    __slots__ = ("_arriving", "_bodies", "_credential", "sent", "size")

    def __init__(self, bodies: Bodies, credential: str | None) -> None:
        self._bodies = bodies
        self._credential = credential
        self._arriving = 0
        self.size = 0
        self.sent: int | None = None
        """Bytes of a compressed body as it was sent, once it is read; None of any other."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bodies.inflight_bytes -= self.size

    def outlive(self, work: "asyncio.Future[Any]") -> None:
        """Count the bytes until this work is done, though the request ends before."""
        bodies, size = self._bodies, self.size
        self.size = 0

        def give_back(_: "asyncio.Future[Any]") -> None:
            bodies.inflight_bytes -= size

        work.add_done_callback(give_back)

    def add(self, size: int) -> None:
        """Count bytes that have arrived. Raises Overloaded when all bodies together pass the cap."""
        bodies = self._bodies
        self.size += size
        bodies.inflight_bytes += size
        if bodies.inflight_bytes > bodies.limits.max_inflight_bytes:
            raise no_room(bodies.limits)

    async def read(self, incoming: Incoming, encoding: str | None) -> bytes:
        """Return a body, without its Content-Encoding; to be called once."""
        raw = await self._arrived(incoming)
        if encoding is None:
            return raw
        held, limits = self.size, self._bodies.limits

        def grown(size: int) -> None:
            self.add(max(0, held - len(raw) + size - self.size))

        inflated = InflatedLimits(limits.max_inflated_bytes, limits.max_inflated_ratio)
        body = await self._bodies.slices.run(inflate(raw, encoding=encoding, limits=inflated, grown=grown))
        if body is not raw:
            self.sent = len(raw)
        return body

    async def _arrived(self, incoming: Incoming) -> bytes:
        limits = self._bodies.limits
        if (incoming.declared or 0) > limits.max_body_bytes:
            raise too_large(limits)
        if incoming.is_here:  # the usual case for a small body; a timer would cost more than reading it
            return await self._collect(incoming)
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(began + _secs(limits, 0)) as deadline:
                return await self._collect(incoming, lambda: self._go_on(deadline, began))
        except TimeoutError:
            raise _too_slow(limits, self.size) from None
        finally:
            self._bodies.arrive(self._credential, -self._arriving)

    async def _go_on(self, deadline: asyncio.Timeout, began: float) -> None:
        """Have some more time: some more has come. Return when still more may."""
        deadline.reschedule(began + _secs(self._bodies.limits, self.size))
        more, self._arriving = self.size - self._arriving, self.size
        self._bodies.arrive(self._credential, more)
        await self._bodies.turns.take(self._credential, more)

    async def _collect(self, incoming: Incoming, came: Callable[[], Awaitable[None]] | None = None) -> bytes:
        parts: list[bytes] = []
        while incoming.has_more:
            part = await incoming.read()
            if part:
                self.add(len(part))
                if self.size > self._bodies.limits.max_body_bytes:
                    raise too_large(self._bodies.limits)
                parts.append(part)
                if came is not None:
                    await came()
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _secs(limits: HttpSettings, size: int) -> float:
    """Return how long a body may take of which so many bytes have come."""
    rate = limits.body_min_bytes_per_sec
    return min(limits.body_deadline_secs, SLOW_SECS + size / rate) if rate else limits.body_deadline_secs


def _too_slow(limits: HttpSettings, size: int) -> BodyTimeout:
    if _secs(limits, size) == limits.body_deadline_secs:
        return BodyTimeout(
            f"the body did not arrive within {limits.body_deadline_secs:g} s (http.body_deadline_secs); "
            "send it faster, or in parts",
            limit="http.body_deadline_secs",
            value=limits.body_deadline_secs,
        )
    return BodyTimeout(
        f"{size} bytes of the body have arrived, and after {SLOW_SECS:g} s it must come with "
        f"{limits.body_min_bytes_per_sec:g} bytes a second or more (http.body_min_bytes_per_sec); send it faster",
        limit="http.body_min_bytes_per_sec",
        value=limits.body_min_bytes_per_sec,
    )


def no_room(limits: HttpSettings) -> Overloaded:
    """Return the error for bytes for which there is no room now; it is counted."""
    events.overloaded(INFLIGHT)
    return Overloaded(
        f"too many bytes of request bodies are in hand ({INFLIGHT}); send this again later",
        limit=INFLIGHT,
        value=limits.max_inflight_bytes,
    )


def too_large(limits: HttpSettings) -> TooLarge:
    """Return the error for a body over the cap."""
    return TooLarge(
        f"the body is larger than {limits.max_body_bytes} bytes (http.max_body_bytes); send it in parts",
        limit="http.max_body_bytes",
        value=limits.max_body_bytes,
    )
