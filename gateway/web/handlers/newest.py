"""The newest values of devices, with an ETag. Only reads; where the state lies is not known here.

The ETag covers the device, its values and their times, but neither ages nor the source: an unchanged device answers 304
however often it is asked.
"""

from collections.abc import Collection, Iterable
from hashlib import blake2b
from typing import Annotated

import msgspec
import orjson
from msgspec import UNSET, Meta, UnsetType

from gateway.core.errors import BadRequest, UnknownDevice
from gateway.core.timestamps import to_rfc3339
from gateway.domain.contracts.newest import DeviceState
from gateway.domain.devices import to_device_filter
from gateway.domain.json_text import decode
from gateway.domain.names import DEVICE_NAME
from gateway.web.context import Context
from gateway.web.http.body import short
from gateway.web.http.call import Call, NoQuery
from gateway.web.http.etag import matches
from gateway.web.http.fields import AnyName, Count, KindName, Moment, NextCursor, Source, Strict, Value
from gateway.web.http.permissions import LISTERS
from gateway.web.http.query import to_page
from gateway.web.http.responses import NOT_MODIFIED, REVALIDATED, Answer, exact

MAX_DEVICES = 1000
"""Devices of one query."""


class StateQuery(Strict, frozen=True):
    """Which values of a device are asked for."""

    metrics: Annotated[
        list[str] | None, Meta(description="Only these, separated by commas.", examples=[["temperature", "door_open"]])
    ] = None


class StatesQuery(Strict, frozen=True):
    """The body of POST /v1/states:query: either devices by name, or all with a prefix and tags, page by page."""

    devices: Annotated[list[AnyName], Meta(min_length=1, max_length=MAX_DEVICES)] | UnsetType = UNSET
    metrics: list[AnyName] | None = None
    prefix: str | UnsetType = UNSET
    tag: list[str] | UnsetType = UNSET
    """`key:value`, or `key` for any value; all of them."""
    limit: Annotated[int, Meta(ge=1, le=MAX_DEVICES)] | UnsetType = UNSET
    cursor: str | None = None


class CurrentValue(Strict, frozen=True):
    """The newest value of a metric."""

    value: Value
    ts: Moment
    kind: KindName
    age_ms: Annotated[Count, Meta(description="The gateway's clock minus `ts`, at least 0.")]


Values = Annotated[
    dict[str, CurrentValue], Meta(description="Metric → its newest value; empty if nothing was reported.")
]


class CurrentState(Strict, frozen=True):
    """The newest values of a device."""

    device: str
    metrics: Values
    source: Source


class CurrentValues(Strict, frozen=True):
    """The newest values of one device of several."""

    metrics: Values
    source: Source


class CurrentStates(Strict, frozen=True):
    """The newest values of many devices."""

    states: Annotated[dict[str, CurrentValues], Meta(description="Device → its newest values.")]
    missing: Annotated[list[str], Meta(description="The devices that are not known.")]
    next_cursor: NextCursor


_query = msgspec.json.Decoder(StatesQuery)


async def get_state(call: Call[StateQuery, None], parts: Context) -> Answer:
    """Answer with the newest readings of one device; 304 if the caller has them already."""
    device, wanted = call.path["device"], _wanted(call.query.metrics)
    state = await parts.live.device(device)
    tags = call.headers.getall("if-none-match", [])
    return to_answer(device, state, wanted, tags, now_us=parts.clock.now_us())


async def query_states(call: Call[NoQuery, bytes], parts: Context) -> Answer:
    """Answer with the newest readings of up to 1,000 devices, read in one round trip."""
    query = parse_query(short(call.content))
    if query.devices is UNSET:
        LISTERS.check(call.principal)
        names, following = await _chosen(parts, query)
    else:
        names, following = list(dict.fromkeys(query.devices)), None
    for name in names:
        call.permit(name)
    states = await _states(parts, names)
    now_us, metrics = parts.clock.now_us(), None if query.metrics is None else frozenset(query.metrics)
    known = {
        name: CurrentValues(_values(state, metrics, now_us=now_us), state.source)
        for name, state in states.items()
        if state is not None
    }
    missing = [name for name in names if name not in known]
    return Answer(CurrentStates(states=known, missing=missing, next_cursor=following))


