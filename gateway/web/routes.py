"""Every route, once: method, path, handler and the label it is counted under. Read it as the table of contents.

A path segment `{name}` is a parameter; `{name:pattern}` is one that only matches what its pattern takes. A colon in a
segment (`/v1/states:query`) is a custom verb (Google AIP-136) and is matched encoded or not.
"""

import re
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any, NamedTuple, cast
from urllib.parse import unquote

from gateway.domain.dead_letters import MAX_ID
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
from gateway.web.handlers.ledger import get_ledger
from gateway.web.handlers.overview import get_fleet
from gateway.web.handlers.sse import get_stream
from gateway.web.handlers.websockets import serve_socket
from gateway.web.http.problems import codes
from gateway.web.http.responses import UNROUTED
from gateway.web.lifetime import App
from gateway.web.openapi.document import to_document
from gateway.web.pages import api_docs, overview
from gateway.web.pages.files import Asset


class Route(NamedTuple):
    """One path and what serves it."""

    methods: tuple[str, ...]
    path: str
    """As docs/http-api.md and /openapi.json say it."""
    handler: Callable[..., Any]
    label: str
    """The name under which its requests are counted."""
    ignore_body: bool = False
    """Hand the request over before its body is read: guards come first, and `bodies` reads under its caps."""


SOCKET = "socket"
ROUTES = (
    Route(("POST",), "/v1/readings", ingest.post_readings, "readings", ignore_body=True),
    Route(("POST",), "/v1/devices/{device}/readings", ingest.post_readings, "device_readings", ignore_body=True),
    Route(("GET",), "/v1/readings", history.get_readings, "history"),
    Route(("GET",), "/v1/devices/{device}/readings", history.get_device_readings, "device_history"),
    Route(("GET",), "/v1/devices/{device}/state", newest.get_state, "device_state"),
    Route(("GET",), "/v1/devices", devices.list_devices, "devices"),
    Route(("POST",), "/v1/devices", devices.post_device, "device_create", ignore_body=True),
    Route(("POST",), "/v1/devices:import", device_import.import_devices, "devices_import", ignore_body=True),
    Route(("GET",), "/v1/devices/{device}", devices.get_device, "device"),
    Route(("PATCH",), "/v1/devices/{device}", devices.patch_device, "device_update", ignore_body=True),
    Route(("DELETE",), "/v1/devices/{device}", devices.delete_device, "device_delete"),
    Route(("POST",), "/v1/devices/{device}/keys:rotate", credentials.rotate_key, "device_rotate", ignore_body=True),
    Route(("GET",), "/v1/metrics", metrics.list_metrics, "metric_list"),
    Route(("PUT",), "/v1/metrics/{metric:path}", metrics.put_metric, "metric_put", ignore_body=True),
    Route(("GET",), "/v1/keys", credentials.list_keys, "keys"),
    Route(("POST",), "/v1/keys", credentials.post_key, "key_create", ignore_body=True),
    Route(("DELETE",), "/v1/keys/{key:id}", credentials.delete_key, "key_revoke"),
    Route(("GET",), "/v1/audit", audit.list_audit, "audit"),
    Route(("POST",), "/v1/states:query", newest.query_states, "states_query", ignore_body=True),
    Route(("GET",), "/v1/stream", get_stream, "stream"),
    Route(("GET",), "/v1/ws", serve_socket, SOCKET),
    Route(("GET",), "/v1/dead-letters", dead_letters.list_letters, "dead_letters"),
    Route(("POST",), "/v1/dead-letters:replay", dead_letters.replay_letters, "dead_letters_replay", ignore_body=True),
    Route(("GET",), "/v1/dead-letters/{letter:id}", dead_letters.get_letter, "dead_letter"),
    Route(
        ("POST",),
        "/v1/dead-letters/{letter:id}:replay",
        dead_letters.replay_letter,
        "dead_letter_replay",
        ignore_body=True,
    ),
    Route(("GET",), "/v1/ledger", get_ledger, "ledger"),
    Route(("GET",), "/v1/fleet", get_fleet, "fleet"),
    Route(("GET", "HEAD"), "/", overview.get_page, "page"),
    Route(("GET", "HEAD"), "/static/{file}", overview.get_asset, "static"),
    Route(("GET", "HEAD"), "/openapi.json", api_docs.get_document, "openapi"),
    Route(("GET", "HEAD"), "/docs", api_docs.get_docs, "docs"),
    Route(("GET", "HEAD"), "/docs/{file}", api_docs.get_docs_asset, "docs_asset"),
    Route(("GET", "HEAD"), "/livez", health.livez, "livez"),
    Route(("GET", "HEAD"), "/readyz", health.readyz, "readyz"),
    Route(("GET", "HEAD"), "/metrics", health.get_metrics, "metrics"),
)
_GROUPS = {
    http_events.INGEST: ("readings", "device_readings"),
    http_events.STATE: ("device_state", "states_query"),
    "history": ("history", "device_history"),
    "live": ("stream", SOCKET),
    "dead_letters": ("dead_letters", "dead_letters_replay", "dead_letter", "dead_letter_replay"),
    "page": ("fleet", "ledger", "page", "static", "openapi", "docs", "docs_asset"),
    "ops": ("livez", "readyz", "metrics"),
    "none": (UNROUTED,),
}
"""Routes whose times are told together; all others are those of the registry."""
_REGISTRY = {route.label: "registry" for route in ROUTES}
http_events.declare(
    _REGISTRY | {label: group for group, labels in _GROUPS.items() for label in labels},
    upgraded=SOCKET,
    codes=codes(),
)

