"""In: gateways' ports. Out: one port that hands requests to them in turn, while /readyz says 200. Alters nothing.

A small HTTP/1.1 balancer for bodies of declared length, in a thread of its own. It sends a request a second time only
where no byte of it was sent before; whatever else goes wrong is counted as a failure and shown to the client as a cut.
"""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from enum import IntEnum
from http import HTTPStatus
from typing import NamedTuple

LOOK_SECS = 0.2
"""How often /readyz is asked."""
LOOK_ANSWER_SECS = 1.0
"""Longest wait for its answer."""
ANSWER_SECS = 30.0
START_SECS = 10.0
LENGTH, CLOSE = b"content-length:", b"connection: close"
READY = b"GET /readyz HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n"


class Message(NamedTuple):
    """A request or a response, to the byte."""

    data: bytes
    last: bool
    """Its sender closes the connection after it."""

    @property
    def status(self) -> int:
        """The status, of a response."""
        return int(self.data.split(b" ", 2)[1])


Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Rank(IntEnum):
    """How willingly a gateway is sent requests."""

    READY = 0
    """It said 200."""
    SLOW = 1
    """It did not say anything in time."""
    AWAY = 2
    """It said something else, ends its connections, or is not there."""


class Balancer:
    """In front of 127.0.0.1:``ports``."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.port = 0
        self._ranks = dict.fromkeys(ports, Rank.AWAY)
        self.failures: Counter[str] = Counter()
        """Requests that came to nothing, by what went wrong; a status of 5xx is one."""
        self.answered: Counter[int] = Counter()
        """Responses passed on, by port."""
        self._ports = ports
        self._turn = 0
        self._idle: dict[int, list[Line]] = {port: [] for port in ports}
        self._clients: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()

    @property
    def ready(self) -> set[int]:
        """Ports that said 200 when last asked."""
        return {port for port, rank in self._ranks.items() if rank is Rank.READY}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, started: "Future[int]") -> None:
        """Serve until `end`; the body of the thread."""
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve(started))

    def end(self) -> None:
        """Cut all and stop serving."""
        self._loop.call_soon_threadsafe(self._ended.set)

    async def _serve(self, started: "Future[int]") -> None:
        lookers = [self._loop.create_task(self._look(port), name=f"balancer.look[{port}]") for port in self._ports]
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set_result(self.port)
        async with server:
            await self._ended.wait()
            for writer in self._clients:
                writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task(), *lookers}
        for looker in lookers:
            looker.cancel()
        await asyncio.wait({*lookers, *others}, timeout=START_SECS)
        for _, writer in (line for lines in self._idle.values() for line in lines):
            await _drop(writer)

    async def _look(self, port: int) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_ANSWER_SECS):
                    self._ranks[port] = await _ask(port)
            except TimeoutError:
                self._ranks[port] = max(self._ranks[port], Rank.SLOW)
            except OSError:
                self._ranks[port] = Rank.AWAY
            await asyncio.sleep(LOOK_SECS)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client, a request at a time."""
        self._clients.add(writer)
        try:
            while request := await _read(reader):
                answer = await self._forward(request.data)
                if answer is None:
                    break
                writer.write(answer.data)
                await writer.drain()
                if answer.last:
                    break
        except OSError:
            pass  # the client is gone
        finally:
            self._clients.discard(writer)
            await _drop(writer)

    async def _forward(self, request: bytes) -> Message | None:
        """Return the answer of the next gateway that takes a connection; None if there is none."""
        for port in self._next():
            try:
                line = await self._reuse(port) or await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                self._ranks[port] = Rank.AWAY
                continue
            return await self._exchange(port, line, request)
        self.failures["nobody is there"] += 1
        return None

    async def _exchange(self, port: int, line: Line, request: bytes) -> Message | None:
        reader, writer = line
        answer, why = None, "cut"
        try:
            async with asyncio.timeout(ANSWER_SECS):
                writer.write(request)
                answer = await _read(reader)
        except (OSError, TimeoutError) as exc:
            why = type(exc).__name__
        if answer is None:
            self.failures[f"{why} by a gateway that was {self._ranks[port].name}"] += 1
        elif answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.failures[str(answer.status)] += 1
        self.answered[port] += answer is not None
        if answer is None or answer.last:
            self._ranks[port] = Rank.AWAY  # a gateway that ends its connections is about to go; the next look tells
            await _drop(writer)
        else:
            self._idle[port].append(line)
        return answer

    def _next(self) -> list[int]:
        """Return all ports in the order to try them: those that are ready in turn, then the others by rank."""
        self._turn += 1
        start = self._turn % len(self._ports)
        turned = [*self._ports[start:], *self._ports[:start]]
        return sorted(turned, key=self._ranks.__getitem__)

    async def _reuse(self, port: int) -> Line | None:
        while self._idle[port]:
            reader, writer = self._idle[port].pop()
            if not reader.at_eof() and not writer.transport.is_closing():
                return reader, writer
            await _drop(writer)
        return None


async def _ask(port: int) -> Rank:
    """Return what /readyz says. Raises OSError."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(READY)
        answer = await _read(reader)
    finally:
        await _drop(writer)
    return Rank.READY if answer is not None and answer.status == HTTPStatus.OK else Rank.AWAY


async def _drop(writer: asyncio.StreamWriter) -> None:
    """Close a connection, with what was written to it sent."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Message | None:
    """Return the next message; None if the connection ends before it is complete."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line[len(LENGTH) :]) for line in lines if line.startswith(LENGTH)), 0)
        return Message(head + await reader.readexactly(length), CLOSE in lines)
    except asyncio.IncompleteReadError:
        return None


@contextmanager
def balancer(ports: Sequence[int]) -> Iterator[Balancer]:
    """A running balancer."""
    started: Future[int] = Future()
    made = Balancer(ports)
    thread = threading.Thread(target=made.run, args=(started,), name="chaos.balancer", daemon=True)
    thread.start()
    started.result(START_SECS)
    try:
        yield made
    finally:
        made.end()
        thread.join(START_SECS)
