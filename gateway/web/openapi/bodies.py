"""Bodies that have several forms, as types: the four of a posted item, and the ways to choose devices."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway.web.handlers.newest import MAX_DEVICES
from gateway.web.http.call import AnyOf
from gateway.web.http.fields import AnyName, DeviceName, MetricName, NamePrefix, Strict, Tag

Device = Annotated[
    DeviceName | None, Meta(description="The device that reports; may be left out where the path names it.")
]
Time = Annotated[
    Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | Annotated[float, Meta(ge=0, lt=1e20)] | None,
    Meta(
        description="RFC 3339 with a zone, or a Unix time in s, ms, µs or ns, told by its size. Null: when it arrives.",
        examples=["2024-11-22T12:03:20.123Z", 1732277000123],
    ),
]
Scalar = Annotated[
    bool | float | Annotated[str, Meta(max_length=4096)],
    Meta(description="A number, a bool or text of up to 4,096 bytes.", examples=[21.5]),
]
Values = Annotated[dict[MetricName, Scalar], Meta(min_length=1, description="Metric → value.")]


class Item(Strict, frozen=True, kw_only=True):
    """What all four forms have."""

    device: Device = None


class OneReading(Item, frozen=True):
    """One value of one metric."""

    metric: MetricName
    value: Scalar
    ts: Time = None


class Message(Item, frozen=True):
    """Several metrics at one time. Prefer this form: a message is one row."""

    values: Values
    ts: Time = None


class TimedValues(Strict, frozen=True, kw_only=True):
    """The values of one time."""

    values: Values
    ts: Time = None


class Messages(Item, frozen=True):
    """Several messages of one device."""

    readings: Annotated[list[TimedValues], Meta(min_length=1)]


class Columns(Item, frozen=True):
    """The same as columns; every column has as many values as there are timestamps."""

    ts: Annotated[list[Time], Meta(min_length=1)]
    values: Annotated[dict[MetricName, list[Scalar]], Meta(min_length=1, description="Metric → values.")]


READINGS = AnyOf((Message, OneReading, Messages, Columns), many=True)
READING_EXAMPLES = {
    "message": {"device": "d1", "ts": 1732277000123, "values": {"temperature": 21.5, "door_open": True}},
    "reading": {"device": "d1", "metric": "temperature", "ts": "2024-11-22T12:03:20.123Z", "value": 21.5},
    "messages": {"device": "d1", "readings": [{"ts": 1732277001123, "values": {"temperature": 21.5}}]},
    "columns": {"device": "d1", "ts": [1732277000123, 1732277001123], "values": {"temperature": [21.5, 21.6]}},
}

Metrics = Annotated[list[AnyName] | None, Meta(description="Only these; null: all.")]
PageSize = Annotated[int, Meta(ge=1, le=MAX_DEVICES)]


class StatesByName(Strict, frozen=True, kw_only=True):
    """Devices by name."""

    devices: Annotated[list[AnyName], Meta(min_length=1, max_length=MAX_DEVICES)]
    metrics: Metrics = None


class StatesByTag(Strict, frozen=True, kw_only=True):
    """All devices with these tags, page by page; for keys that may read all."""

    tag: list[Tag]
    limit: PageSize = MAX_DEVICES
    cursor: str | None = None
    metrics: Metrics = None


class StatesByPrefix(StatesByTag, frozen=True, kw_only=True):
    """All devices whose names begin so, page by page; for keys that may read all."""

    prefix: NamePrefix
    tag: list[Tag] = msgspec.field(default_factory=list)


STATES_QUERY = AnyOf((StatesByName, StatesByPrefix, StatesByTag))
STATES_EXAMPLES: dict[str, Any] = {
    "two": {"devices": ["d1", "d2"], "metrics": ["temperature"]},
    "site": {"tag": ["site:north"], "limit": 100},
    "prefix": {"prefix": "d"},
}
