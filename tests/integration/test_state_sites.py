"""What nobody uses any more leaves Redis: of this installation, and after nobody has used it for a while."""

import redis.asyncio

from gateway.core.settings import RedisSettings
from gateway.state import stale_sites
from gateway.state.store import open_state

OLD, NEW, OTHER = "0f8fad5b.aaaaaa", "0f8fad5b.bbbbbb", "1b9d6bcd.aaaaaa"
KEYS = [f"gateway:{OLD}:d{i}" for i in range(120)] + [f"gateway:{OLD}/receipts:k", f"gateway:{OLD}:#complete"]
KEPT = [f"gateway:{NEW}:d1", f"gateway:{OTHER}:d1", f"gateway:{OLD}0:d1"]


async def test_keys_of_a_line_of_history_that_is_over_go_and_no_others(valkey: str) -> None:
    async with redis.asyncio.from_url(valkey) as client, open_state(RedisSettings(url=valkey), site=NEW) as state:
        for key in (*KEYS, *KEPT):
            await client.set(key, "x")
        now = int((await client.time())[0])
        await client.zadd(stale_sites.KEY, {OLD: now, OTHER: now - 10 * stale_sites.UNUSED_SECS})
        await state.tidy()
        assert await client.exists(*KEYS) == len(KEYS)
        await client.zadd(stale_sites.KEY, {OLD: now - stale_sites.UNUSED_SECS - 1})
        await state.tidy()
        assert await client.exists(*KEYS) == 0
        assert await client.exists(*KEPT) == len(KEPT)
        assert sorted(await client.zrange(stale_sites.KEY, 0, -1)) == [NEW.encode(), OTHER.encode()]


async def test_many_keys_take_many_looks(valkey: str) -> None:
    async with redis.asyncio.from_url(valkey) as client, open_state(RedisSettings(url=valkey), site=NEW) as state:
        count = 3 * stale_sites.CALLS * stale_sites.LOOKED_AT // 2
        await client.mset({f"gateway:{OLD}:d{i}": "x" for i in range(count)})
        await client.zadd(stale_sites.KEY, {OLD: 1})
        await state.tidy()
        assert 0 < await client.dbsize() - 1 < count
        while await client.zscore(stale_sites.KEY, OLD) is not None:
            await state.tidy()
        assert await client.keys(f"gateway:{OLD}:*") == []


async def test_nothing_is_asked_before_the_database_is_known(valkey: str) -> None:
    async with redis.asyncio.from_url(valkey) as client, open_state(RedisSettings(url=valkey)) as state:
        await state.tidy()
        assert await client.dbsize() == 0
