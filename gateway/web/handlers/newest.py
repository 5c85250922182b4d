"""Questions for the newest state in, JSON with an ETag out. Only reads; where the state lies is not known here.

A reading is {"value", "ts" (RFC 3339, UTC, microseconds), "kind", "age_ms"}. The ETag covers the device, its values and
their times, but neither ages nor the source: an unchanged device answers 304 however often it is asked.
"""

from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple

import msgspec
import orjson
from msgspec import UNSET, UnsetType
from sanic import HTTPResponse, Request

from gateway.core.errors import BadRequest, UnknownDevice
from gateway.core.timestamps import to_rfc3339
from gateway.domain.devices import to_wanted
from gateway.domain.json_text import decode
from gateway.domain.layouts import DEVICE_NAME
from gateway.domain.model import MAX_NAME
from gateway.web.context import Context, context_of
from gateway.web.http.path import device_name, require_json
from gateway.web.http.permissions import identify, require_reader, require_reader_of_all
from gateway.web.http.query import Question, to_page
from gateway.web.http.responses import reply
from gateway.web.ports import DeviceState

MAX_DEVICES = 1000
"""Devices of one query."""
NOT_MODIFIED = 304

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/states:query: either devices by name, or all with a prefix and tags, page by page."""

    devices: Annotated[list[Name], msgspec.Meta(min_length=1, max_length=MAX_DEVICES)] | UnsetType = UNSET
    metrics: list[Name] | None = None
    prefix: str | UnsetType = UNSET
    tag: list[str] | UnsetType = UNSET
    """`key:value`, or `key` for any value; all of them."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_DEVICES)] | UnsetType = UNSET
    cursor: str | None = None


class StateAnswer(NamedTuple):
    """What is said of one device."""

    status: int
    body: bytes
    headers: dict[str, str]


_query = msgspec.json.Decoder(Query)


async def get_state(request: Request, device: str) -> HTTPResponse:
    """Answer with the newest readings of one device; 304 if the caller has them already."""
    context = context_of(request)
    device = device_name(device)
    require_reader(await identify(request, context), device)
    wanted = _wanted(request) if request.query_string else None
    state = await context.live.device(device)
    tags = request.headers.getall("if-none-match", ())
    answer = to_answer(device, state, wanted, tags, now_us=context.clock.now_us())
    return reply(request, context, answer.body, status=answer.status, headers=answer.headers)


async def query_states(request: Request, call: str) -> HTTPResponse:  # noqa: ARG001 - the path segment
    """Answer with the newest readings of up to 1,000 devices, read in one round trip."""
    context = context_of(request)
    principal = await identify(request, context)
    require_json(request)
    Question(request).finish()
    with context.bodies.hold() as hold:
        body = await hold.read(request)
        require_json(request, body)
        query = parse_query(body)
    if query.devices is UNSET:
        require_reader_of_all(principal)
        names, following = await _chosen(context, query)
    else:
        names, following = list(dict.fromkeys(query.devices)), None
    for name in names:
        require_reader(principal, name)
    states = await _states(context, names)
    return reply(request, context, _many(context, names, states, metrics=query.metrics, following=following))


async def _states(context: Context, names: list[str]) -> list[DeviceState | None]:
    """Return the states in order. What cannot be a device's name is not looked for: no database takes a NUL."""
    able = [name for name in names if DEVICE_NAME.fullmatch(name)]
    states = dict(zip(able, await context.live.devices(able), strict=True)) if able else {}
    return [states.get(name) for name in names]


def parse_query(body: bytes) -> Query:
    """Decode the body of a query. Raises BadPayload if it is not JSON, BadRequest if it asks for what cannot be."""
    query = decode(_query, body, what="the query")
    by_choice = query.prefix is not UNSET or query.tag is not UNSET
    if by_choice == (query.devices is not UNSET):
        raise BadRequest("the query names devices, or a prefix or tags of them: one of both")
    if not by_choice and (query.limit is not UNSET or query.cursor is not None):
        raise BadRequest("limit and cursor are for a prefix or tags; all devices that are named come at once")
    return query


