"""What a refusal says: for each Reason a sentence with the value, the limit and the way out. The only source of them."""

from gateway.errors import Reason
from gateway.model import MAX_NAME, MAX_TEXT_BYTES, Refusal

SHOWN = 60
"""Characters of a refused value that are repeated back."""

ADVICE: dict[Reason, str] = {
    Reason.BAD_ITEM: "an item must be an object in one of the documented shapes, this is {value}; see POST /v1/readings",
    Reason.UNKNOWN_FIELD: "{value} is not a field of a reading; put readings under 'values', or leave it out",
    Reason.NO_VALUES: "the item holds no values; send 'value' with 'metric', or a non-empty 'values' object",
    Reason.LENGTH_MISMATCH: "this column has {value} values for {limit} timestamps; send one value for each timestamp",
    Reason.MISSING_DEVICE: "no device is named; add 'device', or post to /v1/devices/{{device}}/readings",
    Reason.BAD_DEVICE_NAME: "device name {value} is not allowed; "
    f"use 1 to {MAX_NAME} characters of A-Z a-z 0-9 . _ : -",
    Reason.DEVICE_MISMATCH: "the item names device {value}, but this address is for {limit}; send it there instead",
    Reason.DEVICE_FORBIDDEN: "this credential may not write device {value}; use that device's token or an ingest key",
    Reason.UNKNOWN_DEVICE: "device {value} is not registered; register it ('gateway device add'), or set devices.unknown=auto",
    Reason.DEVICE_DISABLED: "device {value} is disabled; enable it ('gateway device enable')",
    Reason.BAD_METRIC_NAME: "metric name {value} is not allowed; "
    f"use 1 to {MAX_NAME} characters of A-Z a-z 0-9 . _ : / -",
    Reason.BAD_TIMESTAMP: "timestamp {value} cannot be read; "
    "send RFC 3339 text with a zone, or a Unix time in s, ms, µs or ns",
    Reason.TOO_FAR_AHEAD: "timestamp is {value} s ahead of the gateway's clock; "
    "limit {limit} s (clock.max_ahead_secs); check the device's clock",
    Reason.TOO_OLD: "timestamp {value} is older than the {limit} days kept here (retention.days); check the device's clock",
    Reason.BAD_VALUE: "value {value} cannot be stored; "
    "send a number, true, false or text, and leave the metric out when there is nothing to say",
    Reason.NOT_FINITE: "value {value} is not a finite number; leave the metric out when there is nothing to say",
    Reason.INT_OUT_OF_RANGE: "integer {value} does not fit {limit} exactly; "
    "declare the metric as int ('gateway metric declare-int') or send it as text",
    Reason.BAD_TEXT: "the text holds a NUL or a lone surrogate, which PostgreSQL cannot store; remove it",
    Reason.TEXT_TOO_LONG: f"the text is {{value}} bytes of UTF-8; limit {MAX_TEXT_BYTES}; shorten it",
    Reason.SERIES_LIMIT: "this would be a new series beyond the limit of {limit} ({value}); "
    "the known ones still work; see devices.max_metrics",
    Reason.TYPE_CONFLICT: "the metric is {limit} on this device, this value is {value}; send one kind, or set devices.kind_change=keep",
    Reason.CONFLICT: "other values are stored for this device, metrics and time, and were kept; "
    "use another time, or set devices.conflict=overwrite",
    Reason.REJECTED_BY_DATABASE: "the database refused it: {value}; it lies in the dead letters",
}


def refuse(
    reason: Reason,
    index: int,
    path: str,
    *,
    device: str | None = None,
    metric: str | None = None,
    readings: int = 1,
    value: object = None,
    limit: object = None,
) -> Refusal:
    """Form the refusal for something at this place, repeating at most SHOWN characters of the value."""
    text = ADVICE[reason].format(value=_shown(value), limit=limit)
    return Refusal(index, path, reason.value, text, _printable(device), _printable(metric), readings)


def pointer(token: str) -> str:
    """Escape one reference token of a JSON pointer (RFC 6901, section 3)."""
    return token.replace("~", "~0").replace("/", "~1")


def _shown(value: object) -> str:
    text = value if isinstance(value, _Bare) else repr(value)
    return _clean(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def _printable(name: str | None) -> str | None:
    return None if name is None else _clean(name[:MAX_NAME])


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


class _Bare(str):
    """Text that is shown without quotes."""

    __slots__ = ()


bare = _Bare
