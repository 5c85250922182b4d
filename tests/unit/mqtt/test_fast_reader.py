"""What aiomqtt and paho do not promise and we use: each is named here, and missed in a sentence when they move it."""

from importlib.metadata import version
from inspect import signature

import aiomqtt
import pytest
from paho.mqtt.client import MQTTMessage

from tests.builders.private_names import GATEWAY, foreign_names

FILE = "mqtt/fast_reader.py"
OF_PAHO = {
    "_handle_pingresp": [], "_handle_publish": [], "_in_packet": None, "_loop_rc_handle": ["rc"],
    "_packet_queue": ["command", "packet", "mid", "qos", "info"], "_send_pingreq": [], "_sock_recv": ["bufsize"],
}  # fmt: skip
"""What each method takes; None for an attribute."""
OF_AIOMQTT = {
    "_client": None, "_disconnected": None, "_loop": None, "_misc_task": None, "_misc_loop": [],
    "_on_connect": ["client", "userdata", "flags", "reason_code", "properties"],
    "_on_disconnect": ["client", "userdata", "flags", "reason_code", "properties"],
    "_on_message": ["client", "userdata", "message"],
    "_on_publish": ["client", "userdata", "mid", "reason_code", "properties"],
    "_on_socket_open": ["client", "userdata", "sock"],
    "_on_socket_register_write": ["client", "userdata", "sock"],
}  # fmt: skip


@pytest.mark.parametrize("name", [*OF_PAHO, *OF_AIOMQTT])
async def test_the_libraries_have_what_we_use_of_them(name: str) -> None:
    client = aiomqtt.Client("127.0.0.1")
    library, owner, takes = (
        ("paho-mqtt", client._client, OF_PAHO) if name in OF_PAHO else ("aiomqtt", client, OF_AIOMQTT)
    )
    moved = f"{library} {version(library)} has moved {type(owner).__name__}.{name}, which {FILE} uses"
    assert hasattr(owner, name), moved
    if takes[name] is not None:
        assert list(signature(getattr(owner, name)).parameters)[: len(takes[name] or [])] == takes[name], moved


async def test_paho_calls_what_we_replace() -> None:
    calls: list[int] = []
    client = aiomqtt.Client("127.0.0.1")._client
    client._sock_recv = lambda size: calls.append(size) or b""  # type: ignore[func-returns-value,method-assign,assignment]
    client._sock = object()  # type: ignore[assignment]
    client._packet_read()
    client._sock = None
    assert calls == [1], f"paho-mqtt {version('paho-mqtt')} reads its socket in another way than {FILE} stands in for"


def test_every_private_name_is_named_here() -> None:
    assert foreign_names(GATEWAY / FILE) <= {*OF_PAHO, *OF_AIOMQTT, "_topic"}
    moved = f"paho-mqtt {version('paho-mqtt')} has moved MQTTMessage._topic, which {FILE} uses"
    assert hasattr(MQTTMessage(), "_topic"), moved  # the bytes, which `topic` decodes and may refuse
