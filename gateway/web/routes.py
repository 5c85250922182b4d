"""Every route, once: method, path, handler and the label it is counted under. Read it as the table of contents.

A path segment `{name}` is a parameter; `{name:pattern}` is one that only matches what its pattern takes. A colon in a
segment (`/v1/states:query`) is a custom verb (Google AIP-136) and is matched encoded or not.
"""

import re
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple, cast
from urllib.parse import unquote

from gateway.letters import MAX_ID
from gateway.web import deadletters, ingest, latest, ops
from gateway.web.ledger import get_ledger
from gateway.web.lifetime import App


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


ROUTES = (
    Route(("POST",), "/v1/readings", ingest.post_readings, "readings", ignore_body=True),
    Route(("POST",), "/v1/devices/{device}/readings", ingest.post_readings, "device_readings", ignore_body=True),
    Route(("GET",), "/v1/devices/{device}/state", latest.get_state, "device_state"),
    Route(("POST",), "/v1/states:query", latest.query_states, "states_query", ignore_body=True),
    Route(("GET",), "/v1/dead-letters", deadletters.list_letters, "dead_letters"),
    Route(("POST",), "/v1/dead-letters:replay", deadletters.replay_letters, "dead_letters_replay", ignore_body=True),
    Route(("GET",), "/v1/dead-letters/{letter:id}", deadletters.get_letter, "dead_letter"),
    Route(
        ("POST",),
        "/v1/dead-letters/{letter:id}:replay",
        deadletters.replay_letter,
        "dead_letter_replay",
        ignore_body=True,
    ),
    Route(("GET",), "/v1/ledger", get_ledger, "ledger"),
    Route(("GET", "HEAD"), "/livez", ops.livez, "livez"),
    Route(("GET", "HEAD"), "/readyz", ops.readyz, "readyz"),
    Route(("GET", "HEAD"), "/metrics", ops.get_metrics, "metrics"),
)

_PARAMETER = re.compile(r"\{(\w+)(?::(\w+))?\}")
_COLON = "(?::|%3[Aa])"


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
    """Add every route to the app."""
    for route in ROUTES:
        app.add_route(
            route.handler,
            to_sanic(app, route),
            methods=list(route.methods),
            name=route.label,
            ignore_body=route.ignore_body,
            ctx_label=route.label,
        )


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
