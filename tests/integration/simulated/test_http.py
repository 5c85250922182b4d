import asyncio

import pytest

from simulator.core.errors import ConnectionLost
from simulator.send.drivers.http import HttpClient, Request
from tests.fakes import fake_gateway
from tests.fakes.fake_gateway import FakeGateway
from tests.fakes.listening import listening
from tests.fakes.waiting import until

ITEM = b'[{"device":"d","ts":1,"values":{"t":1.5}}]'


async def test_posts_reuse_one_connection_and_carry_the_key(gateway: FakeGateway) -> None:
    async with HttpClient(gateway.url, key="secret", connections=4) as client:
        for _ in range(3):
            assert (await client.post(ITEM)).status == 200
        assert len(client._idle) == 1
    assert gateway.keys == ["Bearer secret"] * 3
    assert gateway.bodies == [ITEM] * 3


async def test_no_more_connections_than_allowed_and_as_many_as_that() -> None:
    connections, answers = 0, asyncio.Event()

    async def answer_once_three_ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.readuntil(ITEM):
            if connections == 3:
                answers.set()
            await answers.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with listening(answer_once_three_ask) as port:
        async with HttpClient(f"http://127.0.0.1:{port}", connections=3, timeout=20) as client:
            responses = await asyncio.gather(*(client.post(ITEM) for _ in range(40)))
        assert {response.status for response in responses} == {200}
    assert connections == 3


async def test_a_server_that_closes_without_an_answer_is_a_lost_connection(gateway: FakeGateway) -> None:
    gateway.tricks.append(fake_gateway.close_stored)
    async with HttpClient(gateway.url) as client:
        with pytest.raises(ConnectionLost):
            await client.post(ITEM)
        assert (await client.post(ITEM)).status == 200


async def test_pieces_are_sent_until_there_is_an_answer() -> None:
    arrived = bytearray()

    async def answer_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while len(arrived) < 500:
            arrived.extend(await reader.read(500))
        writer.write(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()

    async with listening(answer_early) as port, HttpClient(f"http://127.0.0.1:{port}") as client:
        request = Request("POST", "/v1/readings", b"x" * 100_000)
        pieces = (b"x" * 100 for _ in range(1_000))
        response = await client.request_in_parts(request, pieces, pause=0.01, timeout=20)
    assert (response.status, response.body) == (413, b"{}")
    assert b"Content-Length: 100000" in arrived
    assert len(list(pieces)) > 900


async def test_pieces_that_get_no_answer_are_a_lost_connection() -> None:
    async with listening(_hang_up) as port, HttpClient(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(ConnectionLost):
            await client.request_in_parts(Request("POST", "/"), [b"a", b"b"], pause=0.01, timeout=20)


async def test_leaving_in_the_middle_sends_no_more_than_asked(gateway: FakeGateway) -> None:
    received = bytearray()
    ended = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        received.extend(await reader.read(-1))
        ended.set()

    async with listening(swallow) as port, HttpClient(f"http://127.0.0.1:{port}") as client:
        await client.send_and_leave(Request("POST", "/v1/readings", b"0123456789"), 4)
        async with asyncio.timeout(20):
            await ended.wait()
    assert b"Content-Length: 10\r\n" in received
    assert received.endswith(b"\r\n\r\n0123")


async def test_hanging_up_breaks_what_waits_for_an_answer_too(gateway: FakeGateway) -> None:
    async with listening(_never_answer) as port, HttpClient(f"http://127.0.0.1:{port}") as client:
        waiting = asyncio.create_task(client.post(ITEM))
        await until(lambda: bool(client._busy))
        client.hang_up(all_of_them=True)
        with pytest.raises(ConnectionLost):
            await waiting
    async with HttpClient(gateway.url) as client:
        await client.post(ITEM)
        client.hang_up(all_of_them=False)
        assert not client._idle
        client.hang_up(all_of_them=False)
        assert (await client.post(ITEM)).status == 200


async def test_another_key_and_an_encoding_go_with_one_request(gateway: FakeGateway) -> None:
    async with HttpClient(gateway.url, key="mine") as client:
        await client.request(Request("POST", "/v1/readings", ITEM, key="other"))
        await client.post(ITEM)
    assert gateway.keys == ["Bearer other", "Bearer mine"]


async def test_nobody_there_is_a_lost_connection() -> None:
    async with listening(_hang_up) as port:
        pass
    async with HttpClient(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(ConnectionLost):
            await client.post(ITEM)


async def test_no_answer_in_time_is_a_lost_connection_and_the_next_post_has_a_new_one() -> None:
    connections = 0

    async def answer_the_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        if connections > 1:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with (
        listening(answer_the_second) as port,
        HttpClient(f"http://127.0.0.1:{port}", timeout=0.05) as client,
    ):
        with pytest.raises(ConnectionLost, match="in time"):
            await client.post(b"{}")
        assert (await client.post(b"{}")).status == 200


async def test_an_answer_that_is_not_http_is_a_lost_connection() -> None:
    async def talk_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 smtp ready\r\n\r\n")

    async with listening(talk_nonsense) as port, HttpClient(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(ConnectionLost, match="HTTP"):
            await client.post(b"{}")


async def test_a_connection_to_be_closed_is_not_used_again(gateway: FakeGateway) -> None:
    gateway.headers["Connection"] = "close"
    async with HttpClient(gateway.url) as client:
        for _ in range(3):
            assert (await client.post(ITEM)).status == 200
        assert not client._idle


async def _hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _never_answer(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read(-1)
