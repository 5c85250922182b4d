"""Devices: lists of them and changes to them, with an ETag. Readings and states are others' business.

The ETag is that of the registry's facts (enabled, tags): no reading changes it, so that If-Match guards a change.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.domain.device_import import DeviceMergePatch, to_change
from gateway.domain.devices import (
    MAX_TAGS,
    Age,
    Device,
    DeviceStatus,
    LastSeen,
    TagKey,
    TagValue,
    check_tags,
    to_device_filter,
)
from gateway.domain.names import check_new_device_name
from gateway.timescale.registry.devices import Reported
from gateway.web.context import Context
from gateway.web.http.audited import acting
from gateway.web.http.call import Call, NoQuery
from gateway.web.http.etag import if_match, matches
from gateway.web.http.fields import Cursor, DeviceName, Duration, NamePrefix, NextCursor, PageLimit, Source, Strict, Tag
from gateway.web.http.query import to_page, to_seconds
from gateway.web.http.responses import CREATED, NO_CONTENT, NO_STORE, NOT_MODIFIED, REVALIDATED, Answer

MERGE_PATCH = "application/merge-patch+json"


class DeviceQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which devices are listed."""

    prefix: Annotated[NamePrefix | None, Meta(description="How the names begin.")] = None
    tag: Annotated[
        list[Tag], Meta(description="Tags it has: `key:value`, or `key` with any value. Repeated: all of them.")
    ] = []
    enabled: Annotated[bool | None, Meta(description="Only those that are, or that are not.")] = None
    stale: Annotated[
        Duration | None, Meta(description="Only those whose newest reading is older, or that have none.")
    ] = None
    offline: Annotated[bool | None, Meta(description="Only those that are, or that are not.")] = None
    limit: PageLimit = 100
    cursor: Cursor = None


class DeleteQuery(Strict, frozen=True):
    """What goes with a device."""

    readings: Annotated[
        Literal["delete"] | None, Meta(description="Its readings go, too; without this it must not have any.")
    ] = None


class NewDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device to register."""

    device: DeviceName
    tags: Annotated[dict[TagKey, TagValue], Meta(extra_json_schema={"maxProperties": MAX_TAGS})] = {}
    enabled: bool = True


class DeviceDetails(DeviceStatus, frozen=True, kw_only=True):
    """A device and what it has reported."""

    metrics: list[Reported]


class DeviceList(Strict, frozen=True):
    """A page of devices. With filters by age it may be shorter than asked, and still not be the last."""

    devices: list[DeviceStatus]
    next_cursor: NextCursor
    source: Source


async def list_devices(call: Call[DeviceQuery, None], parts: Context) -> Answer:
    """Answer with a page of devices, by name."""
    query = call.query
    wanted = to_device_filter(prefix=query.prefix or "", tags=query.tag, enabled=query.enabled)
    stale = None if query.stale is None else to_seconds(query.stale, parameter="stale")
    age = Age(stale_secs=stale, offline=query.offline)
    page = to_page(query.limit, query.cursor, about=("devices", wanted, age))
    listed = await parts.listing.page(wanted, age, after=page.last_name(), limit=page.limit)
    devices = [_status(seen, parts) for seen in listed.devices]
    return Answer(
        DeviceList(devices=devices, next_cursor=page.cursor(listed.last), source=listed.source), headers=NO_STORE
    )


async def get_device(call: Call[NoQuery, None], parts: Context) -> Answer:
    """Answer with one device and what it has reported; 304 if the caller has its facts already."""
    found, metrics = await parts.registrar.devices.show(call.path["device"])
    if matches(call.headers.getall("if-none-match", []), found.etag):
        return Answer(status=NOT_MODIFIED, headers={"etag": found.etag})
    status = _status(await parts.listing.one(found), parts)
    return Answer(DeviceDetails(**msgspec.structs.asdict(status), metrics=metrics), headers=_headers(found))


async def post_device(call: Call[NoQuery, NewDevice], parts: Context) -> Answer:
    """Register a device: 201, or 409 if there is one of this name."""
    new = call.content
    check_new_device_name(new.device)
    check_tags(new.tags)
    actor = await acting(call, parts)
    device = await parts.registrar.devices.add(new.device, tags=new.tags, enabled=new.enabled, actor=actor)
    headers = {**_headers(device), "location": f"/v1/devices/{device.name}"}
    return Answer(_status(LastSeen(device, None), parts), CREATED, headers)


async def patch_device(call: Call[NoQuery, DeviceMergePatch], parts: Context) -> Answer:
    """Change a device by a merge patch (RFC 7396) of its tags and its enabled; 412 if If-Match names another state."""
    change = to_change(call.content.enabled, call.content.tags)
    etags = if_match(call.headers.getall("if-match", []))
    actor = await acting(call, parts)
    changed = await parts.registrar.devices.change(call.path["device"], change, if_match=etags, actor=actor)
    return Answer(_status(await parts.listing.one(changed), parts), headers=_headers(changed))


async def delete_device(call: Call[DeleteQuery, None], parts: Context) -> Answer:
    """Remove a device, its credentials and its state; its readings only with readings=delete."""
    device, with_readings = call.path["device"], call.query.readings is not None
    etags = if_match(call.headers.getall("if-match", []))
    actor = await acting(call, parts)
    await parts.registrar.removal.remove(device, with_readings=with_readings, if_match=etags, actor=actor)
    parts.devices_changed((device,))
    return Answer(status=NO_CONTENT)


def _status(seen: LastSeen, parts: Context) -> DeviceStatus:
    return seen.status(now_us=parts.clock.now_us(), offline_after_secs=parts.listing.offline_after_secs)


def _headers(device: Device) -> Mapping[str, str]:
    return {"etag": device.etag, **REVALIDATED}
