"""Brokers that restart and gateways that share: nothing is lost, and who is in the way is told so."""

import asyncio
import time
from collections.abc import Callable
from uuid import uuid4

import aiomqtt
import msgspec

from tests.builders.mqtt.parts import (
    DEADLINE_SECS,
    ScriptedIntake,
    device_client,
    running,
    until,
)
from tests.builders.mqtt.sites import Site, comes_again, numbered, on, slowly
from tests.servers.mosquitto import Limits, Mosquitto


async def test_a_retained_message_is_stored_once_over_reconnects(mosquitto: Mosquitto) -> None:
    site = on(mosquitto, f"t{uuid4().hex[:8]}")
    async with device_client(site.url, client_id=f"device-{site.name}") as device:
        await device.publish(site.topic, b"kept by the broker", qos=1, retain=True)
    plain = site._replace(share="").settings()
    intake = ScriptedIntake()
    async with running(plain, intake):
        await until(lambda: intake.stored == [b"kept by the broker"])
    for number in range(2):
        mark = b"mark %d" % number
        async with running(plain, intake):
            await site.publish(mark)
            await until(lambda: mark in intake.stored)  # noqa: B023 -- awaited before the next turn
    assert intake.stored.count(b"kept by the broker") == 1


async def test_nothing_is_lost_over_restarts_of_the_broker(start_mosquitto: Callable[[Limits], Mosquitto]) -> None:
    """Without a share: mosquitto 2.0 forgets those when it restarts, and drops what comes before the gateway does."""
    broker = start_mosquitto(Limits())
    site = on(broker, "fleet")._replace(share="")
    intake = ScriptedIntake(slowly)
    acknowledged: set[bytes] = set()
    async with running(site.settings(receive_max=50), intake) as consumer:
        publishing = asyncio.create_task(_publish_through(site, numbered(600), acknowledged), name="publisher")
        for round_ in range(3):
            await until(lambda: len(acknowledged) >= 150 * (round_ + 1))  # noqa: B023 -- awaited before the next turn
            await asyncio.to_thread(broker.stop)
            await until(lambda: not consumer.connected)
            broker.start()
        await publishing
        await until(lambda: set(intake.stored) >= acknowledged, "every message the broker took is stored")
        await until(lambda: consumer.connected)
    assert len(acknowledged) == 600
    assert await comes_again(site) == []


async def test_it_comes_back_when_the_broker_was_killed(start_mosquitto: Callable[[Limits], Mosquitto]) -> None:
    broker = start_mosquitto(Limits())
    site = on(broker, "fleet")
    intake = ScriptedIntake()
    async with running(site.settings(), intake) as consumer:
        for body in (b"one", b"two"):
            await site.publish(body)
            await until(lambda: body in intake.stored)  # noqa: B023 -- awaited before the next turn
            broker.kill()
            await until(lambda: not consumer.connected)
            assert consumer.last_error is not None
            broker.start()
            await until(lambda: consumer.connected)


async def test_two_gateways_share_and_one_takes_over(mosquitto: Mosquitto) -> None:
    site = on(mosquitto, f"t{uuid4().hex[:8]}")
    first, second = ScriptedIntake(), ScriptedIntake()
    other = msgspec.structs.replace(site.settings(), client_id=f"other-{site.name}")
    bodies = numbered(100)
    async with running(other, second), running(site.settings(), first):
        await site.publish(*bodies)
        await until(lambda: len(first.stored) + len(second.stored) == 100)
    assert first.stored
    assert second.stored
    assert sorted(first.stored + second.stored) == bodies


async def test_two_gateways_with_one_client_id_are_told_so(mosquitto: Mosquitto) -> None:
    site = on(mosquitto, f"t{uuid4().hex[:8]}")
    async with running(site.settings(), ScriptedIntake()) as first:
        async with running(site.settings(), ScriptedIntake()):
            await until(lambda: first.last_error is not None)
            assert "Session taken over; mqtt.client_id" in (first.last_error or "")
        await until(lambda: first.connected)


async def _publish_through(site: Site, bodies: list[bytes], acknowledged: set[bytes]) -> None:
    """Publish all, again and again where the broker went away, noting what it has acknowledged."""
    deadline = time.monotonic() + 3 * DEADLINE_SECS
    while len(acknowledged) < len(bodies):
        assert time.monotonic() < deadline
        try:
            async with device_client(site.device_url, client_id="publisher") as client:
                for body in bodies:
                    if body not in acknowledged:
                        await client.publish(site.topic, body, qos=1, timeout=2)
                        acknowledged.add(body)
        except aiomqtt.MqttError:
            await asyncio.sleep(0.02)
