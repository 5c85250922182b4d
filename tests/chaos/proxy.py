"""In: a TCP server's port. Out: a port in front of it whose lines can be cut or stalled at any byte. Never alters one.

It runs in a thread of its own, because the campaign in the main thread waits for processes.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

_CHUNK = 65_536
_START_SECS = 10.0
_RESET = struct.pack("ii", 1, 0)  # linger on, 0 seconds: close() sends RST (socket(7), SO_LINGER)


class Proxy:
    """Forwards TCP to 127.0.0.1:``target``. All methods may be called from another thread than the loop's."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.cuts = 0
        """Ends of lines cut so far; a line has two."""
        self._loop = asyncio.new_event_loop()
        self._lines: set[asyncio.StreamWriter] = set()
        self._left: int | None = None
        self._flowing = asyncio.Event()
        self._ended = asyncio.Event()

    def cut_after(self, size: int) -> None:
        """Cut every line, with RST and in the middle of a message, once ``size`` bytes more have gone either way."""
        self._loop.call_soon_threadsafe(self._arm, size)

    def stall(self) -> None:
        """Hold every byte until `flow`; connections stay open and new ones are taken but not served."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def flow(self) -> None:
        """Forward again."""
        self._loop.call_soon_threadsafe(self._flowing.set)

    def run(self, started: "Future[int]") -> None:
        """Serve until `end`; the body of the thread."""
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve(started))

    def end(self) -> None:
        """Cut all and stop serving."""
        self._loop.call_soon_threadsafe(self._ended.set)

    async def _serve(self, started: "Future[int]") -> None:
        self._flowing.set()
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set_result(self.port)
        async with server:
            await self._ended.wait()
            self._flowing.set()
            self._cut()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._lines.add(writer)
        try:
            await self._flowing.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        finally:
            self._lines.discard(writer)
        both = {writer, back}
        self._lines |= both
        try:
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        finally:
            self._lines -= both
            for end in both:
                end.transport.abort()  # the server of asyncio would keep its side until it is collected

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one direction to its end; the other direction ends with it, as the abort closes both."""
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flowing.wait()
                writer.write(self._allowed(data))
                await writer.drain()
                self._spend(len(data))
        writer.close()

    def _arm(self, size: int) -> None:
        self._left = size

    def _allowed(self, data: bytes) -> bytes:
        return data if self._left is None else data[: self._left]

    def _spend(self, size: int) -> None:
        if self._left is None:
            return
        self._left -= size
        if self._left <= 0:
            self._left = None
            self._cut()

    def _cut(self) -> None:
        alive = [writer for writer in self._lines if not writer.transport.is_closing()]
        self.cuts += len(alive)
        for writer in alive:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """A running proxy in front of 127.0.0.1:``target``."""
    started: Future[int] = Future()
    made = Proxy(target)
    thread = threading.Thread(target=made.run, args=(started,), name="chaos.proxy", daemon=True)
    thread.start()
    started.result(_START_SECS)
    try:
        yield made
    finally:
        made.end()
        thread.join(_START_SECS)
