"""A history that is sent in parts: flat memory, at the reader's pace, never an end that looks complete.

What fails before the first part is a problem like any other. What fails later can only be said by breaking the
connection off: the last chunk (RFC 9112 7.1) is missing then, and no client takes what it has for the whole.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from gateway.core.errors import GatewayError
from gateway.telemetry import events, history_events
from gateway.web.context import Context
from gateway.web.http.call import Call
from gateway.web.http.responses import Stream, StreamWire

REST_SECS = 0.001
"""Rest after each piece, for each stream that is being sent: a piece is half a millisecond of work, so that fast
readers, however many, leave more than half of the event loop to everybody else. Measured: docs/performance.md."""


def stream(call: Call[Any, Any], parts: Context, pieces: AsyncGenerator[bytes, None], *, media: str) -> Stream:
    """Return the answer that sends the pieces for as long as the call's credential is valid."""

    async def write(wire: StreamWire) -> None:
        async with parts.exports.slot(call.principal.caller), aclosing(pieces):
            async with parts.watch.bounded(call.authorization, call.principal):
                first = await anext(pieces, b"")
            await wire.begin()
            if not wire.head_only:
                await _send(wire, call, parts, first, pieces)

    return Stream(write, media)


async def _send(
    wire: StreamWire, call: Call[Any, Any], parts: Context, first: bytes, pieces: AsyncGenerator[bytes, None]
) -> None:
    exports, label = parts.exports, call.operation.label
    try:
        async with asyncio.timeout(exports.secs), parts.watch.bounded(call.authorization, call.principal):
            await wire.send(first)
            async for piece in pieces:
                if piece:
                    await wire.send(piece)
                await asyncio.sleep(REST_SECS * exports.running)
            await wire.end()
    except asyncio.CancelledError:
        history_events.stream_ended("gone")
        raise
    except Exception as exc:  # noqa: BLE001 - whatever it is, the answer must not look complete
        history_events.stream_ended("broken_off")
        _note(exc, label, wire.request_id)
        wire.reset()
    else:
        history_events.stream_ended("complete")


def _note(exc: Exception, label: str, request_id: str) -> None:
    if isinstance(exc, GatewayError):
        history_events.stream_broken_off(label, request_id, exc.message)
    elif isinstance(exc, TimeoutError):
        history_events.stream_broken_off(label, request_id, "history.export_timeout_secs is over")
    else:
        events.http_failed(label, request_id, exc)
