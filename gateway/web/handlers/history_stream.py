"""Parts of an answer in, a chunked response out: flat memory, at the reader's pace, never an end that looks complete.

What fails before the first part is a problem like any other. What fails later can only be said by breaking the
connection off: the last chunk (RFC 9112 7.1) is missing then, and no client takes what it has for the whole.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from sanic import Request

from gateway.core.errors import GatewayError
from gateway.telemetry import events, history_events
from gateway.web.context import Context
from gateway.web.http.responses import reply, route_label, send_no_body

REST_SECS = 0.001
"""Rest after each part, for each stream that is being sent: a part is half a millisecond of work, so that fast readers,
however many, leave more than half of the event loop to everybody else. Measured: docs/performance.md."""

_RESET = struct.pack("ii", 1, 0)
"""socket(7): close at once, and throw away what was not sent."""


async def stream(
    request: Request,
    context: Context,
    parts: AsyncGenerator[bytes, None],
    *,
    content_type: str,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Send the parts. Raises what the first one raises; later the connection is broken off instead."""
    with context.exports.slot():
        async with aclosing(parts):
            first = await anext(parts, b"")
            answer = reply(request, context, b"", content_type=content_type, headers=headers)
            await request.respond(answer)
            if request.method == "HEAD":
                await send_no_body(answer)
                return
            try:
                async with asyncio.timeout(context.exports.secs):
                    await answer.send(first)
                    async for part in parts:
                        if part:
                            await answer.send(part)
                        await asyncio.sleep(REST_SECS * context.exports.running)
                    await answer.send(end_stream=True)
            except asyncio.CancelledError:
                history_events.stream_ended("gone")
                raise
            except Exception as exc:  # noqa: BLE001 - whatever it is, the answer must not look complete
                _break_off(request, answer.headers["x-request-id"], exc)
            else:
                history_events.stream_ended("complete")


def _break_off(request: Request, request_id: str, exc: Exception) -> None:
    history_events.stream_ended("broken_off")
    if isinstance(exc, GatewayError):
        history_events.stream_broken_off(route_label(request), request_id, exc.message)
    elif isinstance(exc, TimeoutError):
        history_events.stream_broken_off(route_label(request), request_id, "history.export_timeout_secs is over")
    else:
        events.http_failed(route_label(request), request_id, exc)
    transport: Any = request.transport
    if transport is not None:
        # A reset, not an end: over HTTP/1.0, without chunks, the end of the connection is the end of the answer.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
