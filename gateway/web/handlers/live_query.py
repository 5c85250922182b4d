"""What a caller wants to see live: parameters or a message in, a filter out. Raises BadRequest, Forbidden."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from gateway.core.errors import BadRequest
from gateway.domain.changes import LogPosition, to_position
from gateway.domain.devices import Tag
from gateway.domain.principal import Principal
from gateway.live.filters import MAX_DEVICES, MAX_METRICS, MAX_TAGS, Filter
from gateway.web.http import fields
from gateway.web.http.call import Call
from gateway.web.http.path import check_device, check_metric, shown
from gateway.web.http.permissions import readable

MAX_TAG = 400
"""Characters of a tag, its value included."""
UNKNOWN = LogPosition("unknown0", 0, 0)
"""An id that is not one of ours, sent by a client that cannot help it: older than everything."""


class StreamQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a stream is asked to show."""

    device: Annotated[
        list[fields.DeviceName],
        Meta(description="Only these; repeated or separated by commas.", extra={"most": MAX_DEVICES}),
    ] = []
    metric: Annotated[
        list[fields.MetricName],
        Meta(description="Only these; repeated or separated by commas.", extra={"most": MAX_METRICS}),
    ] = []
    tag: Annotated[
        list[fields.Tag], Meta(description="Only devices with all of these tags: `key:value`, or `key` with any value.")
    ] = []
    snapshot: Annotated[bool | None, Meta(description="`false`: begin without the newest values.")] = None
    last_event_id: Annotated[
        str | None, Meta(description="The same as `Last-Event-ID`, for clients that cannot set it.")
    ] = None


class LiveQuery(NamedTuple):
    """What one stream shall show."""

    wanted: Filter
    last: LogPosition | None
    """The id of the last event that the caller has."""
    snapshot: bool


def to_live_query(call: Call[StreamQuery, None]) -> LiveQuery:
    """Read the question of GET /v1/stream."""
    query = call.query
    last = to_last(query.last_event_id)
    offered = call.header("last-event-id")
    if offered:  # a browser that comes back repeats the address, and knows better by now
        last = to_position(offered) or UNKNOWN
    wanted = to_filter(call.principal, devices=query.device, metrics=query.metric, tags=query.tag)
    return LiveQuery(wanted, last, query.snapshot is not False)


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
        check_device(name)
    for name in metrics:
        check_metric(name)
    if len(tags) > MAX_TAGS:
        raise BadRequest(f"tag= stands {len(tags)} times; at most {MAX_TAGS} in one stream", parameter="tag")
    chosen = readable(principal, devices, tags)
    return Filter(chosen, frozenset(metrics) or None, frozenset(map(_to_tag, tags)))


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