async def _chosen(context: Context, query: Query) -> tuple[list[str], str | None]:
    """Return a page of the devices that a query chooses, and the cursor of the next. Raises BadRequest, Unavailable."""
    tags = () if query.tag is UNSET else query.tag
    wanted = to_wanted(prefix="" if query.prefix is UNSET else query.prefix, tags=tags)
    limit = MAX_DEVICES if query.limit is UNSET else query.limit
    page = to_page(limit, query.cursor, about=("states", wanted))
    found = await context.registrar.devices.page(wanted, after=page.last_name(), limit=limit + 1)
    shown, last = page.cut(found)
    return [device.name for device in shown], page.cursor(last and last.name)


def to_answer(
    device: str, state: DeviceState | None, wanted: Collection[str] | None, tags: Iterable[str], *, now_us: int
) -> StateAnswer:
    """Return the answer; `tags` are the values of If-None-Match. Raises UnknownDevice if there is no state."""
    if state is None:
        raise UnknownDevice(f"device {device!r} is not known here; register it, or let it send readings", device=device)
    etag = to_etag(state, wanted)
    if matches(tags, etag):
        return StateAnswer(NOT_MODIFIED, b"", {"etag": etag})
    body = {"device": state.device, **_body(state, wanted, now_us=now_us)}
    return StateAnswer(200, orjson.dumps(body), {"etag": etag, "cache-control": "private, no-cache"})


def to_etag(state: DeviceState, wanted: Collection[str] | None) -> str:
    """Return a strong ETag (RFC 9110 8.8.3) over the device, its values and their times."""
    content = [(name, *state.metrics[name]) for name in sorted(_picked(state, wanted))]
    return f'"{blake2b(orjson.dumps([state.device, content]), digest_size=12).hexdigest()}"'


def matches(given: Iterable[str], etag: str) -> bool:
    """Whether an If-None-Match header names this ETag (RFC 9110 13.1.2: the comparison is weak)."""
    tags = (tag.strip() for header in given for tag in header.split(","))
    return any(tag == "*" or tag.removeprefix("W/") == etag for tag in tags)


def _many(
    context: Context,
    names: list[str],
    states: Iterable[DeviceState | None],
    *,
    metrics: list[str] | None,
    following: str | None,
) -> bytes:
    now_us = context.clock.now_us()
    wanted = None if metrics is None else frozenset(metrics)
    found: dict[str, object] = {}
    missing: list[str] = []
    for name, state in zip(names, states, strict=True):
        if state is None:
            missing.append(name)
        else:
            found[name] = _body(state, wanted, now_us=now_us)
    return orjson.dumps({"states": found, "missing": missing, "next_cursor": following})


def _body(state: DeviceState, wanted: Collection[str] | None, *, now_us: int) -> dict[str, Any]:
    readings: dict[str, Mapping[str, object]] = {}
    shown_us, shown_ts, age_ms = None, "", 0
    for name, (value, time_us, kind) in state.metrics.items():
        if wanted is not None and name not in wanted:
            continue
        if time_us != shown_us:  # the metrics of one message share their time
            shown_us, shown_ts, age_ms = time_us, to_rfc3339(time_us), max(0, now_us - time_us) // 1000
        readings[name] = {"value": value, "ts": shown_ts, "kind": kind, "age_ms": age_ms}
    return {"metrics": readings, "source": state.source}


def _picked(state: DeviceState, wanted: Collection[str] | None) -> Iterable[str]:
    if wanted is None:
        return state.metrics
    return [name for name in state.metrics if name in wanted]


def _wanted(request: Request) -> frozenset[str]:
    question = Question(request)
    names = frozenset(name.strip() for metrics in question.all("metrics") for name in metrics.split(",")) - {""}
    question.finish()
    if not names:
        raise BadRequest("metrics= names no metric; separate names by commas, or leave it out", parameter="metrics")
    return names