_PARAMETER = re.compile(r"\{(\w+)(?::(\w+))?\}")
_COLON = "(?::|%3[Aa])"
REST = "path"
"""The pattern of a parameter that takes all that is left of the path."""


class Pattern(NamedTuple):
    """What a parameter's segment must look like, and what a handler gets of it."""

    regex: str
    read: Callable[[str], object]
    """Raises ValueError for what looks right and is not (no such route)."""


def to_id(segment: str) -> int:
    """Return the id that a segment names. Raises ValueError for what cannot be one."""
    number = int(segment)
    if not 1 <= number <= MAX_ID:
        raise ValueError(segment)
    return number


PATTERNS = {"id": Pattern("[0-9]{1,19}", to_id)}


def add_routes(app: App) -> None:
    """Add every route to the app, and the document that describes them all."""
    app.ctx.openapi = _document()
    for route in ROUTES:
        app.add_route(
            route.handler,
            to_sanic(app, route),
            methods=answered(route.methods),
            name=route.label,
            ignore_body=route.ignore_body,
            ctx_label=route.label,
        )


def answered(methods: tuple[str, ...]) -> list[str]:
    """Return the methods that a route answers to: whoever answers GET answers HEAD (RFC 9110 9.3.2)."""
    return sorted({*methods, "HEAD"} if "GET" in methods else methods)


@cache
def _document() -> Asset:
    return api_docs.document_asset(to_document(ROUTES))


def to_sanic(app: App, route: Route) -> str:
    """Return a route's path in Sanic's own notation, with its patterns registered.

    Sanic quotes the colon of a literal path and then never finds it, so a segment with a verb is a pattern of its own.
    """
    return "/".join([_segment(app, route.label, segment) for segment in route.path.split("/")])


def _segment(app: App, label: str, segment: str) -> str:
    bare, colon, verb = _split_verb(segment)
    found = _PARAMETER.fullmatch(bare)
    if not colon and not found:
        return segment
    name, kind = (found[1], found[2]) if found else ("call", None)
    if not colon and kind is None:
        return f"<{name}:str>"
    if kind == REST:
        return f"<{name}:path>"
    pattern = PATTERNS[kind] if kind else Pattern(re.escape(bare), str)
    registered = f"{label}_{name}"
    read = _reader(pattern, verb)
    read.__name__ = registered  # the router writes source code that calls it by this name
    app.router.register_pattern(registered, read, f"^{pattern.regex}{_COLON + re.escape(verb) if colon else ''}$")
    return f"<{name}:{registered}>"


def _split_verb(segment: str) -> tuple[str, str, str]:
    """`{id}:replay` → `{id}`, `:`, `replay`; a colon inside braces is no verb."""
    end = segment.rfind("}") + 1
    bare, colon, verb = segment[end:].partition(":")
    return segment[:end] + bare, colon, verb


def _reader(pattern: Pattern, verb: str) -> FunctionType:
    def read(segment: str) -> object:
        text = unquote(segment)
        if not verb:
            return pattern.read(text)
        bare, _, said = text.rpartition(":")
        if said != verb:
            raise ValueError(segment)
        return pattern.read(bare)

    return cast("FunctionType", read)
