"""An Idempotency-Key and what to do in, the first answer to it out, as often as asked. Never the only protection.

The readings' own keys absorb a repeat anyway: without Redis, or after a claim has run out, a body is taken again.
"""

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sanic import HTTPResponse, Request

from gateway.admission.auth import to_token
from gateway.contracts import Kept
from gateway.errors import BadRequest, IdempotencyInProgress, IdempotencyMismatch, StateUnavailable
from gateway.model import Receipt
from gateway.receipts import to_json
from gateway.telemetry import events
from gateway.web.context import Context
from gateway.web.replies import reply

HEADER, REPLAYED = "idempotency-key", "idempotency-replayed"
MAX_KEY = 255
"""Characters."""
MAX_KEPT_BYTES = 64 * 1024
"""Of a receipt: Redis must not fill up with long lists of refusals. A repeat of that body is judged anew."""

Take = Callable[[], Awaitable[Receipt]]


def key_of(request: Request) -> str | None:
    """Return the request's key, None if it has none. Raises BadRequest for one that is not allowed."""
    key: str | None = request.headers.getone(HEADER, None)
    if key is not None and not (0 < len(key) <= MAX_KEY and all("!" <= c <= "~" for c in key)):
        raise BadRequest(f"the key must have 1 to {MAX_KEY} visible ASCII characters", parameter="Idempotency-Key")
    return key


async def take_once(request: Request, context: Context, take: Take, *, key: str, body: bytes) -> HTTPResponse:
    """Answer as the first time, or take the readings in and keep the receipt.

    Raises IdempotencyMismatch for the key of another request, IdempotencyInProgress while the first one runs, and what
    `take` raises; of that nothing is kept, so that a repeat is judged anew.
    """
    name, fingerprint = _name(request, key), _digest(request.raw_url, body)
    try:
        kept = await context.receipts.claim(name, fingerprint)
    except StateUnavailable:
        events.idempotency("unprotected")
        receipt = await take()
        return reply(request, context, to_json(receipt), status=receipt.status)
    if kept is None:
        kept = await _first(context, name, fingerprint, take)
        return reply(request, context, kept.body, status=kept.status)
    _check(kept, fingerprint)
    events.idempotency("replayed")
    return reply(request, context, kept.body, status=kept.status, headers={REPLAYED: "true"})


async def _first(context: Context, name: str, fingerprint: bytes, take: Take) -> Kept:
    try:
        receipt = await take()
    except Exception:
        with suppress(StateUnavailable):
            await context.receipts.release(name)
        raise
    kept = Kept(fingerprint, receipt.status, to_json(receipt))
    with suppress(StateUnavailable):
        if len(kept.body) <= MAX_KEPT_BYTES:
            await context.receipts.keep(name, kept)
        else:
            await context.receipts.release(name)
    return kept


def _check(kept: Kept, fingerprint: bytes) -> None:
    if kept.fingerprint != fingerprint:
        events.idempotency("mismatch")
        raise IdempotencyMismatch
    if not kept.status:
        events.idempotency("in_progress")
        raise IdempotencyInProgress


def _name(request: Request, key: str) -> str:
    """Return the key within its credential: two clients who both count from 1 must not meet."""
    credential = to_token(request.headers.getone("authorization", None)) or ""
    return _digest(credential.encode(), key.encode()).hex()


def _digest(first: bytes, second: bytes) -> bytes:
    return hashlib.sha256(len(first).to_bytes(8) + first + second).digest()
