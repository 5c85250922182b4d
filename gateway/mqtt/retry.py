"""Retry without end: a call → its result. Ends early only when it is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

from gateway.core.backoff import full_jitter
from gateway.core.errors import GatewayError, Unavailable
from gateway.telemetry import mqtt_events

RETRY_BASE_SECS = 1.0
RETRY_CAP_SECS = 5.0

T = TypeVar("T")


async def retry_forever(call: Callable[[], Awaitable[T]], *, rng: Random) -> T:
    """Call until it succeeds; ends otherwise only when this task is cancelled."""
    attempt = 0
    while True:
        try:
            return await call()
        except GatewayError as exc:
            refusal = exc
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            refusal = Unavailable("given up by another part of the gateway")
        except Exception as exc:  # noqa: BLE001 -- not safe yet, so it must neither be acknowledged nor forgotten
            refusal = GatewayError(repr(exc))
        mqtt_events.deferred(refusal.code, refusal.message)
        base = refusal.retry_after or RETRY_BASE_SECS
        await asyncio.sleep(full_jitter(attempt, base=base, cap=RETRY_CAP_SECS, rng=rng))
        attempt += 1


def _is_cancelled() -> bool:
    """Whether this task itself is asked to end, and not just something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
