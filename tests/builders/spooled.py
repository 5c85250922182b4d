"""In: batches for a spool on disk, and ways to look at it and to break it. Never more than one event loop at a time."""

import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from gateway.core import settings
from gateway.core.clock import Clock
from gateway.domain.contracts.ingest import Spool
from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch, Kind
from gateway.ingest.spool.folder import Spools, open_spools
from tests.builders.batches import NOON, Message, Reading, batch, readings
from tests.fakes import ManualClock


def named(device: str, messages: int = 1) -> Batch:
    said: list[Message] = [(device, i, {"t": i + 0.5, "h": 0.25}) for i in range(messages)]
    return batch(Layouts(), *said)


def many(count: int, messages: int = 20) -> list[Batch]:
    return [named(f"d{i}", messages) for i in range(count)]


def names(count: int) -> list[str]:
    """The devices of `many`."""
    return [f"d{i}" for i in range(count)]


@asynccontextmanager
async def opened(
    folder: Path, worker: str = "w", *, max_bytes: int = 2**30, clock: Clock | None = None
) -> AsyncIterator[Spools]:
    limits = settings.SpoolSettings(dir=str(folder), max_bytes=max_bytes)
    async with open_spools(limits, worker, layouts=Layouts(), clock=clock or ManualClock()) as spools:
        yield spools


async def fill(spool: Spool, error: type[Exception], messages: int = 200) -> int:
    """Append until it is refused with this error; return how many batches were taken."""
    for taken in range(5000):
        try:
            await spool.append([named(f"d{taken}", messages)])
        except error:
            return taken
    pytest.fail("it has no end")


async def devices_in(spool: Spool) -> list[str]:
    """The device of the first message of each batch, oldest first."""
    return [each.batch.devices[0] for each in await spool.oldest(10**9)]


def messages_of(one: Batch) -> list[Message]:
    return [
        (
            one.devices[i],
            one.times[i] - NOON,
            {
                metric.name: bool(value) if metric.kind is Kind.BOOL else value
                for metric, value in zip(one.table[one.layouts[i]].posted, row, strict=True)
            },
        )
        for i, row in enumerate(one.rows())
    ]


def readings_of(batches: Iterable[Batch]) -> list[Reading]:
    return readings(*(message for one in batches for message in messages_of(one)))


def execute(path: Path, *statements: str) -> None:
    """Change a closed file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def files(folder: Path, pattern: str = "*") -> dict[str, int]:
    """Names and sizes."""
    return {path.name: path.stat().st_size for path in folder.glob(pattern)}
