"""`python -m tests.servers.posts [REQUESTS] [vary] [apart]`: whole posts of W1 in process, from bytes to bytes.

They go into connections over transports that only take answers; what stores them is in memory. `vary`: each has a
request id of its own, so that no head comes twice; `apart`: head and body come one after the other. Prints the CPU of
one. To count instructions run it under `valgrind --tool=callgrind` for two numbers of requests: see the difference.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import orjson
import uvloop
from sanic import Sanic

from gateway.web.server.protocol import Connection
from tests.integration.twin_doors import DEVICES, StoringDoor
from tests.integration.web_server import NOW_US, serving

GROUP = 16
"""Connections that send at the same time."""


class Transport:
    """Takes answers, and says when a group of them is there."""

    def __init__(self) -> None:
        self.answered = 0
        self.last = b""
        self.all_here = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.last = data
        self.answered += 1
        if self.answered % GROUP == 0:
            self.all_here.set()

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None


def posts(*, vary: bool) -> Iterator[bytes]:
    """One device's message of five readings after the other, each a second later."""
    for number in range(10**9):
        values = {f"m{metric}": number + metric / 8 for metric in range(5)}
        body = orjson.dumps({"device": DEVICES[number % 2], "ts": NOW_US // 1000 + number, "values": values})
        lines = [f"Content-Length: {len(body)}", *([f"X-Request-Id: {number:09}"] if vary else []), "", ""]
        yield (
            b"POST /v1/readings HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer admin\r\n"
            + "\r\n".join(lines).encode()
            + body
        )


async def main(requests: int, *, vary: bool, apart: bool) -> None:
    async with serving(make=StoringDoor):
        loop, transport, made = asyncio.get_running_loop(), Transport(), posts(vary=vary)
        connections = [Connection(more=False, loop=loop, app=Sanic.get_app(), connections=set()) for _ in range(GROUP)]
        for connection in connections:
            connection.connection_made(transport)  # type: ignore[arg-type]
        await asyncio.sleep(0.1)
        for part in (GROUP * 4, requests):
            sent = [next(made) for _ in range(part // GROUP * GROUP)]
            begun = time.process_time_ns()
            for first in range(0, len(sent), GROUP):
                transport.all_here.clear()
                for connection, data in zip(connections, sent[first : first + GROUP], strict=True):
                    at = data.index(b"{") if apart else len(data)
                    connection.data_received(data[:at])
                    if apart:
                        connection.data_received(data[at:])
                await transport.all_here.wait()
            spent = time.process_time_ns() - begun
        assert transport.last.startswith(b"HTTP/1.1 200"), transport.last
        sys.stdout.write(f"{spent / 1000 / max(1, len(sent)):.2f} µs\n")
        sys.stdout.flush()
        os._exit(0)  # the connections cannot be closed


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    uvloop.run(main(count, vary="vary" in sys.argv, apart="apart" in sys.argv))
