"""Whatever is published: a message that is taken in at once ends as one does that takes a task, in every account."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from unittest.mock import patch

import msgspec
import orjson
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from gateway.core.errors import SinkFault, SinkUnavailable
from gateway.domain.model import Metric, Value
from gateway.telemetry import ledger_events, mqtt_events
from tests.builders.mqtt.direct import MAX_PAYLOAD_BYTES, NOW_US, REJECTED, SOON, Published, Wire, direct
from tests.fakes.sink import Key

DEVICES = ["d1", "d2", REJECTED, "stranger", "no/name"]
VALUES = st.sampled_from([1.5, 2.5, True, "text", 2**60 + 1, None])
KNOWN_MS = NOW_US // 1000 - 3
TIMES = st.sampled_from([KNOWN_MS, NOW_US // 1000 - 2, NOW_US // 1000 - 1, NOW_US // 1000 + 10**9])
ITEMS = st.fixed_dictionaries(
    {"values": st.dictionaries(st.sampled_from(["t", "h", "bad name"]), VALUES, max_size=2)},
    optional={"device": st.sampled_from(DEVICES), "ts": TIMES},
)
PLAIN = st.fixed_dictionaries({"ts": TIMES, "values": st.just({"t": 1.5})})
BODIES = st.one_of(
    PLAIN.map(orjson.dumps),
    PLAIN.map(lambda item: orjson.dumps(item).ljust(MAX_PAYLOAD_BYTES)),
    PLAIN.map(lambda item: orjson.dumps(item).ljust(MAX_PAYLOAD_BYTES + 1)),
    ITEMS.map(orjson.dumps),
    st.lists(ITEMS, max_size=3).map(orjson.dumps),
    st.sampled_from([b"", b"[]", b"nonsense", b"\xff\x00", b"x" * 300]),
)
PUBLISHED = st.builds(
    Published,
    topic=st.sampled_from([*[f"devices/{device}/readings" for device in DEVICES], "elsewhere"]),
    body=BODIES,
    qos=st.sampled_from([1, 1, 1, 0]),
    answers=st.sampled_from([None, "devices/d1/receipts", "devices/d2/receipts", "$SYS/x"]),
    refusals=st.lists(st.sampled_from([SinkUnavailable, SinkFault]), max_size=2),
)
ALONE = PUBLISHED.map(lambda one: [one])
TOGETHER = st.lists(
    PUBLISHED.map(lambda one: one._replace(refusals=())), min_size=2, max_size=3, unique_by=lambda one: one.topic
)
"""Of different devices: which of two messages of one key is the first is nobody's promise. None fails, since how many
fail together is nobody's promise either.
"""
BURSTS = st.lists(ALONE | TOGETHER, max_size=6)


PLAINEST = Published("devices/d1/readings", b'{"values": {"t": 1.5}}')
KNOWN = [
    [Published(f"devices/{device}/readings", b'{"ts": %d, "values": {"t": 0.5}}' % KNOWN_MS)]
    for device in ("d1", "d2", REJECTED)
]
"""Said first, so that most of what follows can be taken in at once."""


class Account(NamedTuple):
    """Everything that may be seen of what became of messages."""

    acks: list[int]
    replies: Counter[tuple[str, bytes, bytes | None]]
    letters: Counter[bytes]
    stored: dict[Key, dict[Metric, Value]]
    deferred: Counter[str]
    books: dict[str, int]


@contextmanager
def deferrals() -> Iterator[Counter[str]]:
    """Count what is said of messages that wait."""
    said: Counter[str] = Counter()

    def say(code: str, _: str) -> None:
        said[code] += 1

    with patch.object(mqtt_events, "deferred", say):
        yield said


def books() -> Counter[str]:
    account = ledger_events.read().sources.get("mqtt")
    return Counter() if account is None else Counter(msgspec.structs.asdict(account))


async def account(bursts: Sequence[Sequence[Published]], *, hurries: bool) -> Account:
    """Publish burst by burst; return what became of it all."""
    before, wire = books(), Wire()
    with deferrals() as deferred:
        async with direct(hurries=hurries) as door:
            for burst in (*KNOWN, *bursts):
                await door.publish(wire, burst)
        changed = books()
        changed.subtract(before)
        letters = Counter(map(msgspec.json.encode, door.letters.kept))
        replies = Counter(wire.replies)
        return Account(wire.acks, replies, letters, dict(door.sink.messages), deferred, dict(changed))


@examples(max_examples=80, deadline=None)
@given(BURSTS)
def test_both_ways_end_alike(bursts: list[list[Published]]) -> None:
    hurried, patient = [asyncio.run(account(bursts, hurries=hurries)) for hurries in (True, False)]
    assert hurried == patient
    assert hurried.acks == [*range(1, len(KNOWN) + sum(one.qos for burst in bursts for one in burst) + 1)]
    assert hurried.books["queued"] == 0


async def test_a_known_device_needs_no_task() -> None:
    async with direct(hurries=True) as door:
        await door.publish(Wire(), [PLAINEST])
        assert door.intake.taken == 0, "nobody has seen its layout yet"
        names = await door.publish(Wire(), [PLAINEST])
        assert door.intake.taken == 1
        assert "mqtt.message" not in names


async def test_what_fails_after_it_was_taken_in_is_tried_again_by_a_task() -> None:
    failing = PLAINEST._replace(refusals=[SinkUnavailable, SinkFault])
    wire = Wire()
    async with direct(hurries=True) as door:
        await door.publish(wire, [PLAINEST])
        with deferrals() as said:
            names = await door.publish(wire, [failing])
        assert "mqtt.message" in names
        assert wire.acks == [1, 2]
        assert said == {SinkUnavailable.code: 1, SinkFault.code: 1}


async def test_a_mistake_of_ours_is_left_to_the_task_and_costs_no_connection() -> None:
    wire = Wire()
    async with direct(hurries=True) as door:
        await door.publish(wire, [PLAINEST])
        with patch.object(door.intake, "at_once", side_effect=ZeroDivisionError):
            await door.publish(wire, [PLAINEST])
            with patch.object(door.intake, "take", side_effect=ZeroDivisionError):
                await door.publish(wire, [PLAINEST])
    assert wire.acks == [1, 2, 3]
    assert [letter.code for letter in door.letters.kept] == ["internal"]


async def test_what_is_given_up_is_not_acknowledged_and_leaves_the_books() -> None:
    wire, before = Wire(), books()
    async with direct(hurries=True) as door:
        await door.publish(wire, [PLAINEST])
        door.sink.hold()
        door.hand_over(wire, [PLAINEST, PLAINEST._replace(qos=0)])
        assert door.intake.taken == 2
        await door.consumer.stop(within_secs=0)
        door.sink.release()
    changed = books()
    changed.subtract(before)
    assert wire.acks == [1]
    assert (changed["received"], changed["stored"], changed["failed"], changed["queued"]) == (3, 1, 2, 0)


async def test_stopping_waits_for_what_is_taken_in_and_for_what_must_be_tried_again() -> None:
    wire = Wire()
    async with direct(hurries=True) as door:
        await door.publish(wire, [PLAINEST])
        door.hand_over(wire, [PLAINEST._replace(refusals=[SinkUnavailable])])
        await door.consumer.stop(within_secs=SOON)
    assert wire.acks == [1, 2]
