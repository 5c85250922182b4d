"""Many clients held connected: how many at a time, what is visited when, and how they come back."""

import asyncio
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

import pytest

from simulator.core.addresses import Broker
from simulator.send.drivers.mqtt import MqttPublisher
from simulator.send.drivers.upkeep import kept
from tests.fakes.waiting import until
from tests.servers.mosquitto import Limits, Mosquitto


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process, and what it starts, open more files than a shell allows."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many_files")
async def test_mosquitto_holds_two_thousand_that_ping_and_all_come_back(
    start_mosquitto: Callable[[Limits], Mosquitto],
) -> None:
    count = 2_000
    mosquitto = start_mosquitto(Limits())
    where, acked = Broker("127.0.0.1", mosquitto.port), Counter[int]()

    def on_ack(token: int) -> None:
        acked[token] += 1

    publishers = [
        MqttPublisher(where, client_id=f"sim-{i}", on_ack=on_ack, window=4, keepalive=3) for i in range(count)
    ]
    async with kept(publishers, random=Random(1)):
        assert all(publisher.has_room for publisher in publishers)
        for publisher in publishers[::2]:
            publisher.hang_up()
        await until(lambda: sum(publisher.losses for publisher in publishers) == count // 2)
        await until(lambda: all(publisher.has_room for publisher in publishers))
        await asyncio.sleep(4.6)  # one and a half keepalives: without pings the broker would hang up on them now
        for i, publisher in enumerate(publishers):
            publisher.publish(b"devices/d/readings", b"%d" % i, token=i)
        await until(lambda: len(acked) == count)
        assert sum(publisher.losses for publisher in publishers) == count // 2
    assert set(acked.values()) == {1}
