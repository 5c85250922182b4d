"""One suite for every live state: the one in Valkey, and the in-memory one."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator

import numpy as np
import pytest

from gateway.app.dev_servers.valkey import ValkeyServer
from gateway.core import settings
from gateway.core.errors import StateUnavailable
from gateway.domain.contracts.newest import LiveState, NewestMessage
from gateway.domain.model import Block
from gateway.state.store import open_state
from tests.builders.batches import NOON
from tests.builders.blocks import block, join
from tests.builders.completed import complete, whole
from tests.fakes import MemoryState


@pytest.fixture(params=["memory", "valkey"])
async def state(request: pytest.FixtureRequest) -> AsyncIterator[LiveState]:
    if request.param == "memory":
        yield MemoryState()
        return
    server: ValkeyServer = request.getfixturevalue("valkey_server")
    async with open_state(settings.RedisSettings(url=server.url()), site=secrets.token_hex(4)) as store:
        await complete(store)
        yield store


async def _read(state: LiveState, device: str) -> list[NewestMessage] | None:
    (entries,) = await state.read([device])
    return entries if entries is None else sorted(entries)


async def _restore(state: LiveState, device: str, *messages: NewestMessage) -> int:
    return await state.restore([device], await state.claim([device]), [messages])


async def test_a_device_that_is_not_there_is_told_from_one_that_has_nothing(state: LiveState) -> None:
    await whole(state, "silent")
    assert await state.read(["nobody", "silent"]) == [None, []]
    assert await state.read([]) == []
    assert await state.times(["nobody", "silent"]) == [None, None]


async def test_every_kind_comes_back_to_the_last_bit(state: LiveState) -> None:
    doubles = (0.1, -0.0, 5e-324, 1.7976931348623157e308)
    ints = (2**63 - 1, -(2**63), 0)
    texts = ("", "Kühl🌡️\0\n", "x" * 4096)
    await whole(state, "d")
    await state.apply([block("d", 0, shape=2**31 - 1, doubles=doubles, ints=ints, texts=texts)])
    entries = await _read(state, "d")
    assert entries == [NewestMessage(2**31 - 1, NOON, doubles, ints, texts)]
    assert str(entries[0].doubles[1]) == "-0.0"


@pytest.mark.parametrize("count", [1, 300])
async def test_messages_of_many_values(state: LiveState, count: int) -> None:
    doubles, ints = tuple(i / 7 for i in range(count)), tuple(range(count))
    texts = tuple(str(i) for i in range(count))
    await whole(state, "wide")
    await state.apply([block("wide", 0, doubles=doubles, ints=ints, texts=texts)])
    assert await _read(state, "wide") == [NewestMessage(1, NOON, doubles, ints, texts)]


async def test_each_shape_of_a_device_has_its_own_newest(state: LiveState) -> None:
    await whole(state, "d")
    await state.apply([block("d", 5, shape=1, doubles=(1.5,)), block("d", 3, shape=2, texts=("on",))])
    await state.apply([block("d", 4, shape=1, doubles=(0.5,)), block("d", 9, shape=2, texts=("off",))])
    assert await _read(state, "d") == [
        NewestMessage(1, NOON + 5, (1.5,), (), ()),
        NewestMessage(2, NOON + 9, (), (), ("off",)),
    ]


async def test_at_the_same_time_the_later_write_wins(state: LiveState) -> None:
    await whole(state, "d")
    await state.apply([block("d", 5, doubles=(1.5,))])
    await state.apply([block("d", 5, doubles=(2.5,))])
    assert await _read(state, "d") == [NewestMessage(1, NOON + 5, (2.5,), (), ())]
    await state.apply([block("d", 5, doubles=(3.5,)), block("d", 5, doubles=(4.5,))])
    assert await _read(state, "d") == [NewestMessage(1, NOON + 5, (4.5,), (), ())]


async def test_at_the_same_time_the_earlier_write_wins_if_told_so(state: LiveState) -> None:
    await whole(state, "d")
    for after, value in ((5, 1.5), (5, 2.5), (4, 3.5), (6, 4.5), (6, 5.5)):
        await state.apply([block("d", after, doubles=(value,))], later_wins=False)
    assert await _read(state, "d") == [NewestMessage(1, NOON + 6, (4.5,), (), ())]


async def test_what_is_restored_never_replaces_what_is_as_new(state: LiveState) -> None:
    await state.apply([block("d", 5, doubles=(1.5,))])
    texts = ("", "ü\0")
    kinds = NewestMessage(2, NOON, (-0.5,), (-(2**63),), texts)
    older, equal = (NewestMessage(1, NOON + after, (9.5,), (), ()) for after in (4, 5))
    claims = await state.claim(["d", "e", "f"])
    assert await state.restore(["d", "e", "f"], claims, [[older, equal, kinds], [kinds], []]) == 3
    assert await _read(state, "d") == [NewestMessage(1, NOON + 5, (1.5,), (), ()), kinds]
    assert await _read(state, "e") == [kinds]
    assert await _read(state, "f") == []
    newer = NewestMessage(1, NOON + 6, (9.5,), (), ())
    assert await state.restore(["d"], await state.claim(["d"], anew=True), [[newer, older]]) == 1
    assert await _read(state, "d") == [newer]
    assert await state.restore([], [], []) == 0


async def test_a_device_is_not_told_before_it_is_whole(state: LiveState) -> None:
    """It was lost, or never there: what comes in afterwards is a part."""
    entry = block("d", 5, doubles=(1.5,))
    assert await state.apply([entry, block("e", 1, doubles=(1.5,)), block("d", 1, shape=2)]) == ["d", "e"]
    assert await state.apply([entry, block("d", 6, doubles=(2.5,))]) == []
    assert await state.read(["d"]) == [None]
    assert await state.times(["d"]) == [None]
    stored = NewestMessage(7, NOON + 9, (3.5,), (), ())
    assert await _restore(state, "d", stored, NewestMessage(1, NOON + 5, (1.5,), (), ())) == 1
    assert await state.times(["d", "e"]) == [NOON + 9, None]
    assert await _read(state, "d") == [
        NewestMessage(1, NOON + 6, (2.5,), (), ()),
        NewestMessage(2, NOON + 1, (), (), ()),
        stored,
    ]
    assert await state.apply([block("d", 10, shape=3)]) == []
    assert len(await _read(state, "d") or ()) == 4


async def test_what_is_whole_is_not_claimed(state: LiveState) -> None:
    await whole(state, "d")
    claims = await state.claim(["d", "e"])
    assert [bool(claim) for claim in claims] == [False, True]
    assert await state.restore(["d", "e"], claims, [[NewestMessage(1, NOON, (), (), ())], []]) == 1
    assert await _read(state, "d") == []


async def test_a_device_that_is_lost_after_its_claim_is_not_filled_with_what_was_read(state: LiveState) -> None:
    """What came in between, and was lost with the key, is missing in what was read."""
    claims = await state.claim(["d"])
    stored = [NewestMessage(1, NOON + 4, (0.5,), (), ())]
    await state.apply([block("d", 5, doubles=(1.5,))])
    await state.remove(["d"])
    assert await state.restore(["d"], claims, [stored]) == 0
    assert await state.read(["d"]) == [None]
    await state.apply([block("d", 3, doubles=(0.5,))])
    assert await state.restore(["d"], claims, [stored]) == 0
    assert await state.read(["d"]) == [None]


async def test_two_who_fill_one_device_do_not_hinder_each_other(state: LiveState) -> None:
    stored = [NewestMessage(1, NOON + 4, (0.5,), (), ())]
    first, second = await state.claim(["d"]), await state.claim(["d"])
    assert await state.restore(["d"], first, [stored]) == 1
    assert await state.restore(["d"], second, [stored]) == 0
    assert await _read(state, "d") == stored
    late, new = await state.claim(["d"], anew=True), await state.claim(["d"], anew=True)
    assert await state.restore(["d"], late, [stored]) == 0
    assert await state.restore(["d"], new, [[]]) == 1
    assert await _read(state, "d") == []


async def test_a_microsecond_decides(state: LiveState) -> None:
    await whole(state, "d")
    for after in (1, 2, 0):
        await state.apply([block("d", after, doubles=(float(after),))])
    assert await _read(state, "d") == [NewestMessage(1, NOON + 2, (2.0,), (), ())]


async def test_many_devices_are_read_in_order(state: LiveState) -> None:
    names = [f"d{i}" for i in range(500)]
    await whole(state, *names)
    await state.apply([join(*(block(name, i, doubles=(i + 0.5,)) for i, name in enumerate(names)))])
    asked = [*reversed(names), "nobody", "d7", "d7"]
    found = await state.read(asked)
    assert [entries and entries[0].doubles for entries in found] == [
        None if name == "nobody" else (int(name[1:]) + 0.5,) for name in asked
    ]


@pytest.mark.parametrize("name", ["x" * 128, "a:b._-", "0", "gateway:test:d"])
async def test_names_are_taken_as_they_are(state: LiveState, name: str) -> None:
    await whole(state, name)
    await state.apply([block(name, 0, doubles=(1.5,)), block("d", 0, doubles=(2.5,))])
    assert await _read(state, name) == [NewestMessage(1, NOON, (1.5,), (), ())]


async def test_nothing_is_applied_for_nothing(state: LiveState) -> None:
    await whole(state, "d")
    await state.apply([])
    await state.apply([block("d", 0, texts=("x",)).take(np.array([], np.intp))])
    assert await state.read(["d"]) == [[]]


@pytest.mark.parametrize("seed", range(8))
async def test_after_any_shuffle_the_newest_is_shown(state: LiveState, seed: int) -> None:
    rng = random.Random(seed)
    times = rng.sample(range(100_000), 300)
    every = [block(f"d{rng.randrange(6)}", t, shape=1 + t % 3, doubles=(t + 0.5,)) for t in times]
    rng.shuffle(every)
    names = [f"d{i}" for i in range(6)]
    await whole(state, *names)
    calls = [_random_call(every[i : i + 20], rng) for i in range(0, len(every), 20)]
    await asyncio.gather(*(state.apply(call) for call in calls))
    expected: dict[tuple[str, int], int] = {}
    for each in every:
        key = each.names[0], int(each.shapes[0])
        expected[key] = max(expected.get(key, 0), int(each.times[0]) - NOON)
    found = {
        (name, entry.shape_id): (entry.time_us - NOON, entry.doubles)
        for name, entries in zip(names, await state.read(names), strict=True)
        for entry in entries or ()
    }
    assert found == {key: (after, (after + 0.5,)) for key, after in expected.items()}


def _random_call(blocks: list[Block], rng: random.Random) -> list[Block]:
    cut = rng.randrange(1, len(blocks))
    return [join(*blocks[:cut]), join(*blocks[cut:])]


async def test_the_newest_time_of_each_device(state: LiveState) -> None:
    await whole(state, "d1", "d2")
    await state.apply([block("d1", 5, shape=1), block("d1", 2, shape=2), block("d2", 7, shape=1)])
    assert await state.times(["d2", "nobody", "d1"]) == [NOON + 7, None, NOON + 5]
    assert await state.times([]) == []
    await state.apply([block("d1", 9, shape=2)])
    assert await state.times(["d1"]) == [NOON + 9]


async def test_devices_that_are_no_more_are_forgotten(state: LiveState) -> None:
    await whole(state, "d1", "d2")
    await state.apply([block("d1", 5), block("d2", 7)])
    await state.remove(["d1", "nobody"])
    assert await state.times(["d1", "d2"]) == [None, NOON + 7]
    assert await state.read(["d1"]) == [None]


async def test_the_memory_state_says_when_it_is_away() -> None:
    state = MemoryState()
    state.away = True
    for call in (state.ping(), state.read(["d"]), state.apply([])):
        with pytest.raises(StateUnavailable):
            await call