async def _states(parts: Context, names: list[str]) -> dict[str, DeviceState | None]:
    """Return the states in order. What cannot be a device's name is not looked for: no database takes a NUL."""
    able = [name for name in names if DEVICE_NAME.fullmatch(name)]
    return dict(zip(able, await parts.live.devices(able), strict=True)) if able else {}


def parse_query(body: bytes) -> StatesQuery:
    """Decode the body of a query. Raises BadPayload if it is not JSON, BadRequest if it asks for what cannot be."""
    query = decode(_query, body, what="the query")
    by_choice = query.prefix is not UNSET or query.tag is not UNSET
    if by_choice == (query.devices is not UNSET):
        raise BadRequest("the query names devices, or a prefix or tags of them: one of both")
    if not by_choice and (query.limit is not UNSET or query.cursor is not None):
        raise BadRequest("limit and cursor are for a prefix or tags; all devices that are named come at once")
    return query


async def _chosen(parts: Context, query: StatesQuery) -> tuple[list[str], str | None]:
    """Return a page of the devices that a query chooses, and the cursor of the next. Raises BadRequest, Unavailable."""
    tags = () if query.tag is UNSET else query.tag
    wanted = to_device_filter(prefix="" if query.prefix is UNSET else query.prefix, tags=tags)
    limit = MAX_DEVICES if query.limit is UNSET else query.limit
    page = to_page(limit, query.cursor, about=("states", wanted))
    found = await parts.registrar.devices.page(wanted, after=page.last_name(), limit=limit + 1)
    shown, last = page.cut(found)
    return [device.name for device in shown], page.cursor(last and last.name)


def to_answer(
    device: str, state: DeviceState | None, wanted: Collection[str] | None, tags: Iterable[str], *, now_us: int
) -> Answer:
    """Return the answer; `tags` are the values of If-None-Match. Raises UnknownDevice if there is no state."""
    if state is None:
        raise UnknownDevice(f"device {device!r} is not known here; register it, or let it send readings", device=device)
    etag = to_etag(state, wanted)
    if matches(tags, etag):
        return Answer(status=NOT_MODIFIED, headers={"etag": etag})
    values = _values(state, wanted, now_us=now_us)
    current = CurrentState(state.device, values, state.source)
    return Answer(current, headers={"etag": etag, **REVALIDATED})


def to_etag(state: DeviceState, wanted: Collection[str] | None) -> str:
    """Return a strong ETag (RFC 9110 8.8.3) over the device, its values and their times."""
    picked = [name for name in state.metrics if wanted is None or name in wanted]
    content = [(name, *state.metrics[name]) for name in sorted(picked)]
    return f'"{blake2b(orjson.dumps([state.device, content]), digest_size=12).hexdigest()}"'


def _values(state: DeviceState, wanted: Collection[str] | None, *, now_us: int) -> dict[str, CurrentValue]:
    values: dict[str, CurrentValue] = {}
    shown_us, shown_ts, age_ms = None, "", 0
    for name, (value, time_us, kind) in state.metrics.items():
        if wanted is not None and name not in wanted:
            continue
        if time_us != shown_us:  # the metrics of one message share their time
            shown_us, shown_ts, age_ms = time_us, to_rfc3339(time_us), max(0, now_us - time_us) // 1000
        values[name] = CurrentValue(exact(value), shown_ts, kind.value, age_ms)
    return values


def _wanted(given: list[str] | None) -> frozenset[str] | None:
    if given is None:
        return None
    names = frozenset(name.strip() for metrics in given for name in metrics.split(",")) - {""}
    if not names:
        raise BadRequest("metrics= names no metric; separate names by commas, or leave it out", parameter="metrics")
    return names
