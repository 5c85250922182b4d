"""Session of a command on the registry: its result, or a sentence on stderr and an exit code. Never a traceback."""

import asyncio
import getpass
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeVar

from msgspec.structs import asdict

from gateway.app.cli.wording import in_options
from gateway.core.clock import SystemClock
from gateway.core.errors import BadRequest, GatewayError, SettingsError, SinkFault, SinkUnavailable
from gateway.core.settings_file import with_env
from gateway.domain.devices import LastSeen

if TYPE_CHECKING:  # these bring the database driver, which "--help" must not wait for
    from gateway.core.clock import Clock
    from gateway.services.device_listing import DeviceListing
    from gateway.services.registry import Registrar
    from gateway.timescale.dead_letters.browse import StoredDeadLetters

FAILED = 1
USAGE = 2
_COMMAND_TIMEOUT_SECS = 30.0

Answer = TypeVar("Answer")


class AdminSession(NamedTuple):
    """What the commands work on."""

    registrar: "Registrar"
    listing: "DeviceListing"
    """Knows from the database when devices were last heard of."""
    dead_letters: "StoredDeadLetters"
    actor: str
    """Who types, for the audit."""
    clock: "Clock"

    def fields(self, seen: LastSeen) -> dict[str, object]:
        """Return a device as it is shown."""
        status = seen.status(now_us=self.clock.now_us(), offline_after_secs=self.listing.offline_after_secs)
        return asdict(status)


def run(work: Callable[[AdminSession], Awaitable[Answer]], *, database: str | None) -> Answer:
    """Return what `work` returns; on a GatewayError say why and exit with 2 (wrong use) or 1 (everything else)."""
    try:
        return asyncio.run(_with_session(work, database))
    except GatewayError as exc:
        _leave(exc, database=database is not None)


def exit_on_error(call: Callable[[], Answer]) -> Answer:
    """Return what `call` returns, and leave as `run` does: for work that needs no database."""
    try:
        return call()
    except GatewayError as exc:
        _leave(exc)


async def _with_session(work: Callable[[AdminSession], Awaitable[Answer]], database: str | None) -> Answer:
    from gateway.app.cli.newest import states_of  # noqa: PLC0415
    from gateway.app.cli.target import command_settings  # noqa: PLC0415 -- see above
    from gateway.app.pools import command_pool  # noqa: PLC0415
    from gateway.services.device_listing import DeviceListing  # noqa: PLC0415
    from gateway.services.registry import build_registrar  # noqa: PLC0415
    from gateway.timescale.dead_letters.browse import StoredDeadLetters  # noqa: PLC0415
    from gateway.timescale.newest import StoredTimes, TimescaleNewest  # noqa: PLC0415

    settings = command_settings()
    clock = SystemClock()
    async with command_pool(settings, "gateway registry", url=database, command_secs=_COMMAND_TIMEOUT_SECS) as pool:
        registrar = build_registrar(pool, states_of(settings.redis, pool), clock=clock)
        listing = DeviceListing(
            registrar.devices,
            StoredTimes(TimescaleNewest(pool)),
            clock=clock,
            monotonic=time.monotonic,
            offline_after_secs=settings.devices.offline_after_secs,
        )
        return await work(AdminSession(registrar, listing, StoredDeadLetters(pool), f"cli {_user()}", clock))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many containers
        return "unknown"


def explain(exc: GatewayError) -> str:
    """Return what is wrong: settings with both of their names, the database with its own words."""
    if isinstance(exc, SettingsError):
        return with_env(exc.message)
    cause = exc.__cause__
    if cause is None or not isinstance(exc, SinkUnavailable | SinkFault):
        return exc.message
    words = str(cause).splitlines()
    return f"{exc.message} ({': '.join([type(cause).__name__, *words[:1]])})"


def _leave(exc: GatewayError, *, database: bool = False) -> NoReturn:
    sys.stderr.write(f"error: {in_options(explain(exc), database=database)}\n")
    sys.exit(USAGE if isinstance(exc, BadRequest | SettingsError) else FAILED)
