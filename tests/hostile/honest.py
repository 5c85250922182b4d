"""`python -m tests.hostile.honest`: what honest clients find: posts, reads, a stream, MQTT, health, newcomers.

In: a Place in the environment, rates, and lines on stdin, each of which asks for a report. Out: a line of JSON for
each, about what happened since the last one. Each connection sends at fixed times and not before its last answer; a
time counts from when it was due, so that nobody who had to wait is left out. The process ends with its parent, or its
stdin.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import uvloop

from tests.hostile import packets
from tests.hostile.attack import Place
from tests.hostile.bound_life import end_with_parent, raise_open_files

DEVICES = 8
HOME, PROBE = "127.0.0.2", "127.0.0.3"
PATIENCE_SECS = 20.0
"""Longest wait for an answer; then it counts as failed, and the connection is made anew."""
PROBE_SECS, NEWCOMER_SECS = 0.2, 0.25
OK = 200


class Moment(NamedTuple):
    """A moment by two clocks: the wall's, and the CPU of each of the gateway's workers."""

    wall: float
    cpu: tuple[float, ...]

    def until(self, now: "Moment") -> tuple[float, float]:
        """Return the seconds on the wall, and the CPU seconds of the worker that took most.

        The latter is what the gateway itself did meanwhile: it stands still while others have the machine.
        """
        used = [after - before for before, after in zip(self.cpu, now.cpu, strict=True)]
        return now.wall - self.wall, max(used, default=0.0)


class Clock:
    """Both clocks of one gateway."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._clocks = [(~pid << 3) | 2 for pid in pids]  # clock_getcpuclockid(3)

    def now(self) -> Moment:
        """Return this moment; a worker that is gone has used nothing."""
        return Moment(time.monotonic(), tuple(map(_cpu, self._clocks)))


def _cpu(clock: int) -> float:
    try:
        return time.clock_gettime(clock)
    except OSError:
        return 0.0


class Ledger:
    """What happened since the last report, and how much was acknowledged since the beginning."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.times: dict[str, list[tuple[float, float]]] = {}
        """Seconds of each answer, by kind."""
        self.failures: Counter[str] = Counter()
        self.open: dict[object, tuple[str, Moment]] = {}
        """What waits for its answer: kind, and when it was due."""
        self.acked = 0
        """Messages that were acknowledged, over HTTP and, by receipts, over MQTT."""
        self.sent = 0
        self._streamed: Moment | None = None
        """When the stream last brought something."""
        self._base_us = time.time_ns() // 1000

    def next_us(self) -> int:
        """Return a time that no other message has, in microseconds."""
        self.sent += 1
        return self._base_us + self.sent

    def begin(self, key: object, kind: str, due: float) -> None:
        """Note that an answer is waited for."""
        self.open[key] = (kind, self.clock.now()._replace(wall=due))

    def end(self, key: object, failure: str = "") -> None:
        """Note the answer."""
        kind, due = self.open.pop(key)
        self.times.setdefault(kind, []).append(due.until(self.clock.now()))
        if failure:
            self.failures[f"{kind}: {failure}"] += 1

    def stream_came(self) -> None:
        """Note that the stream brought something: how long it was silent is an answer's time, too."""
        now = self.clock.now()
        if self._streamed is not None:
            self.times.setdefault("stream", []).append(self._streamed.until(now))
        self._streamed = now

    def report(self) -> dict[str, object]:
        """Return all of it, what still waits included, and begin anew."""
        now = self.clock.now()
        waiting = [*self.open.values(), *([("stream", self._streamed)] if self._streamed else [])]
        for kind, due in waiting:
            if now.wall > due.wall:
                self.times.setdefault(kind, []).append(due.until(now))
        made: dict[str, object] = {
            "kinds": {kind: _figures(times) for kind, times in self.times.items()},
            "failures": self.failures,
            "acked": self.acked,
            "sent": self.sent,
        }
        self.times, self.failures = {}, Counter()
        return made


