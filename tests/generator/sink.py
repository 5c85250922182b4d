"""An HTTP server that takes every post and stores nothing: `python -m tests.generator.sink READINGS`.

In: how many readings each post holds. Out: its port on stdout, and a whole receipt for every request; ends with its
standard input. Never looks at a body.
"""

import asyncio
import sys
from typing import cast

import uvloop

_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Sink(asyncio.Protocol):
    """One connection: counts the bytes of a request, answers when it is whole."""

    def __init__(self, response: bytes) -> None:
        self._response = response
        self._head = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            head, end, rest = (self._head + data).partition(_END)
            if not end:
                self._head = head
                return
            self._head, self._missing = b"", body_size(head) - len(rest)
        else:
            self._missing -= len(data)
        if not self._missing:
            self._transport.write(self._response)


def body_size(head: bytes) -> int:
    """Return the Content-Length of a request, 0 if it has none."""
    _, found, rest = head.lower().partition(_LENGTH)
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


def receipt(readings: int) -> bytes:
    """Return the answer to a post all of whose readings are stored."""
    body = b'{"accepted":%d,"duplicates":0,"conflicts":0,"refused":0,"durability":"db","errors":[]}' % readings
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def serve(readings: int) -> None:
    response = receipt(readings)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(response), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
