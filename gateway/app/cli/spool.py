"""`gateway spool`: what waits on disk for the database, and how to empty it when its gateway is gone."""

import asyncio
import sqlite3
import sys
import time
from pathlib import Path
from typing import Annotated, NamedTuple

from cyclopts import App, Parameter

from gateway.app.cli.target import Config, command_settings
from gateway.core.errors import SpoolFault
from gateway.core.settings import Settings
from gateway.core.timestamps import to_datetime

spool_app = App(name="spool", help="Readings that wait on disk while the database is away.")

PROGRESS_SECS = 1.0
Folder = Annotated[Path | None, Parameter(name="--dir", help="The spool's folder; default spool.dir of the settings.")]


class Content(NamedTuple):
    """What a spool file holds."""

    name: str
    messages: int
    readings: int
    damaged: int
    oldest_us: int | None


@spool_app.command
def status(*, config_file: Config = None, folder: Folder = None) -> None:
    """List the spool files, also those a running gateway has open.

    Examples:
        gateway spool status
        gateway spool status --dir /var/lib/gateway/spool
    """
    directory = folder or Path(command_settings(config_file).spool.dir)
    contents = [_look(path) for path in sorted(directory.glob("*.db"))]
    for each in contents:
        oldest = None if each.oldest_us is None else to_datetime(each.oldest_us).isoformat(timespec="seconds")
        age = f", the oldest of {oldest}" if oldest else ""
        damaged = f", {each.damaged} damaged and set aside" if each.damaged else ""
        print(f"{each.name}: {each.messages:,} messages, {each.readings:,} readings{age}{damaged}")
    total = sum(each.messages for each in contents)
    print(f"{total:,} messages wait in {directory}." if total else f"Nothing waits in {directory}.")


@spool_app.command
def drain(
    *,
    config_file: Config = None,
    folder: Folder = None,
    give_up: Annotated[float, Parameter(help="Seconds without progress after which to give up.")] = 30.0,
) -> None:
    """Store what gateways that are gone have left; a running gateway drains its own. Safe to interrupt and repeat.

    Examples:
        gateway spool drain
        gateway spool drain --dir /mnt/old-disk/spool
    """
    settings = command_settings(config_file)
    if folder is not None:
        from msgspec.structs import replace  # noqa: PLC0415

        settings = replace(settings, spool=replace(settings.spool, dir=str(folder)))
    left = asyncio.run(_drain(settings, give_up))
    if left:
        print(f"gateway: {left:,} messages could not be stored; they stay in the spool.", file=sys.stderr)
        raise SystemExit(1)
    print("Nothing waits any more.")


async def _drain(settings: Settings, give_up: float) -> int:
    """Return how many messages are left when there is no progress any more."""
    from gateway.app.storage import open_drainer  # noqa: PLC0415 - heavy

    async with open_drainer(settings) as drainer:
        rows, since = drainer.waiting().rows, time.monotonic()
        while rows and time.monotonic() - since < give_up:
            print(f"{rows:,} messages wait … {drainer.waiting().error}", flush=True)
            await asyncio.sleep(PROGRESS_SECS)
            before, rows = rows, drainer.waiting().rows
            since = time.monotonic() if rows < before else since
        return rows


def _look(path: Path) -> Content:
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2)
        try:
            (messages, readings, damaged) = connection.execute(
                "select messages, readings, damaged from totals"
            ).fetchone()
            (oldest,) = connection.execute("select appended_us from records order by id limit 1").fetchone() or (None,)
        finally:
            connection.close()
    except sqlite3.Error as exc:
        raise SpoolFault(f"cannot read {str(path)!r}: {exc}") from exc
    return Content(path.name, messages, readings, damaged, oldest)
