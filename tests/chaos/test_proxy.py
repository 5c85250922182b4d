"""The proxy itself: it must cut where it is told and otherwise pass every byte on, or the campaign proves nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.chaos.proxy import Proxy, proxy

SECS = 10


@pytest.fixture
async def line() -> AsyncIterator[Proxy]:
    """A proxy in front of a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        with proxy(server.sockets[0].getsockname()[1]) as made:
            yield made


async def test_every_byte_comes_back(line: Proxy) -> None:
    async with asyncio.timeout(SECS):
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        sent = bytes(range(256)) * 4_000
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent
        writer.close()
    assert line.cuts == 0


async def test_a_line_is_cut_at_the_byte_and_a_new_one_works(line: Proxy) -> None:
    async with asyncio.timeout(SECS):
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        line.cut_after(10)
        writer.write(b"0123")
        assert await reader.readexactly(4) == b"0123"
        writer.write(b"4567")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(4)
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        writer.write(b"after")
        assert await reader.readexactly(5) == b"after"
        writer.close()
    assert line.cuts == 2, "both sides of the one line"


async def test_a_stalled_line_holds_its_bytes_and_loses_none(line: Proxy) -> None:
    async with asyncio.timeout(SECS):
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        line.stall()
        writer.write(b"b")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        line.flow()
        assert await reader.readexactly(1) == b"b"
        writer.close()


async def test_a_server_that_is_away_ends_the_connection() -> None:
    async with asyncio.timeout(SECS):
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        with proxy(port) as made:
            reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
            with contextlib.suppress(ConnectionResetError):  # as good an end
                assert await reader.read(1) == b""
            writer.close()
