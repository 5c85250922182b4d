"""Read the live stream of some devices through the public API, and come back to it: names in, events out.

It goes on where it was cut off (`Last-Event-ID`). That a gateway does not show it stands in `refused`, for good.
"""

import asyncio
from collections.abc import Callable
from random import Random
from urllib.parse import quote

from simulator.core.errors import ConnectionLost
from simulator.send.drivers.http import HttpClient, Request
from simulator.send.pacing import Sleep
from simulator.watch.sse import BadStream, SseEvent, SseReader

_OK, _TOO_MANY, _SERVER_ERROR = 200, 429, 500
_RETRY_S, _MAX_RETRY_S = 1.0, 5.0
_SILENCE_S = 90.0
"""Longer than the longest `live.ping_secs`: by then a stream that lives has said something."""


class StreamReader:
    """One subscription. `run` reads until cancelled, or refused."""

    def __init__(
        self,
        client: HttpClient,
        names: list[str],
        *,
        take: Callable[[SseEvent], None],
        random: Random,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.refused = ""
        """Why the gateway does not show it, if so."""
        self.is_open = False
        self.connections = 0
        """How often it was connected to."""
        self._client = client
        self._path = f"/v1/stream?device={quote(','.join(names), safe=',')}"
        self._take = take
        self._random = random
        self._sleep = sleep
        self._last_id = ""
        self._retry_s = _RETRY_S

    async def run(self) -> None:
        """Read; connect again whenever the connection ends, after the time that the server asks for."""
        while not self.refused:
            try:
                await self._read()
            except (ConnectionLost, BadStream):
                pass  # what is missing because of it, the verdict tells
            finally:
                self.is_open = False
            if not self.refused:
                await self._sleep(self._retry_s * self._random.uniform(0.8, 1.2))

    async def _read(self) -> None:
        request = Request("GET", self._path, headers=(("Last-Event-ID", self._last_id),))
        async with self._client.stream(request, silence=_SILENCE_S) as answer:
            if answer.status != _OK:
                if answer.status != _TOO_MANY and answer.status < _SERVER_ERROR:
                    self.refused = f"GET /v1/stream was answered with {answer.status}"
                return
            self.is_open = True
            self.connections += 1
            reader = SseReader()
            async for piece in answer.pieces():
                for event in reader.feed(piece):
                    self._last_id = event.id if event.id.isprintable() and event.id else self._last_id
                    self._take(event)
                if reader.retry_ms is not None:
                    self._retry_s = min(reader.retry_ms / 1_000, _MAX_RETRY_S)
