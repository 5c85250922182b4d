"""The balancer itself: it must honour /readyz, repeat only what was not sent, and count what failed."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import httpx

from tests.chaos.balancer import Balancer, balancer
from tests.servers import plain_http

SECS = 10.0


class Backend:
    """A server that answers as told."""

    def __init__(self) -> None:
        self.port = 0
        self.is_ready = True
        self.cuts = False
        self.served = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                probing = head.startswith(b"GET /readyz")
                self.served += not probing
                if self.cuts and not probing:
                    break
                status = b"200 OK" if self.is_ready or not probing else b"503 Unavailable"
                writer.write(b"HTTP/1.1 %s\r\nContent-Length: 2\r\n\r\nok" % status)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def two() -> AsyncIterator[tuple[list[Backend], list[asyncio.Server]]]:
    async with AsyncExitStack() as stack:
        backends, servers = [Backend(), Backend()], []
        for each in backends:
            server = await stack.enter_async_context(await asyncio.start_server(each.serve, "127.0.0.1", 0))
            each.port = server.sockets[0].getsockname()[1]
            servers.append(server)
        yield backends, servers


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECS
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def ask(front: Balancer, times: int) -> None:
    async with plain_http.AsyncClient(base_url=front.url, timeout=SECS) as client:
        for _ in range(times):
            assert (await client.get("/")).text == "ok"


async def test_requests_go_round() -> None:
    async with two() as (backends, _):
        with balancer([each.port for each in backends]) as front:
            await until(lambda: len(front.ready) == 2)
            await ask(front, 10)
            assert [each.served for each in backends] == [5, 5]
            assert not front.failures


async def test_who_is_not_ready_gets_nothing() -> None:
    async with two() as (backends, servers):
        with balancer([each.port for each in backends]) as front:
            await until(lambda: len(front.ready) == 2)
            backends[0].is_ready = False
            await until(lambda: front.ready == {backends[1].port})
            await ask(front, 6)
            assert [each.served for each in backends] == [0, 6]
            servers[0].close()
            await ask(front, 2)
            assert not front.failures


async def test_a_request_that_was_sent_and_cut_is_a_failure() -> None:
    async with two() as (backends, _):
        with balancer([each.port for each in backends]) as front:
            await until(lambda: len(front.ready) == 2)
            backends[0].cuts = backends[1].cuts = True
            async with plain_http.AsyncClient(base_url=front.url, timeout=SECS) as client:
                try:
                    await client.get("/")
                except httpx.RemoteProtocolError:
                    pass
                else:
                    raise AssertionError("it was answered")
            assert sum(front.failures.values()) == 1
            assert sum(each.served for each in backends) == 1, "it was sent once only"
