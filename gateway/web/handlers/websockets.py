"""GET /v1/ws: changes over a WebSocket, with several subscriptions on one connection. Filters are those of /v1/stream.

The caller sends {"type": "subscribe" | "unsubscribe" | "ping", …}; what it does wrong is answered with an error message
and costs nothing else. `docs/http-api.md` lists the messages.
"""

import asyncio
from typing import Annotated

import msgspec
import orjson
from msgspec import Meta

from gateway.core.errors import BadRequest, GatewayError, Unauthorized
from gateway.core.tasks import end
from gateway.domain.json_text import decode, without_mark
from gateway.domain.names import MAX_NAME
from gateway.live.events import Event, Lagged, Output
from gateway.live.filters import MAX_DEVICES, MAX_METRICS, MAX_TAGS
from gateway.live.reader import LiveClient, Round
from gateway.telemetry import events, live_events
from gateway.web.context import Context
from gateway.web.handlers.live_query import to_filter, to_last
from gateway.web.handlers.websocket_protocol import AWAY, NORMAL, SWITCHING, SocketWire
from gateway.web.http.call import Call
from gateway.web.http.responses import Gone

MAX_ID = 64
POLICY = 1008
"""RFC 6455 7.4.1: the other side may not do that."""
TRY_AGAIN = 1013
"""As registered by IANA: the server cannot serve this now."""
CODES = {"unauthorized": POLICY, "unverified": TRY_AGAIN, "draining": AWAY}
"""How a connection is closed, by why its reader ended."""
LAST_WORDS = {
    POLICY: Unauthorized().message,
    TRY_AGAIN: "whether this credential is still valid cannot be heard from the database; connect again later",
    AWAY: "this gateway is stopping; connect again",
}

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID)]


class Subscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="subscribe"):
    """Begin to show changes under an id of the caller's choice."""

    id: Id
    device: Annotated[list[Name], Meta(max_length=MAX_DEVICES)] = []
    metric: Annotated[list[Name], Meta(max_length=MAX_METRICS)] = []
    tag: Annotated[list[str], Meta(max_length=MAX_TAGS)] = []
    last_event_id: str | None = None
    snapshot: bool = True


class Unsubscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="unsubscribe"):
    """Show no more under this id."""

    id: Id


class Ping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="ping"):
    """Answer with a pong."""


_decoder: msgspec.json.Decoder[Subscribe | Unsubscribe | Ping] = msgspec.json.Decoder(Subscribe | Unsubscribe | Ping)


class Conversation:
    """What is said on one socket; one message at a time, whoever says it."""

    def __init__(self, wire: SocketWire, reader: LiveClient) -> None:
        self._wire = wire
        self._reader = reader
        self._turn = asyncio.Lock()

    async def listen(self) -> None:
        """Do what the caller asks until it leaves; then end the reader."""
        try:
            while (message := await self._wire.receive()) is not None:
                try:
                    answer = await self._obey(message)
                except GatewayError as exc:
                    answer = to_error(exc.code, exc.message, _id_of(message))
                await self.say([answer])
        except Gone:
            pass  # the one who sends changes finds the same
        except Exception as exc:  # noqa: BLE001 - a mistake of ours must not leave the socket half alive
            live_events.failed(exc)
        finally:
            self._reader.end("closed")

    async def speak(self) -> None:
        """Send changes until the reader ends, or the caller gives no sign of life when asked for it."""
        stall_secs = self._reader.stall_secs
        async for each in self._reader.rounds():
            if each.outputs:
                await self.say(to_messages(each))
            else:
                self._wire.ping()
            if self._wire.silent_secs() > stall_secs:
                self._reader.end("silent")

    async def say(self, messages: list[bytes]) -> None:
        """Send messages. Raises Gone."""
        async with self._turn:
            for message in messages:
                await self._reader.send(self._wire.send(message))

    async def _obey(self, message: str) -> bytes:
        request = to_request(message)
        if isinstance(request, Ping):
            return orjson.dumps({"type": "pong"})
        reader = self._reader
        if isinstance(request, Unsubscribe):
            if not reader.unsubscribe(request.id):
                raise BadRequest(f"there is no subscription {request.id!r}", parameter="id")
            return orjson.dumps({"type": "unsubscribed", "subscription": request.id})
        if request.id in reader:
            raise BadRequest(f"there is a subscription {request.id!r} already; unsubscribe it first", parameter="id")
        wanted = to_filter(reader.principal, devices=request.device, metrics=request.metric, tags=request.tag)
        await reader.subscribe(request.id, wanted, last=to_last(request.last_event_id), snapshot=request.snapshot)
        return orjson.dumps({"type": "subscribed", "subscription": request.id})


