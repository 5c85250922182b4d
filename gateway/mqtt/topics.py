"""Topics: the setting → what to subscribe to, and a topic → the device it names. Pure; refuses with SettingsError.

Topic names and filters are those of MQTT 5, section 4.7; shared subscriptions those of section 4.8.2.
"""

from dataclasses import dataclass

from gateway.core.errors import SettingsError

PLACEHOLDER = "{device}"
_MAX_TOPIC_BYTES = 65_535
_WILDCARDS = frozenset("+#\0")


@dataclass(frozen=True, slots=True)
class Topics:
    """Where devices publish."""

    prefix: str
    """Everything before the level that names the device, its slash included."""
    suffix: str
    """Everything after that level, its slash included."""
    subscription: str
    """The topic filter to subscribe to."""

    def device_of(self, topic: str) -> str | None:
        """Return the name in the device's level, or None if this is not a topic that devices publish on."""
        start, end = len(self.prefix), len(topic) - len(self.suffix)
        if end <= start or not topic.startswith(self.prefix) or not topic.endswith(self.suffix):
            return None
        device = topic[start:end]
        return None if "/" in device else device


def parse_topic(template: str, *, share: str) -> Topics:
    """Read `mqtt.topic` and `mqtt.share` (a shared subscription's group; empty = a plain subscription).

    Raises SettingsError with the value and what is allowed.
    """
    levels = template.split("/")
    if levels.count(PLACEHOLDER) != 1 or template.count("{") != 1 or template.count("}") != 1:
        raise _refused("topic", template, f"exactly one level must be {PLACEHOLDER}")
    if _WILDCARDS & set(template):
        raise _refused("topic", template, "it may not hold '+', '#' or NUL")
    if template.startswith("$"):
        raise _refused("topic", template, "topics that begin with '$' belong to the broker")
    if (set(share) & _WILDCARDS) or "/" in share:
        raise _refused("share", share, "a group's name may not hold '/', '+', '#' or NUL")
    plain = template.replace(PLACEHOLDER, "+")
    subscription = f"$share/{share}/{plain}" if share else plain
    if _utf8_length(subscription) > _MAX_TOPIC_BYTES:
        raise _refused("topic", template[:60] + "…", f"it is longer than {_MAX_TOPIC_BYTES} bytes")
    prefix, suffix = template.split(PLACEHOLDER)
    return Topics(prefix, suffix, subscription)


def _utf8_length(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as exc:
        raise _refused("topic", ascii(text), "it is not valid Unicode") from exc


def _refused(name: str, value: str, rule: str) -> SettingsError:
    return SettingsError(f"mqtt.{name} is {value!r}: {rule}; for example mqtt.topic = 'devices/{{device}}/readings'")
