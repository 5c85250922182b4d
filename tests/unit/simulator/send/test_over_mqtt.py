"""A part over MQTT: which connection a device has, and what becomes of posts for one that has no room."""

import pytest

from simulator.core.errors import UsageError
from simulator.plan.load import LoadOptions
from tests.unit.simulator.cases import plan


def test_connections_are_spread_in_proportion_and_none_is_idle() -> None:
    over_mqtt = [
        part.connections
        for part in LoadOptions(mqtt_connections=2_000).plan("smart-city-10k", now_ms=0).parts()
        if part.lane.transport == "mqtt"
    ]
    assert over_mqtt == [500, 750, 250, 500]
    few = list(LoadOptions(mqtt_connections=1).plan("smart-city-10k", now_ms=0).parts())
    assert [part.connections for part in few] == [int(part.lane.transport == "mqtt") for part in few]
    (alone,) = plan(devices=3, transport="mqtt").parts()
    assert alone.connections == 3


def test_workers_share_the_connections() -> None:
    parts = plan(devices=1_001, transport="mqtt", mqtt_connections=101, workers=3).parts()
    assert sum(part.connections for part in parts) == 101
    assert [part.connections for part in parts] == [33, 34, 34]


def test_more_connections_than_devices_are_refused_when_asked_for() -> None:
    with pytest.raises(UsageError, match="--mqtt-connections 11 is more than the 10 devices"):
        plan(transport="mqtt", mqtt_connections=11)
    with pytest.raises(UsageError, match="--mqtt-connections must be from 1 to 20,000"):
        plan(transport="mqtt", mqtt_connections=20_001)
