"""Removing devices: what every gateway hears, what is left, and what races leave. On TimescaleDB and PostgreSQL."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta

import pytest

from gateway.core.errors import DeviceHasReadings, SinkUnavailable, StateUnavailable, UnknownDevice
from gateway.domain.credentials import digest_of
from gateway.domain.devices import DevicePatch
from gateway.domain.model import Outcome
from gateway.domain.principal import Role
from gateway.services.device_removal import sweeping
from gateway.services.registry import Registrar
from gateway.state.repair import repair
from gateway.timescale.connections.pool import Pool
from gateway.timescale.newest import TimescaleNewest
from gateway.timescale.registry import device_removal
from gateway.timescale.registry.device_removal import RemovedDevices
from tests.builders.batches import NOON, Message
from tests.fakes.state import MemoryState
from tests.integration.live_gateways import until
from tests.integration.writing import SOON, Gateway, execute, fetch, open_gateway
from tests.servers.databases import Database

DAY = 86_400_000_000


async def orphans(url: str) -> int:
    """Messages and pairs whose device is in no registry."""
    statement = """
    select (select count(*) from messages where device_id not in (select id from devices))
         + (select count(*) from device_shapes where device_id not in (select id from devices))
    """
    [(count,)] = await fetch(url, statement)
    return int(count)


async def test_a_device_with_readings_goes_with_them_or_not_at_all(
    database: Database, book: Registrar, state: MemoryState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_removal, "AT_ONCE", 7)
    async with open_gateway(database.url) as gateway:
        written = await gateway.write(
            [("d1", n * DAY // 10, {f"m{n % 3}": float(n)}) for n in range(50)], [("d2", 1, {"m0": 1.0})]
        )
        await state.apply(written.newest)
        with pytest.raises(DeviceHasReadings, match="readings=delete"):
            await book.removal.remove("d1", with_readings=False)
        assert len(await state.read(["d1"])) == 1
        assert await book.removal.remove("d1", with_readings=True)
    assert await state.read(["d1"]) == [None]
    assert await fetch(database.url, "select distinct device from readings") == [("d2",)]
    assert await orphans(database.url) == 0
    with pytest.raises(UnknownDevice):
        await book.removal.remove("d1", with_readings=True)


async def test_the_id_of_a_removal_may_be_another_devices_after_a_restore(database: Database, pool: Pool) -> None:
    """Between two statements of a removal the database was put back; the number is a living device's now."""
    async with open_gateway(database.url) as gateway:
        await gateway.write([("living", 1, {"m": 1.0})])
        (number,) = await gateway.dictionary.device_ids(["living"])
    assert await RemovedDevices(pool).remove_some(number) == 0
    assert await fetch(database.url, "select device from readings") == [("living",)]


async def test_what_a_call_leaves_is_swept(
    database: Database, book: Registrar, state: MemoryState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_removal, "AT_ONCE", 7)
    async with open_gateway(database.url) as gateway:
        await gateway.write([("d1", n, {"m": float(n)}) for n in range(50)])
    assert not await book.removal.remove("d1", with_readings=True, budget_secs=-1)
    assert await orphans(database.url) > 0
    await book.removal.sweep()
    assert await orphans(database.url) == 0
    assert await fetch(database.url, "select passes from removed_devices") == [(1,)]


async def test_without_redis_a_device_goes_and_its_state_later(
    database: Database, pool: Pool, book: Registrar, state: MemoryState
) -> None:
    async with open_gateway(database.url) as gateway:
        written = await gateway.write([("d1", 1, {"m": 1.0})])
        await state.apply(written.newest)
        state.away = True
        assert not await book.removal.remove("d1", with_readings=True)
        await execute(database.url, "update removed_devices set removed_at = removed_at - interval '3 seconds'")
        with pytest.raises(StateUnavailable):
            await book.removal.sweep()
        assert await orphans(database.url) == 0, "its readings need no Redis to go"
        gateway.dictionary.forget_devices(["d1"])
        written = await gateway.write([("d1", 2, {"n": 1.0})])  # it comes back, under the same name
        state.away = False
        await state.apply(written.newest)
    assert len(state.held("d1")) == 2
    await book.removal.sweep()
    [newest] = await repair(state, TimescaleNewest(pool), ["d1"])
    assert [message.time_us for message in newest] == [NOON + 2], "its own state stays"
    assert await state.read(["d1"]) == [newest]
    assert await orphans(database.url) == 0


