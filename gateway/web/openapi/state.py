"""The calls for the newest values, described."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.core.errors import UnknownDevice
from gateway.domain.model import Role
from gateway.web.handlers.newest import MAX_DEVICES
from gateway.web.openapi.refusals import BODIES, GUARDED, PARAMETERS, STATE
from gateway.web.openapi.values import (
    IF_NONE_MATCH,
    AnyName,
    Count,
    Kind,
    Moment,
    NamePrefix,
    NextCursor,
    Tag,
    Value,
)
from gateway.web.openapi.words import JSON, AnyOf, Body, Header, Operation, Parameter, ResponseDoc, refusals

READERS = (Role.READER, Role.ADMIN, Role.DEVICE)
Source = Annotated[
    Literal["redis", "db"], Meta(description="`db` where Redis could not tell; the values are the same.")
]


Metrics = Annotated[list[AnyName] | None, Meta(description="Only these; null: all.")]
PageSize = Annotated[int, Meta(ge=1, le=MAX_DEVICES)]


class Newest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The newest value of a metric."""

    value: Value
    ts: Moment
    kind: Kind
    age_ms: Annotated[Count, Meta(description="The gateway's clock minus `ts`, at least 0.")]


class StateOfOne(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The newest values of one device of several."""

    metrics: Annotated[dict[str, Newest], Meta(description="Metric → its newest value; empty if nothing was reported.")]
    source: Source


class State(StateOfOne, kw_only=True, forbid_unknown_fields=True):
    """The newest values of a device."""

    device: str


class States(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The newest values of many devices."""

    states: Annotated[dict[str, StateOfOne], Meta(description="Device → its newest values.")]
    missing: Annotated[list[str], Meta(description="The devices that are not known.")]
    next_cursor: NextCursor


class NamedDevices(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Devices by name."""

    devices: Annotated[list[AnyName], Meta(min_length=1, max_length=MAX_DEVICES)]
    metrics: Metrics = None


class PrefixedDevices(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All devices whose names begin so, page by page; for keys that may read all."""

    prefix: NamePrefix
    tag: list[Tag] = []
    limit: PageSize = MAX_DEVICES
    cursor: str | None = None
    metrics: Metrics = None


class TaggedDevices(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All devices with these tags, page by page; for keys that may read all."""

    tag: list[Tag]
    limit: PageSize = MAX_DEVICES
    cursor: str | None = None
    metrics: Metrics = None


ETAG = Header("Of the values and their times, not of ages; for `If-None-Match`.", required=True)

OPERATIONS = {
    "device_state": Operation(
        "Newest values of a device",
        "State",
        answers=(
            ResponseDoc(
                200,
                "The newest value of each metric.",
                {JSON: State},
                {"ETag": ETAG, "Cache-Control": Header("`private, no-cache`: may be kept, and must be asked about.")},
            ),
            ResponseDoc(304, "Nothing changed since the ETag in `If-None-Match`.", headers={"ETag": ETAG}),
        ),
        who=READERS,
        parameters=(
            Parameter("metrics", str, "Only these, separated by commas.", example="temperature,door_open"),
            IF_NONE_MATCH,
        ),
        refusals=GUARDED + PARAMETERS + STATE + refusals(UnknownDevice),
    ),
    "states_query": Operation(
        "Newest values of many devices, in one round trip",
        "State",
        answers=(ResponseDoc(200, "What is known, and which devices are not.", {JSON: States}),),
        who=READERS,
        body=Body(
            {JSON: AnyOf((NamedDevices, PrefixedDevices, TaggedDevices))},
            {
                "two": {"devices": ["d1", "d2"], "metrics": ["temperature"]},
                "site": {"tag": ["site:north"], "limit": 100},
                "prefix": {"prefix": "d"},
            },
        ),
        refusals=GUARDED + PARAMETERS + BODIES + STATE,
    ),
}
