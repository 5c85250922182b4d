"""The calls that take readings in and give them out, described: ingest, newest values, history, changes."""

from typing import Annotated, Literal

from msgspec import Meta

from gateway.core import errors
from gateway.web.openapi.bodies import READING_EXAMPLES, READINGS, STATES_EXAMPLES, STATES_QUERY
from gateway.web.openapi.words import Description, Header, Sent

INTAKE = (errors.SpoolFull, errors.SpoolFault, errors.Overloaded, errors.Draining)
"""What a call that takes readings in may be told when it cannot make them safe."""
REVALIDATED = Header("`private, no-cache`: may be kept, and must be asked about.")

ABOUT_INGEST = """One object or an array of them, in any of four forms. The answer comes when the readings are
committed, or, with `"durability": "spool"`, when they are safe on the gateway's disk. 503 and no answer mean: repeat
the same body; what was stored is absorbed as duplicates. `Content-Encoding` may be `gzip`, `zstd` or `deflate`."""
ABOUT_HISTORY = """One of three questions. **Rows**, as they are stored: `order`, `limit`, `cursor`. **Buckets**:
`every`, `fn`, `tz`, `fill`. **Points** for a chart: `points`. `Accept` chooses JSON, NDJSON (a row a line) or CSV (long
form); NDJSON and CSV without `limit` stream the whole range."""
ABOUT_STREAM = """The answer does not end. Events (WHATWG HTML 9.2):

- `change`, data `{"changes": [{"device", "ts", "values": {metric: value}}]}`: one or more for each committed batch.
- `reset`, data `{"reason": "start" | "too_old" | "lost", "states": {device: {metric: {"value", "ts", "kind"}}},
  "truncated"}`: the newest values, at the start and wherever a gap cannot be replayed.
- `lagged`, data `{"skipped"}`: the reader was too slow; the newest value of each series follows as changes.
- a comment every 15 s.

The `id` of an event, sent back as `Last-Event-ID`, replays what came since."""
ABOUT_SOCKET = """The same over WebSocket (RFC 6455), as JSON messages. Sent: `{"type": "subscribe", "id", "device": [],
"metric": [], "tag": [], "last_event_id", "snapshot"}`, `{"type": "unsubscribe", "id"}`, `{"type": "ping"}`. Received:
`subscribed`, `unsubscribed`, `change`, `reset`, `lagged`, `pong`, `error`. A browser offers the subprotocols
`gateway.v1` and `bearer.<token>`, and is answered with `gateway.v1`."""


def _taking(summary: str) -> Description:
    return Description(
        summary,
        "Readings",
        {
            200: "Every reading is safe now.",
            207: "Some are safe; `errors` says why the others are not. Do not repeat.",
            422: "None is stored, or with `atomic` not all could be; `errors` says why. Do not repeat.",
        },
        ABOUT_INGEST,
        sent=(
            Sent(
                "Idempotency-Key",
                "A key of your choice, one for each body: a repeat of the request gets the first answer to the byte.",
                Annotated[str, Meta(pattern="^[!-~]{1,255}$")],
            ),
        ),
        headers={
            "Idempotency-Replayed": Header("`true` where this is the answer to an earlier request with the same key.")
        },
        body=READINGS,
        examples=READING_EXAMPLES,
        errors=(*INTAKE, errors.AtomicTooWide, errors.IdempotencyInProgress, errors.IdempotencyMismatch),
    )


def _history(summary: str) -> Description:
    return Description(
        summary,
        "History",
        {200: "What is stored."},
        ABOUT_HISTORY,
        headers={
            "X-Next-Cursor": Header("The cursor of the page after this one, where `limit` was given and there is one.")
        },
        errors=(errors.UnknownDevice, errors.TooManyBuckets, errors.QueryTimeout, errors.TooManyAtOnce),
    )


DESCRIPTIONS = {
    "readings": _taking("Take readings of any devices in"),
    "device_readings": _taking("Take readings of the device in the path in"),
    "device_state": Description(
        "Newest values of a device",
        "State",
        {200: "The newest value of each metric."},
        headers={
            "ETag": Header("Of the values and their times, not of ages; for `If-None-Match`.", required=True),
            "Cache-Control": REVALIDATED,
        },
        errors=(errors.StateUnavailable, errors.UnknownDevice),
    ),
    "states_query": Description(
        "Newest values of many devices, in one round trip",
        "State",
        {200: "What is known, and which devices are not."},
        body=STATES_QUERY,
        examples=STATES_EXAMPLES,
        errors=(errors.StateUnavailable,),
    ),
    "history": _history("History of several devices"),
    "device_history": _history("History of a device"),
    "stream": Description(
        "Changes as they are committed, as server-sent events",
        "Live",
        {200: "The stream."},
        ABOUT_STREAM,
        sent=(Sent("Last-Event-ID", "The id of the last event that was seen."),),
        headers={"Cache-Control": Header("`no-store`.")},
        errors=(errors.StateUnavailable, errors.TooManyStreams, errors.Draining),
    ),
    "socket": Description(
        "Changes as they are committed, over WebSocket",
        "Live",
        {101: "The connection is a WebSocket now."},
        ABOUT_SOCKET,
        sent=(
            Sent("Upgrade", "As RFC 6455 has it.", Literal["websocket"]),
            Sent("Sec-WebSocket-Key", "As RFC 6455 has it."),
            Sent("Sec-WebSocket-Version", "As RFC 6455 has it.", Literal["13"]),
            Sent("Sec-WebSocket-Protocol", "`gateway.v1, bearer.<token>` where no header can be set."),
        ),
        headers={
            "Sec-WebSocket-Accept": Header("As RFC 6455 has it."),
            "Sec-WebSocket-Protocol": Header("`gateway.v1`."),
        },
        errors=(errors.StateUnavailable, errors.TooManyStreams, errors.UpgradeRequired, errors.Draining),
    ),
}
