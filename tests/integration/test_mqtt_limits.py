"""MQTT over a limit, with a real broker: a noisy device is slowed, the quiet ones are not, and nothing is lost."""

import time
from uuid import uuid4

import aiomqtt
import pytest

from gateway.core import settings
from gateway.core.errors import BadPayload, Overloaded
from gateway.core.settings import MqttSettings
from gateway.domain.rate_limit import Meters, to_meters
from tests.builders.mqtt.parts import (
    Letters,
    ScriptedIntake,
    device_client,
    failing,
    poisonous,
    running,
    until,
)
from tests.servers.mosquitto import Mosquitto

V5 = aiomqtt.ProtocolVersion.V5
BURST = 20


class Site:
    """A broker, and names of this test's own on it."""

    def __init__(self, broker: Mosquitto) -> None:
        self.url = broker.url
        self.name = f"t{uuid4().hex[:8]}"

    def settings(self, *, receive_max: int = 1000) -> MqttSettings:
        topic = f"{self.name}/{{device}}/readings"
        return MqttSettings(url=self.url, topic=topic, client_id=f"gateway-{self.name}", receive_max=receive_max)

    async def publish(self, device: str, *bodies: bytes, qos: int = 1) -> None:
        async with device_client(self.url, client_id=f"{self.name}-{device}", version=V5) as client:
            for body in bodies:
                await client.publish(f"{self.name}/{device}/readings", body, qos=qos)

    async def left(self) -> list[bytes]:
        """What the broker still holds for the session."""
        intake, mark = ScriptedIntake(), uuid4().hex.encode()
        async with running(self.settings(), intake):
            await self.publish("mark", mark)
            await until(lambda: mark in intake.stored)
        return [body for body in intake.stored if body != mark]


@pytest.fixture
def site(mosquitto: Mosquitto) -> Site:
    return Site(mosquitto)


def meters(per_sec: float, burst: float = BURST) -> Meters | None:
    """A limit of readings; each body is taken to hold one."""
    return to_meters(settings.LimitSettings(device_readings_per_sec=per_sec, burst_secs=burst / per_sec), "device")


def bodies(name: str, count: int) -> list[bytes]:
    return [b"%s-%03d" % (name.encode(), number) for number in range(count)]


async def test_a_noisy_device_is_slowed_and_quiet_ones_are_not(site: Site) -> None:
    intake = ScriptedIntake()
    noisy, quiet = bodies("noisy", 60), bodies("quiet", BURST)
    async with running(site.settings(), intake, meters=meters(30)):
        began = time.monotonic()
        await site.publish("noisy", *noisy)
        await site.publish("quiet", *quiet)
        await until(lambda: set(quiet) <= set(intake.stored))
        stored = [body for body in intake.stored if body in set(noisy)]
        assert len(stored) <= BURST + 30 * (time.monotonic() - began) + 1
        await until(lambda: set(noisy) <= set(intake.stored))
        assert time.monotonic() - began >= (60 - BURST - 1) / 30
    assert [body for body in intake.stored if body in set(noisy)] == noisy, "in order"
    assert intake.let_go == []
    assert await site.left() == []


@pytest.mark.parametrize("qos", [0, 1])
async def test_what_cannot_wait_is_let_go_as_backfill(site: Site, qos: int) -> None:
    intake = ScriptedIntake()
    noisy, quiet = bodies("noisy", 200 if qos else 30), bodies("quiet", 5)
    async with running(site.settings(receive_max=20), intake, meters=meters(1e-3, 5)) as consumer:
        await site.publish("noisy", *noisy, qos=qos)
        await site.publish("quiet", *quiet, qos=qos)
        await until(lambda: set(quiet) <= set(intake.stored))
        await until(lambda: len(set(noisy) & set(intake.stored)) >= len(noisy) - 10)  # half of the window waits
        assert intake.let_go
        assert set(intake.let_go) <= set(noisy[5:])
        await consumer.stop(within_secs=5)
    assert set(intake.stored) == {*noisy, *quiet}
    assert len(intake.stored) == len(noisy) + len(quiet)
    assert await site.left() == []


async def test_stopping_does_not_wait_for_limits(site: Site) -> None:
    intake = ScriptedIntake()
    sent = bodies("d", 6)
    async with running(site.settings(), intake, meters=meters(1e-3, 2)) as consumer:
        await site.publish("d", *sent)
        await until(lambda: len(intake.begun) == 6)
        assert intake.stored == sent[:2]
        await consumer.stop(within_secs=5)
    assert intake.stored == sent
    assert await site.left() == []


async def test_what_is_tried_again_is_counted_once(site: Site) -> None:
    intake = ScriptedIntake(failing([Overloaded("full")] * 6))
    limit = meters(1e-3, 3)
    async with running(site.settings(), intake, meters=limit):
        await site.publish("d", *bodies("d", 3))
        await until(lambda: len(intake.stored) == 3)
    assert limit is not None
    assert limit.readings is not None
    assert limit.readings.left("d", time.monotonic()).units == 0
    assert limit.readings.wait("d", 1, time.monotonic()) <= 1000


async def test_what_cannot_be_read_counts_as_a_message(site: Site) -> None:
    letters = Letters()
    intake = ScriptedIntake(poisonous({b"junk": BadPayload("not JSON")}))
    limit = to_meters(
        settings.LimitSettings(device_requests_per_sec=1e-3, device_bytes_per_sec=1, burst_secs=4000), "device"
    )
    async with running(site.settings(), intake, letters, meters=limit):
        await site.publish("d", b"junk", b"fine")
        await until(lambda: len(letters.kept) == 1 and intake.stored == [b"fine"])
    assert limit is not None
    assert limit.requests is not None
    assert limit.bytes is not None
    assert limit.requests.left("d", time.monotonic()).units == 2
    assert 3990 < limit.bytes.left("d", time.monotonic()).units <= 3993