async def serve_socket(call: Call[None, None], parts: Context) -> None:
    """Serve one WebSocket until either side leaves."""
    wire = SocketWire(call)
    with (
        parts.streams.reader(call.principal, cut=wire.fail_connection) as reader,
        parts.watch.hold(call.authorization, call.principal, reader.end),
    ):
        await wire.open(parts.request_ids.choose(call.header("x-request-id")))
        events.http_answered(call.operation.label, SWITCHING)
        await _converse(wire, reader)


async def _converse(wire: SocketWire, reader: LiveClient) -> None:
    conversation = Conversation(wire, reader)
    listening = asyncio.create_task(conversation.listen(), name="live.listen")
    try:
        await conversation.speak()
        await _take_leave(conversation, wire, reader)
    except Gone:
        pass  # the caller has left
    except GatewayError as exc:  # what was missed cannot be read now; the caller comes back with the same ids
        live_events.ended("unavailable")
        wire.end_connection(TRY_AGAIN, exc.code)
    except Exception as exc:  # noqa: BLE001 - the socket is open: no problem document can follow
        live_events.failed(exc)
        wire.fail_connection()
    finally:
        await end(listening)


async def _take_leave(conversation: Conversation, wire: SocketWire, reader: LiveClient) -> None:
    code = CODES.get(reader.ended or "", NORMAL)
    if reader.ended == "silent":
        live_events.ended("silent")
        wire.fail_connection()
    elif code != NORMAL:
        live_events.ended(reader.ended or "")
        await conversation.say([to_error(reader.ended or "", LAST_WORDS[code], None)])
    wire.end_connection(code, reader.ended or "")


def to_request(message: str) -> Subscribe | Unsubscribe | Ping:
    """Decode what the caller says. Raises BadPayload if it is not JSON, BadRequest if it is nothing we know."""
    return decode(_decoder, message.encode(), what="the message")


def to_messages(each: Round) -> list[bytes]:
    """Return the messages of one round."""
    return [message for output in each.outputs for message in _to_messages(each.subscription, output)]


def to_error(code: str, message: str, subscription: str | None) -> bytes:
    """Return an error message; `subscription` is the id that it is about, if any."""
    return orjson.dumps({"type": "error", "code": code, "message": message, "subscription": subscription})


def _to_messages(name: str, output: Output) -> list[bytes]:
    subscription = orjson.dumps(name)
    if isinstance(output, Lagged):
        return [b'{"type":"lagged","subscription":%b,"skipped":%d}' % (subscription, output.skipped)]
    number = orjson.dumps(output.position.text)
    if isinstance(output, Event):
        ids = [b"null"] * (len(output.parts) - 1) + [number]
        return [
            b'{"type":"change","subscription":%b,"id":%b,"changes":%b}' % (subscription, part_id, part)
            for part_id, part in zip(ids, output.parts, strict=True)
        ]
    return [
        b'{"type":"reset","subscription":%b,"id":%b,"reason":"%b","states":%b,"truncated":%b}'
        % (subscription, number, output.reason.encode(), output.states, b"true" if output.truncated else b"false")
    ]


def _id_of(message: str) -> str | None:
    """Return the id that a message is about, as far as it can be read."""
    try:
        found = orjson.loads(without_mark(message.encode()))
    except orjson.JSONDecodeError:
        return None
    number = found.get("id") if isinstance(found, dict) else None
    return number if isinstance(number, str) and len(number) <= MAX_ID else None
