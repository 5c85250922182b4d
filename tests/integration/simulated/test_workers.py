"""Processes that send one run, while they start: told to stop before they can listen, they stop all the same."""

import asyncio
from pathlib import Path

from simulator.measure import workers as worker
from simulator.measure.workers import Workers
from simulator.send.ledger_folder import LedgerFolder
from tests.fakes import fake_gateway
from tests.integration.simulated.test_run import idle
from tests.unit.simulator.cases import plan


async def test_processes_that_are_still_starting_are_stopped_too_and_say_so(tmp_path: Path) -> None:
    files = LedgerFolder.create(tmp_path / "files", plan(workers=2, seconds=600.0))
    async with fake_gateway.running() as gateway:
        workers = Workers(files, {worker.URL: gateway.url, worker.MQTT: "127.0.0.1:1", worker.KEY: ""})
        workers.stop()
        async with asyncio.timeout(60):
            results = await workers.send(idle)
        assert gateway.bodies == []
    assert [part.counts.sent for result in results for part in result.parts] == [0, 0]
    assert files.began().keys() == {0, 1}
