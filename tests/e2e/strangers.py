"""`python -m tests.e2e.strangers`: connections that ask without pause, each time with another token that nobody issued.

In: a port, how many, for how many seconds. Out: a line of JSON with what they were answered. A process of its own, so
that it takes no time from who measures.
"""

import asyncio
import json
import secrets
import sys
import time
from collections import Counter

HEAD = b"GET /v1/devices/d1/state HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer gwr_%s\r\n\r\n"


class Stranger(asyncio.Protocol):
    """One connection, in a closed loop."""

    def __init__(self, answered: Counter[int]) -> None:
        self._answered = answered
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._answered[int(data[9:12])] += 1
        self._ask()

    def _ask(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(HEAD % secrets.token_urlsafe(32).encode())


async def flood(port: int, count: int, secs: float) -> Counter[int]:
    """Return how many answers had which status."""
    answered: Counter[int] = Counter()
    loop = asyncio.get_running_loop()
    until = time.monotonic() + secs
    opened = await asyncio.gather(
        *[loop.create_connection(lambda: Stranger(answered), "127.0.0.1", port) for _ in range(count)],
        return_exceptions=True,
    )
    sys.stdout.write(json.dumps({"open": sum(not isinstance(one, BaseException) for one in opened)}) + "\n")
    sys.stdout.flush()
    await asyncio.sleep(until - time.monotonic())
    for one in opened:
        if not isinstance(one, BaseException):
            one[0].abort()
    return answered


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(flood(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))))
