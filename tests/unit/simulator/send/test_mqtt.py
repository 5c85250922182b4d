"""The MQTT publisher against a broker that does what it is told to, and against mosquitto."""

import pytest

from simulator.core.addresses import Broker
from simulator.core.errors import UsageError


def test_where_a_broker_is() -> None:
    assert Broker.parse("localhost:1884") == Broker("localhost", 1884)
    assert Broker.parse("localhost") == Broker("localhost", 1883)
    assert Broker.parse("mqtt://me:p%40ss@[::1]:99") == Broker("::1", 99, "me", "p@ss")


@pytest.mark.parametrize("text", ["", ":1883", "http://host", "host:x", "host:99999", "host:0"])
def test_brokers_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="host:port"):
        Broker.parse(text)
