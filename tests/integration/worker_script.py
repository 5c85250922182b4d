"""A gateway of two workers with scripted parts, to be started and killed as a real process.

`python -m tests.integration.worker_script PORT WORKERS FOLDER`: a worker refuses to start while FOLDER/refuse exists,
waits for ever while FOLDER/hang exists, and a body `slow` is answered half a second after FOLDER/taken was made.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.app.processes.supervisor import serve
from gateway.core.errors import StartError
from gateway.core.settings import HttpSettings, Settings
from gateway.domain.model import Receipt
from gateway.services.dead_letter_replay import DeadLetterReplay
from gateway.telemetry.rates import RateHistory
from gateway.web.context import Context, IngestParts, ReadParts, RegistryParts
from gateway.web.ports import Health
from tests.builders.live_parts import Stage
from tests.fakes.receipts import MemoryReceipts
from tests.integration.registries import NO_LISTING, NO_REGISTRAR
from tests.integration.web_server import (
    CLEAN,
    NOTHING_STORED,
    FixedClock,
    NoDeadLetters,
    ScriptedAuthenticator,
    ScriptedCensus,
    ScriptedLive,
)

FOLDER_ENV = "WORKER_SCRIPT_FOLDER"
REFUSES = "the store is not there"


class SlowIntake:
    is_open = True

    def refuse_if_full(self) -> None:
        pass

    async def devices(self, _: bytes) -> set[str]:
        return set()

    def at_once(self, body: bytes, **_: object) -> None:
        """Nothing is taken at once here."""

    async def take(self, body: bytes, **_: object) -> Receipt:
        if body == b"slow":
            (Path(os.environ[FOLDER_ENV]) / "taken").touch()
            await asyncio.sleep(0.5)
        return CLEAN


@asynccontextmanager
async def open_runtime(settings: Settings, worker: str) -> AsyncIterator[Context]:
    if (Path(os.environ[FOLDER_ENV]) / "refuse").exists():
        raise StartError(REFUSES)
    if (Path(os.environ[FOLDER_ENV]) / "hang").exists():
        (Path(os.environ[FOLDER_ENV]) / f"hangs {worker}").write_text(str(os.getpid()))
        await asyncio.Event().wait()

    async def health() -> Health:
        return Health(ready=True, parts={"process": {"pid": os.getpid()}})

    yield Context(
        settings,
        worker=worker,
        clock=FixedClock(),
        authenticator=ScriptedAuthenticator(),
        ways_in=IngestParts(
            SlowIntake(), MemoryReceipts(), NoDeadLetters(), DeadLetterReplay(SlowIntake(), NoDeadLetters())
        ),
        ways_out=ReadParts(ScriptedLive(), NOTHING_STORED, Stage().streams),
        fleet=RegistryParts(NO_REGISTRAR, NO_LISTING, ScriptedCensus()),
        health=health,
        history=RateHistory(),
    )


if __name__ == "__main__":
    port, workers, folder = sys.argv[1:]
    os.environ[FOLDER_ENV] = folder
    http = HttpSettings(port=int(port), workers=int(workers), drain_secs=0.2, grace_secs=5)
    serve(Settings(http=http), open_runtime)
