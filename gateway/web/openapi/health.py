"""The calls of operators and machines, described: health, metrics, the ledger, and this document."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.core.errors import NotFound
from gateway.domain.ledger import Ledger
from gateway.domain.model import Role
from gateway.web.openapi.refusals import GUARDED, PARAMETERS
from gateway.web.openapi.values import ETAG, IF_NONE_MATCH, NO_STORE, UNCHANGED
from gateway.web.openapi.words import HTML, JSON, TEXT, Header, Operation, Parameter, ResponseDoc, refusals
from gateway.web.ports import Trouble


class Alive(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The process answers."""

    status: Literal["alive"]


class Part(msgspec.Struct, kw_only=True):
    """How a part of the gateway is, with facts that are its own."""

    ok: bool
    error: str | msgspec.UnsetType | None = msgspec.UNSET


Status = Annotated[
    Literal["ready", "degraded", "unready", "draining"],
    Meta(description="`degraded`: traffic may come as ever, and something needs a look."),
]


class Ready(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whether traffic may come."""

    status: Status
    worker: Annotated[str, Meta(description="The worker process that answered.")]
    degraded: Annotated[list[Trouble], Meta(description="What is not well; empty when all is.")]
    parts: Annotated[dict[str, Part], Meta(description="Part → how it is.")]


class AnyDocument(msgspec.Struct, kw_only=True):
    """An OpenAPI document."""

    openapi: Annotated[str, Meta(pattern="^3[.]1[.]")]
    info: dict[str, Any]
    paths: dict[str, Any]


SECURE = {"Content-Security-Policy": Header("What the page may load: nothing from elsewhere.", required=True)}

OPERATIONS = {
    "ledger": Operation(
        "What became of every reading since the gateway started",
        "Operations",
        answers=(ResponseDoc(200, "The books of all workers together.", {JSON: Ledger}, NO_STORE),),
        who=(Role.ADMIN,),
        refusals=GUARDED + PARAMETERS,
    ),
    "livez": Operation(
        "Whether the process is alive", "Operations", answers=(ResponseDoc(200, "It answers.", {JSON: Alive}),)
    ),
    "readyz": Operation(
        "Whether traffic may come, with the facts of each part",
        "Operations",
        answers=(
            ResponseDoc(200, "It may: `ready` or `degraded`.", {JSON: Ready}, NO_STORE),
            ResponseDoc(503, "It may not: `unready` or `draining`.", {JSON: Ready}, NO_STORE),
        ),
    ),
    "metrics": Operation(
        "Metrics of all workers, for Prometheus",
        "Operations",
        answers=(ResponseDoc(200, "The Prometheus text format.", {TEXT: str}),),
        parameters=(Parameter("name[]", list[str], "Only metrics of these names; repeated: all of them."),),
    ),
    "openapi": Operation(
        "This document",
        "Operations",
        answers=(ResponseDoc(200, "OpenAPI 3.1.", {JSON: AnyDocument}, {"ETag": ETAG}), UNCHANGED),
        parameters=(IF_NONE_MATCH,),
    ),
    "docs": Operation(
        "This document as a page",
        "Operations",
        answers=(ResponseDoc(200, "The page.", {HTML: str}, {**SECURE, "ETag": ETAG}), UNCHANGED),
        parameters=(IF_NONE_MATCH,),
    ),
    "docs_asset": Operation(
        "What the page at /docs is made of",
        "Operations",
        answers=(
            ResponseDoc(200, "A script or a style sheet.", {"text/javascript": str, "text/css": str}, {"ETag": ETAG}),
            UNCHANGED,
        ),
        parameters=(IF_NONE_MATCH,),
        refusals=refusals(NotFound),
    ),
}
