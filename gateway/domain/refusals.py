"""Refusals: for each Reason a sentence with value, limit and way out. The only source of them. Pure."""

from collections.abc import Iterable
from itertools import takewhile

from gateway.domain.model import MAX_TEXT_BYTES, Refusal
from gateway.domain.names import DEVICE_NAME_RULE, MAX_NAME, METRIC_NAME_RULE
from gateway.domain.reasons import Reason

SHOWN = 60
"""Characters of a refused value that are repeated back."""
MAX_TOKEN = 2 * MAX_NAME
"""Longest key of a JSON pointer that is repeated back: a metric name of nothing but slashes, each escaped."""

LISTED = 10_000
"""Refusals of one body that are said in words, unless fewer are asked for."""
MAX_LISTED_CHARS = 2**20
"""Of all of them together."""
MORE = "and more of the same"

ADVICE: dict[Reason, str] = {
    Reason.BAD_ITEM: "an item must be an object in one of the documented shapes, this is {value}; "
    "see POST /v1/readings",
    Reason.UNKNOWN_FIELD: "{value} is not a field of an item of this shape; "
    "leave it out, or put readings under 'values' (see POST /v1/readings)",
    Reason.DUPLICATE_KEY: "key {value} stands more than once in one object, which can keep only one of them; "
    "send each key once, and values of other times as messages of their own",
    Reason.NO_VALUES: "the item holds no values; send 'value' with 'metric', or a non-empty 'values' object",
    Reason.LENGTH_MISMATCH: "this column has {value} values for {limit} timestamps; send one value for each timestamp",
    Reason.MISSING_DEVICE: "no device is named; add 'device', or post to /v1/devices/{{device}}/readings",
    Reason.BAD_DEVICE_NAME: "device name {value} is not allowed; "
    f"use {DEVICE_NAME_RULE}, but not '.' or '..', which stand for folders in addresses",
    Reason.DEVICE_MISMATCH: "the item names device {value}, but this address is for {limit}; send it there instead",
    Reason.DEVICE_FORBIDDEN: "this credential may not write device {value}; use that device's token or an ingest key",
    Reason.UNKNOWN_DEVICE: "device {value} is not registered; "
    "register it ('gateway device add'), or set devices.unknown=auto",
    Reason.DEVICE_DISABLED: "device {value} is disabled; enable it ('gateway device enable')",
    Reason.BAD_METRIC_NAME: f"metric name {{value}} is not allowed; use {METRIC_NAME_RULE}",
    Reason.BAD_TIMESTAMP: "timestamp {value} cannot be read; "
    "send RFC 3339 text with a zone, or a Unix time in s, ms, µs or ns",
    Reason.TOO_FAR_AHEAD: "timestamp is {value} s ahead of the gateway's clock; "
    "limit {limit} s (clock.max_ahead_secs); check the device's clock",
    Reason.TOO_OLD: "timestamp {value} is older than the {limit} days kept here (retention.days); "
    "check the device's clock",
    Reason.BAD_VALUE: "value {value} cannot be stored; "
    "send a number, true, false or text, and leave the metric out when there is nothing to say",
    Reason.NOT_FINITE: "value {value} is not a finite number; leave the metric out when there is nothing to say",
    Reason.INT_OUT_OF_RANGE: "integer {value} does not fit {limit}; send it as text, "
    "or declare the metric as int ('gateway metric declare-int') if it fits int64",
    Reason.BAD_TEXT: "the text holds a NUL or a lone surrogate, which PostgreSQL cannot store; remove it",
    Reason.TEXT_TOO_LONG: f"the text is {{value}} bytes of UTF-8; limit {MAX_TEXT_BYTES}; shorten it",
    Reason.SERIES_LIMIT: "this would be a new series beyond the limit of {limit} {value}; the known ones still work",
    Reason.DEVICE_LIMIT: "device {value} is not registered, and no more are made by themselves now: {limit}; "
    "register it ('gateway device add'), raise the limit, or send this again later",
    Reason.NEW_METRICS_LIMIT: "these {value} metrics were never reported together, and no more new ones are taken now: "
    "{limit}; the known ones still work; send these again later, in smaller parts, or raise the limit",
    Reason.TYPE_CONFLICT: "the metric is {limit} on this device, this value is {value}; "
    "send one kind, or set devices.kind_change=keep",
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
    """Form the refusal for something at this place, repeating at most SHOWN characters of the value.

    Whatever was posted, the refusal can be encoded and is short; `path` ends early if a key on it is not like that.
    """
    text = ADVICE[reason].format(value=_shown(value), limit=_shown(limit))
    return Refusal(index, _sayable(path), reason.value, text, _printable(device), _printable(metric), readings)


class Refusals:
    """The refusals of one body: the first ones as they are listed, of the rest how many readings have which reason.

    A body may hold a hundred thousand things to refuse, and nobody reads more than the first: to say each in words
    would cost more than to store it.
    """

    def __init__(self, listed: int = LISTED, found: Iterable[Refusal] = ()) -> None:
        """Begin with refusals from before; `listed` is how many are said in words at most."""
        self._found = list(found)
        self._listed = listed
        self._room = MAX_LISTED_CHARS
        self._more: dict[Reason, int] = {}

    def __len__(self) -> int:
        return len(self._found)

    @property
    def is_full(self) -> bool:
        """Whether no more are listed: what one refers to need not be looked up."""
        return len(self._found) >= self._listed or self._room <= 0

    def add(self, refusal: Refusal) -> None:
        """List one more."""
        self._found.append(refusal)
        self._room -= len(refusal.path) + len(refusal.message)

    def count(self, reason: Reason, readings: int) -> None:
        """Count what is not listed any more."""
        self._more[reason] = self._more.get(reason, 0) + readings

    def all(self) -> list[Refusal]:
        """Return the listed ones, and behind them one for all others of each reason."""
        rest = [Refusal(0, "", code.value, MORE, readings=readings) for code, readings in self._more.items()]
        return self._found + rest


def pointer(token: str) -> str:
    """Escape one reference token of a JSON pointer (RFC 6901, section 3)."""
    return token.replace("~", "~0").replace("/", "~1")


def _shown(value: object) -> str:
    """Say the value much as JSON does; text is cut before it is formatted, as it may be megabytes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | dict):
        return "an array" if isinstance(value, list) else "an object"
    if isinstance(value, str) and not isinstance(value, _Bare):
        return _clean(repr(value[:SHOWN])) + "…" * (len(value) > SHOWN)
    text = str(value)
    return _clean(text[:SHOWN]) + "…" * (len(text) > SHOWN)


def _sayable(path: str) -> str:
    """Cut a pointer before the first key that UTF-8 cannot say or that is too long to repeat."""
    if len(path) <= MAX_TOKEN and path.isascii():
        return path
    tokens = path.split("/")
    return "/".join(takewhile(lambda token: len(token) <= MAX_TOKEN and _clean(token) == token, tokens))


def _printable(name: str | None) -> str | None:
    return None if name is None else _clean(name[:MAX_NAME])


def _clean(text: str) -> str:
    """Replace what UTF-8 cannot say: lone surrogates."""
    return text.encode("utf-8", "replace").decode()


class _Bare(str):
    """Text that is shown without quotes."""

    __slots__ = ()


bare = _Bare
