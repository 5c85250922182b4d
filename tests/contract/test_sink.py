"""One suite for every sink: the database's, on both grounds, and the in-memory one."""

import asyncio
import itertools
import random

import pytest

from gateway.domain.contracts.ingest import Written
from gateway.domain.model import Value
from tests.builders.batches import NOON, SECOND, Message, Said, batch, readings, said, shown
from tests.contract.conftest import Store
from tests.fakes import MemorySink

KINDS: list[Message] = [
    ("d", 0, {"double": 21.5, "bool": True, "int": 7, "text": "on"}),
    ("d", 1, {"double": -0.0, "bool": False, "int": -(2**63), "text": ""}),
    ("d", 2, {"double": 1.7976931348623157e308, "bool": True, "int": 2**63 - 1, "text": "x" * 4096}),
    ("d", 3, {"double": 5e-324, "bool": True, "int": 2**53 + 1, "text": "Kühl🌡️\\ \t\n\"'{}, null"}),
]


async def test_every_kind_is_stored_to_the_last_bit(store: Store) -> None:
    written = await store.write(KINDS)
    assert said(written) == [Said(16)]
    assert await store.listed() == readings(*KINDS)


@pytest.mark.parametrize("value", [1.5, True, 3, "x"], ids=["double", "bool", "int", "text"])
async def test_a_message_of_one_kind_only(store: Store, value: Value) -> None:
    message: Message = ("d", 0, {"m": value})
    written = await store.write([message])
    assert said(written) == [Said(1)]
    assert await store.listed() == readings(message)


async def test_all_orders_of_the_same_metrics_are_one_shape(store: Store) -> None:
    values: dict[str, Value] = {"b": 1.5, "a": 2.5, "n": 3, "t": "x", "s": "y", "c": True}
    orders = itertools.islice(itertools.permutations(values), 0, 720, 51)
    messages: list[Message] = [("d", i, {name: values[name] for name in order}) for i, order in enumerate(orders)]
    written = await store.write(messages)
    assert await store.listed() == readings(*messages)
    assert len(written.newest) == 1
    assert await store.newest(written) == [("d", len(messages) - 1, values)]
    again = await store.write([("d", 0, dict(sorted(values.items())))])
    assert said(again) == [Said(6, 6)]


async def test_widths_and_devices_in_any_order_keep_their_values(store: Store) -> None:
    rng = random.Random(7)
    pool: list[Value] = [0.5, True, 9, "text", 1.25, "more", -3]
    messages: list[Message] = [
        (f"d{rng.randrange(5)}", i, {f"m{k}": pool[(k + i) % len(pool)] for k in rng.sample(range(9), 1 + i % 6)})
        for i in range(120)
    ]
    rng.shuffle(messages)
    group = [messages[:1], messages[1:50], messages[50:]]
    written = await store.write(*group)
    assert [outcome.stored for outcome in written.outcomes] == [sum(len(m[2]) for m in part) for part in group]
    assert await store.listed() == readings(*messages)


async def test_the_same_message_again_is_a_duplicate_wherever_it_comes(store: Store) -> None:
    one: Message = ("d", 0, {"a": 1.5, "t": "x"})
    two: Message = ("d", 1, {"a": 1.5, "t": "x"})
    written = await store.write([one, one, two], [one])
    assert said(written) == [Said(6, 2), Said(2, 2)]
    again = await store.write([two], [one, ("d", 2, {"a": 1.5, "t": "x"})])
    assert said(again) == [Said(2, 2), Said(4, 2)]
    assert len(await store.listed()) == 6


@pytest.mark.parametrize(
    ("first", "other"),
    [(1.5, 2.5), (True, False), (2**53, 2**53 + 1), ("x", "X")],
    ids=["double", "bool", "int", "text"],
)
async def test_other_values_are_a_conflict_and_the_first_stays(store: Store, first: Value, other: Value) -> None:
    kept: Message = ("d", 0, {"a": first, "z": 0.5})
    late: Message = ("d", 0, {"a": other, "z": 0.5})
    fine: Message = ("d", 5, {"a": other, "z": 0.5})
    assert said(await store.write([kept, late])) == [Said(2, 0, [1])]
    written = await store.write([fine, late], [late, kept])
    assert said(written) == [Said(2, 0, [1]), Said(2, 2, [0])]
    assert await store.listed() == readings(kept, fine)


async def test_repeats_of_a_conflicting_message_are_judged_by_what_is_stored(store: Store) -> None:
    stored: Message = ("d", 0, {"a": 1.5, "b": 0.5})
    other: Message = ("d", 0, {"a": 2.5, "b": 0.5})
    third: Message = ("d", 0, {"a": 3.5, "b": 0.5})
    await store.write([stored])
    written = await store.write([other, other, stored], [third, stored, other])
    assert said(written) == [Said(2, 2, [0, 1]), Said(2, 2, [0, 2])]
    assert await store.listed() == readings(stored)


async def test_overwriting_keeps_the_last(store: Store) -> None:
    def at(value: float) -> Message:
        return ("d", 0, {"a": value, "t": "x"})

    assert said(await store.overwrite([at(1.5), at(2.5)])) == [Said(4, 2)]
    assert await store.listed() == readings(at(2.5))
    written = await store.overwrite([at(2.5)], [at(3.5)])
    assert said(written) == [Said(2, 2), Said(2)]
    assert await store.newest(written) == [at(3.5)]
    assert said(await store.overwrite([at(3.5)])) == [Said(2, 2)]
    assert await store.listed() == readings(at(3.5))


