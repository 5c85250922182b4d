"""Dead letters stay within their bytes as they come: one device's flood is counted, its own oldest go, others' stay."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.core.errors import GatewayError, SinkFault
from gateway.core.settings import DeadLetterSettings
from gateway.domain.dead_letters import DeadLetter, DeadLetterFilter, StoredDeadLetter
from gateway.telemetry import prometheus
from gateway.timescale.connections.pool import Pool, open_pool
from gateway.timescale.dead_letters.browse import StoredDeadLetters
from gateway.timescale.dead_letters.purge import keep_bound, purge
from gateway.timescale.dead_letters.store import TimescaleDeadLetters
from tests.integration.writing import SOON, execute, fetch
from tests.servers.databases import Database

SIZE = 10_000
SHARE = 40 * SIZE
SLOW = DeadLetterSettings(device_bytes=SHARE, device_bytes_per_sec=SIZE // 6)
"""Ten letters at once, and hardly any after that."""
FAST = DeadLetterSettings(device_bytes=SHARE, device_bytes_per_sec=10**9)
REAL = """
select owner, count(*)::int8, sum(octet_length(payload) + octet_length(detail) + 200)::int8 from dead_letters
group by owner order by owner
"""
ACCOUNTS = "select owner, letters, bytes from dead_letter_owners where letters > 0 order by owner"


@pytest.fixture
async def pool(timescale_db: Database) -> AsyncIterator[Pool]:
    await execute(timescale_db.url, "insert into devices (name) values ('noisy'), ('honest'), ('loud')")
    async with open_pool(timescale_db.url, name="test", size=4, connect_timeout=SOON, command_timeout=SOON) as pool:
        yield pool


def letter(device: str | None, number: int, *, size: int = SIZE, code: str = "too_old") -> DeadLetter:
    return DeadLetter("mqtt", code, "why", device, b"%08d" % number + b"x" * (size - 8), "a topic")


async def kept(pool: Pool, device: str | None = None) -> list[StoredDeadLetter]:
    return (await StoredDeadLetters(pool).page(DeadLetterFilter(device=device), limit=1000))[::-1]


async def put(store: TimescaleDeadLetters, device: str | None, numbers: range) -> None:
    for number in numbers:
        await store.put([letter(device, number)])


def purged(setting: str) -> float:
    return float(prometheus.dead_letters_purged[(f"dead_letters.{setting}",)]._value.get())


def folded(code: str = "too_old") -> float:
    return float(prometheus.dead_letters_folded[("mqtt", code)]._value.get())


async def test_a_flood_is_counted_and_hardly_written(timescale_db: Database, pool: Pool) -> None:
    store, before = TimescaleDeadLetters(pool, SLOW), folded()
    await put(store, "honest", range(3))
    await asyncio.gather(*[store.put([letter("noisy", number)]) for number in range(500)])
    *whole, counted = await kept(pool, "noisy")
    assert 9 <= len(whole) <= 12
    assert (counted.size, counted.code, counted.count) == (0, "too_old", 500 - len(whole))
    assert "only counted" in counted.detail
    assert folded() - before == counted.count
    assert len(await kept(pool, "honest")) == 3
    await put(store, "honest", range(3, 5))
    assert len(await kept(pool, "honest")) == 5
    assert await fetch(timescale_db.url, ACCOUNTS) == await fetch(timescale_db.url, REAL)


async def test_a_flood_of_small_ones_is_bounded_in_number(pool: Pool) -> None:
    store = TimescaleDeadLetters(pool, SLOW)
    await asyncio.gather(*[store.put([letter("noisy", number, size=10)]) for number in range(1000)])
    letters = await kept(pool, "noisy")
    assert 90 <= len(letters) <= 110
    assert sum([one.count for one in letters]) == 1000


async def test_of_a_full_share_its_own_oldest_go(timescale_db: Database, pool: Pool) -> None:
    store, before = TimescaleDeadLetters(pool, FAST), purged("device_bytes")
    await put(store, "honest", range(30))
    await put(store, "noisy", range(100))
    left = await kept(pool, "noisy")
    assert 34 <= len(left) <= 40
    last = await StoredDeadLetters(pool).find(left[-1].id)
    assert (last.payload or b"")[:8] == b"%08d" % 99
    assert len(await kept(pool, "honest")) == 30
    assert purged("device_bytes") - before == 100 - len(left)
    assert await fetch(timescale_db.url, ACCOUNTS) == await fetch(timescale_db.url, REAL)


async def test_strangers_share_one_share(pool: Pool) -> None:
    store = TimescaleDeadLetters(pool, FAST)
    await put(store, "honest", range(30))
    for number in range(250):
        await store.put([letter(f"stranger-{number}" if number % 2 else None, number)])
    letters = await kept(pool)
    assert sum([one.device == "honest" for one in letters]) == 30
    assert 4 * 34 <= len(letters) - 30 <= 4 * 40


async def test_beyond_the_bytes_of_all_the_heaviest_give_way(pool: Pool) -> None:
    """Though the letters of who has little are the oldest."""
    limits = DeadLetterSettings(max_bytes=50 * (SIZE + 203), device_bytes=SHARE, device_bytes_per_sec=10**9)
    store, before = TimescaleDeadLetters(pool, limits), purged("max_bytes")
    await put(store, "honest", range(5))
    await put(store, "noisy", range(35))
    await put(store, "loud", range(35))
    await keep_bound(limits).once(pool)
    counts = [len(await kept(pool, device)) for device in ("honest", "noisy", "loud")]
    assert counts[0] == 5
    assert sum(counts) == 50
    assert min(counts[1:]) >= 15
    assert purged("max_bytes") - before == 25


async def test_the_bytes_of_all_are_kept_as_they_grow(pool: Pool) -> None:
    """Without any purge: 600 s of it let one device write 28 GiB."""
    limits = DeadLetterSettings(max_bytes=32 * SIZE, device_bytes=10**9, device_bytes_per_sec=10**9)
    store = TimescaleDeadLetters(pool, limits)
    for number in range(120):
        await store.put([letter("noisy", number)])
        if not number % 10:
            assert await StoredDeadLetters(pool).bytes_kept() <= 1.2 * limits.max_bytes
    assert len(await kept(pool)) >= 25


async def test_several_workers_keep_one_share(timescale_db: Database, pool: Pool) -> None:
    stores = [TimescaleDeadLetters(pool, FAST) for _ in range(3)]
    await asyncio.gather(
        *[store.put([letter("noisy", 1000 * who + number)]) for who, store in enumerate(stores) for number in range(60)]
    )
    assert len(await kept(pool, "noisy")) <= 1.1 * SHARE / SIZE
    assert await fetch(timescale_db.url, ACCOUNTS) == await fetch(timescale_db.url, REAL)


async def test_accounts_are_right_whatever_is_removed_and_counted_anew_if_not(
    timescale_db: Database, pool: Pool
) -> None:
    store, box = TimescaleDeadLetters(pool, FAST), StoredDeadLetters(pool)
    await put(store, "noisy", range(6))
    await put(store, "honest", range(6))
    await put(store, None, range(6))
    await put(store, "noisy", range(6))
    await box.remove((await kept(pool, "noisy"))[0].id)
    await box.purge(DeadLetterFilter(device="honest"))
    assert await fetch(timescale_db.url, ACCOUNTS) == await fetch(timescale_db.url, REAL)
    await execute(timescale_db.url, "delete from dead_letters where owner = 'noisy'")  # by hand
    await execute(timescale_db.url, "update dead_letter_owners set bytes = 7")
    by_the_version_before = "insert into dead_letters (source, code, detail, payload) values ('mqtt', 'x', '', '')"
    await execute(timescale_db.url, by_the_version_before)
    await purge(FAST).once(pool)
    assert await fetch(timescale_db.url, ACCOUNTS) == await fetch(timescale_db.url, REAL)
    assert await box.bytes_kept() == 6 * (SIZE + 203) + 200


async def test_one_that_the_database_refuses_harms_no_other(timescale_db: Database, pool: Pool) -> None:
    await execute(timescale_db.url, "alter table dead_letters add constraint rule check (code <> 'bad_topic')")
    store = TimescaleDeadLetters(pool, FAST)
    puts = [store.put([letter("honest", n, code="bad_topic" if n == 5 else "too_old")]) for n in range(20)]
    told = await asyncio.gather(*puts, return_exceptions=True)
    assert [n for n, each in enumerate(told) if each is not None] == [5]
    assert len(await kept(pool)) == 19


async def test_who_gives_up_takes_nobody_along(pool: Pool) -> None:
    store = TimescaleDeadLetters(pool, FAST)
    puts = [asyncio.create_task(store.put([letter("honest", n)])) for n in range(20)]
    await asyncio.sleep(0)
    puts[0].cancel()
    puts[7].cancel()
    told = await asyncio.gather(*puts, return_exceptions=True)
    assert [n for n, each in enumerate(told) if isinstance(each, asyncio.CancelledError)] == [0, 7]
    assert not [each for each in told if isinstance(each, GatewayError)]
    assert 18 <= len(await kept(pool)) <= 20


async def test_letters_that_are_kept_stay_so_when_trimming_fails(
    timescale_db: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise SinkFault

    monkeypatch.setattr("gateway.timescale.dead_letters.store.keep_bound", fail)
    await TimescaleDeadLetters(pool, FAST).put([letter("honest", 1)])
    assert [one.count for one in await kept(pool)] == [1]
