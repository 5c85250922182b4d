"""The calls for keys, metrics and the audit, described."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway.core.errors import NotFound, UnknownDevice
from gateway.domain.model import Role
from gateway.timescale.registry import audit, metrics
from gateway.web.handlers.credentials import LIMIT, MOST, NewKey, Rotation
from gateway.web.handlers.metrics import Facts
from gateway.web.openapi.devices import ADMIN, ANNOUNCED
from gateway.web.openapi.refusals import BODIES
from gateway.web.openapi.values import (
    CURSOR,
    NO_STORE,
    DeviceName,
    Flag,
    Id,
    Kind,
    Moment,
    NextCursor,
    limit,
    moment,
)
from gateway.web.openapi.words import JSON, Body, Operation, Parameter, ResponseDoc, refusals

Token = Annotated[str, Meta(description="The secret. It is shown here and never again.")]
Expires = Annotated[Moment | None, Meta(description="Null: never.")]


class Key(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A key or a device's token, without its secret."""

    id: Id
    role: Role
    device: Annotated[str | None, Meta(description="Of a device's token.")]
    prefix: Annotated[str, Meta(description="The devices that an ingest key may write.")]
    label: str
    created_at: Moment
    expires_at: Expires
    revoked_at: Moment | None


class Keys(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A page of keys."""

    keys: list[Key]
    next_cursor: NextCursor


class IssuedKey(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A key that was just made."""

    id: Id
    role: Role
    device: str | None
    prefix: str
    label: str
    expires_at: Expires
    token: Token


class IssuedToken(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A device's next token."""

    id: Id
    token: Token
    device: str
    expires_at: Expires


class MetricFacts(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A metric in one of its kinds."""

    metric: str
    kind: Kind
    unit: str | None
    declared_int: Annotated[bool, Meta(description="Whether JSON integers are stored exactly, up to 64 bits.")]


class MetricPage(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A page of metrics."""

    metrics: list[MetricFacts]
    next_cursor: NextCursor


class Metrics(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A metric in all its kinds."""

    metrics: list[MetricFacts]


class Act(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What an admin did."""

    id: Id
    at: Moment
    actor: Annotated[str, Meta(examples=['key 12 "ops"', "admin key", "cli anna"])]
    action: Annotated[str, Meta(examples=["device.create"])]
    target: str
    detail: dict[str, Any]


class Acts(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A page of acts."""

    entries: list[Act]
    next_cursor: NextCursor


OPERATIONS = {
    "device_rotate": Operation(
        "Make a device's next token",
        "Keys",
        answers=(
            ResponseDoc(
                201, "The new token; the one in use stays valid for the overlap.", {JSON: IssuedToken}, NO_STORE
            ),
        ),
        who=ADMIN,
        body=Body({JSON: Rotation}, {"hour": {"overlap_secs": 3600, "expires_days": None}}, required=False),
        refusals=ANNOUNCED + BODIES + refusals(UnknownDevice),
    ),
    "keys": Operation(
        "List keys and device tokens",
        "Keys",
        answers=(ResponseDoc(200, "A page of keys, by id.", {JSON: Keys}, NO_STORE),),
        who=ADMIN,
        parameters=(
            Parameter("device", DeviceName, "Only the tokens of this device.", example="d1"),
            Parameter("role", Role, "Only keys with this role."),
            Parameter("all", Flag, "`true` shows those that are revoked or have expired, too."),
            limit(MOST, default=LIMIT),
            CURSOR,
        ),
        refusals=ANNOUNCED,
    ),
    "key_create": Operation(
        "Make a key or a device's token",
        "Keys",
        answers=(ResponseDoc(201, "The key, with its secret.", {JSON: IssuedKey}, NO_STORE),),
        who=ADMIN,
        body=Body({JSON: NewKey}, {"reader": {"role": "reader", "label": "dashboards"}}),
        refusals=ANNOUNCED + BODIES + refusals(UnknownDevice),
    ),
    "key_revoke": Operation(
        "Revoke a key or a token, for good",
        "Keys",
        answers=(ResponseDoc(204, "It is refused from now on."),),
        who=ADMIN,
        refusals=ANNOUNCED + refusals(NotFound),
    ),
    "metric_list": Operation(
        "List metrics by name and kind",
        "Metrics",
        answers=(ResponseDoc(200, "A page of metrics.", {JSON: MetricPage}, NO_STORE),),
        who=(Role.READER, Role.ADMIN),
        parameters=(Parameter("prefix", str, "How the names begin."), limit(metrics.MAX_PAGE, default=100), CURSOR),
        refusals=ANNOUNCED,
    ),
    "metric_put": Operation(
        "Set the unit of a metric, and whether its integers are exact",
        "Metrics",
        answers=(ResponseDoc(200, "The metric in all its kinds.", {JSON: Metrics}),),
        about="What the body leaves out stays as it is; `unit` null removes the unit.",
        who=ADMIN,
        body=Body({JSON: Facts}, {"unit": {"unit": "°C"}, "int": {"declared_int": True}}, required=False),
        refusals=ANNOUNCED + BODIES + refusals(NotFound),
    ),
    "audit": Operation(
        "What admins did, newest first",
        "Operations",
        answers=(ResponseDoc(200, "A page of acts.", {JSON: Acts}, NO_STORE),),
        who=ADMIN,
        parameters=(
            moment("since", "Only acts of then or later."),
            Parameter("actor", str, "Only acts of this one.", example="admin key"),
            limit(audit.MAX_PAGE, default=100),
            CURSOR,
        ),
        refusals=ANNOUNCED,
    ),
}
