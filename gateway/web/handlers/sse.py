"""GET /v1/stream: changes as server-sent events (WHATWG HTML 9.2), for as long as the caller takes them.

Filters, resumption and bounds are in `gateway.live`; here they are only written down. A connection serves one stream.
"""

from random import Random, SystemRandom

from gateway.core.errors import GatewayError
from gateway.live.events import Event, Lagged, Output
from gateway.live.reader import LiveClient, Round
from gateway.telemetry import live_events
from gateway.web.context import Context
from gateway.web.handlers.live_query import StreamQuery, to_live_query
from gateway.web.http.call import Call
from gateway.web.http.responses import Gone, Stream, StreamWire

CONTENT_TYPE = "text/event-stream; charset=utf-8"
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
"""Nothing between us and the reader shall keep an event back."""
WRITE_BYTES = 64 * 1024
"""What is given to the connection at once: so much, and as much again, waits there for a reader that takes nothing."""
RETRY_MS = 2000
PING = b": ping\n"
"""No empty line after it: to some readers that would be an event without data."""


def get_stream(call: Call[StreamQuery, None], parts: Context) -> Stream:
    """Stream changes until the caller leaves, may not read any more, takes nothing, or this worker stops."""
    query = to_live_query(call)

    async def write(wire: StreamWire) -> None:
        if wire.head_only:
            await wire.begin()
            return
        with (
            parts.streams.reader(call.principal, cut=wire.abort) as reader,
            parts.watch.hold(call.authorization, call.principal, reader.end),
        ):
            await reader.subscribe("", query.wanted, last=query.last, snapshot=query.snapshot)
            await wire.begin()
            try:
                await _serve(wire, reader)
            except Gone:
                pass
            except GatewayError:  # what was missed cannot be read now; the caller comes back with the same id
                live_events.ended("unavailable")
                wire.abort()
            except Exception as exc:  # noqa: BLE001 - the answer has begun: no problem document can follow
                live_events.failed(exc)
                wire.abort()

    return Stream(write, CONTENT_TYPE, HEADERS, endless=True)


async def _serve(wire: StreamWire, reader: LiveClient) -> None:
    await reader.send(wire.send(PING))  # the headers leave now, not with the first event
    hint = to_hint(SystemRandom())
    async for each in reader.rounds():
        data = to_sse(each)
        if each.outputs:  # a block of its own would be an event without data to some readers
            data, hint = hint + data, b""
        for start in range(0, len(data), WRITE_BYTES):
            await reader.send(wire.send(data[start : start + WRITE_BYTES]))
    live_events.ended(reader.ended or "")


def to_hint(rng: Random) -> bytes:
    """Return how long to wait before coming back, as the first line of an event; readers do not come all at once."""
    return b"retry: %d\n" % rng.randint(RETRY_MS // 2, RETRY_MS * 3 // 2)


def to_sse(each: Round) -> bytes:
    """Return the text of the events of one round; a comment if there are none."""
    return b"".join(map(_to_event, each.outputs)) or PING


def _to_event(output: Output) -> bytes:
    if isinstance(output, Event):
        output.written = output.written or _to_changes(output)
        return output.written
    if isinstance(output, Lagged):
        return b'event: lagged\ndata: {"skipped":%d}\n\n' % output.skipped
    return b'event: reset\nid: %b\ndata: {"reason":"%b","states":%b,"truncated":%b}\n\n' % (
        output.position.text.encode(),
        output.reason.encode(),
        output.states,
        b"true" if output.truncated else b"false",
    )


def _to_changes(event: Event) -> bytes:
    *first, last = [b'event: change\ndata: {"changes":%b}\n' % part for part in event.parts]
    return b"".join([*[part + b"\n" for part in first], last, b"id: %b\n\n" % event.position.text.encode()])
