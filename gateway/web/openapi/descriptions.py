"""What is told of each operation, by its label: readings in a file of their own, the registry and the pages here."""

from gateway.core.errors import (
    DeviceExists,
    DeviceHasReadings,
    NotFound,
    PreconditionFailed,
    StateUnavailable,
    UnknownDevice,
)
from gateway.domain.device_import import CSV, NDJSON
from gateway.web.openapi import readings
from gateway.web.openapi.readings import INTAKE, REVALIDATED
from gateway.web.openapi.words import Description, Header, Sent

NO_STORE = {"Cache-Control": Header("`no-store`: every answer is another one.")}
"""Headers of what must not be kept by anybody."""
ETAG = {"ETag": Header("Of the content; for `If-None-Match`.", required=True)}
SECURE = {"Content-Security-Policy": Header("What the page may load: nothing from elsewhere.", required=True)}
DEVICE = {
    "ETag": Header(
        "Of what the registry says: no reading changes it. For `If-Match` and `If-None-Match`.", required=True
    ),
    "Cache-Control": REVALIDATED,
}
IF_MATCH = Sent("If-Match", "The ETag of the device as it was read: it must not have changed since.")
ROWS = '{"device": "d1", "tags": {"site": "north"}}\n{"device": "d2", "enabled": false}\n'
TABLE = "device,enabled,tag:site\nd1,true,north\nd2,false,\n"

DEVICES = {
    "devices": Description(
        "List devices by name", "Devices", {200: "A page of devices."}, headers=NO_STORE, errors=(StateUnavailable,)
    ),
    "device_create": Description(
        "Register a device",
        "Devices",
        {201: "It is there."},
        headers={**DEVICE, "Location": Header("Where it is now.", required=True)},
        examples={"device": {"device": "d1", "tags": {"site": "north"}}},
        errors=(DeviceExists,),
    ),
    "devices_import": Description(
        "Create and update many devices",
        "Devices",
        {200: "Every row was taken.", 207: "Some rows were refused; the others are taken."},
        "Up to 10,000 rows in one COMMIT. A row is a merge patch: what it leaves out stays as it is.",
        examples={NDJSON: ROWS, CSV: TABLE},
    ),
    "device": Description(
        "One device and what it has reported",
        "Devices",
        {200: "The device.", 304: "The registry says what it said at the ETag in `If-None-Match`."},
        headers=DEVICE,
        errors=(UnknownDevice, StateUnavailable),
    ),
    "device_update": Description(
        "Change a device",
        "Devices",
        {200: "The device as it is now."},
        "A merge patch (RFC 7396) of `enabled` and `tags`: null removes a tag, or all of them.",
        sent=(IF_MATCH,),
        headers=DEVICE,
        examples={"tags": {"tags": {"site": "south", "floor": None}}},
        errors=(UnknownDevice, PreconditionFailed, StateUnavailable),
    ),
    "device_delete": Description(
        "Remove a device with its tokens and its state",
        "Devices",
        {204: "It is gone."},
        sent=(IF_MATCH,),
        errors=(UnknownDevice, DeviceHasReadings, PreconditionFailed),
    ),
    "device_rotate": Description(
        "Make a device's next token",
        "Keys",
        {201: "The new token; the one in use stays valid for the overlap."},
        headers=NO_STORE,
        examples={"hour": {"overlap_secs": 3600, "expires_days": None}},
        errors=(UnknownDevice,),
    ),
}
REGISTRY = {
    "keys": Description("List keys and device tokens", "Keys", {200: "A page of keys, by id."}, headers=NO_STORE),
    "key_create": Description(
        "Make a key or a device's token",
        "Keys",
        {201: "The key, with its secret."},
        headers=NO_STORE,
        examples={"reader": {"role": "reader", "label": "dashboards"}},
        errors=(UnknownDevice,),
    ),
    "key_revoke": Description(
        "Revoke a key or a token, for good", "Keys", {204: "It is refused from now on."}, errors=(NotFound,)
    ),
    "metric_list": Description(
        "List metrics by name and kind", "Metrics", {200: "A page of metrics."}, headers=NO_STORE
    ),
    "metric_put": Description(
        "Set the unit of a metric, and whether its integers are exact",
        "Metrics",
        {200: "The metric in all its kinds."},
        "What the body leaves out stays as it is; `unit` null removes the unit.",
        examples={"unit": {"unit": "°C"}, "int": {"declared_int": True}},
        errors=(NotFound,),
    ),
    "audit": Description("What admins did, newest first", "Operations", {200: "A page of acts."}, headers=NO_STORE),
    "dead_letters": Description(
        "List dead letters, newest first", "Dead letters", {200: "A page of letters."}, headers=NO_STORE
    ),
    "dead_letter": Description(
        "One dead letter with its whole payload",
        "Dead letters",
        {200: "The letter."},
        headers=NO_STORE,
        errors=(NotFound,),
    ),
    "dead_letter_replay": Description(
        "Take a dead letter in once more",
        "Dead letters",
        {
            200: "All of it is safe now, and the letter is marked.",
            422: "Something was refused again; the letter stays open.",
        },
        "A replay can be repeated: what is stored already is a duplicate. There is no body.",
        errors=(*INTAKE, NotFound),
    ),
    "dead_letters_replay": Description(
        "Take a page of dead letters in once more, lowest id first",
        "Dead letters",
        {200: "What became of them; `errors` are those refused again."},
        "Go on with `next_cursor` as `cursor` until it is null; a call takes at most `limit` letters and 15 s.",
        errors=INTAKE,
    ),
}
PAGES = {
    "fleet": Description(
        "Rates, health, ledger and counts at a glance", "Operations", {200: "The whole gateway."}, headers=NO_STORE
    ),
    "page": Description("The fleet page", "Operations", {200: "The page."}, headers=SECURE | ETAG),
    "static": Description(
        "What the fleet page is made of",
        "Operations",
        {200: "A script, a style sheet or an image."},
        headers=SECURE | ETAG,
        errors=(NotFound,),
    ),
    "ledger": Description(
        "What became of every reading since the gateway started",
        "Operations",
        {200: "The ledger of all workers together."},
        headers=NO_STORE,
    ),
    "livez": Description("Whether the process is alive", "Operations", {200: "It answers."}),
    "readyz": Description(
        "Whether traffic may come, with the facts of each part",
        "Operations",
        {200: "It may: `ready` or `degraded`.", 503: "It may not: `unready` or `draining`."},
        headers=NO_STORE,
    ),
    "metrics": Description(
        "Metrics of all workers, for Prometheus", "Operations", {200: "The Prometheus text format."}
    ),
    "openapi": Description("This document", "Operations", {200: "OpenAPI 3.1."}, headers=ETAG),
    "docs": Description("This document as a page", "Operations", {200: "The page."}, headers=SECURE | ETAG),
    "docs_asset": Description(
        "What the page at /docs is made of",
        "Operations",
        {200: "A script or a style sheet."},
        headers=ETAG,
        errors=(NotFound,),
    ),
}
DESCRIPTIONS = {**readings.DESCRIPTIONS, **DEVICES, **REGISTRY, **PAGES}
