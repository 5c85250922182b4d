"""A client that sends WebSocket frames behind its handshake, and does not wait for the answer: it is heard."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from gateway.domain.principal import Principal
from tests.hostile.sockets import FIN, HANDSHAKE, PING, frame, text
from tests.integration.web_server import Door, ScriptedAuthenticator, serving
from tests.integration.web_wire import Wire

UPGRADE = b"GET /v1/ws HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer admin\r\n%b\r\n" % HANDSHAKE
LARGE = text(b"x" * 60_000)
PONG = b"\x8a\x05early"
SOON = 10.0


class SlowAuthenticator(ScriptedAuthenticator):
    """Knows nobody before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.may_know = asyncio.Event()

    async def authenticate(self, *args: Any, **more: Any) -> Principal:
        await self.may_know.wait()
        return await super().authenticate(*args, **more)


async def heard_until(wire: Wire, pong: bytes, *, errors: int = 0) -> bytes:
    heard = b""
    async with asyncio.timeout(SOON):
        while pong not in heard or heard.count(b'"error"') < errors:
            more = await wire.some()
            assert more, heard[-200:]
            heard += more
    return heard


async def sent_ahead(door: Door, size: int) -> None:
    """Wait until so much lies behind the handshake, or the connection is not read any more."""
    async with asyncio.timeout(SOON):
        while not any(  # noqa: ASYNC110 - a buffer tells nobody
            len(each.recv_buffer) >= size or not each.transport.is_reading() for each in door.connections
        ):
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("large", [0, 12], ids=["a ping", "more than is read ahead"])
async def test_what_comes_before_its_time_is_heard_after_the_handshake(large: int) -> None:
    def make(settings: object) -> Door:
        made = Door(settings)  # type: ignore[arg-type]
        made.authenticator = slow
        return made

    slow = SlowAuthenticator()
    async with serving(make=make) as door:
        wire = await door.raw()
        sending = asyncio.create_task(wire.send(UPGRADE + large * LARGE + frame(FIN | PING, b"early")), name="sending")
        await sent_ahead(door, large * 60_000)
        slow.may_know.set()
        heard = await heard_until(wire, PONG, errors=large)
        assert heard.startswith(b"HTTP/1.1 101 ")
        await sending
        assert door.context.bodies.inflight_bytes == 0
        with suppress(ConnectionError):
            await wire.send(frame(FIN | PING, b"later"))
        await heard_until(wire, b"\x8a\x05later")
        wire.abort()