def _figures(times: list[tuple[float, float]]) -> dict[str, object]:
    """How many, and the percentiles by each clock."""
    made: dict[str, object] = {"count": len(times)}
    for name, column in zip(("wall", "cpu"), zip(*times, strict=True), strict=True):
        secs = sorted(column)
        size = len(secs)
        made[name] = {"p50": secs[size // 2], "p99": secs[min(size - 1, size * 99 // 100)], "max": secs[-1]}
    return made


class Client:
    """The honest clients of one gateway."""

    def __init__(self, place: Place, ledger: Ledger) -> None:
        self._place = place
        self._ledger = ledger

    def post(self, number: int) -> bytes:
        """Return a post of a device."""
        body = b'{"device":"honest-%d","ts":%d,"values":{"t":1.5,"h":2}}' % (number % DEVICES, self._ledger.next_us())
        return self._request(b"POST", b"/v1/readings", "honest", body)

    def read(self, number: int) -> bytes:
        """Return a read of a device's newest state."""
        return self._request(b"GET", b"/v1/devices/honest-%d/state" % (number % DEVICES), "honest_reader")

    def probe(self, _: int) -> bytes:
        """Return a health check."""
        return b"GET /livez HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n"

    def _request(self, method: bytes, path: bytes, who: str, body: bytes = b"") -> bytes:
        length = b"Content-Length: %d\r\n" % len(body) if body else b""
        token = self._place.tokens[who].encode()
        return b"%b %b HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer %b\r\n%b\r\n%b" % (
            method,
            path,
            token,
            length,
            body,
        )

    async def keep(self, kind: str, make: Callable[[int], bytes], number: int, period: float) -> None:
        """Ask again and again on one connection, every `period` seconds."""
        due = time.monotonic() + period * (number % 10) / 10
        line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            line = await self._once(kind, make(number), due, line)
            due += period
            if time.monotonic() - due > PATIENCE_SECS:
                due = time.monotonic()

    async def come(self, kind: str, make: Callable[[int], bytes], period: float, address: str) -> None:
        """Come again and again on a new connection."""
        number = 0
        while True:
            began, number = time.monotonic(), number + 1
            line = await self._once(kind, make(number), began, None, address)
            if line is not None:
                line[1].transport.abort()
            await asyncio.sleep(max(0.0, began + period - time.monotonic()))

    async def _once(
        self,
        kind: str,
        data: bytes,
        due: float,
        line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None,
        address: str = HOME,
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Ask once; return the connection if it may be used again."""
        key, failure = object(), ""
        self._ledger.begin(key, kind, due)
        try:
            async with asyncio.timeout(PATIENCE_SECS):
                reader, writer = line = line or await asyncio.open_connection(
                    "127.0.0.1", self._place.port, local_addr=(address, 0)
                )
                writer.write(data)
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2]
                await reader.readexactly(int(length.split(b"\r\n")[0] or 0))
        except (OSError, EOFError, TimeoutError) as exc:
            failure = type(exc).__name__
        else:
            status = int(head[9:12])
            self._ledger.acked += status == OK and data.startswith(b"POST")
            failure = "" if status == OK else str(status)
        self._ledger.end(key, failure)
        if failure and line is not None:
            line[1].transport.abort()
        return None if failure else line

    async def follow(self) -> None:
        """Read the changes of one device; come again if the stream ends."""
        data = self._request(b"GET", b"/v1/stream?device=honest-0&snapshot=false", "honest_reader")
        while True:
            with suppress(OSError, EOFError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._place.port, local_addr=(HOME, 0))
                writer.write(data)
                while await reader.read(65_536):
                    self._ledger.stream_came()
            self._ledger.failures["stream: ended"] += 1
            await asyncio.sleep(0.2)

    async def publish(self, period: float) -> None:
        """Publish over MQTT; an answer is the gateway's receipt."""
        if not self._place.broker:
            return
        reader, writer = await asyncio.open_connection("127.0.0.1", self._place.broker)
        name = "honest-mqtt"
        writer.write(packets.connect(name) + packets.subscribe(f"devices/{name}/receipts"))
        listening = asyncio.ensure_future(self._listen(reader))
        due, number = time.monotonic(), 0
        while not listening.done():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            number += 1
            about = b"%d" % number
            body = b'{"ts":%d,"values":{"t":1.5}}' % self._ledger.next_us()
            self._ledger.begin(about, "mqtt", due)
            topic, answers = f"devices/{name}/readings", f"devices/{name}/receipts"
            writer.write(packets.publish(topic, body, mid=1 + number % 60_000, answer_on=answers, about=about))
            due += period
        self._ledger.failures["mqtt: the broker hung up"] += 1

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError, EOFError):
            while True:
                kind, body = await packets.read(reader)
                about = packets.correlation(body) if kind == packets.PUBLISH else b""
                if about in self._ledger.open:
                    is_taken = b'"accepted":1' in body
                    self._ledger.acked += is_taken
                    self._ledger.end(about, "" if is_taken else "refused")


async def run(options: argparse.Namespace) -> None:
    """Be honest until stdin ends."""
    place = Place(**json.loads(os.environ["HOSTILE_PLACE"]))
    ledger = Ledger(Clock(place.pids))
    client = Client(place, ledger)
    posters, readers = DEVICES, 4
    works = [
        *(client.keep("post", client.post, i, posters / options.posts) for i in range(posters)),
        *(client.keep("read", client.read, i, readers / options.reads) for i in range(readers)),
        client.come("health", client.probe, PROBE_SECS, PROBE),
        client.come("newcomer", client.post, NEWCOMER_SECS, HOME),
        client.follow(),
        client.publish(1 / options.messages),
    ]
    tasks = [asyncio.ensure_future(work) for work in works]
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    while await stdin.readline():
        broken = [task.exception() for task in tasks if task.done() and task.exception()]
        sys.stdout.write(json.dumps(ledger.report() | {"broken": [repr(each) for each in broken]}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.honest", description=__doc__)
    for each in ("posts", "reads", "messages"):
        parser.add_argument(f"--{each}", type=float, required=True, help="a second")
    chosen = parser.parse_args()
    end_with_parent()
    raise_open_files()
    uvloop.run(run(chosen))
    os._exit(0)
