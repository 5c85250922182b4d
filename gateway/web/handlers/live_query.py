"""What a caller wants to see live, checked: parameters or a message in, a filter out. Raises BadRequest, Forbidden."""

from collections.abc import Sequence
from typing import NamedTuple

from sanic import Request

from gateway.core.errors import BadRequest, Forbidden
from gateway.domain.changes import LogPosition, Tag, to_position
from gateway.domain.layouts import DEVICE_NAME, METRIC_NAME
from gateway.domain.model import MAX_NAME, Principal, Role
from gateway.live.filters import MAX_DEVICES, MAX_METRICS, MAX_TAGS, Filter
from gateway.web.http.path import shown
from gateway.web.http.query import Question

MAX_TAG = 400
"""Characters of a tag, its value included."""
UNKNOWN = LogPosition("unknown0", 0, 0)
"""An id that is not one of ours, sent by a client that cannot help it: older than everything."""


class LiveQuery(NamedTuple):
    """What one stream shall show."""

    wanted: Filter
    last: LogPosition | None
    """The id of the last event that the caller has."""
    snapshot: bool


def to_asked(request: Request, principal: Principal) -> LiveQuery:
    """Read the question of GET /v1/stream."""
    question = Question(request)
    devices = question.names("device", most=MAX_DEVICES)
    metrics = question.names("metric", most=MAX_METRICS)
    tags = question.all("tag")
    snapshot = question.flag("snapshot")
    last = to_last(question.one("last_event_id"))
    question.finish()
    offered = request.headers.getone("last-event-id", "")
    if offered:  # a browser that comes back repeats the address, and knows better by now
        last = to_position(offered) or UNKNOWN
    wanted = to_filter(principal, devices=devices, metrics=metrics, tags=tags)
    return LiveQuery(wanted, last, snapshot is not False)


def to_last(text: str | None) -> LogPosition | None:
    """Read the id of an event that somebody sent on purpose. Raises BadRequest."""
    if not text:
        return None
    position = to_position(text)
    if position is None:
        raise BadRequest(f"last_event_id {shown(text)} is not the id of an event", parameter="last_event_id")
    return position


def to_filter(principal: Principal, *, devices: Sequence[str], metrics: Sequence[str], tags: Sequence[str]) -> Filter:
    """Return what this caller may see of that. Raises BadRequest, Forbidden."""
    for name in devices:
        if DEVICE_NAME.fullmatch(name) is None:
            raise BadRequest(
                f"device name {shown(name)} is not allowed; use 1 to {MAX_NAME} characters of A-Z a-z 0-9 . _ : -",
                parameter="device",
            )
    for name in metrics:
        if METRIC_NAME.fullmatch(name) is None:
            raise BadRequest(
                f"metric name {shown(name)} is not allowed; use 1 to {MAX_NAME} characters of A-Z a-z 0-9 . _ : / -",
                parameter="metric",
            )
    if len(tags) > MAX_TAGS:
        raise BadRequest(f"tag= stands {len(tags)} times; at most {MAX_TAGS} in one stream", parameter="tag")
    chosen = _allowed(principal, devices, tags)
    return Filter(chosen, frozenset(metrics) or None, frozenset(map(_to_tag, tags)))


def _allowed(principal: Principal, devices: Sequence[str], tags: Sequence[str]) -> frozenset[str] | None:
    if principal.role is Role.INGEST:
        raise Forbidden("an ingest key may not read; use a reader key or the device's token")
    if principal.role is not Role.DEVICE or principal.device is None:
        return frozenset(devices) or None
    if tags:
        raise Forbidden("a device's token reads that device only; leave tag= out", parameter="tag")
    for name in devices:
        if not principal.may_read(name):
            raise Forbidden(
                f"this credential may not read device {name!r}; use a reader key or that device's token", device=name
            )
    return frozenset([principal.device])


def _to_tag(text: str) -> Tag:
    key, colon, value = text.partition(":")
    if not key or len(text) > MAX_TAG or "\0" in text or not _is_text(text):
        raise BadRequest(f"tag={shown(text)} is no tag; send key:value, or key for any value", parameter="tag")
    return key, value if colon else None


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
