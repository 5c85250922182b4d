"""A process that appends to a spool until it is killed: says the number of each batch once its append has returned.

Arguments: folder, worker, first number. Never ends by itself.
"""

import asyncio
import sys
from itertools import count

from gateway.core import settings
from gateway.domain.layouts import Layouts
from gateway.ingest.spool.folder import open_spools
from tests.builders.batches import batch
from tests.fakes import ManualClock

WRITERS = 3
SPREAD = 1_000_000
"""Numbers between the first ones of two writers."""


async def write(folder: str, worker: str, first: int) -> None:
    limits = settings.SpoolSettings(dir=folder)
    async with open_spools(limits, worker, layouts=Layouts(), clock=ManualClock()) as spools:

        async def one(lane: int) -> None:
            for number in count(first + lane * SPREAD):
                await spools.own.append([batch(Layouts(), (f"d{lane}", number, {"n": number}))])
                print("kept", number, flush=True)  # noqa: T201 - the pipe to the test

        await asyncio.gather(*(one(lane) for lane in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1], sys.argv[2], int(sys.argv[3])))
