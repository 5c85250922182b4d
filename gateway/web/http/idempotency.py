"""An Idempotency-Key and what to do in, the first answer to it out, as often as asked. Never the only protection.

The readings' own keys absorb a repeat anyway: without Redis, or after a claim has run out, a body is taken again. A
receipt says that readings are stored, so it is not repeated after one of their devices was removed.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from gateway.core.errors import BadRequest, IdempotencyInProgress, IdempotencyMismatch, StateUnavailable
from gateway.core.slices import Steps
from gateway.core.tasks import background
from gateway.domain.contracts.idempotency import AnswerKey, Claim, KeptAnswer
from gateway.domain.model import Receipt
from gateway.domain.principal import Role
from gateway.ingest.admission.auth import to_token
from gateway.ingest.receipts import to_json
from gateway.telemetry import events
from gateway.web.context import Context
from gateway.web.http.call import Call
from gateway.web.http.responses import Answer
from gateway.web.limits.body_budget import Hold

HEADER, REPLAYED = "idempotency-key", "idempotency-replayed"
MAX_KEY = 255
"""Characters."""
SHORTER = (100, 0)
"""Refusals that are kept of a receipt which is too large to be kept whole; its counts always are."""
DIGEST_CHARS = 32
"""Of the digests that name a key and its credential: 128 bits."""

DIGESTED_BYTES = 2**20
"""Of a body in one step."""
RENEW_SECS = 3.0
TRIES = 3
"""Answers that hold no more, found under one key one after the other."""

Take = Callable[[], Awaitable[Receipt]]
Devices = Callable[[], Awaitable[Collection[str]]]
"""Tells whose readings the body holds; asked for a repeat only."""


def key_of(call: Call[Any, Any]) -> str | None:
    """Return the request's key, None if it has none. Raises BadRequest for one that is not allowed."""
    key = call.header(HEADER)
    if key is not None and not (0 < len(key) <= MAX_KEY and all("!" <= c <= "~" for c in key)):
        raise BadRequest(f"the key must have 1 to {MAX_KEY} visible ASCII characters", parameter="Idempotency-Key")
    return key


async def take_once(
    call: Call[Any, Any], context: Context, take: Take, *, key: str, body: bytes, devices: Devices, hold: Hold
) -> Answer:
    """Answer as the first time, or take the readings in and keep the receipt.

    What was begun is concluded also if the client goes away: its repeat must find the receipt, and no claim of nobody.
    Raises IdempotencyMismatch for the key of another request, IdempotencyInProgress while the first one runs, and what
    `take` raises; of that nothing is kept, so that a repeat is judged anew.
    """
    name, fingerprint = _name(call, key), await context.bodies.slices.run(_digest_long(call.url, body))
    work = asyncio.create_task(_conclude(context, name, fingerprint, take, devices), name="idempotency.conclude")
    context.concluding.add(work)
    work.add_done_callback(lambda done: _concluded(context, done))
    try:
        kept, is_repeat = await asyncio.shield(work)
    except asyncio.CancelledError:
        hold.outlive(work)
        raise
    return Answer(kept.body, kept.status, {REPLAYED: "true"} if is_repeat else {})


async def _conclude(
    context: Context, name: AnswerKey, fingerprint: bytes, take: Take, devices: Devices
) -> tuple[KeptAnswer, bool]:
    """Return the answer, and whether it is a repeat."""
    for _ in range(TRIES):
        try:
            held = await context.receipts.claim(name, fingerprint)
        except StateUnavailable:
            events.idempotency("unprotected")
            return _to_kept(fingerprint, await take()), False
        if isinstance(held, Claim):
            return await _first(context, name, held, take), False
        _check(held, fingerprint)
        whose = await devices()
        if not await context.receipts.removed(whose, since_us=held.since_us):
            events.idempotency("replayed")
            return held, True
        events.idempotency("outdated")
        context.devices_changed(whose)
        await context.receipts.release(name, held)
    raise IdempotencyInProgress


def _concluded(context: Context, work: "asyncio.Task[tuple[KeptAnswer, bool]]") -> None:
    context.concluding.discard(work)
    if not work.cancelled():
        work.exception()  # whoever waited has got it; if nobody did, there is nobody to tell


async def _first(context: Context, name: AnswerKey, claim: Claim, take: Take) -> KeptAnswer:
    try:
        async with background(_renew(context, name, claim), name="idempotency.renew"):
            receipt = await take()
    except Exception:
        with suppress(StateUnavailable):
            await context.receipts.release(name, claim)
        raise
    kept = _to_kept(claim.fingerprint, receipt, since_us=claim.since_us)
    with suppress(StateUnavailable):
        await _keep(context, name, claim, kept, receipt)
    return kept


async def _keep(context: Context, name: AnswerKey, claim: Claim, kept: KeptAnswer, receipt: Receipt) -> None:
    """Keep the answer, or what of it may be kept: a repeat must not be taken in anew for the length of its receipt."""
    if await context.receipts.keep(name, claim, kept):
        return
    events.idempotency("shortened")
    for most in SHORTER:
        errors = receipt.errors[:most]
        shorter = replace(receipt, errors=errors, errors_truncated=True)
        if await context.receipts.keep(name, claim, kept._replace(body=to_json(shorter))):
            return


async def _renew(context: Context, name: AnswerKey, claim: Claim) -> None:
    """Keep a claim for as long as its request runs."""
    while True:
        await asyncio.sleep(RENEW_SECS)
        with suppress(StateUnavailable):
            await context.receipts.renew(name, claim)


def _to_kept(fingerprint: bytes, receipt: Receipt, *, since_us: int = 0) -> KeptAnswer:
    return KeptAnswer(fingerprint, receipt.status, to_json(receipt), since_us)


def _check(kept: KeptAnswer, fingerprint: bytes) -> None:
    if kept.fingerprint != fingerprint:
        events.idempotency("mismatch")
        raise IdempotencyMismatch
    if not kept.status:
        events.idempotency("in_progress")
        raise IdempotencyInProgress


def _name(call: Call[Any, Any], key: str) -> AnswerKey:
    """Return the key within its credential: two clients who both count from 1 must not meet.

    What is kept counts against the token, or against the device whose tokens they are.
    """
    token, principal = (to_token(call.authorization) or "").encode(), call.principal
    device = principal.device if principal.role is Role.DEVICE else None
    payer = _digest(b"token", token) if device is None else _digest(b"device", device.encode())
    return AnswerKey(payer.hex()[:DIGEST_CHARS], _digest(token, key.encode()).hex()[:DIGEST_CHARS])


def _digest_long(first: bytes, second: bytes) -> Steps[bytes]:
    """Return the digest of what may be long."""
    digest = hashlib.sha256(len(first).to_bytes(8) + first)
    for start in range(0, len(second), DIGESTED_BYTES):
        digest.update(second[start : start + DIGESTED_BYTES])
        yield
    return digest.digest()


def _digest(first: bytes, second: bytes) -> bytes:
    return hashlib.sha256(len(first).to_bytes(8) + first + second).digest()
