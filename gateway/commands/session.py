"""In: work to do on the registry. Out: its result, or a sentence on stderr and an exit code. Never a traceback."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeVar

from gateway.errors import BadRequest, GatewayError, SettingsError, SinkFault, SinkUnavailable

if TYPE_CHECKING:  # these bring the database driver, which "--help" must not wait for
    from gateway.timescale.credentials import StoredCredentials
    from gateway.timescale.devices import DeclaredInts, Devices
    from gateway.timescale.letterbox import LetterBox

FAILED = 1
USAGE = 2
_COMMAND_TIMEOUT_SECS = 30.0

Answer = TypeVar("Answer")


class Registry(NamedTuple):
    """What the commands work on."""

    devices: "Devices"
    credentials: "StoredCredentials"
    declared_ints: "DeclaredInts"
    dead_letters: "LetterBox"


def run(work: Callable[[Registry], Awaitable[Answer]], *, database: str | None) -> Answer:
    """Return what `work` returns; on a GatewayError say why and exit with 2 (wrong use) or 1 (everything else)."""
    try:
        return asyncio.run(_with_registry(work, database))
    except GatewayError as exc:
        _leave(exc)


def spoken(call: Callable[[], Answer]) -> Answer:
    """Return what `call` returns, and leave as `run` does: for work that needs no database."""
    try:
        return call()
    except GatewayError as exc:
        _leave(exc)


async def _with_registry(work: Callable[[Registry], Awaitable[Answer]], database: str | None) -> Answer:
    from gateway.commands.here import settings_here  # noqa: PLC0415 -- see above
    from gateway.timescale.credentials import StoredCredentials  # noqa: PLC0415
    from gateway.timescale.devices import DeclaredInts, Devices  # noqa: PLC0415
    from gateway.timescale.letterbox import LetterBox  # noqa: PLC0415
    from gateway.timescale.pool import open_pool  # noqa: PLC0415

    settings = settings_here().database
    async with open_pool(
        database or settings.url,
        name="gateway registry",
        size=1,
        connect_timeout=settings.connect_timeout_secs,
        command_timeout=_COMMAND_TIMEOUT_SECS,
    ) as pool:
        credentials = StoredCredentials(pool, clock=_WallClock())
        return await work(Registry(Devices(pool), credentials, DeclaredInts(pool), LetterBox(pool)))


class _WallClock:
    def now_us(self) -> int:
        return time.time_ns() // 1000


def _leave(exc: GatewayError) -> NoReturn:
    message = exc.message
    cause = exc.__cause__
    if cause is not None and isinstance(exc, SinkUnavailable | SinkFault):
        words = str(cause).splitlines()
        message += f" ({': '.join([type(cause).__name__, *words[:1]])})"
    sys.stderr.write(f"error: {message}\n")
    sys.exit(USAGE if isinstance(exc, BadRequest | SettingsError) else FAILED)
