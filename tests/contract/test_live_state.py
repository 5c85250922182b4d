"""One suite for every live state: the one in Valkey, and the in-memory one."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator

import numpy as np
import pytest

from gateway import settings
from gateway.contracts import LiveState, Newest
from gateway.local.valkey import ValkeyServer
from gateway.model import Block
from gateway.state.store import open_state
from gateway.testing import MemoryState
from tests.batches import NOON
from tests.blocks import block, join
from tests.completed import complete


@pytest.fixture(params=["memory", "valkey"])
async def state(request: pytest.FixtureRequest) -> AsyncIterator[LiveState]:
    if request.param == "memory":
        yield MemoryState()
        return
    server: ValkeyServer = request.getfixturevalue("valkey_server")
    async with open_state(settings.Redis(url=server.url()), site=secrets.token_hex(4)) as store:
        await complete(store)
        yield store


async def _read(state: LiveState, device: str) -> list[Newest]:
    (entries,) = await state.read([device])
    return sorted(entries)


async def test_a_device_nobody_knows_has_nothing(state: LiveState) -> None:
    assert await state.read(["nobody"]) == [[]]
    assert await state.read([]) == []


async def test_every_kind_comes_back_to_the_last_bit(state: LiveState) -> None:
    doubles = (0.1, -0.0, 5e-324, 1.7976931348623157e308)
    ints = (2**63 - 1, -(2**63), 0)
    texts = ("", "Kühl🌡️\0\n", "x" * 4096)
    await state.apply([block("d", 0, shape=2**31 - 1, doubles=doubles, ints=ints, texts=texts)])
    (entry,) = await _read(state, "d")
    assert entry == Newest(2**31 - 1, NOON, doubles, ints, texts)
    assert str(entry.doubles[1]) == "-0.0"


@pytest.mark.parametrize("count", [1, 300])
async def test_messages_of_many_values(state: LiveState, count: int) -> None:
    doubles, ints = tuple(i / 7 for i in range(count)), tuple(range(count))
    texts = tuple(str(i) for i in range(count))
    await state.apply([block("wide", 0, doubles=doubles, ints=ints, texts=texts)])
    assert await _read(state, "wide") == [Newest(1, NOON, doubles, ints, texts)]


async def test_each_shape_of_a_device_has_its_own_newest(state: LiveState) -> None:
    await state.apply([block("d", 5, shape=1, doubles=(1.5,)), block("d", 3, shape=2, texts=("on",))])
    await state.apply([block("d", 4, shape=1, doubles=(0.5,)), block("d", 9, shape=2, texts=("off",))])
    assert await _read(state, "d") == [
        Newest(1, NOON + 5, (1.5,), (), ()),
        Newest(2, NOON + 9, (), (), ("off",)),
    ]


async def test_at_the_same_time_the_later_write_wins(state: LiveState) -> None:
    await state.apply([block("d", 5, doubles=(1.5,))])
    await state.apply([block("d", 5, doubles=(2.5,))])
    assert await _read(state, "d") == [Newest(1, NOON + 5, (2.5,), (), ())]
    await state.apply([block("d", 5, doubles=(3.5,)), block("d", 5, doubles=(4.5,))])
    assert await _read(state, "d") == [Newest(1, NOON + 5, (4.5,), (), ())]


async def test_what_is_restored_never_replaces_what_is_as_new(state: LiveState) -> None:
    await state.apply([block("d", 5, doubles=(1.5,))])
    texts = ("", "ü\0")
    kinds = Newest(2, NOON, (-0.5,), (-(2**63),), texts)
    older, equal = (Newest(1, NOON + after, (9.5,), (), ()) for after in (4, 5))
    await state.restore([("d", older), ("d", equal), ("d", kinds), ("e", kinds)])
    assert await _read(state, "d") == [Newest(1, NOON + 5, (1.5,), (), ()), kinds]
    assert await _read(state, "e") == [kinds]
    newer = Newest(1, NOON + 6, (9.5,), (), ())
    await state.restore([("d", newer), ("d", older)])
    assert await _read(state, "d") == [newer, kinds]
    await state.restore([])


async def test_a_microsecond_decides(state: LiveState) -> None:
    for after in (1, 2, 0):
        await state.apply([block("d", after, doubles=(float(after),))])
    assert await _read(state, "d") == [Newest(1, NOON + 2, (2.0,), (), ())]


async def test_many_devices_are_read_in_order(state: LiveState) -> None:
    names = [f"d{i}" for i in range(500)]
    await state.apply([join(*(block(name, i, doubles=(i + 0.5,)) for i, name in enumerate(names)))])
    asked = [*reversed(names), "nobody", "d7", "d7"]
    found = await state.read(asked)
    assert [[entry.doubles for entry in entries] for entries in found] == [
        [] if name == "nobody" else [(int(name[1:]) + 0.5,)] for name in asked
    ]


@pytest.mark.parametrize("name", ["x" * 128, "a:b._-", "0", "gateway:test:d"])
async def test_names_are_taken_as_they_are(state: LiveState, name: str) -> None:
    await state.apply([block(name, 0, doubles=(1.5,)), block("d", 0, doubles=(2.5,))])
    assert [entry.doubles for entry in await _read(state, name)] == [(1.5,)]


async def test_nothing_is_applied_for_nothing(state: LiveState) -> None:
    await state.apply([])
    await state.apply([block("d", 0, texts=("x",)).take(np.array([], np.intp))])
    assert await state.read(["d"]) == [[]]


@pytest.mark.parametrize("seed", range(8))
async def test_after_any_shuffle_the_newest_is_shown(state: LiveState, seed: int) -> None:
    rng = random.Random(seed)
    times = rng.sample(range(100_000), 300)
    every = [block(f"d{rng.randrange(6)}", t, shape=1 + t % 3, doubles=(t + 0.5,)) for t in times]
    rng.shuffle(every)
    calls = [_random_call(every[i : i + 20], rng) for i in range(0, len(every), 20)]
    await asyncio.gather(*(state.apply(call) for call in calls))
    expected: dict[tuple[str, int], int] = {}
    for each in every:
        key = each.names[0], int(each.shapes[0])
        expected[key] = max(expected.get(key, 0), int(each.times[0]) - NOON)
    names = [f"d{i}" for i in range(6)]
    found = {
        (name, entry.shape_id): (entry.time_us - NOON, entry.doubles)
        for name, entries in zip(names, await state.read(names), strict=True)
        for entry in entries
    }
    assert found == {key: (after, (after + 0.5,)) for key, after in expected.items()}


def _random_call(blocks: list[Block], rng: random.Random) -> list[Block]:
    cut = rng.randrange(1, len(blocks))
    return [join(*blocks[:cut]), join(*blocks[cut:])]


async def test_the_newest_time_of_each_device(state: LiveState) -> None:
    await state.apply([block("d1", 5, shape=1), block("d1", 2, shape=2), block("d2", 7, shape=1)])
    assert await state.times(["d2", "nobody", "d1"]) == [NOON + 7, None, NOON + 5]
    assert await state.times([]) == []
    await state.apply([block("d1", 9, shape=2)])
    assert await state.times(["d1"]) == [NOON + 9]


async def test_devices_that_are_no_more_are_forgotten(state: LiveState) -> None:
    await state.apply([block("d1", 5), block("d2", 7)])
    await state.remove(["d1", "nobody"])
    assert await state.times(["d1", "d2"]) == [None, NOON + 7]
    assert await _read(state, "d1") == []
