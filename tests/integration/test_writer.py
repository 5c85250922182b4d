"""The writer against what real databases do: rows refused, connections cut, other gateways in between."""

import asyncio
import json
import math
from typing import Any

import asyncpg
import pytest

from gateway.core.errors import SinkUnavailable
from gateway.ingest import wire
from gateway.timescale.queries import query
from gateway.timescale.write.bisect import SIFTED_ROWS
from tests.builders.batches import NOON, SECOND, Message, Said, said
from tests.integration.writing import SOON, execute, fetch, open_gateway
from tests.servers.databases import Database

RIVAL = """
insert into messages (time, device_id, shape_id, values)
select time + interval '1 microsecond', device_id, shape_id, array[$1::float8] from messages
"""
DAY = 86_400 * SECOND
COUNT = "select count(*) from messages"
REFUSE = """
create function refuse() returns trigger language plpgsql as $$
begin
    if new.values[1] = 666 then raise exception 'not this one' using errcode = '{state}'; end if;
    return new;
end $$;
create trigger refuse before insert on messages for each row execute function refuse();
"""
CHECK = "alter table messages add check (values is null or 666 <> all (values))"
SLEEP = """
create function sleep() returns trigger language plpgsql as $$
begin
    if new.values[1] = 30 then perform pg_sleep(new.values[1]); end if;
    return new;
end $$;
create trigger sleep before insert on messages for each row execute function sleep();
"""
SLEEPER = "select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"


@pytest.mark.parametrize("state", ["22023", "23514"])
@pytest.mark.parametrize("bad", [[0], [511], [100, 101], [7, 300, 400]], ids=str)
async def test_refused_rows_are_found_in_few_tries(database: Database, bad: list[int], state: str) -> None:
    await execute(database.url, REFUSE.format(state=state))
    messages: list[Message] = [(f"d{i % 5}", i * SECOND, {"a": 666.0 if i in bad else i + 0.5}) for i in range(512)]
    async with open_gateway(database.url) as gateway:
        written = await gateway.write(messages[:200], messages[200:])
        tries = gateway.writer.copies
    assert tries <= 1 + 2 * len(bad) * math.log2(len(messages))
    assert [list(outcome.rejected) for outcome in written.outcomes] == [
        [(i, f"{state}: not this one") for i in bad if i < 200],
        [(i - 200, f"{state}: not this one") for i in bad if i >= 200],
    ]
    assert sum(outcome.stored for outcome in written.outcomes) == 512 - len(bad)
    assert await fetch(database.url, COUNT) == [(512 - len(bad),)]


async def test_a_database_that_says_the_row_is_not_searched(database: Database) -> None:
    await execute(database.url, REFUSE.format(state="23514"))
    messages: list[Message] = [(f"d{i % 5}", i * SECOND, {"a": 666.0 if i == 300 else i + 0.5}) for i in range(512)]
    async with open_gateway(database.url) as gateway:
        written = await gateway.write(messages)
        assert gateway.writer.copies == 2, "all of it, and all but the row"
    assert said(written) == [Said(511, 0, [], [300])]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("fault", [REFUSE.format(state="23514"), CHECK], ids=["trigger", "constraint"])
async def test_where_most_rows_are_refused_each_is_judged(database: Database, fault: str, *, overwrite: bool) -> None:
    """Of each ten rows one is new, one is stored already, one is stored with another value; seven are refused."""

    def say(i: int, *, first: bool = False) -> Message:
        kind = i % 10
        value = -1.0 if kind == 2 and first else i + 0.5 if kind < 3 else 666.0
        return ("d", i * SECOND, {"a": value})

    async with open_gateway(database.url, overwrite=overwrite) as gateway:
        await gateway.write([say(i, first=True) for i in range(200) if i % 10 in (1, 2)])
        await execute(database.url, fault)
        written = await gateway.write([say(i) for i in range(200)])
    rejected = [i for i in range(200) if i % 10 > 2]
    conflicts = [] if overwrite else [i for i in range(200) if i % 10 == 2]
    assert said(written) == [Said(60 - len(conflicts), 20, conflicts, rejected)]
    assert [letter.detail[:6] for letter in gateway.letters.letters] == ["23514:"] * len(rejected)
    assert await fetch(database.url, COUNT) == [(60,)]


@pytest.mark.parametrize("rows", [SIFTED_ROWS, 2 * SIFTED_ROWS + 1])
async def test_a_constraint_that_refuses_everything_costs_little_more_than_few(database: Database, rows: int) -> None:
    await execute(database.url, CHECK)
    async with open_gateway(database.url) as gateway:
        written = await gateway.write([(f"d{i % 7}", i * SECOND, {"a": 666.0}) for i in range(rows)])
        assert gateway.writer.copies < 40
    assert len(written.outcomes[0].rejected) == rows
    assert await fetch(database.url, COUNT) == [(0,)]


