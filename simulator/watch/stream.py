"""What the watch reads: the newest state, in polls at fixed times, and the live stream, come back to when it ends.

The polls go on whatever became of those before: an open loop. Server-sent events are those of WHATWG HTML 9.2.6, parsed
from bytes in any pieces, bounded in memory. Reading goes on where it was cut off (`Last-Event-ID`). That a gateway does
not show the stream stands in `refused`, for good.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from urllib.parse import quote

from simulator.core.errors import ConnectionLost, Refused, Unreachable
from simulator.send.drivers.http import HttpClient, Request
from simulator.send.pacing import Clock, Sleep
from simulator.verify.states import States, fetch_states

EVERY_S = 0.05
"""Seconds between two questions: what is seen in the state may have been there for so long."""
AT_ONCE = 4
"""Questions without an answer yet; at a gateway slower than that some are left out, and counted."""


class Polls:
    """The questions of one run. `run` asks until cancelled."""

    def __init__(
        self,
        client: HttpClient,
        names: list[str],
        *,
        take: Callable[[States], None],
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.answered = self.failed = self.left_out = 0
        self.trouble = ""
        """What was wrong with the last question that failed."""
        self._client = client
        self._names = names
        self._take = take
        self._clock = clock
        self._sleep = sleep
        self._open = 0

    async def run(self) -> None:
        """Ask every `EVERY_S`."""
        began, turn = self._clock(), 0
        async with asyncio.TaskGroup() as group:
            while True:
                if self._open < AT_ONCE:
                    self._open += 1
                    group.create_task(self._ask(), name="watch.poll")
                else:
                    self.left_out += 1
                following = max(turn + 1, int((self._clock() - began) / EVERY_S))
                self.left_out += following - turn - 1
                turn = following
                await self._sleep(max(0.0, began + turn * EVERY_S - self._clock()))

    async def _ask(self) -> None:
        try:
            self._take(await fetch_states(self._client, self._names))
            self.answered += 1
        except (Unreachable, Refused) as error:
            self.failed += 1
            self.trouble = str(error)
        finally:
            self._open -= 1


MAX_EVENT_BYTES = 32 * 2**20
"""Longer than any event may be: the newest values of a thousand devices take a few megabytes."""


class BadStream(Exception):
    """What comes is no stream of events."""


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One event; `id` is empty if it has none of its own."""

    kind: str
    data: str
    id: str


class SseReader:
    """Holds what has come of one stream. `retry_ms` is what the server said last, None before."""

    def __init__(self) -> None:
        self.retry_ms: int | None = None
        self._rest = b""
        self._size = 0
        self._begin()

    def _begin(self) -> None:
        self._kind = self._id = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[SseEvent]:
        """Take in bytes; return the events that are complete. Raises BadStream."""
        # A CR at the end may be half of a CRLF: it waits for what follows.
        text = self._rest + piece
        held = b"\r" if text.endswith(b"\r") else b""
        *lines, rest = text.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = rest + held
        if self._size + len(self._rest) > MAX_EVENT_BYTES:
            raise BadStream("an event does not end")
        return [event for line in lines if (event := self._take(line)) is not None]

    def _take(self, line: bytes) -> SseEvent | None:
        if not line:
            return self._finish()
        self._size += len(line)
        field, _, value = line.decode("utf-8", errors="replace").partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                self._kind = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value[:9])
        return None

    def _finish(self) -> SseEvent | None:
        """Return the event that an empty line ends; one without data is none."""
        event = SseEvent(self._kind or "message", "\n".join(self._data), self._id) if self._data else None
        self._begin()
        return event


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
