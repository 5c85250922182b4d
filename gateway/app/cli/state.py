"""`gateway state rebuild`: the newest state in Redis, filled again from the database. Changes no reading."""

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from gateway.app.cli.target import Config, command_settings
from gateway.core.settings import Settings

if TYPE_CHECKING:  # these bring the drivers, which "--help" must not wait for
    from gateway.state.rebuilder import Rebuilder
    from gateway.state.store import Progress, RedisState

LOOK_SECS = 0.5

Quiet = Annotated[bool, Parameter(name="--quiet", negative="", help="Do not show progress.")]

state_app = App(
    name="state",
    help="The newest state in Redis.",
    help_format="plaintext",
    help_epilogue="""Examples:

gateway state rebuild""",
)


@state_app.command(name="rebuild")
def rebuild_state(*, config_file: Config = None, quiet: Quiet = False) -> None:
    """Fill the newest state from the database again, while gateways may go on; until then they read from there.

    Gateways do it by themselves when something may be missing.
    """
    asyncio.run(_rebuild(command_settings(config_file), quiet=quiet))


async def _rebuild(settings: Settings, *, quiet: bool) -> None:
    from gateway.app.pools import command_pool  # noqa: PLC0415 -- see above
    from gateway.state.rebuilder import Rebuilder  # noqa: PLC0415
    from gateway.state.store import open_state  # noqa: PLC0415
    from gateway.timescale.newest import TimescaleNewest  # noqa: PLC0415
    from gateway.timescale.server import site  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(command_pool(settings, "gateway state"))
        state = await stack.enter_async_context(open_state(settings.redis, site=await site(pool)))
        stack.push_async_callback(state.leave)
        await state.mark_incomplete()
        await _until_complete(state, Rebuilder(state, TimescaleNewest(pool)), quiet=quiet)


async def _until_complete(state: "RedisState", rebuilder: "Rebuilder", *, quiet: bool) -> None:
    """Rebuild, or look on while a gateway that was faster does."""
    condition = await state.check()
    while not condition.complete:
        if condition.rebuild:
            _show(condition.rebuild, quiet=quiet)
            await asyncio.sleep(LOOK_SECS)
        else:
            await rebuilder.rebuild(condition.server, on_progress=lambda progress: _show(progress, quiet=quiet))
        condition = await state.check()
    sys.stdout.write("The state is complete.\n")


def _show(progress: "Progress", *, quiet: bool) -> None:
    if not quiet:
        sys.stdout.write(f"{progress.done} of {progress.total} series\n")
