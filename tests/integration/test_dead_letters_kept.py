"""Dead letters in real databases: counted when they repeat, found, marked, removed by hand, by age and by bytes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from gateway.core.errors import NotFound
from gateway.core.settings import DeadLetterSettings
from gateway.domain.dead_letters import DeadLetter, DeadLetterFilter, StoredDeadLetter
from gateway.telemetry import events, prometheus
from gateway.timescale.connections.pool import Pool, open_pool
from gateway.timescale.dead_letters import browse
from gateway.timescale.dead_letters.browse import SHOWN_BYTES, StoredDeadLetters
from gateway.timescale.dead_letters.purge import LOCK_KEY, purge
from gateway.timescale.dead_letters.store import TimescaleDeadLetters
from gateway.timescale.registry.audit import replaying
from tests.integration.writing import SOON, execute, fetch
from tests.servers.databases import Database

KEEP = DeadLetterSettings()
LEAST = DeadLetterSettings(max_bytes=1)
ROW_BYTES = 200
OLD = "update dead_letters set last_at = last_at - $1::interval, first_at = first_at - $1::interval where id = $2"


@pytest.fixture
async def pool(timescale_db: Database) -> AsyncIterator[Pool]:
    async with open_pool(timescale_db.url, name="test", size=4, connect_timeout=SOON, command_timeout=SOON) as pool:
        yield pool


def letter(device: str | None = "d1", payload: bytes = b"{}", *, code: str = "too_old") -> DeadLetter:
    return DeadLetter("mqtt", code, "why", device, payload, f"devices/{device}/readings")


async def put(pool: Pool, *letters: DeadLetter) -> list[StoredDeadLetter]:
    """Keep them one after the other; return all that is kept, lowest id first."""
    for one in letters:
        await TimescaleDeadLetters(pool).put([one])
    return await kept(pool)


async def kept(pool: Pool, wanted: DeadLetterFilter = DeadLetterFilter()) -> list[StoredDeadLetter]:  # noqa: B008
    return (await StoredDeadLetters(pool).page(wanted, limit=1000))[::-1]


def purged(setting: str) -> float:
    return float(prometheus.dead_letters_purged[(f"dead_letters.{setting}",)]._value.get())


async def test_the_same_item_again_is_counted(pool: Pool) -> None:
    [first] = await put(pool, letter())
    assert (first.count, first.first_at, first.replayed_at) == (1, first.last_at, None)
    await StoredDeadLetters(pool).mark_replayed(first, replaying("t"))
    [again] = await put(pool, letter()._replace(detail="other words"))
    assert (again.id, again.count, again.first_at) == (first.id, 2, first.first_at)
    assert again.last_at > first.last_at
    assert (again.detail, again.replayed_at) == ("other words", None)


async def test_many_of_one_call_are_counted_too(pool: Pool) -> None:
    await TimescaleDeadLetters(pool).put([letter(), letter("d2"), letter()])
    await TimescaleDeadLetters(pool).put([letter("d2"), letter()])
    assert sorted((one.device, one.count) for one in await kept(pool)) == [("d1", 3), ("d2", 2)]


@pytest.mark.parametrize(
    "other",
    [
        letter()._replace(source="database"),
        letter()._replace(code="too_far_ahead"),
        letter()._replace(device=None),
        letter()._replace(topic=None),
        letter()._replace(payload=b"{} "),
        letter()._replace(device="d1devices", topic="/d1/readings"),
    ],
)
async def test_another_item_is_another_letter(pool: Pool, other: DeadLetter) -> None:
    assert [one.count for one in await put(pool, letter(), other)] == [1, 1]


async def test_calls_at_once_with_the_same_letters_lose_no_count(pool: Pool) -> None:
    devices = [f"d{i}" for i in range(50)]
    store = TimescaleDeadLetters(pool)
    await asyncio.gather(
        *(store.put([letter(device) for device in (devices if i % 2 else devices[::-1])]) for i in range(8))
    )
    assert [one.count for one in await kept(pool)] == [8] * 50


async def test_a_device_of_any_length_can_be_kept_and_found(pool: Pool) -> None:
    name = "".join(chr(0x4E00 + i * 7 % 20_000) for i in range(1000))
    await put(pool, letter(name))
    assert [one.device for one in await kept(pool, DeadLetterFilter(device=name))] == [name]


async def test_the_gateway_of_the_version_before_goes_on(timescale_db: Database, pool: Pool) -> None:
    before = "insert into dead_letters (source, code, detail, device, topic, payload) values ('mqtt','x','','d','t','')"
    for _ in range(2):
        await execute(timescale_db.url, before)
    assert [one.count for one in await kept(pool)] == [1, 1]


async def test_filters_and_pages(pool: Pool) -> None:
    letters = await put(
        pool,
        letter("d1"),
        letter("d2", code="bad_payload"),
        letter("d1", code="bad_payload"),
        letter("d1")._replace(source="database"),
    )
    ids = [one.id for one in letters]
    await StoredDeadLetters(pool).mark_replayed(letters[1], replaying("t"))

    async def found(wanted: DeadLetterFilter) -> list[int]:
        return [ids.index(one.id) for one in await kept(pool, wanted)]

    assert await found(DeadLetterFilter()) == [0, 1, 2, 3]
    assert await found(DeadLetterFilter(device="d1")) == [0, 2, 3]
    assert await found(DeadLetterFilter(code="bad_payload")) == [1, 2]
    assert await found(DeadLetterFilter(code="bad_payload", device="d1")) == [2]
    assert await found(DeadLetterFilter(source="database")) == [3]
    assert await found(DeadLetterFilter(replayed=True)) == [1]
    assert await found(DeadLetterFilter(replayed=False)) == [0, 2, 3]
    assert await found(DeadLetterFilter(since=letters[2].last_at)) == [2, 3]
    assert await found(DeadLetterFilter(since=datetime.now(UTC) + timedelta(days=1))) == []
    box = StoredDeadLetters(pool)
    assert [one.id for one in await box.page(DeadLetterFilter(), before=ids[2], limit=1)] == [ids[1]]
    assert await box.open_ids(DeadLetterFilter(), after=ids[0], limit=9) == ids[2:]
    assert await box.open_ids(DeadLetterFilter(code="bad_payload"), limit=9) == [ids[2]]
    assert await box.count_open(DeadLetterFilter(), after=ids[0]) == 2


async def test_large_payloads_are_read_one_by_one(pool: Pool) -> None:
    small, large = await put(pool, letter(payload=b"x" * SHOWN_BYTES), letter(payload=b"x" * (SHOWN_BYTES + 1)))
    assert (small.payload, small.size) == (b"x" * SHOWN_BYTES, SHOWN_BYTES)
    assert (large.payload, large.size) == (None, SHOWN_BYTES + 1)
    whole = await StoredDeadLetters(pool).find(large.id)
    assert whole.payload == b"x" * (SHOWN_BYTES + 1)


async def test_a_letter_that_came_again_during_its_replay_stays_open(pool: Pool) -> None:
    [read] = await put(pool, letter())
    await put(pool, letter())
    await StoredDeadLetters(pool).mark_replayed(read, replaying("t"))
    assert [one.replayed_at for one in await kept(pool)] == [None]


async def test_a_letter_that_has_the_id_of_another_one_after_a_restore_stays_open(pool: Pool) -> None:
    [read] = await put(pool, letter())
    other = structs.replace(read, first_at=read.first_at - timedelta(seconds=1))
    await StoredDeadLetters(pool).mark_replayed(other, replaying("t"))
    assert [one.replayed_at for one in await kept(pool)] == [None]


async def test_letters_are_removed_by_hand(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browse, "REMOVE_AT_ONCE", 2)
    letters = await put(pool, *(letter(f"d{i}") for i in range(5)), letter("x", code="bad_topic"))
    box = StoredDeadLetters(pool)
    await box.remove(letters[0].id)
    with pytest.raises(NotFound):
        await box.remove(letters[0].id)
    with pytest.raises(NotFound):
        await box.find(letters[0].id)
    assert await box.purge(DeadLetterFilter(code="too_old")) == 4
    assert [one.code for one in await kept(pool)] == ["bad_topic"]


async def test_what_is_too_old_goes(pool: Pool) -> None:
    letters = await put(pool, letter("old"), letter("young"))
    async with pool.connection() as connection:
        await connection.execute(OLD, timedelta(days=30, seconds=10), letters[0].id)
        await connection.execute(OLD, timedelta(days=29, hours=23), letters[1].id)
    before = purged("keep_days")
    await purge(KEEP).once(pool)
    assert [one.device for one in await kept(pool)] == ["young"]
    assert purged("keep_days") == before + 1


async def test_what_came_again_lately_is_not_old(pool: Pool) -> None:
    [first] = await put(pool, letter())
    async with pool.connection() as connection:
        await connection.execute(OLD, timedelta(days=99), first.id)
    await put(pool, letter())
    await purge(KEEP).once(pool)
    assert [one.count for one in await kept(pool)] == [2]


async def test_what_is_too_much_goes_oldest_first_and_not_one_too_many(pool: Pool) -> None:
    each = 10_000
    await put(pool, *(letter(f"d{i}", bytes([i]) * each) for i in range(6)))
    await put(pool, letter("d0", b"\0" * each))  # the first one is the latest now
    before = purged("max_bytes")
    await purge(DeadLetterSettings(max_bytes=3 * (each + ROW_BYTES + len("why")))).once(pool)
    assert [one.device for one in await kept(pool)] == ["d0", "d4", "d5"]
    assert purged("max_bytes") == before + 3


async def test_more_than_one_round_is_removed(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.timescale.dead_letters.purge.AT_ONCE", 2)
    await put(pool, *(letter(f"d{i}") for i in range(7)))
    await purge(LEAST).once(pool)
    assert await kept(pool) == []


async def test_one_gateway_at_a_time_purges(timescale_db: Database, pool: Pool) -> None:
    await put(pool, letter())
    async with open_pool(timescale_db.url, name="other", size=1, connect_timeout=SOON, command_timeout=SOON) as other:
        async with other.connection() as connection:
            assert await connection.fetchval("select pg_try_advisory_lock($1)", LOCK_KEY)
            await purge(LEAST).once(pool)
            assert len(await kept(pool)) == 1
        await purge(LEAST).once(pool)
    assert await kept(pool) == []


async def test_the_lock_is_given_back(timescale_db: Database, pool: Pool) -> None:
    await purge(KEEP).once(pool)
    assert await fetch(timescale_db.url, "select pg_try_advisory_lock($1)", LOCK_KEY) == [(True,)]


async def test_purging_outlives_a_database_that_fails(
    timescale_db: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, removed = asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(events, "dead_letter_purge_failed", lambda _: failed.set())
    monkeypatch.setattr(events, "dead_letters_purged", lambda *_: removed.set())
    await execute(timescale_db.url, "alter table dead_letters rename to hidden")
    async with asyncio.timeout(SOON), purge(LEAST)._replace(every_secs=0.02).repeated(pool):
        await failed.wait()
        await execute(timescale_db.url, "alter table hidden rename to dead_letters")
        await put(pool, letter())
        await removed.wait()
    assert await kept(pool) == []
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "dead_letters.purge"]