async def test_two_shapes_may_say_the_same_metric_at_the_same_time(store: Store) -> None:
    messages: list[Message] = [("d", 0, {"a": 1.5}), ("d", 0, {"a": 2.5, "b": 1.5}), ("d", 0, {"a": "ERR"})]
    assert said(await store.write(messages)) == [Said(4)]
    assert await store.listed() == readings(*messages)


async def test_the_newest_of_each_device_and_shape_is_given_back(store: Store) -> None:
    await store.write([("d1", 50, {"a": 1.5}), ("d1", 9, {"t": "x"})])
    written = await store.write(
        [("d1", 5, {"a": 5.5}), ("d2", 7, {"a": 0.5}), ("d1", 3, {"a": 3.5, "n": 1})],
        [("d1", 4, {"a": 4.5}), ("d2", 7, {"a": 0.5}), ("d1", 60, {"t": "new"}), ("d1", 50, {"a": 9.5})],
    )
    assert said(written) == [Said(4), Said(3, 1, [3])]
    assert await store.newest(written) == [
        ("d1", 3, {"a": 3.5, "n": 1}),
        ("d1", 5, {"a": 5.5}),
        ("d1", 60, {"t": "new"}),
        ("d2", 7, {"a": 0.5}),
    ]


async def test_a_duplicate_is_shown_again_and_a_conflict_is_not(store: Store) -> None:
    await store.write([("d", 0, {"a": 1.5})])
    again = await store.write([("d", 0, {"a": 1.5})])
    assert await store.newest(again) == [("d", 0, {"a": 1.5})]
    refused = await store.write([("d", 0, {"a": 2.5})])
    assert await store.newest(refused) == []


async def test_nothing_is_stored_for_nothing(store: Store) -> None:
    assert await store.sink.write([]) == Written([], [])
    for atomic in (False, True):
        nothing = await store.write([], atomic=atomic)
        assert (said(nothing), nothing.newest) == ([Said(0)], [])
    written = await store.write([], [("d", 0, {"a": 1.5})], [])
    assert said(written) == [Said(0), Said(1), Said(0)]


async def test_concurrent_writers_of_the_same_messages_store_each_once(store: Store) -> None:
    everything: list[Message] = [
        (f"d{i % 7}", i * 3 * 3600 * SECOND, {"a": i + 0.5} if i % 3 else {"t": str(i), "n": i}) for i in range(150)
    ]
    rng = random.Random(11)
    groups = [rng.sample(everything, 90) for _ in range(8)]
    written = await asyncio.gather(*(store.write(group[:50], group[50:]) for group in groups))
    outcomes = [outcome for each in written for outcome in each.outcomes]
    distinct = {repr(message): message for group in groups for message in group}.values()
    assert await store.listed() == readings(*distinct)
    assert sum(o.stored for o in outcomes) == sum(len(m[2]) for group in groups for m in group)
    assert sum(o.stored - o.duplicates for o in outcomes) == sum(len(m[2]) for m in distinct)


async def test_of_concurrent_writers_with_other_values_one_wins_each_key(store: Store) -> None:
    def say(writer: int) -> list[Message]:
        return [(f"d{i % 5}", i * 3600 * SECOND, {"a": writer + 0.5}) for i in range(100)]

    written = await asyncio.gather(*(store.write(say(writer)) for writer in range(6)))
    outcomes = [each.outcomes[0] for each in written]
    winners: list[Message] = []
    for writer, outcome in enumerate(outcomes):
        assert outcome.stored + len(outcome.conflicts) == 100
        winners += [message for i, message in enumerate(say(writer)) if i not in set(outcome.conflicts)]
    assert await store.listed() == readings(*winners)
    assert len(winners) == 100


@pytest.mark.parametrize("overwrite", [False, True], ids=["keep_first", "overwrite"])
@pytest.mark.parametrize("seed", range(3))
async def test_any_history_gives_what_the_model_gives(store: Store, seed: int, overwrite: bool) -> None:
    rng = random.Random(seed)
    model = MemorySink(overwrite=overwrite)
    sink = store.overwriting if overwrite else store.sink
    for _ in range(12):
        group = [batch(store.layouts, *_some(rng)) for _ in range(rng.randrange(4))]
        written, expected = await sink.write(group), await model.write(group)
        assert said(written) == said(expected)
        known = await model.shapes(range(1, 100))
        want = [(s.device, s.after, dict(s.values)) for s in shown(expected.newest, known)]
        assert await store.newest(written) == want
        for one, outcome in zip(group, written.outcomes, strict=True):
            table = store.layouts.table
            assert outcome.stored + sum(table[one.layouts[i]].width for i in outcome.conflicts) == one.readings
    stored = [
        (key.device, key.time_us - NOON, {metric.name: value for metric, value in values.items()})
        for key, values in model.messages.items()
    ]
    assert await store.listed() == readings(*stored)


def _some(rng: random.Random) -> list[Message]:
    """Few keys and few values, so that everything repeats and conflicts."""
    kinds: list[dict[str, Value]] = [{"a": 0.5}, {"a": 0.5, "b": 1.5}, {"n": 1}, {"t": "x", "a": 2.5}]
    return [
        (
            f"d{rng.randrange(2)}",
            rng.randrange(4) * 20 * 3600 * SECOND,
            {name: _vary(value, rng) for name, value in rng.choice(kinds).items()},
        )
        for _ in range(rng.randrange(12))
    ]


def _vary(value: Value, rng: random.Random) -> Value:
    return value if rng.random() < 0.7 else value * 2
