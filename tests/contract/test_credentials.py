"""One suite for both stores of credentials: the database's and the in-memory one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import NamedTuple

import pytest
from msgspec import structs

from gateway.core.errors import BadRequest, NotFound
from gateway.domain.credentials import PREFIXES, TOKEN, digest_of
from gateway.domain.principal import Grant, Principal, Role
from gateway.timescale.connections.pool import open_pool
from gateway.timescale.registry.credentials import StoredCredentials
from gateway.timescale.registry.devices import DeviceRegistry
from tests.fakes.clock import ManualClock
from tests.fakes.credentials import MemoryCredentials
from tests.servers.databases import Databases

Store = StoredCredentials | MemoryCredentials
HOUR = timedelta(hours=1)


class Place(NamedTuple):
    store: Store
    clock: ManualClock
    add_device: Callable[[str], Awaitable[None]]
    set_enabled: Callable[[str, bool], Awaitable[None]]

    async def who(self, token: str) -> Principal | None:
        """Who holds the token, whatever the id of the credential."""
        found = (await self.store.find([digest_of(token)])).get(digest_of(token))
        return None if found is None else structs.replace(found.principal, key=0)

    async def live(self, device: str) -> int:
        return len(await self.store.page(device=device))


@pytest.fixture(params=["memory", "timescale"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    clock = ManualClock()
    if request.param == "memory":
        yield _in_memory(clock)
        return
    databases: Databases = request.getfixturevalue("timescale_databases")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(databases.migrated())
        pool = await stack.enter_async_context(
            open_pool(database.url, name="test", size=4, connect_timeout=10, command_timeout=10)
        )
        devices = DeviceRegistry(pool)

        async def add(name: str) -> None:
            await devices.add(name)

        async def set_enabled(name: str, enabled: bool) -> None:
            await (devices.enable(name) if enabled else devices.disable(name))

        yield Place(StoredCredentials(pool, clock=clock), clock, add, set_enabled)


def _in_memory(clock: ManualClock) -> Place:
    store = MemoryCredentials(clock=clock)

    async def add(name: str) -> None:
        store.add_device(name)

    async def set_enabled(name: str, enabled: bool) -> None:
        store.set_enabled(name, enabled=enabled)

    return Place(store, clock, add, set_enabled)


async def test_a_device_token_is_found_by_its_digest_only(place: Place) -> None:
    await place.add_device("d1")
    issued = await place.store.issue(Role.DEVICE, device="d1")
    digests = [digest_of(issued.token), digest_of(issued.token + "x"), issued.token.encode()]
    grant = Grant(Principal(Role.DEVICE, "d1", key=issued.id), None)
    assert await place.store.find(digests) == {digests[0]: grant}
    assert await place.store.find([]) == {}


@pytest.mark.parametrize("role", [Role.INGEST, Role.READER, Role.ADMIN])
async def test_keys_show_their_role_in_their_prefix(place: Place, role: Role) -> None:
    issued = await place.store.issue(role, label="a key")
    assert TOKEN.fullmatch(issued.token)
    assert issued.token.startswith(PREFIXES[role])
    assert await place.who(issued.token) == Principal(role)


async def test_an_ingest_key_keeps_its_prefix(place: Place) -> None:
    issued = await place.store.issue(Role.INGEST, prefix="plant-7.")
    assert await place.who(issued.token) == Principal(Role.INGEST, prefix="plant-7.")


async def test_tokens_never_repeat(place: Place) -> None:
    tokens = {(await place.store.issue(Role.READER)).token for _ in range(20)}
    assert len(tokens) == 20


async def test_an_expired_token_is_not_found_from_the_very_moment(place: Place) -> None:
    issued = await place.store.issue(Role.READER, lifetime=HOUR)
    [found] = (await place.store.find([digest_of(issued.token)])).values()
    assert found.expires_us == place.clock.now_us() + 3_600_000_000
    place.clock.advance(3600 - 0.000_001)
    assert await place.who(issued.token) is not None
    place.clock.advance(0.000_001)
    assert await place.who(issued.token) is None


async def test_a_revoked_token_is_not_found_and_revoking_again_changes_nothing(place: Place) -> None:
    issued = await place.store.issue(Role.ADMIN)
    await place.store.revoke(issued.id)
    [first] = await place.store.page(dead=True)
    place.clock.advance(60)
    await place.store.revoke(issued.id)
    assert await place.who(issued.token) is None
    assert await place.store.page(dead=True) == [first]
    assert await place.store.page() == []


@pytest.mark.parametrize("number", [0, -1, 999, 2**31, 2**70])
async def test_revoking_what_was_never_issued_is_not_found(place: Place, number: int) -> None:
    with pytest.raises(NotFound):
        await place.store.revoke(number)


async def test_a_disabled_device_has_no_valid_token_until_it_is_enabled(place: Place) -> None:
    await place.add_device("d1")
    issued = await place.store.issue(Role.DEVICE, device="d1")
    await place.set_enabled("d1", False)
    assert await place.who(issued.token) is None
    await place.set_enabled("d1", True)
    assert await place.who(issued.token) == Principal(Role.DEVICE, "d1")


async def test_a_device_has_two_live_tokens_at_most(place: Place) -> None:
    await place.add_device("d1")
    await place.add_device("d2")
    for _ in range(2):
        await place.store.issue(Role.DEVICE, device="d1")
    with pytest.raises(BadRequest, match="2 live tokens"):
        await place.store.issue(Role.DEVICE, device="d1")
    await place.store.issue(Role.DEVICE, device="d2")
    assert await place.live("d1") == 2


async def test_a_revoked_or_expired_token_makes_room(place: Place) -> None:
    await place.add_device("d1")
    first = await place.store.issue(Role.DEVICE, device="d1")
    await place.store.issue(Role.DEVICE, device="d1", lifetime=HOUR)
    await place.store.revoke(first.id)
    await place.store.issue(Role.DEVICE, device="d1")
    place.clock.advance(3600)
    await place.store.issue(Role.DEVICE, device="d1")
    assert await place.live("d1") == 2


async def test_rotation_lets_the_old_token_live_for_the_overlap(place: Place) -> None:
    await place.add_device("d1")
    old = await place.store.issue(Role.DEVICE, device="d1")
    new = await place.store.rotate("d1", overlap=HOUR)
    assert await place.who(old.token) == await place.who(new.token) == Principal(Role.DEVICE, "d1")
    place.clock.advance(3600)
    assert await place.who(old.token) is None
    assert await place.who(new.token) == Principal(Role.DEVICE, "d1")


async def test_rotation_without_overlap_revokes_at_once(place: Place) -> None:
    await place.add_device("d1")
    old = await place.store.issue(Role.DEVICE, device="d1")
    new = await place.store.rotate("d1", overlap=timedelta())
    assert await place.who(old.token) is None
    assert await place.who(new.token) is not None


async def test_rotating_twice_revokes_the_oldest(place: Place) -> None:
    await place.add_device("d1")
    tokens = [(await place.store.issue(Role.DEVICE, device="d1")).token]
    tokens += [(await place.store.rotate("d1")).token for _ in range(2)]
    assert [await place.who(token) is not None for token in tokens] == [False, True, True]
    assert await place.live("d1") == 2


async def test_rotation_never_prolongs_a_token(place: Place) -> None:
    await place.add_device("d1")
    old = await place.store.issue(Role.DEVICE, device="d1", lifetime=timedelta(minutes=5))
    await place.store.rotate("d1", overlap=HOUR)
    place.clock.advance(300)
    assert await place.who(old.token) is None


async def test_rotations_at_once_leave_two_live_tokens(place: Place) -> None:
    await place.add_device("d1")
    issued = await asyncio.gather(*(place.store.rotate("d1") for _ in range(8)))
    assert await place.live("d1") == 2
    assert sum([await place.who(one.token) is not None for one in issued]) == 2


async def test_a_device_without_a_token_gets_its_first_by_rotation(place: Place) -> None:
    await place.add_device("d1")
    assert await place.who((await place.store.rotate("d1")).token) == Principal(Role.DEVICE, "d1")


async def test_tokens_for_a_device_that_does_not_exist_are_not_made(place: Place) -> None:
    with pytest.raises(NotFound, match="'ghost'"):
        await place.store.issue(Role.DEVICE, device="ghost")
    with pytest.raises(NotFound, match="'ghost'"):
        await place.store.rotate("ghost")


@pytest.mark.parametrize(
    ("role", "grant"),
    [
        (Role.DEVICE, {}),
        (Role.READER, {"device": "d1"}),
        (Role.READER, {"prefix": "a"}),
        (Role.DEVICE, {"device": "d1", "prefix": "a"}),
        (Role.DEVICE, {"device": "bad name"}),
        (Role.INGEST, {"prefix": "bad/"}),
        (Role.INGEST, {"prefix": "a" * 129}),
        (Role.INGEST, {"prefix": "a\n"}),
        (Role.ADMIN, {"label": "x\x00"}),
        (Role.ADMIN, {"label": "x" * 201}),
        (Role.ADMIN, {"lifetime": timedelta()}),
        (Role.ADMIN, {"lifetime": -HOUR}),
        (Role.ADMIN, {"lifetime": timedelta(days=40_000)}),
    ],
)
async def test_grants_that_make_no_sense_are_refused(place: Place, role: Role, grant: dict[str, object]) -> None:
    await place.add_device("d1")
    with pytest.raises(BadRequest):
        await place.store.issue(role, **grant)  # type: ignore[arg-type]
    assert await place.store.page(dead=True) == []


async def test_pages_filter_and_follow_each_other(place: Place) -> None:
    await place.add_device("d1")
    await place.store.issue(Role.DEVICE, device="d1")
    keys = [await place.store.issue(Role.READER, label=f"r{n}") for n in range(3)]
    await place.store.issue(Role.INGEST, lifetime=HOUR)
    readers = await place.store.page(role=Role.READER, limit=2)
    assert [one.label for one in readers] == ["r0", "r1"]
    rest = await place.store.page(role=Role.READER, after=readers[-1].id, limit=2)
    assert [one.id for one in rest] == [keys[2].id]
    assert [one.device for one in await place.store.page(device="d1")] == ["d1"]
    place.clock.advance(3600)
    assert len(await place.store.page()) == 4
    assert len(await place.store.page(dead=True)) == 5


async def test_neither_token_nor_digest_is_in_what_is_listed_or_shown(place: Place) -> None:
    issued = await place.store.issue(Role.ADMIN)
    shown = repr(issued) + str(issued) + repr(await place.store.page())
    assert issued.token not in shown
    assert issued.token[4:20] not in shown
    assert digest_of(issued.token).hex() not in shown
