"""A Redis that drops keys when its memory is full is named where people look, as soon as somebody sets it so."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
import redis.asyncio

from gateway.app.dev_servers.valkey import ValkeyServer
from gateway.core import settings
from gateway.state import rebuilder
from gateway.state.rebuilder import StateWatcher
from gateway.state.store import open_state
from gateway.telemetry import prometheus, state_events
from tests.fakes import MemoryNewest, MemorySink
from tests.integration.live_gateways import quicken, until


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    quicken(monkeypatch)
    monkeypatch.setattr(rebuilder, "MEMORY_SECS", 0.0)
    said: list[str] = []

    def say(level: str, event: str, *_: object, **keys: object) -> None:
        said.append(f"{event}: {level} {keys.get('policy', '')}")

    monkeypatch.setattr(state_events, "say", say)
    return said


@asynccontextmanager
async def keeping_an_eye(url: str) -> AsyncIterator[StateWatcher]:
    async with (
        open_state(settings.RedisSettings(url=url), site="test") as state,
        StateWatcher(state, MemoryNewest(MemorySink())) as watcher,
    ):
        yield watcher


async def _comes(watcher: StateWatcher, facts: Mapping[str, object]) -> None:
    async def come() -> bool:
        return facts.items() <= watcher.facts().items()

    await until(come)


async def test_a_policy_that_evicts_is_named_while_it_lasts(own_valkey: ValkeyServer, said: list[str]) -> None:
    async with keeping_an_eye(own_valkey.url()) as watcher, redis.asyncio.from_url(own_valkey.url()) as client:
        await _comes(watcher, {"maxmemory_policy": "noeviction", "complete": True})
        assert not watcher.evicts
        assert "warning" not in watcher.facts()
        await client.config_set("maxmemory-policy", "allkeys-lru")
        await _comes(watcher, {"maxmemory_policy": "allkeys-lru"})
        assert watcher.evicts
        assert "set maxmemory-policy to noeviction" in str(watcher.facts()["warning"])
        assert prometheus.state_evicting._value.get() == 1
        await client.config_set("maxmemory-policy", "volatile-lru")
        await _comes(watcher, {"maxmemory_policy": "volatile-lru"})
        assert not watcher.evicts
        assert prometheus.state_evicting._value.get() == 0
    assert said[2:] == ["state_evicting: warning allkeys-lru", "state_not_evicting: info volatile-lru"]


async def test_what_was_evicted_is_counted(own_valkey: ValkeyServer, said: list[str]) -> None:
    async with redis.asyncio.from_url(own_valkey.url()) as client:
        await client.config_set("maxmemory-policy", "allkeys-lru")
        await client.config_set("maxmemory", (await client.info("memory"))["used_memory"] + 100_000)
        for number in range(20):
            await client.set(f"filler:{number}", b"x" * 20_000)
        evicted = (await client.info("stats"))["evicted_keys"]
        await client.config_set("maxmemory", 0)
    async with keeping_an_eye(own_valkey.url()) as watcher:
        await _comes(watcher, {"maxmemory_policy": "allkeys-lru"})
    assert evicted > 0
    assert prometheus.state_evicted_keys._value.get() == evicted
    assert said[0].startswith("state_")


async def test_a_server_that_forbids_config_is_asked_all_the_same(own_valkey: ValkeyServer, said: list[str]) -> None:
    """As managed ones do."""
    async with redis.asyncio.from_url(own_valkey.url()) as client:
        await client.config_set("maxmemory-policy", "allkeys-lfu")
        await client.acl_setuser("gateway", enabled=True, passwords=["+x"], keys=["*"], commands=["+@all", "-config"])
    url = own_valkey.url().replace("redis://", "redis://gateway:x@")
    async with keeping_an_eye(url) as watcher:
        await _comes(watcher, {"maxmemory_policy": "allkeys-lfu", "complete": True})
    assert "state_evicting: warning allkeys-lfu" in said
