"""The table of HTTP operations: method, path, label, who may call, what handles it, what is asked, sent and answered.

Routes, permissions, allowed methods, query parameters, labels of metrics and the OpenAPI document are read from it. A
colon in a segment (`/v1/states:query`) is a custom verb (Google AIP-136) and is matched encoded or not. Whoever answers
GET answers HEAD (RFC 9110 9.3.2).
"""

from gateway.domain.dead_letters import DeadLetterItem
from gateway.domain.device_import import CSV, NDJSON, DeviceMergePatch
from gateway.domain.devices import DeviceStatus
from gateway.domain.ledger import Ledger
from gateway.domain.model import Receipt
from gateway.services.dead_letter_replay import Replayed, ReplayReport
from gateway.telemetry import http_events
from gateway.web.handlers import (
    audit,
    credentials,
    dead_letters,
    device_import,
    devices,
    health,
    history,
    ingest,
    metrics,
    newest,
)
from gateway.web.handlers.history_answers import BucketSeries, PointSeries, ReadingPage
from gateway.web.handlers.history_query import DeviceHistoryQuery, DevicesHistoryQuery
from gateway.web.handlers.ledger import get_ledger
from gateway.web.handlers.live_query import StreamQuery
from gateway.web.handlers.overview import Overview, get_fleet
from gateway.web.handlers.sse import get_stream
from gateway.web.handlers.websockets import serve_socket
from gateway.web.http.call import JOBS, LISTS, AnyOf, Body, Operation
from gateway.web.http.permissions import ADMINS, ANYBODY, LISTERS, OVERSEERS, READERS, WRITERS
from gateway.web.http.problems import codes
from gateway.web.http.responses import JSON, UNROUTED
from gateway.web.limits.body_budget import Incoming
from gateway.web.pages import api_docs, overview

RECEIPTS = {200: Receipt, 207: Receipt, 422: Receipt}
READINGS = Body(Incoming)
HISTORY = {200: {JSON: AnyOf((ReadingPage, BucketSeries, PointSeries)), NDJSON: str, CSV: str}}
FILE = {"text/javascript": str, "text/css": str}
PAGE = {200: {"text/html": str}, 304: None}
IMPORTED = {200: device_import.ImportReport, 207: device_import.ImportReport}
OPTIONAL_PATCH = Body(DeviceMergePatch, (devices.MERGE_PATCH, JSON), required=False)
OPTIONAL_ROTATION = Body(credentials.Rotation, required=False)
OPTIONAL_CHANGE = Body(metrics.MetricChange, required=False)
IMPORT = Body(bytes, (NDJSON, CSV), required=False)
NOTHING = Body(bytes, media=())
"""What is sent all the same is refused, and says why."""

INGEST, STATE, HISTORIES, LIVE, LETTERS = "ingest", "state", "history", "live", "dead_letters"
PAGES, OPS = "page", "ops"

