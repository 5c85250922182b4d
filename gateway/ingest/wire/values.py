"""Values: a posted one → the metric it belongs to, or what is wrong with it. Pure; raises nothing."""

from math import isfinite
from typing import NamedTuple

from gateway.domain.layouts import Layouts
from gateway.domain.model import MAX_EXACT, MAX_TEXT_BYTES, Kind, Metric
from gateway.domain.names import METRIC_NAME
from gateway.domain.reasons import Reason
from gateway.domain.refusals import bare

INT64 = range(-(2**63), 2**63)


class Flaw(NamedTuple):
    """Why a part of an item may not come in."""

    reason: Reason
    below: str = ""
    """JSON pointer (RFC 6901) from the item to that part."""
    readings: int = 1
    """Readings it holds, as far as that can be told."""
    value: object = None
    limit: object = None
    metric: str | None = None


def to_metric(name: str, value: object, layouts: Layouts) -> Metric | Flaw:
    """Return the metric in which a value is stored, or the flaw (with no place yet) that keeps it out."""
    if not METRIC_NAME.fullmatch(name):
        return Flaw(Reason.BAD_METRIC_NAME, value=name)
    if isinstance(value, str):
        return _judge_text(name, value)
    if not isinstance(value, bool | int | float):
        return Flaw(Reason.BAD_VALUE, value=value)
    kind = layouts.kind(name, type(value))
    return _number_flaw(value, kind) or Metric(name, kind)


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can hold the text and it is short enough."""
    if len(text) > MAX_TEXT_BYTES or "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        return len(text.encode()) <= MAX_TEXT_BYTES
    except UnicodeEncodeError:
        return False


def _judge_text(name: str, value: str) -> Metric | Flaw:
    if is_storable(value):
        return Metric(name, Kind.TEXT)
    size = len(value.encode("utf-8", "replace"))
    return Flaw(Reason.TEXT_TOO_LONG, value=size) if size > MAX_TEXT_BYTES else Flaw(Reason.BAD_TEXT)


def _number_flaw(value: float, kind: Kind) -> Flaw | None:
    if not isinstance(value, int):
        return None if isfinite(value) else Flaw(Reason.NOT_FINITE, value=value)
    if kind is Kind.INT:
        return None if value in INT64 else Flaw(Reason.INT_OUT_OF_RANGE, value=value, limit=bare("int64"))
    return None if abs(value) <= MAX_EXACT else Flaw(Reason.INT_OUT_OF_RANGE, value=value, limit=bare("a double"))
