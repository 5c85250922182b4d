"""`gateway state rebuild` as people type it, on a real database and a real Valkey."""

import asyncio

import pytest

from gateway.app.cli.state import state_app
from gateway.app.dev_servers.ports import free_port
from gateway.core import settings
from gateway.core.errors import StateUnavailable
from gateway.state.store import Progress, RedisState, open_state
from gateway.timescale.server import site
from tests.integration.writing import open_gateway
from tests.servers.databases import Database

SOON = 20.0


async def _run(*words: str) -> None:
    def call() -> None:
        with pytest.raises(SystemExit) as left:
            state_app(["rebuild", *words])
        assert not left.value.code

    await asyncio.to_thread(call)


@pytest.fixture(autouse=True)
def _settings(plain_db: Database, valkey: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE__URL", plain_db.url)
    monkeypatch.setenv("GATEWAY_REDIS__URL", valkey)


async def test_it_fills_the_state_and_says_so(
    plain_db: Database, valkey: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_gateway(plain_db.url) as gateway:
        written = await gateway.write([(f"d{i}", i, {"a": i + 0.5}) for i in range(30)])
        name = await site(gateway.pool)
    await _run()
    assert capsys.readouterr().out.splitlines()[-2:] == ["30 of 30 series", "The state is complete."]
    async with open_state(settings.RedisSettings(url=valkey), site=name) as state:
        assert (await state.check()).complete
        shown = await state.read([f"d{i}" for i in range(30)])
    assert sorted(entry.time_us for entries in shown for entry in entries or ()) == sorted(
        int(time) for block in written.newest for time in block.times
    )


async def test_it_looks_on_while_a_gateway_rebuilds(
    plain_db: Database, valkey: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway begins just after the command has declared the state incomplete."""
    async with open_gateway(plain_db.url) as gateway:
        name = await site(gateway.pool)
    mark_incomplete = RedisState.mark_incomplete
    async with open_state(settings.RedisSettings(url=valkey), site=name) as other:
        server = (await other.check()).server

        async def doubt_and_lose_the_race(state: RedisState) -> None:
            await mark_incomplete(state)
            async with open_state(
                settings.RedisSettings(url=valkey), site=name
            ) as rival:  # the command has a loop of its own
                rival._name = other._name
                assert await rival.step("begin", progress=Progress(3, 9), server=server)

        monkeypatch.setattr(RedisState, "mark_incomplete", doubt_and_lose_the_race)
        running = asyncio.create_task(_run())
        seen = ""
        async with asyncio.timeout(SOON):
            while "3 of 9 series" not in seen:
                await asyncio.sleep(0.01)
                seen += capsys.readouterr().out
            assert await other.step("finish", progress=Progress(9, 9), server=server)
            await running
        assert capsys.readouterr().out.endswith("The state is complete.\n")


async def test_without_redis_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_REDIS__URL", f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(StateUnavailable):
        await asyncio.to_thread(state_app, ["rebuild", "--quiet"])