async def test_a_second_pass_takes_what_was_being_written(database: Database, pool: Pool, book: Registrar) -> None:
    async with open_gateway(database.url) as gateway:
        await gateway.write([("d1", 1, {"m": 1.0})])
        assert await book.removal.remove("d1", with_readings=True)
        await gateway.write([("d1", 2, {"m": 2.0})])  # by a gateway that has not heard of it
    assert await orphans(database.url) == 1
    removed = RemovedDevices(pool)
    assert await removed.due() == [], "not yet: others may still write"
    for passes, age in ((2, "3 seconds"), (3, "11 minutes")):
        await execute(database.url, f"update removed_devices set removed_at = removed_at - interval '{age}'")
        assert len(await removed.due()) == 1
        await book.removal.sweep()
        assert await orphans(database.url) == 0
        assert await fetch(database.url, "select passes from removed_devices") == [(passes,)]
    await execute(database.url, "update removed_devices set removed_at = removed_at - interval '31 days'")
    await book.removal.sweep()
    assert await fetch(database.url, "select * from removed_devices") == []


async def test_a_gateway_that_has_not_heard_of_it_stores_new_shapes_nowhere(
    database: Database, book: Registrar
) -> None:
    """The old id and a new shape cannot be noted: the gateway learns of it there, and makes the device anew."""
    async with open_gateway(database.url) as gateway:
        await gateway.write([("d1", 1, {"m": 1.0})], [("d2", 1, {"m": 1.0})])
        await book.removal.remove("d1", with_readings=True)
        written = await gateway.write([("d1", 2, {"new": 2.0})], [("d2", 2, {"new": 2.0})])
        assert [outcome.stored for outcome in written.outcomes] == [1, 1]
    assert await orphans(database.url) == 0
    assert sorted(await fetch(database.url, "select device, metric from readings")) == [
        ("d1", "new"),
        ("d2", "m"),
        ("d2", "new"),
    ]


async def test_a_closed_registry_makes_no_device_again(database: Database, book: Registrar) -> None:
    """Messages that were admitted before their device went become dead letters; the others of the group are stored."""
    await book.devices.add("d1")
    async with open_gateway(database.url, make_devices=False) as gateway:
        first, second = await _write_three(gateway)
        assert (first.stored, [message for message, _ in first.rejected], second.stored) == (1, [1, 2], 1)
        assert "removed" in first.rejected[0][1]
        assert sorted(letter.device or "" for letter in gateway.letters.letters) == ["gone", "lost"]
        atomic = await gateway.write([("d1", 5, {"m": 1.0}), ("gone", 5, {"m": 1.0})], atomic=True)
        assert (atomic.outcomes[0].stored, len(atomic.outcomes[0].rejected)) == (0, 1)
        only = await gateway.write([("gone", 6, {"m": 1.0})])
        assert (only.outcomes[0].stored, only.newest) == (0, [])
    assert sorted(await fetch(database.url, "select name from devices")) == [("d1",)]
    assert await fetch(database.url, "select count(*) from messages") == [(2,)]


async def _write_three(gateway: Gateway) -> Sequence[Outcome]:
    written = await gateway.write(
        [("d1", 1, {"m": 1.0}), ("gone", 1, {"m": 2.0}), ("lost", 1, {"m": 3.0})], [("d1", 2, {"m": 4.0})]
    )
    return written.outcomes