async def test_refused_rows_among_stored_ones_are_found_too(database: Database) -> None:
    def say(i: int) -> Message:
        return ("d", i * SECOND, {"a": 666.0 if i == 21 else i + 0.5})

    async with open_gateway(database.url) as gateway:
        await gateway.write([say(i) for i in range(0, 64, 2)])
        await execute(database.url, REFUSE.format(state="22023"))
        written = await gateway.write([say(i) for i in range(64)])
    assert said(written) == [Said(63, 32, [], [21])]
    assert await fetch(database.url, COUNT) == [(63,)]


async def test_a_dead_letter_posted_again_is_stored_as_it_was_meant(database: Database) -> None:
    await execute(database.url, "alter table messages add check (time < '2000-01-01') not valid")
    values: dict[str, Any] = {"on": False, "a": 0.1, "n": 2**53 + 1, "t": "ü\n"}
    async with open_gateway(database.url) as gateway:
        gateway.layouts.declare_ints(["n"])
        written = await gateway.write([("d", 123_456, values)])
        assert said(written) == [Said(0, 0, [], [0])]
        await execute(database.url, "alter table messages drop constraint messages_time_check")
        (letter,) = gateway.letters.letters
        decoded = wire.decode(letter.payload, None, gateway.layouts, device=None, received_us=NOON, max_readings=100)
        assert not decoded.refusals
        await gateway.writer.write([decoded.batch])
        assert said(await gateway.write([("d", 123_456, values)])) == [Said(4, 4)]


async def test_letters_that_cannot_be_kept_make_the_write_fail_and_the_next_try_keeps_them(database: Database) -> None:
    await execute(database.url, REFUSE.format(state="23514"))
    messages: list[Message] = [("d", 0, {"a": 0.5}), ("d", 1, {"a": 666.0})]
    async with open_gateway(database.url) as gateway:
        gateway.letters.away = True
        with pytest.raises(SinkUnavailable):
            await gateway.write(messages)
        gateway.letters.away = False
        assert said(await gateway.write(messages)) == [Said(1, 1, [], [1])]
        assert len(gateway.letters.letters) == 1


async def test_a_connection_cut_during_the_copy_leaves_nothing_half(database: Database) -> None:
    await execute(database.url, SLEEP)
    messages: list[Message] = [("d", i * DAY, {"a": i + 0.0}) for i in range(60)]
    async with open_gateway(database.url) as gateway:
        writing = asyncio.create_task(gateway.write(messages))
        await _cut_sleeper(database.url)
        with pytest.raises(SinkUnavailable):
            await asyncio.wait_for(writing, SOON)
        assert await fetch(database.url, COUNT) == [(0,)]
        await execute(database.url, "drop trigger sleep on messages")
        assert said(await gateway.write(messages)) == [Said(60)]


async def test_a_connection_cut_on_the_slow_way_leaves_nothing_half(database: Database) -> None:
    messages: list[Message] = [("d", i * DAY, {"a": i + 0.0}) for i in range(60)]
    async with open_gateway(database.url) as gateway:
        await gateway.write(messages[:1])
        await execute(database.url, SLEEP)
        writing = asyncio.create_task(gateway.write(messages))
        await _cut_sleeper(database.url)
        with pytest.raises(SinkUnavailable):
            await asyncio.wait_for(writing, SOON)
        assert await fetch(database.url, COUNT) == [(1,)]
        await execute(database.url, "drop trigger sleep on messages")
        assert said(await gateway.write(messages)) == [Said(60, 1)]


async def _cut_sleeper(url: str) -> None:
    async with asyncio.timeout(SOON):
        while not (sleepers := await fetch(url, SLEEPER)):  # noqa: ASYNC110 - it is the server that sleeps
            await asyncio.sleep(0.01)
    await fetch(url, "select pg_terminate_backend($1)", sleepers[0][0])


async def test_a_connection_cut_while_idle_is_not_used_again(database: Database) -> None:
    async with open_gateway(database.url) as gateway:
        await gateway.write([("d", 0, {"a": 0.5})])
        (idle,) = gateway.writer._connections._idle
        await fetch(database.url, "select pg_terminate_backend($1)", idle.get_server_pid())
        async with asyncio.timeout(SOON):
            while not idle.is_closed():  # noqa: ASYNC110 - the server closes it
                await asyncio.sleep(0.01)
        assert said(await gateway.write([("d", 1, {"a": 0.5})])) == [Said(1)]


