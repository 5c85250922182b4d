"""The calls that take readings in, described: the four shapes a posted item may have, and the receipt."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.core.errors import AtomicTooWide, IdempotencyInProgress, IdempotencyMismatch
from gateway.domain.model import Receipt, Role
from gateway.web.openapi.refusals import BODIES, GUARDED, INTAKE, PARAMETERS
from gateway.web.openapi.values import DeviceName, Flag, MetricName
from gateway.web.openapi.words import JSON, AnyOf, Body, Header, Operation, Parameter, ResponseDoc, refusals

Device = Annotated[
    DeviceName | None, Meta(description="The device that reports; may be left out where the path names it.")
]
Time = Annotated[
    Annotated[datetime, Meta(tz=True)] | Annotated[float, Meta(ge=0, lt=1e20)] | None,
    Meta(
        description="RFC 3339 with a zone, or a Unix time in s, ms, µs or ns, told by its size. Null: when it arrives.",
        examples=["2024-11-22T12:03:20.123Z", 1732277000123],
    ),
]
Scalar = Annotated[
    bool | float | Annotated[str, Meta(max_length=4096)],
    Meta(description="A number, a bool or text of up to 4,096 bytes.", examples=[21.5]),
]
Values = Annotated[dict[MetricName, Scalar], Meta(min_length=1, description="Metric → value.")]


class Item(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What all four shapes have."""

    device: Device = None


class OneReading(Item):
    """One value of one metric."""

    metric: MetricName
    value: Scalar
    ts: Time = None


class Message(Item):
    """Several metrics at one time. Prefer this shape: a message is one row."""

    values: Values
    ts: Time = None


class Moments(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The values of one time."""

    values: Values
    ts: Time = None


class Messages(Item):
    """Several messages of one device."""

    readings: Annotated[list[Moments], Meta(min_length=1)]


class Columns(Item):
    """The same as columns; every column has as many values as there are timestamps."""

    ts: Annotated[list[Time], Meta(min_length=1)]
    values: Annotated[dict[MetricName, list[Scalar]], Meta(min_length=1, description="Metric → values.")]


ABOUT = """One object or an array of them, in any of four shapes. The answer comes when the readings are committed, or,
with `"durability": "spool"`, when they are safe on the gateway's disk. 503 and no answer mean: repeat the same body;
what was stored is absorbed as duplicates. `Content-Encoding` may be `gzip`, `zstd` or `deflate`."""
WRITERS = (Role.INGEST, Role.ADMIN, Role.DEVICE)
EXAMPLES = {
    "message": {"device": "d1", "ts": 1732277000123, "values": {"temperature": 21.5, "door_open": True}},
    "reading": {"device": "d1", "metric": "temperature", "ts": "2024-11-22T12:03:20.123Z", "value": 21.5},
    "messages": {"device": "d1", "readings": [{"ts": 1732277001123, "values": {"temperature": 21.5}}]},
    "columns": {"device": "d1", "ts": [1732277000123, 1732277001123], "values": {"temperature": [21.5, 21.6]}},
}
OPTIONS = (
    Parameter("errors", Literal["few", "all"], "`all` lists up to 10,000 refusals instead of 100."),
    Parameter("atomic", Flag, "`true` stores all of the body or nothing; it needs the database."),
    Parameter("backfill", Flag, "`true`: old readings, which yield to live ones and have a limit of their own."),
    Parameter(
        "Idempotency-Key",
        Annotated[str, Meta(pattern="^[!-~]{1,255}$")],
        "A key of your choice, one for each body: a repeat of the request gets the first answer to the byte.",
        "header",
    ),
)


def _receipt(status: int, about: str) -> ResponseDoc:
    replayed = Header("`true` where this is the answer to an earlier request with the same key.")
    return ResponseDoc(status, about, {JSON: Receipt}, {"Idempotency-Replayed": replayed})


def _taking(summary: str) -> Operation:
    return Operation(
        summary,
        "Readings",
        answers=(
            _receipt(200, "Every reading is safe now."),
            _receipt(207, "Some are safe; `errors` says why the others are not. Do not repeat."),
            _receipt(422, "None is stored, or with `atomic` not all could be; `errors` says why. Do not repeat."),
        ),
        about=ABOUT,
        who=WRITERS,
        parameters=OPTIONS,
        body=Body({JSON: AnyOf((Message, OneReading, Messages, Columns), many=True)}, EXAMPLES),
        refusals=GUARDED
        + PARAMETERS
        + BODIES
        + INTAKE
        + refusals(AtomicTooWide, IdempotencyInProgress, IdempotencyMismatch),
    )


OPERATIONS = {
    "readings": _taking("Take readings of any devices in"),
    "device_readings": _taking("Take readings of the device in the path in"),
}
