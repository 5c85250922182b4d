"""Topics: the setting → what to subscribe to, and a topic → the device it names. Pure; refuses with SettingsError.

Topic names and filters are those of MQTT 5, section 4.7; shared subscriptions those of section 4.8.2.
"""

from dataclasses import dataclass

from gateway.core.errors import SettingsError

PLACEHOLDER = "{device}"
RECEIPTS = "devices/{device}/receipts"
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
    receipts: str
    """Where a device is told what became of its messages; its name is in place of `{device}`."""

    def device_of(self, topic: str) -> str | None:
        """Return the name in the device's level, or None if this is not a topic that devices publish on."""
        start, end = len(self.prefix), len(topic) - len(self.suffix)
        if end <= start or not topic.startswith(self.prefix) or not topic.endswith(self.suffix):
            return None
        device = topic[start:end]
        return None if "/" in device else device

    def receipts_of(self, device: str) -> str | None:
        """Return the one topic on which this device may be answered, or None if that belongs to somebody else."""
        topic = self.receipts.replace(PLACEHOLDER, device)
        return None if topic.startswith("$") or self.device_of(topic) is not None else topic


def parse_topic(template: str, *, share: str, receipts: str = RECEIPTS) -> Topics:
    """Read `mqtt.topic`, `mqtt.receipts` and `mqtt.share` (a subscription's group; empty = a plain subscription).

    Raises SettingsError with the value and what is allowed.
    """
    _check("topic", template)
    _check("receipts", receipts)
    if receipts == template:
        raise _refused("receipts", receipts, "it must not be mqtt.topic, on which devices publish")
    if (set(share) & _WILDCARDS) or "/" in share:
        raise _refused("share", share, "a group's name may not hold '/', '+', '#' or NUL")
    plain = template.replace(PLACEHOLDER, "+")
    subscription = f"$share/{share}/{plain}" if share else plain
    if _utf8_length(subscription) > _MAX_TOPIC_BYTES:
        raise _refused("topic", template[:60] + "…", f"it is longer than {_MAX_TOPIC_BYTES} bytes")
    prefix, suffix = template.split(PLACEHOLDER)
    return Topics(prefix, suffix, subscription, receipts)


def _check(name: str, template: str) -> None:
    if template.split("/").count(PLACEHOLDER) != 1 or template.count("{") != 1 or template.count("}") != 1:
        raise _refused(name, template, f"exactly one level must be {PLACEHOLDER}")
    if _WILDCARDS & set(template):
        raise _refused(name, template, "it may not hold '+', '#' or NUL")
    if template.startswith("$"):
        raise _refused(name, template, "topics that begin with '$' belong to the broker")
    if _utf8_length(template) > _MAX_TOPIC_BYTES:
        raise _refused(name, template[:60] + "…", f"it is longer than {_MAX_TOPIC_BYTES} bytes")


def _utf8_length(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as exc:
        raise _refused("topic", ascii(text), "it is not valid Unicode") from exc


def _refused(name: str, value: str, rule: str) -> SettingsError:
    example = f"mqtt.receipts = {RECEIPTS!r}" if name == "receipts" else "mqtt.topic = 'devices/{device}/readings'"
    return SettingsError(f"mqtt.{name} is {value!r}: {rule}; for example {example}")
