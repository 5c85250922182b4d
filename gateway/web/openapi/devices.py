"""The calls for devices, described."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.core.errors import (
    DeviceExists,
    DeviceHasReadings,
    PreconditionFailed,
    StateUnavailable,
    UnknownDevice,
)
from gateway.domain.devices import MAX_PAGE, MAX_TAGS
from gateway.domain.model import Role
from gateway.web.handlers.devices import LIMIT, MERGE_PATCH
from gateway.web.openapi.refusals import BODIES, GUARDED, PARAMETERS, STORED
from gateway.web.openapi.state import READERS, Source
from gateway.web.openapi.values import (
    CURSOR,
    IF_NONE_MATCH,
    NO_STORE,
    Count,
    DeviceName,
    Duration,
    Flag,
    Kind,
    Moment,
    NamePrefix,
    NextCursor,
    Tag,
    TagKey,
    TagValue,
    limit,
)
from gateway.web.openapi.words import (
    CSV,
    JSON,
    NDJSON,
    Body,
    Header,
    Operation,
    Parameter,
    ResponseDoc,
    refusals,
)


class Device(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A device, and when it was last heard of."""

    device: str
    enabled: Annotated[bool, Meta(description="Whether its readings are taken.")]
    tags: dict[str, str]
    created_at: Moment
    last_seen: Annotated[Moment | None, Meta(description="The time of its newest reading.")]
    age_ms: Annotated[Count | None, Meta(description="How old that is.")]
    offline: Annotated[bool, Meta(description="Whether it sent nothing for `devices.offline_after_secs`.")]


class Reported(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A metric that a device has reported."""

    metric: str
    kind: Kind
    unit: str | None


class DeviceAndMetrics(Device, kw_only=True, forbid_unknown_fields=True):
    """A device and what it has reported."""

    metrics: list[Reported]


class Devices(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A page of devices. With filters by age it may be shorter than asked, and still not be the last."""

    devices: list[Device]
    next_cursor: NextCursor
    source: Source


class DeviceToAdd(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A device to register."""

    device: DeviceName
    tags: Annotated[dict[TagKey, TagValue], Meta(max_length=MAX_TAGS)] = {}
    enabled: bool = True


class DevicePatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What shall become different (RFC 7396); what is left out stays as it is."""

    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    tags: Annotated[
        dict[TagKey, TagValue | None] | msgspec.UnsetType | None,
        Meta(description="Tags to set; null removes one, or all of them."),
    ] = msgspec.UNSET


class Row(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What became of a row of an import."""

    line: Annotated[int, Meta(ge=1)]
    device: str | None
    status: Literal["created", "updated", "unchanged", "refused"]
    code: str | None
    message: str | None


class Imported(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What became of an import."""

    created: Count
    updated: Count
    unchanged: Count
    refused: Count
    results: list[Row]


ADMIN = (Role.ADMIN,)
ETAG = Header("Of what the registry says: no reading changes it. For `If-Match` and `If-None-Match`.", required=True)
SHOWN = {"ETag": ETAG, "Cache-Control": Header("`private, no-cache`: may be kept, and must be asked about.")}
IF_MATCH = Parameter(
    "If-Match", str, "The ETag of the device as it was read: it must not have changed since.", "header"
)
ANNOUNCED = GUARDED + PARAMETERS + STORED
FILTERS = (
    Parameter("prefix", NamePrefix, "How the names begin."),
    Parameter("tag", list[Tag], "Tags it has: `key:value`, or `key` with any value. Repeated: all of them."),
    Parameter("enabled", Flag, "Only those that are, or that are not."),
    Parameter("stale", Duration, "Only those whose newest reading is older, or that have none.", example="15m"),
    Parameter("offline", Flag, "Only those that are, or that are not."),
)
ROWS = '{"device": "d1", "tags": {"site": "north"}}\n{"device": "d2", "enabled": false}\n'
TABLE = "device,enabled,tag:site\nd1,true,north\nd2,false,\n"

OPERATIONS = {
    "devices": Operation(
        "List devices by name",
        "Devices",
        answers=(ResponseDoc(200, "A page of devices.", {JSON: Devices}, NO_STORE),),
        who=(Role.READER, Role.ADMIN),
        parameters=(*FILTERS, limit(MAX_PAGE, default=LIMIT), CURSOR),
        refusals=ANNOUNCED + refusals(StateUnavailable),
    ),
    "device_create": Operation(
        "Register a device",
        "Devices",
        answers=(
            ResponseDoc(
                201, "It is there.", {JSON: Device}, {**SHOWN, "Location": Header("Where it is now.", required=True)}
            ),
        ),
        who=ADMIN,
        body=Body({JSON: DeviceToAdd}, {"device": {"device": "d1", "tags": {"site": "north"}}}),
        refusals=ANNOUNCED + BODIES + refusals(DeviceExists),
    ),
    "devices_import": Operation(
        "Create and update many devices",
        "Devices",
        answers=(
            ResponseDoc(200, "Every row was taken.", {JSON: Imported}),
            ResponseDoc(207, "Some rows were refused; the others are taken.", {JSON: Imported}),
        ),
        about="Up to 10,000 rows in one COMMIT. A row is a merge patch: what it leaves out stays as it is.",
        who=ADMIN,
        body=Body({NDJSON: str, CSV: str}, {NDJSON: ROWS, CSV: TABLE}, required=False),
        refusals=ANNOUNCED + BODIES,
    ),
    "device": Operation(
        "One device and what it has reported",
        "Devices",
        answers=(
            ResponseDoc(200, "The device.", {JSON: DeviceAndMetrics}, SHOWN),
            ResponseDoc(304, "The registry says what it said at the ETag in `If-None-Match`.", headers={"ETag": ETAG}),
        ),
        who=READERS,
        parameters=(IF_NONE_MATCH,),
        refusals=ANNOUNCED + refusals(UnknownDevice, StateUnavailable),
    ),
    "device_update": Operation(
        "Change a device",
        "Devices",
        answers=(ResponseDoc(200, "The device as it is now.", {JSON: Device}, SHOWN),),
        about="A merge patch (RFC 7396) of `enabled` and `tags`: null removes a tag, or all of them.",
        who=ADMIN,
        parameters=(IF_MATCH,),
        body=Body(
            {MERGE_PATCH: DevicePatch, JSON: DevicePatch},
            {"tags": {"tags": {"site": "south", "floor": None}}},
            required=False,
        ),
        refusals=ANNOUNCED + BODIES + refusals(UnknownDevice, PreconditionFailed, StateUnavailable),
    ),
    "device_delete": Operation(
        "Remove a device with its tokens and its state",
        "Devices",
        answers=(ResponseDoc(204, "It is gone."),),
        who=ADMIN,
        parameters=(
            IF_MATCH,
            Parameter("readings", Literal["delete"], "Its readings go, too; without this it must not have any."),
        ),
        refusals=ANNOUNCED + refusals(UnknownDevice, DeviceHasReadings, PreconditionFailed),
    ),
}
