"""Dead letters through a whole gateway once more: real database, real Valkey, the real door."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.app.worker import open_runtime
from gateway.core import settings
from gateway.core.errors import NotFound, SinkUnavailable
from gateway.domain.dead_letters import DeadLetter, DeadLetterFilter, StoredDeadLetter
from gateway.domain.principal import Principal, Role
from gateway.services import dead_letter_replay
from gateway.services.dead_letter_replay import DeadLetterReplay
from gateway.timescale.connections.pool import Pool, open_pool
from gateway.timescale.dead_letters.store import TimescaleDeadLetters
from gateway.timescale.registry.devices import DeviceRegistry
from gateway.web.context import Context
from tests.integration.writing import SOON, execute, fetch
from tests.servers.databases import Database

NOW_TS = '"2024-11-22T12:00:00Z"'
STORED = "select device, metric, value from readings order by 1, 2, 3"
TIMES = "select distinct time from messages"
TOPIC = "devices/d1/readings"


class Site(NamedTuple):
    gateway: Context
    pool: Pool
    url: str

    async def keep(self, *letters: DeadLetter) -> list[int]:
        """Keep them one after the other; return the ids of all that are open."""
        for letter in letters:
            await TimescaleDeadLetters(self.pool).put([letter])
        return await self.gateway.redelivery._dead_letters.open_ids(DeadLetterFilter(), after=0, limit=1000)

    async def letters(self) -> list[StoredDeadLetter]:
        return (await self.gateway.letters.page(DeadLetterFilter(), limit=1000))[::-1]


@pytest.fixture
async def site(plain_db: Database, valkey: str, tmp_path: Path) -> AsyncIterator[Site]:
    chosen = settings.Settings(
        database=settings.DatabaseSettings(url=plain_db.url),
        redis=settings.RedisSettings(url=valkey),
        spool=settings.SpoolSettings(dir=str(tmp_path)),
    )
    async with (
        open_pool(plain_db.url, name="test", size=2, connect_timeout=SOON, command_timeout=SOON) as pool,
        open_runtime(chosen, "Sanic-Server-0-0") as gateway,
    ):
        yield Site(gateway, pool, plain_db.url)


def letter(body: str, *, code: str = "unknown_device", device: str | None = "d1") -> DeadLetter:
    return DeadLetter("mqtt", code, "why", device, body.encode(), TOPIC)


def reading(value: float, ts: str = NOW_TS) -> str:
    return f'{{"metric": "t", "ts": {ts}, "value": {value}}}'


async def add(site: Site, *names: str) -> None:
    for name in names:
        await DeviceRegistry(site.pool).add(name)


async def test_what_a_new_device_said_is_stored_once_it_is_registered(site: Site) -> None:
    [number] = await site.keep(letter(reading(1.5)))
    refused = await site.gateway.redelivery.one(number)
    assert (refused.replayed, refused.code) == (False, "unknown_device")
    assert refused.receipt is not None
    assert refused.receipt.refused == 1
    assert [one.replayed_at for one in await site.letters()] == [None]
    await add(site, "d1")
    async with asyncio.timeout(SOON):
        while not (again := await site.gateway.redelivery.one(number)).replayed:  # noqa: ASYNC110 - the gateway looks
            await asyncio.sleep(0.05)
    assert again.receipt is not None
    assert (again.receipt.accepted, again.receipt.duplicates) == (1, 0)
    assert await fetch(site.url, STORED) == [("d1", "t", 1.5)]
    assert (await site.letters())[0].replayed_at is not None


async def test_a_second_replay_stores_nothing_twice(site: Site) -> None:
    await add(site, "d1")
    [number] = await site.keep(letter('[{"metric": "t", "value": 1}, {"metric": "t", "value": 2}]'))
    results = [await site.gateway.redelivery.one(number) for _ in range(3)]
    assert [result.replayed for result in results] == [True] * 3
    receipts = [result.receipt for result in results if result.receipt]
    assert [(one.accepted, one.duplicates) for one in receipts] == [(2, 0), (2, 2), (2, 2)]
    assert await fetch(site.url, STORED) == [("d1", "t", 1.0), ("d1", "t", 2.0)]


async def test_readings_without_a_time_get_that_of_the_first_refusal(site: Site) -> None:
    await add(site, "d1")
    [number] = await site.keep(letter('{"metric": "t", "value": 1}'))
    await site.keep(letter('{"metric": "t", "value": 1}'))
    await site.gateway.redelivery.one(number)
    [kept] = await site.letters()
    assert kept.first_at < kept.last_at
    assert await fetch(site.url, TIMES) == [(kept.first_at,)]


async def test_what_was_taken_the_first_time_is_a_duplicate(site: Site) -> None:
    await add(site, "d1")
    body = f"[{reading(1)}, {reading(7, ts='1732276801')}]"
    admin = Principal(Role.ADMIN)
    await site.gateway.intake.take(reading(1).encode(), principal=admin, media=None, device="d1")
    [number] = await site.keep(letter(body, code="too_far_ahead"))
    result = await site.gateway.redelivery.one(number)
    assert result.receipt is not None
    assert (result.replayed, result.receipt.accepted, result.receipt.duplicates) == (True, 2, 1)


async def test_a_conflict_is_no_success(site: Site) -> None:
    await add(site, "d1")
    admin = Principal(Role.ADMIN)
    await site.gateway.intake.take(reading(1).encode(), principal=admin, media=None, device="d1")
    [number] = await site.keep(letter(reading(2)))
    result = await site.gateway.redelivery.one(number)
    assert (result.replayed, result.code) == (False, "conflict")
    assert await fetch(site.url, STORED) == [("d1", "t", 1.0)]


async def test_a_letter_of_the_database_is_stored_when_the_cause_is_gone(site: Site) -> None:
    await add(site, "d1")
    await execute(site.url, "alter table messages add constraint small check (values[1] < 100) not valid")
    admin = Principal(Role.ADMIN)
    for _ in range(2):
        await site.gateway.intake.take(reading(500).encode(), principal=admin, media=None, device="d1")
    [kept] = await site.letters()
    assert (kept.source, kept.code, kept.count) == ("database", "rejected_by_database", 2)
    refused = await site.gateway.redelivery.one(kept.id)
    assert (refused.replayed, refused.code) == (False, "rejected_by_database")
    assert [(one.count, one.replayed_at) for one in await site.letters()] == [(3, None)]
    await execute(site.url, "alter table messages drop constraint small")
    assert (await site.gateway.redelivery.one(kept.id)).replayed
    assert await fetch(site.url, STORED) == [("d1", "t", 500.0)]


async def test_a_topic_without_a_device_gives_no_right_to_write_another(site: Site) -> None:
    await add(site, "victim")
    body = f'{{"device": "victim", "metric": "t", "ts": {NOW_TS}, "value": 1}}'
    [number] = await site.keep(letter(body, code="bad_topic", device=None))
    result = await site.gateway.redelivery.one(number)
    assert (result.replayed, result.receipt) == (False, None)
    stranger = letter(body, code="device_mismatch")
    await add(site, "d1")
    await site.keep(stranger)
    run = await site.gateway.redelivery.some(DeadLetterFilter())
    assert (run.replayed, [error.code for error in run.errors]) == (0, ["bad_parameter", "device_mismatch"])
    assert await fetch(site.url, STORED) == []


async def test_a_run_goes_on_past_what_is_refused_again_and_says_what_remains(site: Site) -> None:
    await add(site, "d1")
    bodies = [reading(i, ts=str(1732276800 + i)) for i in range(6)]
    bodies[1] = "\udcff".encode("utf-8", "surrogateescape").decode("latin-1") + "junk"
    bodies[4] = reading(4, ts='"yesterday"')
    ids = await site.keep(*(letter(body) for body in bodies))
    first = await site.gateway.redelivery.some(DeadLetterFilter(), limit=3)
    assert (first.replayed, first.refused, first.remaining, first.next_cursor) == (2, 1, 3, str(ids[2]))
    assert [(error.id, error.code) for error in first.errors] == [(ids[1], "bad_payload")]
    second = await site.gateway.redelivery.some(DeadLetterFilter(), after=ids[2], limit=3)
    assert (second.replayed, second.refused, second.remaining, second.next_cursor) == (2, 1, 0, None)
    assert [error.code for error in second.errors] == ["bad_timestamp"]
    assert await site.keep() == [ids[1], ids[4]]
    assert [value for *_, value in await fetch(site.url, STORED)] == [0.0, 2.0, 3.0, 5.0]


async def test_only_what_is_wanted_is_replayed(site: Site) -> None:
    await add(site, "d1", "d2")
    await site.keep(letter(reading(1)), letter(reading(2), device="d2"), letter(reading(3), code="too_old"))
    run = await site.gateway.redelivery.some(DeadLetterFilter(device="d2", code="unknown_device"))
    assert (run.replayed, run.remaining) == (1, 0)
    assert await fetch(site.url, STORED) == [("d2", "t", 2.0)]


async def test_a_run_ends_in_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await add(site, "d1")
    await site.keep(*(letter(reading(i, ts=str(1732276800 + i))) for i in range(3)))
    monkeypatch.setattr(dead_letter_replay, "BUDGET_SECS", 0.0)
    ticks = iter(range(100))
    slow = DeadLetterReplay(
        site.gateway.redelivery._intake, site.gateway.redelivery._dead_letters, monotonic=lambda: next(ticks)
    )
    run = await slow.some(DeadLetterFilter())
    assert (run.replayed, run.remaining) == (1, 2)


async def test_a_run_ends_with_the_right_to_it(site: Site) -> None:
    await add(site, "d1")
    await site.keep(*(letter(reading(i, ts=str(1732276800 + i))) for i in range(3)))
    rights = iter([True, False])
    run = await site.gateway.redelivery.some(DeadLetterFilter(), go_on=lambda: next(rights))
    assert (run.replayed, run.remaining) == (2, 1)


async def test_a_letter_removed_meanwhile_is_passed_over(site: Site) -> None:
    await add(site, "d1")
    first, second = await site.keep(letter(reading(1)), letter(reading(2, ts="1732276801")))

    class Late(type(site.gateway.redelivery._dead_letters)):  # type: ignore[misc]
        async def open_ids(self, *_: object, **__: object) -> list[int]:
            return [first, second]

    await execute(site.url, f"delete from dead_letters where id = {first}")
    run = await DeadLetterReplay(site.gateway.redelivery._intake, Late(site.pool)).some(DeadLetterFilter())
    assert (run.replayed, run.refused) == (1, 0)
    with pytest.raises(NotFound):
        await site.gateway.redelivery.one(first)


async def test_what_may_work_later_is_said_and_nothing_is_marked(site: Site) -> None:
    class Away:
        async def take(self, *_: object, **__: object) -> None:
            raise SinkUnavailable

    class Broken:
        async def take(self, *_: object, **__: object) -> None:
            raise KeyError("of ours")

    [number] = await site.keep(letter(reading(1)))
    with pytest.raises(SinkUnavailable):
        await DeadLetterReplay(Away(), site.gateway.redelivery._dead_letters).some(DeadLetterFilter())  # type: ignore[arg-type]
    run = await DeadLetterReplay(Broken(), site.gateway.redelivery._dead_letters).some(DeadLetterFilter())  # type: ignore[arg-type]
    assert [error.code for error in run.errors] == ["internal"]
    assert await site.keep() == [number]
