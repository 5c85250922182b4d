"""Conversations held with our connections and with Sanic's alone: both must answer alike, however they are cut.

The servers run as long as the process does.
"""

import asyncio
from contextlib import AsyncExitStack
from functools import cache

from tests.fuzz.target import cut, target
from tests.integration.twin_doors import twins
from tests.property.test_twin_doors import LAST, REQUESTS, Served

BODY = b'{"device":"d1","values":{"t":1.5}}'
POST = b"POST /v1/readings HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer admin\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
STATE = b"GET /v1/devices/d1/state HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer admin\r\n\r\n"


@cache
def serving() -> tuple[Served, AsyncExitStack]:
    """Serve both doors, for good: the stack is never closed."""
    runner, stack = asyncio.Runner(), AsyncExitStack()
    return Served(runner, runner.run(stack.enter_async_context(twins()))), stack


@target("doors", "the fast path against the slow one", [POST, STATE, POST + STATE + POST], made=REQUESTS.map(b"".join))
def doors(data: bytes) -> None:
    """The same answers to the byte, or one the beginning of the other where a door hung up."""
    ours, sanic = serving()[0].converse([*cut(data), LAST])
    if ours.whole and sanic.whole:
        assert ours.answered == sanic.answered
    else:
        assert ours.answered.startswith(sanic.answered) or sanic.answered.startswith(ours.answered)