# fmt: off
OPERATIONS = (
    Operation("POST", "/v1/readings", "readings", WRITERS, ingest.post_readings, RECEIPTS,
              ingest.IngestQuery, READINGS, INGEST),
    Operation("POST", "/v1/devices/{device}/readings", "device_readings", WRITERS, ingest.post_readings, RECEIPTS,
              ingest.IngestQuery, READINGS, INGEST),
    Operation("GET", "/v1/readings", "history", READERS, history.get_readings, HISTORY,
              DevicesHistoryQuery, group=HISTORIES),
    Operation("GET", "/v1/devices/{device}/readings", "device_history", READERS, history.get_device_readings, HISTORY,
              DeviceHistoryQuery, group=HISTORIES),
    Operation("GET", "/v1/devices/{device}/state", "device_state", READERS, newest.get_state,
              {200: newest.CurrentState, 304: None}, newest.StateQuery, group=STATE),
    Operation("GET", "/v1/devices", "devices", LISTERS, devices.list_devices, {200: devices.DeviceList},
              devices.DeviceQuery, share=LISTS),
    Operation("POST", "/v1/devices", "device_create", ADMINS, devices.post_device, {201: DeviceStatus},
              body=Body(devices.NewDevice)),
    Operation("POST", "/v1/devices:import", "devices_import", ADMINS, device_import.import_devices, IMPORTED,
              body=IMPORT, share=JOBS),
    Operation("GET", "/v1/devices/{device}", "device", READERS, devices.get_device,
              {200: devices.DeviceDetails, 304: None}),
    Operation("PATCH", "/v1/devices/{device}", "device_update", ADMINS, devices.patch_device,
              {200: DeviceStatus}, body=OPTIONAL_PATCH),
    Operation("DELETE", "/v1/devices/{device}", "device_delete", ADMINS, devices.delete_device, {204: None},
              devices.DeleteQuery),
    Operation("POST", "/v1/devices/{device}/keys:rotate", "device_rotate", ADMINS, credentials.rotate_key,
              {201: credentials.IssuedToken}, body=OPTIONAL_ROTATION),
    Operation("GET", "/v1/metrics", "metric_list", LISTERS, metrics.list_metrics, {200: metrics.MetricPage},
              metrics.MetricQuery, share=LISTS),
    Operation("PUT", "/v1/metrics/{metric:path}", "metric_put", ADMINS, metrics.put_metric, {200: metrics.MetricKinds},
              body=OPTIONAL_CHANGE),
    Operation("GET", "/v1/keys", "keys", ADMINS, credentials.list_keys, {200: credentials.KeyPage},
              credentials.KeyQuery, share=LISTS),
    Operation("POST", "/v1/keys", "key_create", ADMINS, credentials.post_key, {201: credentials.IssuedKey},
              body=Body(credentials.NewKey)),
    Operation("DELETE", "/v1/keys/{key:id}", "key_revoke", ADMINS, credentials.delete_key, {204: None}),
    Operation("GET", "/v1/audit", "audit", ADMINS, audit.list_audit, {200: audit.AuditPage},
              audit.AuditQuery, share=LISTS),
    Operation("POST", "/v1/states:query", "states_query", READERS, newest.query_states, {200: newest.CurrentStates},
              body=Body(bytes), group=STATE, share=LISTS),
    Operation("GET", "/v1/stream", "stream", READERS, get_stream, {200: {"text/event-stream": str}},
              StreamQuery, group=LIVE),
    Operation("GET", "/v1/ws", "socket", READERS, serve_socket, {101: None}, None, group=LIVE, upgrades=True),
    Operation("GET", "/v1/dead-letters", "dead_letters", ADMINS, dead_letters.list_letters,
              {200: dead_letters.DeadLetterPage}, dead_letters.DeadLetterQuery, group=LETTERS, share=LISTS),
    Operation("POST", "/v1/dead-letters:replay", "dead_letters_replay", ADMINS, dead_letters.replay_letters,
              {200: ReplayReport}, dead_letters.ReplayQuery, NOTHING, LETTERS, share=JOBS),
    Operation("GET", "/v1/dead-letters/{letter:id}", "dead_letter", ADMINS, dead_letters.get_letter,
              {200: DeadLetterItem}, group=LETTERS),
    Operation("POST", "/v1/dead-letters/{letter:id}:replay", "dead_letter_replay", ADMINS, dead_letters.replay_letter,
              {200: Replayed, 422: Replayed}, body=NOTHING, group=LETTERS, share=JOBS),
    Operation("GET", "/v1/ledger", "ledger", ADMINS, get_ledger, {200: Ledger}, group=PAGES),
    Operation("GET", "/v1/fleet", "fleet", OVERSEERS, get_fleet, {200: Overview}, group=PAGES),
    Operation("GET", "/", "page", ANYBODY, overview.get_page, PAGE, None, group=PAGES),
    Operation("GET", "/static/{file}", "static", ANYBODY, overview.get_asset,
              {200: FILE | {"image/svg+xml": str}, 304: None}, None, group=PAGES),
    Operation("GET", "/openapi.json", "openapi", ANYBODY, api_docs.get_document,
              {200: api_docs.AnyDocument, 304: None}, None, group=PAGES),
    Operation("GET", "/docs", "docs", ANYBODY, api_docs.get_docs, PAGE, None, group=PAGES),
    Operation("GET", "/docs/{file}", "docs_asset", ANYBODY, api_docs.get_docs_asset, {200: FILE, 304: None}, None,
              group=PAGES),
    Operation("GET", "/livez", "livez", ANYBODY, health.livez, {200: health.Alive}, None, group=OPS),
    Operation("GET", "/readyz", "readyz", ANYBODY, health.readyz, {200: health.Readiness, 503: health.Readiness}, None,
              group=OPS),
    Operation("GET", "/metrics", "metrics", ANYBODY, health.get_metrics, {200: {"text/plain": str}},
              health.PrometheusQuery, group=OPS),
)
# fmt: on
BY_LABEL = {one.label: one for one in OPERATIONS}

http_events.declare(
    {one.label: one.group for one in OPERATIONS} | {UNROUTED: "none"},
    upgraded=next(one.label for one in OPERATIONS if one.upgrades),
    codes=codes(),
)
