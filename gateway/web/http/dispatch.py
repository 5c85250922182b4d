"""The way of every request through its operation: limits, credential, permission, parameters, body, then the handler.

Whoever may not call an operation is told before the body is read, and sends it in vain. Knows no server.
"""

import asyncio
from typing import Any
from urllib.parse import parse_qs

from gateway.core.errors import Unauthorized
from gateway.domain.principal import Principal
from gateway.web.context import Context
from gateway.web.http.body import media_of, read_content, refuse_body
from gateway.web.http.call import Call, Headers
from gateway.web.http.path import device_name
from gateway.web.http.query import read_query
from gateway.web.http.responses import Answer, Stream

BEARER = "bearer."
"""How the WebSocket subprotocol begins that carries a token: browsers can send no Authorization header there."""


async def dispatch(call: Call[Any, Any], parts: Context) -> Answer | Stream | None:
    """Return what the operation answers, None if the connection was given away. Raises GatewayErrors."""
    operation = call.operation
    device: str | None = None
    if "device" in call.path:
        device = call.path["device"] = device_name(call.path["device"])
    if operation.access.roles:
        await identify(call, parts)
        operation.access.check(call.principal, device)
    if operation.body is not None and operation.body.media:
        media_of(call.headers, operation.body.media)
    if operation.query is not None:
        call.query = read_query(operation.query, _parameters(call.query_string))
    if operation.share is None:
        return await _served(call, parts)
    async with parts.shares[operation.share].place(call.principal.caller):  # before its body: who waits holds nothing
        return await _served(call, parts)


async def _served(call: Call[Any, Any], parts: Context) -> Answer | Stream | None:
    """Read the body and have the call handled; a read ends when its credential does."""
    operation = call.operation
    if operation.body is None:
        refuse_body(call.incoming)
    else:
        call.content = await read_content(call, operation.body, parts.bodies)
        if operation.access.roles:
            parts.watch.check(call.authorization, call.principal)  # the body may have been long in coming
    if not operation.is_read:
        return await _handled(call, parts)
    async with parts.watch.bounded(call.authorization, call.principal, brief=True):
        return await _handled(call, parts)


async def _handled(call: Call[Any, Any], parts: Context) -> Answer | Stream | None:
    answer = call.operation.handle(call, parts)
    return answer if isinstance(answer, (Answer, Stream)) else await answer


async def identify(call: Call[Any, Any], parts: Context) -> None:
    """Note who is calling; from the cache at once, else after a look-up.

    Raises Unauthorized, SinkUnavailable; and RateLimited, for every request that is identified counts.
    """
    limits = parts.limits
    if limits is not None and call.visit is not None:
        limits.arrive(call.visit, call.peer, call.headers)
    header = call.authorization = _credential(call)
    if header is not None and not header.isascii():
        raise Unauthorized
    known = parts.authenticator.principal(header)
    call.principal = known or await _authenticated(call, parts)
    if call.connection is not None:
        call.connection.know(call.principal.device)
    if limits is not None and call.visit is not None:
        limits.identified(call.visit, call.principal)


async def _authenticated(call: Call[Any, Any], parts: Context) -> Principal:
    hold_back = asyncio.sleep if call.connection is None else call.connection.hold_back
    address = parts.address(call.peer, call.headers)
    return await parts.authenticator.authenticate(call.authorization, address, hold_back=hold_back)


def offered_subprotocols(headers: Headers) -> list[str]:
    """Return what a WebSocket client offers to speak."""
    return [offered.strip() for line in headers.getall("sec-websocket-protocol", []) for offered in line.split(",")]


def _credential(call: Call[Any, Any]) -> str | None:
    header = call.header("authorization")
    if header is None and call.operation.upgrades:
        tokens = [offered for offered in offered_subprotocols(call.headers) if offered.startswith(BEARER)]
        return f"Bearer {tokens[0].removeprefix(BEARER)}" if tokens else None
    return header


def _parameters(query_string: str) -> dict[str, list[str]]:
    return parse_qs(query_string, keep_blank_values=True, errors="replace") if query_string else {}
