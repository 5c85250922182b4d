"""A broker and names of a test's own on it."""

import asyncio
from typing import NamedTuple
from uuid import uuid4

import aiomqtt

from gateway.core.settings import MqttSettings
from gateway.domain.model import Receipt
from tests.builders.mqtt.parts import (
    CLEAN,
    ScriptedIntake,
    publish,
    running,
    until,
)
from tests.servers.mosquitto import Mosquitto

V5, V311 = aiomqtt.ProtocolVersion.V5, aiomqtt.ProtocolVersion.V311


class Site(NamedTuple):
    """A broker, and names of this test's own on it."""

    url: str
    device_url: str
    device_version: aiomqtt.ProtocolVersion
    name: str
    share: str
    """A group, but not on rumqttd: 0.20 panics when the only member of a group leaves with messages unacknowledged."""

    @property
    def topic(self) -> str:
        return f"{self.name}/d1/readings"

    def settings(self, *, receive_max: int = 1000) -> MqttSettings:
        return MqttSettings(
            url=self.url,
            topic=f"{self.name}/{{device}}/readings",
            receipts=f"{self.name}/{{device}}/receipts",
            share=self.share,
            client_id=f"gateway-{self.name}",
            receive_max=receive_max,
        )

    async def publish(self, *bodies: bytes, qos: int = 1) -> None:
        await publish(self.device_url, self.topic, bodies, qos=qos, version=self.device_version)


def on(broker: Mosquitto, name: str) -> Site:
    return Site(broker.url, broker.url, V5, name, share=name)


def numbered(count: int) -> list[bytes]:
    return [b"%06d" % number for number in range(count)]


async def comes_again(site: Site) -> list[bytes]:
    """Everything that the broker still holds for the session: a mark is published and waited for."""
    mark = uuid4().hex.encode()
    intake = ScriptedIntake()
    async with running(site.settings(), intake):
        await site.publish(mark)
        await until(lambda: mark in intake.stored)
    return [body for body in intake.stored if body != mark]


async def slowly(_body: bytes) -> Receipt:
    await asyncio.sleep(0.01)
    return CLEAN
