"""Requests over HTTP as fast as they are answered: an iterator of requests in, a filled tally out.

Each connection sends its next request when the last one is answered. Everything happens in callbacks of the event
loop: 18 µs of CPU a request, where a task that awaits each answer (`drivers.http`) takes 45 µs. On a machine that the
gateway and its database share with us the difference is their throughput.
"""

import asyncio
from collections.abc import Iterator
from typing import cast

from simulator.core.errors import ProtocolError
from simulator.measure.bench.gateway import Gateway
from simulator.measure.bench.tally import Tally
from simulator.send.drivers.http_reader import ResponseReader
from simulator.send.pacing import Clock

_PAUSE_S = 0.05
"""After an answer that says no: a closed loop must not turn refusals into a flood."""
GRACE_S = 30.0
_LENGTH = b"ontent-length: "
_LENGTH_TITLE = b"ontent-Length: "


class Caller(asyncio.Protocol):
    """One connection. `finished` when there is nothing more to send, or the connection has ended."""

    def __init__(self, requests: Iterator[bytes], tally: Tally, *, clock: Clock) -> None:
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._tally = tally
        self._clock = clock
        self._reader = ResponseReader()
        self._began = 0.0
        self._waits = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be told that the connection is open."""
        self._transport = cast(asyncio.Transport, transport)

    def send(self) -> None:
        """Send the next request, if there is one."""
        request = None if self._transport.is_closing() else next(self._requests, None)
        if request is None:
            self._finish()
            return
        self._waits = True
        self._began = self._clock()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Be given what came in."""
        found = parse_plain(data) if self._reader.is_idle else None
        if found is not None:
            self._settle(*found)
            return
        try:
            response = self._reader.feed(data)
        except ProtocolError:
            self._transport.abort()
            return
        if response is not None:
            self._settle(response.status, response.body)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Be told that the connection has ended."""
        if self._waits:
            self._waits = False
            self._tally.faults["connection_lost"] += 1
        self._finish()

    def abort(self) -> None:
        """Close the connection; what is on the way will not be waited for."""
        if self._waits:
            self._waits = False
            self._tally.faults["no_answer"] += 1
        self._transport.abort()

    def _settle(self, status: int, body: bytes) -> None:
        if not self._waits:
            self._transport.abort()
            return
        self._waits = False
        if self._tally.take(status, body, self._clock() - self._began):
            self.send()
        else:
            asyncio.get_running_loop().call_later(_PAUSE_S, self.send)

    def _finish(self) -> None:
        if not self.finished.done():
            self.finished.set_result(None)


async def call(
    gateway: Gateway, requests: Iterator[bytes], tally: Tally, *, connections: int, clock: Clock, patience: float
) -> float:
    """Send all requests; return the seconds from the first one to the last answer. Raises Unreachable.

    What is not answered `GRACE_S` after `patience` seconds is counted as a fault.
    """
    callers: list[Caller] = []
    try:
        for _ in range(connections):
            callers.append(await gateway.connect(lambda: Caller(requests, tally, clock=clock)))  # noqa: PERF401
        began = clock()
        for caller in callers:
            caller.send()
        await asyncio.wait([caller.finished for caller in callers], timeout=patience + GRACE_S)
        return clock() - began
    finally:
        for caller in callers:
            caller.abort()


def parse_plain(data: bytes) -> tuple[int, bytes] | None:
    """Return status and body if the bytes are one whole response with a Content-Length, None if they may be not."""
    end = data.find(b"\r\n\r\n")
    at = data.find(_LENGTH, 0, end)
    if at < 0:
        at = data.find(_LENGTH_TITLE, 0, end)
    if end < 0 or at < 0 or not data.startswith(b"HTTP/1.1 "):
        return None
    digits = data[at + len(_LENGTH) : data.find(b"\r", at)]
    status = data[9:12]
    if not digits.isdigit() or not status.isdigit() or len(data) != end + 4 + int(digits):
        return None
    return int(status), data[end + 4 :]
