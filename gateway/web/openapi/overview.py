"""The page of the fleet and what it asks for, described."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.core.errors import NotFound
from gateway.domain.ledger import Ledger
from gateway.domain.model import Role
from gateway.telemetry.rates import Backlog, Rates, RateSeries
from gateway.timescale.registry.device_count import DeviceCount
from gateway.web.openapi.health import SECURE, Part, Status
from gateway.web.openapi.refusals import GUARDED, PARAMETERS
from gateway.web.openapi.values import ETAG, IF_NONE_MATCH, NO_STORE, UNCHANGED, Moment
from gateway.web.openapi.words import HTML, JSON, Operation, Parameter, ResponseDoc, refusals
from gateway.web.ports import Trouble


class Fleet(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The whole gateway at a glance; `parts` are those of the worker that answers."""

    now: Moment
    ready: bool
    status: Status
    degraded: Annotated[list[Trouble], Meta(description="As on `/readyz` of the worker that answers.")]
    parts: dict[str, Part]
    rates: Annotated[Rates, Meta(description="Now, of all workers.")]
    history: Annotated[RateSeries, Meta(description="Of the last 15 minutes, every 5 s.")]
    waiting: Backlog
    ledger: Ledger
    devices: DeviceCount | None
    role: Annotated[Role, Meta(description="Of the key that asks.")]


OPERATIONS = {
    "fleet": Operation(
        "Rates, health, books and counts at a glance",
        "Operations",
        answers=(ResponseDoc(200, "The whole gateway.", {JSON: Fleet}, NO_STORE),),
        who=(Role.READER, Role.ADMIN),
        refusals=GUARDED + PARAMETERS,
    ),
    "page": Operation(
        "The fleet page",
        "Operations",
        answers=(ResponseDoc(200, "The page.", {HTML: str}, {**SECURE, "ETag": ETAG}), UNCHANGED),
        parameters=(IF_NONE_MATCH,),
    ),
    "static": Operation(
        "What the fleet page is made of",
        "Operations",
        answers=(
            ResponseDoc(
                200,
                "A script, a style sheet or an image.",
                {"text/javascript": str, "text/css": str, "image/svg+xml": str},
                {**SECURE, "ETag": ETAG},
            ),
            UNCHANGED,
        ),
        parameters=(
            Parameter("file", str, "The file's name.", "path", required=True, example="main.js"),
            IF_NONE_MATCH,
        ),
        refusals=refusals(NotFound),
    ),
}
