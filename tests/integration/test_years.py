"""Readings over decades on a server with few locks: stored in parts that can be locked, whatever their times are."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from itertools import pairwise
from random import Random

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.core.clock import SystemClock
from gateway.core.errors import AtomicTooWide, SinkUnavailable
from gateway.ingest.pipeline import poison
from gateway.ingest.pipeline.breaker import Breaker
from gateway.ingest.pipeline.drainer import Drainer
from gateway.ingest.pipeline.fallback import Fallback
from gateway.ingest.pipeline.poison import PoisonCheck
from gateway.services.spool_replay import SpoolReplay
from gateway.timescale.chunks import Room
from gateway.timescale.write import bisect
from tests.builders.batches import Message, Said, batch, said
from tests.builders.years import DAY, FEW_LOCKS, TAKE_ALL, daily, few_locks
from tests.fakes.spool import MemorySpool
from tests.integration.writing import execute, fetch, open_gateway
from tests.servers.databases import Database, Databases, databases_of
from tests.servers.postgres import DatabaseServer

THIRTY_YEARS = 30 * 365


@pytest.fixture(scope="module")
def server() -> Iterator[DatabaseServer]:
    with few_locks() as server:
        yield server


@pytest.fixture(scope="module")
def places(server: DatabaseServer) -> Iterator[Databases]:
    with databases_of(server, "timescale") as databases:
        yield databases


@pytest.fixture
async def place(places: Databases) -> AsyncIterator[Database]:
    async with places.migrated() as database:
        yield database


async def count(url: str) -> int:
    """All rows, a chunk at a time: the whole table at once is what this server has no locks for."""
    connection = await asyncpg.connect(url)
    try:
        names = [row[0] for row in await connection.fetch("select show_chunks('messages')::text")]
        return sum([await connection.fetchval(f"select count(*) from {name}") for name in names])
    finally:
        await connection.close()


async def test_without_parts_it_would_not_fit(place: Database) -> None:
    """What the other tests are worth: this many chunks in one transaction are more than the server has locks for."""
    connection = await asyncpg.connect(place.url)
    try:
        with pytest.raises(asyncpg.OutOfMemoryError):
            await connection.execute(
                "insert into messages (time, device_id, shape_id)"
                " select '2000-01-01'::timestamptz + n * interval '1 day', 1, 1 from generate_series(1, $1) n".replace(
                    "$1", str(FEW_LOCKS)
                )
            )
    finally:
        await connection.close()


async def test_a_group_of_many_chunks_is_stored_in_parts(place: Database) -> None:
    async with open_gateway(place.url) as gateway:
        years = daily("old", FEW_LOCKS)
        other: list[Message] = [("now", 0, {"v": 1.0})]
        assert said(await gateway.write(years, other)) == [Said(FEW_LOCKS), Said(1)]
        assert said(await gateway.write(other, years)) == [Said(1, 1), Said(FEW_LOCKS, FEW_LOCKS)]
    assert await chunks(place.url) == FEW_LOCKS


async def test_verdicts_are_exact_over_many_chunks(place: Database) -> None:
    async with open_gateway(place.url) as gateway:
        stored = daily("d", 60)
        await gateway.write(stored)
        mixed: list[Message] = [
            (name, after, values if n % 3 else {"v": -1.0}) for n, (name, after, values) in enumerate(stored)
        ]
        fresh = daily("d", 80)[60:]
        (outcome,) = (await gateway.write(fresh + mixed)).outcomes
        assert outcome.stored == 20 + 40
        assert outcome.duplicates == 40
        assert list(outcome.conflicts) == [20 + n for n in range(60) if not n % 3]


async def test_far_apart_repeats_are_compared_without_what_lies_between(place: Database) -> None:
    async with open_gateway(place.url) as gateway:
        await gateway.write(daily("fill", FEW_LOCKS))
        ends: list[Message] = [("d", 0, {"v": 1.0}), ("d", -(FEW_LOCKS - 1) * DAY, {"v": 1.0})]
        await gateway.write(ends)
        assert said(await gateway.write(ends)) == [Said(2, 2)]
        again: list[Message] = [(name, after, {"v": 2.0}) for name, after, _ in ends]
        assert said(await gateway.write(again, ends, again)) == [
            Said(0, 0, [0, 1]),
            Said(2, 2),
            Said(0, 0, [0, 1]),
        ]


async def test_a_bound_that_is_too_high_is_learnt_from_the_server(
    place: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def generous(_: object) -> Room:
        return Room(DAY, 100_000, 100_000, 100_000)

    monkeypatch.setattr(bisect, "find_room", generous)
    async with open_gateway(place.url) as gateway:
        assert said(await gateway.write(daily("d", FEW_LOCKS))) == [Said(FEW_LOCKS)]
        copies = gateway.writer.copies
        assert copies < 20
        assert said(await gateway.write(daily("e", FEW_LOCKS))) == [Said(FEW_LOCKS)]
        assert gateway.writer.copies - copies < copies, "it was learnt"


async def test_an_atomic_body_that_cannot_be_locked_is_refused_and_says_the_way_out(place: Database) -> None:
    async with open_gateway(place.url) as gateway:
        with pytest.raises(AtomicTooWide, match="without 'atomic', or in parts") as refused:
            await gateway.write(daily("d", 100), atomic=True)
        assert refused.value.status == 422
        assert refused.value.details["chunks"] == 100
        few = int(refused.value.details["limit"])
        assert said(await gateway.write(daily("d", few), atomic=True)) == [Said(few)]
    assert await chunks(place.url) == few


async def test_while_others_hold_all_locks_it_tries_again_and_then_says_so(
    place: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bisect, "CROWDED_SECS", 0.01)
    async with open_gateway(place.url) as gateway:
        await gateway.write([("d", 0, {"v": 1.0})])
        greedy = await asyncpg.connect(place.url)
        try:
            await greedy.execute(TAKE_ALL)
            with pytest.raises(SinkUnavailable):
                await gateway.write([("d", -2000 * DAY, {"v": 1.0})])
        finally:
            await greedy.close()
        assert said(await gateway.write([("d", -2000 * DAY, {"v": 1.0})])) == [Said(1)]


POISON = """
create function boom() returns trigger language plpgsql as $$
begin raise exception 'no such thing' using errcode = 'XX000'; end $$;
create trigger boom before insert on messages for each row when (new.device_id = {}) execute function boom()
"""


async def test_a_spool_with_years_and_a_poison_in_it_empties(place: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database takes everything but one device, with an error that is not one of data."""
    monkeypatch.setattr(poison, "FIRST_SECS", 0.05)
    async with open_gateway(place.url) as gateway, AsyncExitStack() as stack:
        (bad,) = await gateway.dictionary.device_ids(["bad"])
        await execute(place.url, POISON.format(bad))

        async def probe() -> None:
            async with gateway.pool.connection() as connection:
                await connection.execute("select 1")

        breaker = await stack.enter_async_context(Breaker(probe, rng=Random(1), clock=SystemClock()))
        spool = MemorySpool()
        fallback = Fallback(gateway.writer, spool, breaker)
        replay = SpoolReplay(
            fallback.drain,
            no_state,
            gateway.letters,
            show_spooled=no_state,
            answers=breaker.answers,
            drop=lambda _: None,
        )
        mixed: list[Message] = [("fine", 0, {"v": 1.0}), ("bad", 1, {"v": 2.0}), ("fine", 2, {"v": 3.0})]
        for messages in ([("first", 0, {"v": 1.0})], daily("old", 200), mixed, [("last", 0, {"v": 1.0})]):
            await spool.append([batch(gateway.layouts, *messages)])
        drainer = Drainer(
            [spool],
            replay.store,
            bury=replay.bury,
            busy=lambda: False,
            rng=Random(1),
            max_rows=10_000,
            poison_check=PoisonCheck(breaker.answers, replay.rescue, lambda: fallback.stored),
        )
        await stack.enter_async_context(drainer)
        async with asyncio.timeout(60):
            while spool.rows:
                await asyncio.sleep(0.02)
                assert not breaker.is_open, "one record is no reason to call the database away"
        assert [(one.source, one.device) for one in gateway.letters.letters] == [("database", "bad")]
    assert await count(place.url) == 1 + 200 + 2 + 1
    assert spool.aside == []


