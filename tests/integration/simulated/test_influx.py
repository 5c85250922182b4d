"""Line protocol as InfluxDB documents it, and what its answers mean."""

import re
from typing import Any

import pytest

from simulator.core.errors import Refused, Unreachable
from simulator.send.drivers.http import HttpClient
from simulator.targets.influx import InfluxHistory, InfluxTarget
from tests.fakes import fake_gateway
from tests.unit.simulator.cases import plan

REFUSED: dict[str, Any] = {"results": [{"error": "database not found: x"}]}


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        ((200, REFUSED), "GET /query was answered: database not found: x"),
        ((401, {"error": "unable to parse authentication credentials"}), "GET /query was answered with 401"),
        ((200, {"something": "else"}), "was not answered as documented"),
        ((200, {"results": [{"series": [{"columns": ["time"], "values": 3}]}]}), "was not answered as documented"),
    ],
)
async def test_what_is_not_shown_is_no_loss(reply: tuple[int, dict[str, Any]], sentence: str) -> None:
    async with fake_gateway.running() as fake, HttpClient(fake.url) as client:
        fake.calls.append(lambda *_: reply)
        with pytest.raises(Refused, match=re.escape(sentence)):
            await InfluxHistory(client, "x").readings_of("sim-1-test-00000", 0, 1_000)


async def test_a_command_that_fails_is_said() -> None:
    async with fake_gateway.running() as fake, HttpClient(fake.url) as client:
        replies = [(200, REFUSED), (403, {"error": "not you"}), (200, {})]
        fake.calls.append(lambda *_: replies.pop(0))
        target = InfluxTarget(db="x")
        with pytest.raises(Unreachable, match="answers CREATE DATABASE"):
            await target.prepare(client, plan())
        with pytest.raises(Unreachable, match="does not take our key"):
            await target.clean(client, plan())
        with pytest.raises(Unreachable, match="answers /ping with 200, as no InfluxDB does"):
            await target.check_access(client)
    async with HttpClient("http://127.0.0.1:1") as client:
        with pytest.raises(Unreachable, match="does not answer"):
            await target.check_access(client)


async def test_what_was_written_to_2_stays_and_that_is_told() -> None:
    async with fake_gateway.running() as fake, HttpClient(fake.url) as client:
        target = InfluxTarget(db="x", org="o")
        await target.prepare(client, plan())
        registry = target.registry(client, plan(), is_begun=True)
        await registry.withdraw()
        assert registry.notes == [
            "not all was removed: InfluxDB 2 keeps what was written: remove it with `influx delete`"
        ]