async def test_a_write_given_up_leaves_nothing_and_no_connection_in_doubt(database: Database) -> None:
    await execute(database.url, SLEEP)
    async with open_gateway(database.url) as gateway:
        writing = asyncio.create_task(gateway.write([("d", 0, {"a": 30.0})]))
        async with asyncio.timeout(SOON):
            while not await fetch(database.url, SLEEPER):  # noqa: ASYNC110 - it is the server that sleeps
                await asyncio.sleep(0.01)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert gateway.writer._connections._idle == []
        assert said(await gateway.write([("d", 1, {"a": 0.5})])) == [Said(1)]
    assert await fetch(database.url, COUNT) == [(1,)]


async def test_a_database_that_is_not_there_is_unavailable() -> None:
    async with open_gateway("postgresql://127.0.0.1:1/none") as gateway:
        with pytest.raises(SinkUnavailable):
            await gateway.write([("d", 0, {"a": 0.5})])


@pytest.mark.parametrize("overwrite", [False, True], ids=["keep_first", "overwrite"])
@pytest.mark.parametrize(
    ("value", "ends", "outcomes"),
    [
        (1.5, "commit", (Said(3, 2), Said(3, 2))),
        (9.5, "commit", (Said(2, 1, [1]), Said(3, 1))),
        (9.5, "rollback", (Said(3, 1), Said(3, 1))),
    ],
    ids=["same", "other", "gone"],
)
async def test_a_key_that_another_gateway_is_just_writing(
    database: Database, overwrite: bool, value: float, ends: str, outcomes: tuple[Said, Said]
) -> None:
    """The rival has inserted the key and not committed when ours comes to it."""
    messages: list[Message] = [("d", i, {"a": i + 0.5}) for i in range(3)]
    async with open_gateway(database.url, overwrite=overwrite) as gateway:
        await gateway.write(messages[:1])
        rival = await asyncpg.connect(database.url)
        transaction = rival.transaction()
        await transaction.start()
        await rival.execute(RIVAL, value)
        writing = asyncio.create_task(gateway.write(messages))
        await _until_waiting(database.url)
        await (transaction.commit() if ends == "commit" else transaction.rollback())
        await rival.close()
        written = await asyncio.wait_for(writing, SOON)
    assert said(written) == [outcomes[overwrite]]
    stored = [0.5, 9.5 if ends == "commit" and value != 1.5 and not overwrite else 1.5, 2.5]
    assert await fetch(database.url, "select values[1] from messages order by time") == [(each,) for each in stored]


async def _until_waiting(url: str) -> None:
    waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with asyncio.timeout(SOON):
        while not await fetch(url, waiting):  # noqa: ASYNC110 - it is the server's lock
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_only_chunks_within_the_bounds_are_looked_at(timescale_db: Database, mode: str) -> None:
    async with open_gateway(timescale_db.url) as gateway:
        await gateway.write([("d", i * DAY, {"a": 0.5}) for i in range(12)])
        async with gateway.writer._connections.lend(gateway.dictionary.lineage.epoch) as connection:
            await connection.execute(f"set plan_cache_mode = {mode}")
            async with connection.transaction():
                await connection.execute(
                    "insert into stage select 0, time, device_id, shape_id, values, ints, texts from messages"
                    " order by time limit 1"
                )
                first = await connection.fetchval("select min(time) from messages")
                plan = await connection.fetchval(
                    "explain (analyze, format json) " + query("staged_duplicates"), first, first, [0]
                )
    scanned = [node for node in _nodes(json.loads(plan)[0]["Plan"]) if "_hyper_" in node.get("Relation Name", "")]
    assert sum(node["Actual Loops"] > 0 for node in scanned) == 1


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in _nodes(child))]


async def test_two_gateways_meet_the_same_strangers_at_once(database: Database) -> None:
    """Devices, metrics and shapes nobody knew, from many tasks of two processes: one id each, every pair noted."""

    def say(turn: int) -> list[Message]:
        return [
            (f"new{i % 20}", (turn * 100 + i) * SECOND, {f"m{(i + k) % 9}": 0.5 for k in range(1 + i % 3)} | {"t": "x"})
            for i in range(60)
        ]

    async with open_gateway(database.url) as one, open_gateway(database.url) as other:
        written = await asyncio.gather(*(gateway.write(say(turn)) for turn in range(4) for gateway in (one, other)))
        assert sum(o.stored - o.duplicates for w in written for o in w.outcomes) == 4 * sum(len(m[2]) for m in say(0))
        assert one.dictionary.devices == other.dictionary.devices
        assert len(one.dictionary.devices) == 20
    assert await fetch(database.url, "select count(*), count(distinct name) from devices") == [(20, 20)]
    assert await fetch(database.url, "select count(*) from metrics") == [(10,)]
    shapes = {frozenset(values) for _, _, values in say(0)}
    assert await fetch(database.url, "select count(*) from shapes") == [(len(shapes),)]
    missing = "select distinct device_id, shape_id from messages except select device_id, shape_id from device_shapes"
    assert await fetch(database.url, missing) == []
