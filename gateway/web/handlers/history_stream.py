"""A history that is sent in parts: flat memory, at the reader's pace, never an end that looks complete.

What fails before the first part is a problem like any other. What fails later can only be said by breaking the
connection off: the last chunk (RFC 9112 7.1) is missing then, and no client takes what it has for the whole.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.core.errors import GatewayError
from gateway.telemetry import events, history_events
from gateway.web.http.responses import Stream, StreamWire
from gateway.web.limits.exports import Exports

REST_SECS = 0.001
"""Rest after each part, for each stream that is being sent: a part is half a millisecond of work, so that fast readers,
however many, leave more than half of the event loop to everybody else. Measured: docs/performance.md."""


def stream(exports: Exports, parts: AsyncGenerator[bytes, None], *, media: str, label: str) -> Stream:
    """Return the answer that sends the parts; `label` is that of the operation, for the log."""

    async def write(wire: StreamWire) -> None:
        with exports.slot():
            async with aclosing(parts):
                first = await anext(parts, b"")
                await wire.begin()
                if not wire.head_only:
                    await _send(wire, exports, first, parts, label=label)

    return Stream(write, media)


async def _send(
    wire: StreamWire, exports: Exports, first: bytes, parts: AsyncGenerator[bytes, None], *, label: str
) -> None:
    try:
        async with asyncio.timeout(exports.secs):
            await wire.send(first)
            async for part in parts:
                if part:
                    await wire.send(part)
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
