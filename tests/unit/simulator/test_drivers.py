import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest

from simulator.drivers.http import HttpClient, Request
from simulator.drivers.mqtt import Broker, MqttPublisher
from simulator.errors import ConnectionLost, Unreachable, UsageError
from tests.ground.mosquitto import Limits, Mosquitto
from tests.unit.simulator import fake_broker, fake_gateway
from tests.unit.simulator.fake_broker import FakeBroker
from tests.unit.simulator.fake_gateway import FakeGateway
from tests.unit.simulator.listening import listening
from tests.unit.simulator.waiting import until

ITEM = b'[{"device":"d","ts":1,"values":{"t":1.5}}]'


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with fake_gateway.running() as running:
        yield running


@pytest.fixture
async def broker() -> AsyncIterator[FakeBroker]:
    async with fake_broker.running() as running:
        yield running


async def test_posts_reuse_one_connection_and_carry_the_key(gateway: FakeGateway) -> None:
    async with HttpClient(gateway.url, key="secret", connections=4) as client:
        for _ in range(3):
            assert (await client.post(ITEM)).status == 200
        assert len(client._idle) == 1
    assert gateway.keys == ["Bearer secret"] * 3
    assert gateway.bodies == [ITEM] * 3


async def test_no_more_connections_than_allowed(gateway: FakeGateway) -> None:
    async with HttpClient(gateway.url, connections=3) as client:
        responses = await asyncio.gather(*(client.post(ITEM) for _ in range(40)))
        assert {response.status for response in responses} == {200}
        assert 1 <= len(client._idle) <= 3


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


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "http://", "http://host:port", ""])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(UsageError, match="http://host:port"):
        HttpClient(url)


def publisher(broker: FakeBroker, acked: list[int], **options: int) -> MqttPublisher:
    where = Broker(broker.host, broker.port)
    return MqttPublisher(where, client_id="sim", on_ack=acked.append, random=Random(1), **options)


async def test_messages_are_acknowledged_and_the_session_is_forgotten_at_the_end(broker: FakeBroker) -> None:
    acked: list[int] = []
    async with publisher(broker, acked) as mqtt:
        for i in range(100):
            mqtt.publish(b"a/b", b"x%d" % i, token=i)
        assert await mqtt.drained(10)
    assert acked == list(range(100))
    assert [p.payload for p in broker.published] == [b"x%d" % i for i in range(100)]
    assert not any(p.dup for p in broker.published)
    await until(lambda: broker.goodbyes == 2)
    assert broker.connects == [("sim", False), ("sim", True)]


async def test_what_is_on_the_way_when_the_broker_hangs_up_is_sent_again_with_dup(broker: FakeBroker) -> None:
    broker.hang_ups = 2
    acked: list[int] = []
    async with publisher(broker, acked) as mqtt:
        for i in range(5):
            mqtt.publish(b"t", b"%d" % i, token=i)
        assert await mqtt.drained(10)
        assert mqtt.losses == 2
    assert sorted(acked) == list(range(5))
    taken = broker.published[2:]  # the first two came to hang-ups
    assert [(p.payload, p.dup) for p in taken] == [(b"%d" % i, True) for i in range(5)]
    assert len({p.packet_id for p in broker.published}) == 5


async def test_the_window_is_a_bound(broker: FakeBroker) -> None:
    acked: list[int] = []
    async with publisher(broker, acked, window=3) as mqtt:
        for i in range(3):
            assert mqtt.has_room
            mqtt.publish(b"t", b"", token=i)
        assert not mqtt.has_room
        assert await mqtt.room(10)
        assert mqtt.in_flight < 3


async def test_a_broker_that_does_not_acknowledge_leaves_no_room(broker: FakeBroker) -> None:
    broker.is_mute = True
    async with publisher(broker, [], window=1) as mqtt:
        mqtt.publish(b"t", b"", token=1)
        assert not await mqtt.room(0.01)
        assert not await mqtt.drained(0.01)


async def test_a_silent_broker_is_left_for_a_new_connection(broker: FakeBroker) -> None:
    broker.is_mute = True
    async with publisher(broker, [], keepalive=1) as mqtt:
        await until(lambda: mqtt.losses > 0)
        assert await mqtt.room(10)


async def test_a_broker_that_refuses_us_says_why(broker: FakeBroker) -> None:
    broker.code = 4
    with pytest.raises(Unreachable, match="user name or password"):
        await publisher(broker, []).__aenter__()


async def test_no_broker_is_unreachable() -> None:
    async with listening(_hang_up) as port:
        pass
    with pytest.raises(Unreachable, match="does not answer"):
        await publisher(FakeBroker(port=port), []).__aenter__()


async def test_a_broker_that_hangs_up_at_once_is_unreachable() -> None:
    async with listening(_hang_up) as port:
        with pytest.raises(Unreachable, match="does not answer"):
            await publisher(FakeBroker(port=port), []).__aenter__()


async def _hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def test_mosquitto_takes_every_message_through_a_restart(start_mosquitto: Callable[[Limits], Mosquitto]) -> None:
    mosquitto = start_mosquitto(Limits())
    acked: list[int] = []
    where = Broker("127.0.0.1", mosquitto.port)
    async with MqttPublisher(where, client_id="sim", on_ack=acked.append, random=Random(1), window=500) as mqtt:
        for i in range(4_000):
            assert await mqtt.room(20)
            mqtt.publish(b"devices/d/readings", b"%d" % i, token=i)
            if i == 2_000:
                mosquitto.restart()  # in the main thread: its child is to die with it
        assert await mqtt.drained(20)
        assert mqtt.losses >= 1
    assert sorted(acked) == list(range(4_000))


def test_where_a_broker_is() -> None:
    assert Broker.parse("localhost:1884") == Broker("localhost", 1884)
    assert Broker.parse("localhost") == Broker("localhost", 1883)
    assert Broker.parse("mqtt://me:p%40ss@[::1]:99") == Broker("::1", 99, "me", "p@ss")


@pytest.mark.parametrize("text", ["", ":1883", "http://host", "host:x", "host:99999", "host:0"])
def test_brokers_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="host:port"):
        Broker.parse(text)


async def _never_answer(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read(-1)
