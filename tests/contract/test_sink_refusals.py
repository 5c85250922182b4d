"""What every sink does with messages that cannot be stored, and with batches that come in whole or not at all."""

from datetime import datetime

import msgspec

from gateway.domain.dead_letters import DeadLetter
from tests.builders.batches import NOON, SECOND, Message, Said, readings, said
from tests.contract.conftest import Store


async def test_what_the_database_refuses_is_named_and_kept_as_a_letter(store: Store) -> None:
    await store.reject("bad")
    poison: Message = ("bad", 3, {"on": True, "a": 0.5, "n": 2**60, "t": "ü"})
    written = await store.write([("d", 0, {"a": 1.5}), poison], [("d", 1, {"a": 1.5})], [poison])
    stored, rejected = [o.stored for o in written.outcomes], [[i for i, _ in o.rejected] for o in written.outcomes]
    assert (stored, rejected) == ([1, 1, 0], [[1], [], [0]])
    assert all("23514" in words for outcome in written.outcomes for _, words in outcome.rejected)
    assert await store.listed() == readings(("d", 0, {"a": 1.5}), ("d", 1, {"a": 1.5}))
    assert await store.newest(written) == [("d", 1, {"a": 1.5})]
    assert [_posted(letter) for letter in store.letters.letters] == [poison, poison]


def _posted(letter: DeadLetter) -> Message:
    """The message that posting the letter again would form."""
    assert (letter.source, letter.code) == ("database", "rejected_by_database")
    body = msgspec.json.decode(letter.payload)
    moment = msgspec.convert(body["ts"], datetime)
    assert body["device"] == letter.device
    return body["device"], round(moment.timestamp() * SECOND) - NOON, body["values"]


async def test_repeats_of_a_rejected_message_are_rejected_too(store: Store) -> None:
    await store.reject("bad")
    written = await store.write([("bad", 0, {"a": 1.5}), ("bad", 0, {"a": 1.5}), ("bad", 0, {"a": 2.5})])
    (outcome,) = written.outcomes
    assert (outcome.stored, outcome.duplicates, outcome.conflicts) == (0, 0, [])
    assert [i for i, _ in outcome.rejected] == [0, 1, 2]
    assert len(store.letters.letters) == 3
    assert await store.listed() == []


async def test_an_atomic_batch_is_stored_whole(store: Store) -> None:
    messages: list[Message] = [("d", 0, {"a": 1.5}), ("e", 0, {"t": "x", "n": 4})]
    written = await store.write(messages, atomic=True)
    assert said(written) == [Said(3)]
    assert await store.newest(written) == messages
    again = await store.write([*messages, ("d", 1, {"a": 1.5})], atomic=True)
    assert said(again) == [Said(4, 3)]
    assert await store.listed() == readings(*messages, ("d", 1, {"a": 1.5}))


async def test_an_atomic_batch_with_a_conflict_leaves_nothing(store: Store) -> None:
    await store.write([("d", 0, {"a": 1.5})])
    fine: Message = ("d", 1, {"a": 1.5})
    tries: list[tuple[list[Message], list[int]]] = [
        ([fine, ("d", 0, {"a": 2.5})], [1]),
        ([fine, ("d", 1, {"a": 2.5})], [1]),
        ([("d", 0, {"a": 2.5}), fine, ("d", 0, {"a": 1.5}), ("d", 0, {"a": 2.5})], [0, 3]),
    ]
    for messages, conflicts in tries:
        written = await store.write(messages, atomic=True)
        assert said(written) == [Said(0, 0, conflicts)]
        assert written.newest == []
    assert await store.listed() == readings(("d", 0, {"a": 1.5}))
    assert said(await store.write([fine])) == [Said(1)]


async def test_an_atomic_batch_that_the_database_refuses_leaves_nothing(store: Store) -> None:
    await store.reject("bad")
    written = await store.write([("d", 0, {"a": 1.5}), ("bad", 0, {"a": 1.5})], atomic=True)
    (outcome,) = written.outcomes
    assert (outcome.stored, [i for i, _ in outcome.rejected]) == (0, [0, 1])
    assert await store.listed() == []
    assert store.letters.letters == []