async def test_devices_removed_and_made_under_traffic_leave_no_orphan(database: Database, book: Registrar) -> None:
    """Two gateways write without pause while their devices go again and again; afterwards everything left belongs."""
    async with AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(open_gateway(database.url)) for _ in range(2)]
        stop = asyncio.Event()

        async def write(gateway: Gateway, seed: int) -> None:
            time_us = seed
            while not stop.is_set():
                time_us += 2
                group: list[Message] = [(f"d{n}", time_us, {f"m{time_us % 7}": 1.0}) for n in range(3)]
                try:
                    await gateway.write(group)
                except SinkUnavailable:  # as told: try again
                    continue

        async def hear() -> None:
            while not stop.is_set():
                for gateway in gateways:
                    gateway.dictionary.forget_devices(None)
                await asyncio.sleep(0.02)

        async with asyncio.timeout(SOON), asyncio.TaskGroup() as tasks:
            for seed, gateway in enumerate(gateways):
                tasks.create_task(write(gateway, seed), name="write")
            tasks.create_task(hear(), name="hear")
            try:
                for n in range(9):
                    with suppress(UnknownDevice):
                        await book.removal.remove(f"d{n % 3}", with_readings=True)
                    await asyncio.sleep(0.01)
            finally:
                stop.set()
    await execute(database.url, "update removed_devices set removed_at = removed_at - interval '11 minutes'")
    await book.removal.sweep()
    assert await orphans(database.url) == 0


async def test_registry_changes_at_once_do_not_wait_for_each_other_for_ever(pool: Pool, book: Registrar) -> None:
    """Every kind of change at the same devices at the same time: no deadlock, whatever the order."""
    names = [f"d{n}" for n in range(4)]
    for name in names:
        await book.devices.add(name)

    async def work(n: int) -> None:
        name = names[n % 4]
        await book.credentials.rotate(name)
        await book.devices.change(name, DevicePatch(tags={"n": str(n)}))
        async with pool.connection() as connection:
            await connection.execute("update devices set enabled = not enabled")

    async with asyncio.timeout(SOON):
        await asyncio.gather(*(work(n) for n in range(24)))


async def test_gateways_forget_what_the_database_removed_by_hand(database: Database, book: Registrar) -> None:
    await book.devices.add("d1")
    issued = await book.credentials.issue(Role.DEVICE, device="d1")
    await execute(database.url, "delete from credentials; delete from devices")
    assert await fetch(database.url, "select name from removed_devices") == [("d1",)]
    assert await fetch(database.url, "select digest from removed_credentials") == [(digest_of(issued.token),)]


async def test_sweeping_goes_on_after_a_failure_and_keeps_the_audit_within_its_age(
    database: Database, book: Registrar, state: MemoryState
) -> None:
    async with open_gateway(database.url) as gateway:
        await gateway.write([("d1", 1, {"m": 1.0})], [("d2", 1, {"m": 1.0})])
    state.away = True
    assert not await book.removal.remove("d1", with_readings=True)
    await execute(database.url, "update removed_devices set removed_at = removed_at - interval '3 seconds'")
    await execute(database.url, "update audit set at = at - interval '8 days'")
    await book.removal.remove("d2", with_readings=True)

    async def only_new_lines() -> bool:
        return [entry.target for entry in await book.audit.page()] == ["d2"]

    async def all_swept() -> bool:
        return await fetch(database.url, "select passes from removed_devices where name = 'd1'") == [(2,)]

    async with sweeping(book.removal, book.audit, keep_days=7, every_secs=0.01):
        await until(only_new_lines)
        assert not await all_swept()
        state.away = False
        await until(all_swept)


async def test_keys_that_ended_long_ago_go_with_the_lines_that_name_them(database: Database, book: Registrar) -> None:
    await execute(
        database.url,
        """
        insert into credentials (digest, role, label, revoked_at, expires_at)
        select sha256(label::bytea), 'reader', label, now() - revoked::interval, now() - expired::interval
        from (values ('revoked long ago', '8 days', null), ('expired long ago', null, '8 days'),
            ('revoked', '6 days', '-1 day'), ('expired', null, '6 days'), ('living', null, null),
            ('later', null, '-9 days')) as given (label, revoked, expired)
        """,
    )
    before = await fetch(database.url, "select n from registry_revision")
    for _ in range(3):
        await book.audit.purge(timedelta(days=7))
    left = await fetch(database.url, "select label from credentials order by label")
    assert left == [("expired",), ("later",), ("living",), ("revoked",)]
    [(revision,)] = await fetch(database.url, "select n from registry_revision")
    assert revision == before[0][0] + 1, "nothing is said to change where nothing goes"
