"""`python -m tests.chaos.flood`: bodies at a rate that asks nobody whether it can be met; what was answered, as JSON.

In: a gateway, a rate or 0 for a closed loop (the next body when one is answered). Out: a line of JSON. Never repeats a
body. A body is a second of one device in milliseconds, and its number is in its times and values, so that the database
tells which bodies are stored. It shares no code with the simulator: it must cost little.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import time
from collections import Counter, deque

ROWS = 1_000
"""Messages in a body, of two readings each: the number of the body, and a value."""
DEVICES = 50
FIRST = 1_700_000_000
"""Number of the first body, which is its time in seconds since 1970, too."""
MARK = b"##########"
"""Stands for the number in the template; as many digits."""
TICK_SECS = 0.005
LAST_SECS = 40.0
"""Longest wait for answers at the end."""
TAKEN = (200, 207)
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
RETRY = re.compile(rb"retry-after: (\d+)", re.IGNORECASE)


POISON = 666.0
"""A value that `poison` has the database refuse."""


def template(key: str, prefix: str, device: int, *, poisoned: bool = False) -> bytes:
    """Return a whole request, but for its number; `poisoned`: one message of it cannot be stored."""
    times = b",".join(MARK + b"%03d" % i for i in range(ROWS))
    numbers = b",".join([MARK] * ROWS)
    values = b",".join(b"%.1f" % (POISON if poisoned and i == ROWS // 2 else i / 10) for i in range(ROWS))
    body = b'{"device":"%s-%d","ts":[%s],"values":{"n":[%s],"t":[%s]}}' % (
        prefix.encode(),
        device,
        times,
        numbers,
        values,
    )
    head = b"POST /v1/readings HTTP/1.1\r\nHost: flood\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n"
    return head % (key.encode(), len(body)) + body


class Flood:
    """All connections, and what became of each body."""

    def __init__(self, port: int, *, key: str, prefix: str, connections: int, poison_every: int) -> None:
        self._port = port
        self._templates = [template(key, prefix, device) for device in range(DEVICES)]
        self._poisoned = [template(key, prefix, device, poisoned=True) for device in range(DEVICES)]
        self._poison_every = poison_every
        self._room = connections
        self._idle: deque[Line] = deque()
        self.number = FIRST
        """Of the next body."""
        self.acknowledged: list[int] = []
        self.partly: list[int] = []
        """Bodies acknowledged but for what is poisoned."""
        self.seconds: Counter[int] = Counter()
        """Bodies acknowledged, by the second."""
        self.open: set[int] = set()
        """Bodies without an answer."""
        self.statuses: Counter[int] = Counter()
        self.limits: Counter[str] = Counter()
        """Limits that refusals named; "none" if a refusal does not name its way out."""
        self.retries: Counter[int] = Counter()
        """Retry-After of refusals, in seconds."""
        self.cut: set[int] = set()
        """Bodies whose connection ended without an answer."""
        self.unsent = 0
        """Bodies that were due while every connection was busy."""
        self.secs: list[float] = []
        """Times of acknowledgements."""
        self.closed_loop = False
        self._began = time.monotonic()

    async def offer(self, rate: float, secs: float) -> None:
        """Send at `rate` bodies a second, however many are on the way already."""
        due = 0.0
        while (passed := time.monotonic() - self._began) < secs:
            due += 1
            while due <= rate * passed:
                self.send()
                due += 1
            due -= 1
            await asyncio.sleep(TICK_SECS)

    async def loop(self, secs: float) -> None:
        """Keep every connection busy with one body."""
        self.closed_loop = True
        for _ in range(self._room):
            self.send()
        await asyncio.sleep(secs)
        self.closed_loop = False

    async def last(self) -> None:
        """Wait for the answers that are on the way."""
        deadline = time.monotonic() + LAST_SECS
        while self.open and time.monotonic() < deadline:  # noqa: ASYNC110 - a poll costs the flood less
            await asyncio.sleep(0.05)

    def send(self) -> None:
        """Send the next body, on an idle connection or a new one."""
        while self._idle:
            line = self._idle.popleft()
            if line.usable:
                line.begin(*self._next())
                return
        if not self._room:
            self.unsent += 1
            return
        self._room -= 1
        number, data = self._next()
        task = asyncio.get_running_loop().create_task(self._connect(number, data), name="flood.connect")
        task.add_done_callback(lambda done: done.exception())

    def answered(self, line: "Line", number: int, data: bytes, secs: float) -> None:
        """Note the answer to a body, and give the connection back."""
        status = int(data[9:12])
        self.statuses[status] += 1
        self.open.discard(number)
        if status in TAKEN:
            (self.acknowledged if status == TAKEN[0] else self.partly).append(number)
            self.seconds[int(time.monotonic() - self._began)] += 1
            self.secs.append(secs)
        else:
            self._refused(data)
        if line.usable:
            self._idle.append(line)
        if self.closed_loop:
            self.send()

    def ended(self, number: int | None) -> None:
        """Note that a connection is gone, and with it the answer to a body, if there was one on the way."""
        self._room += 1
        if number is not None:
            self.open.discard(number)
            self.cut.add(number)
        if number is not None and self.closed_loop:
            self.send()

    async def _connect(self, number: int, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, line = await loop.create_connection(lambda: Line(self), "127.0.0.1", self._port)
        except OSError:
            self.ended(number)
            return
        line.begin(number, data)

    def _next(self) -> tuple[int, bytes]:
        number, self.number = self.number, self.number + 1
        self.open.add(number)
        poisoned = self._poison_every and not number % self._poison_every
        chosen = self._poisoned if poisoned else self._templates
        return number, chosen[number % DEVICES].replace(MARK, b"%010d" % number)

    def _refused(self, data: bytes) -> None:
        body = json.loads(data.partition(b"\r\n\r\n")[2])
        named = str(body.get("limit", "none")) if body.get("detail", "").count(";") else "none"
        self.limits[named] += 1
        waits = RETRY.search(data)
        self.retries[int(waits[1]) if waits else -1] += 1

    def report(self) -> dict[str, object]:
        """Return all of it."""
        times = sorted(self.secs) or [0.0]
        return {
            "offered": self.number - FIRST + self.unsent,
            "unsent": self.unsent,
            "acknowledged": self.acknowledged,
            "partly": self.partly,
            "seconds": sorted(self.seconds.items()),
            "unanswered": sorted(self.open | self.cut),
            "statuses": self.statuses,
            "limits": self.limits,
            "retries": self.retries,
            "p50": times[len(times) // 2],
            "p99": times[len(times) * 99 // 100],
        }


class Line(asyncio.Protocol):
    """One connection, one body at a time."""

    def __init__(self, flood: Flood) -> None:
        self._flood = flood
        self._transport: asyncio.Transport | None = None
        self._number: int | None = None
        self._since = 0.0
        self._data = b""
        self._wanted = 0

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def begin(self, number: int, data: bytes) -> None:
        assert self._transport is not None
        self._number, self._since = number, time.monotonic()
        self._transport.write(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._wanted:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            length = LENGTH.search(self._data, 0, end)
            self._wanted = end + 4 + (int(length[1]) if length else 0)
        if len(self._data) >= self._wanted:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        number, self._number = self._number, None
        self._flood.ended(number)

    def _finish(self) -> None:
        answer, number = self._data, self._number
        self._data, self._wanted, self._number = b"", 0, None
        if number is None or self._transport is None:
            return
        if b"connection: close" in answer.lower():
            self._transport.close()
        self._flood.answered(self, number, answer, time.monotonic() - self._since)


async def run(options: argparse.Namespace) -> None:
    flood = Flood(
        options.port,
        key=os.environ["FLOOD_KEY"],
        prefix=options.prefix,
        connections=options.connections,
        poison_every=options.poison_every,
    )
    if options.rate:
        await flood.offer(options.rate, options.seconds)
    else:
        await flood.loop(options.seconds)
    await flood.last()
    sys.stdout.write(json.dumps(flood.report()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.flood", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--prefix", required=True, help="of the devices' names")
    parser.add_argument("--rate", type=float, default=0, help="bodies a second; 0: a closed loop")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, default=16, help="at most")
    parser.add_argument("--poison-every", type=int, default=0, help="a poisoned message in each so many bodies")
    asyncio.run(run(parser.parse_args()))
