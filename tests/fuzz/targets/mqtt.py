"""Topics of MQTT: what the settings say, and what a broker sends."""

from gateway.core.errors import SettingsError
from gateway.mqtt.topics import PLACEHOLDER, parse_topic
from tests.fuzz.target import target


@target(
    "topics",
    "topics, and templates of them",
    [b"devices/{device}/readings\0devices/d1/readings", b"{device}\0d", b"a/{device}\0a/b/c"],
)
def topics(data: bytes) -> None:
    """A device that, put into the template, is the topic; or none."""
    template, _, topic = data.decode("utf-8", "surrogateescape").partition("\0")
    try:
        known = parse_topic(template, share="")
    except SettingsError:
        known = parse_topic("devices/{device}/readings", share="g")
        template = "devices/{device}/readings"
    device = known.device_of(topic)
    if device is not None:
        assert device
        assert "/" not in device
        assert template.replace(PLACEHOLDER, device) == topic