async def no_state(_: object) -> None:
    """Nobody watches."""


times = st.lists(st.integers(-THIRTY_YEARS, 0), min_size=1, max_size=40, unique=True)


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(days=times, cuts=st.sets(st.integers(1, 40), max_size=4), atomic=st.booleans())
@example(days=list(range(-150, 0)), cuts={1, 100}, atomic=False)
@example(days=[0, -THIRTY_YEARS], cuts=set(), atomic=True)
def test_any_set_of_times_in_any_order_and_grouping_is_stored_or_named(
    places: Databases, days: list[int], cuts: set[int], atomic: bool
) -> None:
    async def main() -> None:
        async with places.migrated() as database, open_gateway(database.url) as gateway:
            messages: list[Message] = [("d", day * DAY, {"v": float(day)}) for day in days]
            if atomic:
                try:
                    stored = said(await gateway.write(messages, atomic=True)) == [Said(len(days))]
                except AtomicTooWide:
                    stored = False
                assert await count(database.url) == (len(days) if stored else 0)
            edges = [0, *sorted(cut for cut in cuts if cut < len(days)), len(days)]
            group = [messages[a:b] for a, b in pairwise(edges)]
            assert [each.stored for each in said(await gateway.write(*group))] == [len(each) for each in group]
            assert await count(database.url) == len(days)

    asyncio.run(main())


async def chunks(url: str) -> int:
    ((found,),) = await fetch(url, "select count(*) from pg_inherits where inhparent = 'messages'::regclass")
    return int(found)


async def test_nothing_of_this_concerns_an_ordinary_table(plain_db: Database) -> None:
    async with open_gateway(plain_db.url) as gateway:
        years = daily("d", 3000)
        before = gateway.writer.copies
        assert said(await gateway.write(years, atomic=True)) == [Said(3000)]
        assert gateway.writer.copies - before == 1
        await execute(plain_db.url, "truncate messages")
        assert said(await gateway.write(years)) == [Said(3000)]
        assert gateway.writer.copies - before == 2
