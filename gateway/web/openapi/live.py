"""The calls that show changes as they come, described."""

from typing import Literal

from gateway.core.errors import Draining, SinkFault, TooManyStreams, UpgradeRequired
from gateway.web.openapi.refusals import GUARDED, PARAMETERS, STATE
from gateway.web.openapi.state import READERS
from gateway.web.openapi.values import DeviceName, Flag, MetricName, Tag
from gateway.web.openapi.words import EVENTS, Header, Operation, Parameter, ResponseDoc, refusals

ABOUT = """The answer does not end. Events (WHATWG HTML 9.2):

- `change`, data `{"changes": [{"device", "ts", "values": {metric: value}}]}`: one or more for each committed batch.
- `reset`, data `{"reason": "start" | "too_old" | "lost", "states": {device: {metric: {"value", "ts", "kind"}}},
  "truncated"}`: the newest values, at the start and wherever a gap cannot be replayed.
- `lagged`, data `{"skipped"}`: the reader was too slow; the newest value of each series follows as changes.
- a comment every 15 s.

The `id` of an event, sent back as `Last-Event-ID`, replays what came since."""
SOCKET = """The same over WebSocket (RFC 6455), as JSON messages. Sent: `{"type": "subscribe", "id", "device": [],
"metric": [], "tag": [], "last_event_id", "snapshot"}`, `{"type": "unsubscribe", "id"}`, `{"type": "ping"}`. Received:
`subscribed`, `unsubscribed`, `change`, `reset`, `lagged`, `pong`, `error`. A browser offers the subprotocols
`gateway.v1` and `bearer.<token>`, and is answered with `gateway.v1`."""

UPGRADED = {"Sec-WebSocket-Accept": Header("As RFC 6455 has it."), "Sec-WebSocket-Protocol": Header("`gateway.v1`.")}

OPERATIONS = {
    "stream": Operation(
        "Changes as they are committed, as server-sent events",
        "Live",
        answers=(ResponseDoc(200, "The stream.", {EVENTS: str}, {"Cache-Control": Header("`no-store`.")}),),
        about=ABOUT,
        who=READERS,
        parameters=(
            Parameter("device", list[DeviceName], "Only these; repeated or separated by commas."),
            Parameter("metric", list[MetricName], "Only these; repeated or separated by commas."),
            Parameter("tag", list[Tag], "Only devices with all of these tags: `key:value`, or `key` with any value."),
            Parameter("snapshot", Flag, "`false`: begin without the newest values."),
            Parameter("last_event_id", str, "The same as `Last-Event-ID`, for clients that cannot set it."),
            Parameter("Last-Event-ID", str, "The id of the last event that was seen.", "header"),
        ),
        refusals=GUARDED + PARAMETERS + STATE + refusals(TooManyStreams, Draining, SinkFault),
    ),
    "socket": Operation(
        "Changes as they are committed, over WebSocket",
        "Live",
        answers=(ResponseDoc(101, "The connection is a WebSocket now.", headers=UPGRADED),),
        about=SOCKET,
        who=READERS,
        parameters=(
            Parameter("Upgrade", Literal["websocket"], "As RFC 6455 has it.", "header"),
            Parameter("Sec-WebSocket-Key", str, "As RFC 6455 has it.", "header"),
            Parameter("Sec-WebSocket-Version", Literal["13"], "As RFC 6455 has it.", "header"),
            Parameter(
                "Sec-WebSocket-Protocol", str, "`gateway.v1, bearer.<token>` where no header can be set.", "header"
            ),
        ),
        refusals=GUARDED + PARAMETERS + STATE + refusals(TooManyStreams, UpgradeRequired, Draining, SinkFault),
    ),
}
