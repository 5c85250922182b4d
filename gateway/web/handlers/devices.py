"""Questions about devices and changes to them in, JSON with an ETag out. Readings and states are others' business.

The ETag is that of the registry's facts (enabled, tags): no reading changes it, so that If-Match guards a change.
"""

from collections.abc import Mapping

import msgspec
import orjson
from sanic import HTTPResponse, Request

from gateway.domain.credentials import check_new_device_name
from gateway.domain.device_import import Patch, to_change
from gateway.domain.devices import MAX_PAGE, Age, Device, LastSeen, check_tags, to_wanted
from gateway.web.context import Context, context_of
from gateway.web.handlers.newest import NOT_MODIFIED, matches
from gateway.web.http.admins import acting, admitted
from gateway.web.http.json_body import read_json
from gateway.web.http.path import device_name
from gateway.web.http.permissions import identify, require_reader, require_reader_of_all
from gateway.web.http.query import Question
from gateway.web.http.responses import JSON, reply

LIMIT = 100
"""Devices of a page, unless the caller says otherwise."""
MERGE_PATCH = "application/merge-patch+json"
CREATED, NO_CONTENT = 201, 204


class NewDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/devices."""

    device: str
    tags: dict[str, str] = {}
    enabled: bool = True


_new_device = msgspec.json.Decoder(NewDevice)
_patch = msgspec.json.Decoder(Patch)


async def list_devices(request: Request) -> HTTPResponse:
    """Answer with a page of devices, by name."""
    context = context_of(request)
    require_reader_of_all(await identify(request, context))
    question = Question(request)
    wanted = to_wanted(prefix=question.one("prefix") or "", tags=question.all("tag"), enabled=question.flag("enabled"))
    age = Age(stale_secs=question.duration("stale"), offline=question.flag("offline"))
    page = question.page(default=LIMIT, most=MAX_PAGE, about=("devices", wanted, age))
    question.finish()
    listed = await context.listing.page(wanted, age, after=page.last_name(), limit=page.limit)
    body = {
        "devices": [_fields(seen, context) for seen in listed.devices],
        "next_cursor": page.cursor(listed.last),
        "source": listed.source,
    }
    return reply(request, context, orjson.dumps(body), headers={"cache-control": "no-store"})


async def get_device(request: Request, device: str) -> HTTPResponse:
    """Answer with one device and what it has reported; 304 if the caller has its facts already."""
    context = context_of(request)
    device = device_name(device)
    require_reader(await identify(request, context), device)
    Question(request).finish()
    found, metrics = await context.registrar.devices.show(device)
    if matches(request.headers.getall("if-none-match", ()), found.etag):
        return reply(request, context, b"", status=NOT_MODIFIED, headers={"etag": found.etag})
    seen = await context.listing.one(found)
    body = {**_fields(seen, context), "metrics": [metric._asdict() for metric in metrics]}
    return reply(request, context, orjson.dumps(body), headers=_headers(found))


async def post_device(request: Request) -> HTTPResponse:
    """Register a device: 201, or 409 if there is one of this name."""
    context = context_of(request)
    await admitted(request, context)
    Question(request).finish()
    new = await read_json(request, context, _new_device)
    check_new_device_name(new.device)
    check_tags(new.tags)
    actor = await acting(request, context)
    device = await context.registrar.devices.add(new.device, tags=new.tags, enabled=new.enabled, actor=actor)
    headers = {**_headers(device), "location": f"/v1/devices/{device.name}"}
    body = _fields(LastSeen(device, None), context)
    return reply(request, context, orjson.dumps(body), status=CREATED, headers=headers)


async def patch_device(request: Request, device: str) -> HTTPResponse:
    """Change a device by a merge patch (RFC 7396) of its tags and its enabled; 412 if If-Match names another state."""
    context = context_of(request)
    device = device_name(device)
    await admitted(request, context)
    Question(request).finish()
    patch = await read_json(request, context, _patch, media=(MERGE_PATCH, JSON))
    change = to_change(patch.enabled, patch.tags)
    actor = await acting(request, context)
    changed = await context.registrar.devices.change(device, change, if_match=if_match(request), actor=actor)
    body = _fields(await context.listing.one(changed), context)
    return reply(request, context, orjson.dumps(body), headers=_headers(changed))


async def delete_device(request: Request, device: str) -> HTTPResponse:
    """Remove a device, its credentials and its state; its readings only with readings=delete."""
    context = context_of(request)
    device = device_name(device)
    await admitted(request, context)
    question = Question(request)
    with_readings = question.word("readings", default="", known=("delete",)) == "delete"
    question.finish()
    actor = await acting(request, context)
    await context.registrar.removal.remove(device, with_readings=with_readings, if_match=if_match(request), actor=actor)
    context.devices_changed((device,))
    return reply(request, context, b"", status=NO_CONTENT)


def if_match(request: Request) -> list[str] | None:
    """Return the ETags of If-Match (RFC 9110 13.1.1), None if there is no such header."""
    headers: list[str] = request.headers.getall("if-match", [])
    return [tag.strip() for header in headers for tag in header.split(",")] if headers else None


def _fields(seen: LastSeen, context: Context) -> dict[str, object]:
    return seen.fields(now_us=context.clock.now_us(), offline_after_secs=context.listing.offline_after_secs)


def _headers(device: Device) -> Mapping[str, str]:
    return {"etag": device.etag, "cache-control": "private, no-cache"}
