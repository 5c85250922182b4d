"""In: groups of batches. Out: the outcomes the database would give, from a dict. Never durable, never fast."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, TypeVar

import numpy as np

from gateway.core.errors import GatewayError
from gateway.domain.contracts.ingest import DeadLetters, Written
from gateway.domain.dead_letters import to_dead_letters
from gateway.domain.model import Batch, Block, Metric, Outcome, Shape, Value
from tests.fakes.deadletters import MemoryDeadLetters

Name = TypeVar("Name", str, Shape)


class Key(NamedTuple):
    """What a message is known by."""

    device: str
    shape: Shape
    time_us: int


class Message(NamedTuple):
    """A message of a group and where it stands in it."""

    batch: int
    position: int
    key: Key
    values: dict[Metric, Value]


class Tally:
    """What became of the messages of a group."""

    def __init__(self, group: Sequence[Batch]) -> None:
        self._group = group
        self._stored = [0] * len(group)
        self._duplicates = [0] * len(group)
        self._rejected: list[list[tuple[int, str]]] = [[] for _ in group]
        self._starts = [0, *accumulate(map(len, group))]
        self.conflicts: list[list[int]] = [[] for _ in group]
        self.words: dict[int, str] = {}
        """What was said of each rejected message, by its place in the group."""
        self.shown: set[Key] = set()
        """Keys that are stored as their first message says, or with overwriting the last."""
        self._met: set[Key] = set()

    def store(self, message: Message, *, duplicate: bool) -> None:
        """Count a message as stored."""
        self._stored[message.batch] += len(message.values)
        self._duplicates[message.batch] += len(message.values) * duplicate
        if message.key not in self._met:
            self._met.add(message.key)
            self.shown.add(message.key)

    def refuse(self, message: Message) -> None:
        """Count a message as a conflict."""
        self.conflicts[message.batch].append(message.position)
        self._met.add(message.key)

    def reject(self, message: Message, words: str) -> None:
        """Count a message as rejected."""
        self._rejected[message.batch].append((message.position, words))
        self.words[self._starts[message.batch] + message.position] = words

    def outcomes(self) -> list[Outcome]:
        """Return one outcome a batch."""
        columns = zip(self._stored, self._duplicates, self.conflicts, self._rejected, strict=True)
        return [Outcome(stored, doubled, sorted(bad), sorted(worse)) for stored, doubled, bad, worse in columns]

    def undone(self) -> Outcome:
        """Return the outcome of an atomic batch that was rolled back: the database names no row it refuses."""
        if self.words:
            words = next(iter(self.words.values()))
            return Outcome(0, 0, (), [(i, words) for i in range(len(self._group[0]))])
        return Outcome(0, 0, sorted(self.conflicts[0]))


class MemorySink:
    """`contracts.Sink` and `contracts.ShapeBook` without a database.

    `messages` holds what is stored. `rejects` are devices whose messages are refused, with the words for it. While
    `failure` is set every write raises it; between `hold()` and `release()` writes wait.
    """

    def __init__(self, *, overwrite: bool = False, dead_letters: DeadLetters | None = None) -> None:
        self._overwrite = overwrite
        self._dead_letters = dead_letters or MemoryDeadLetters()
        self._open = asyncio.Event()
        self._open.set()
        self._device_ids: dict[str, int] = {}
        self._shape_ids: dict[Shape, int] = {}
        self.messages: dict[Key, dict[Metric, Value]] = {}
        self.rejects: dict[str, str] = {}
        self.failure: GatewayError | Exception | None = None
        self.writes = 0
        """Groups that have been committed."""

    def hold(self) -> None:
        """Let writes wait."""
        self._open.clear()

    def release(self) -> None:
        """Let them go on."""
        self._open.set()

    async def shapes(self, ids: Collection[int]) -> Mapping[int, Shape]:
        """Return the shapes that exist."""
        known = {shape_id: shape for shape, shape_id in self._shape_ids.items()}
        return {shape_id: known[shape_id] for shape_id in ids if shape_id in known}

    def shape_id(self, shape: Shape) -> int:
        """Return the number of a shape; one that is new gets the next."""
        return _number(self._shape_ids, shape)

    async def write(self, group: Sequence[Batch], *, atomic: bool = False) -> Written:
        """Store a group; see contracts.Sink."""
        await self._open.wait()
        if self.failure is not None:
            raise self.failure
        self.writes += 1
        before = dict(self.messages)
        messages = self._unfold(group)
        tally = Tally(group)
        for message in reversed(messages) if self._overwrite else messages:
            self._put(message, tally)
        if atomic and (tally.conflicts[0] or tally.words):
            self.messages = before
            return Written([tally.undone()], [])
        if tally.words:
            await self._dead_letters.put(to_dead_letters(group, tally.words))
        return Written(tally.outcomes(), self._newest(message for message in messages if message.key in tally.shown))

    def _unfold(self, group: Sequence[Batch]) -> list[Message]:
        messages = []
        for number, batch in enumerate(group):
            for i, row in enumerate(batch.rows()):
                layout = batch.table[batch.layouts[i]]
                key = Key(batch.devices[i], layout.shape, batch.times[i])
                messages.append(Message(number, i, key, dict(zip(layout.posted, row, strict=True))))
        return messages

    def _put(self, message: Message, tally: Tally) -> None:
        key, words = message.key, self.rejects.get(message.key.device)
        stored = self.messages.get(key)
        if words is not None:
            tally.reject(message, words)
        elif stored == message.values or (self._overwrite and key in tally.shown):
            tally.store(message, duplicate=True)
        elif stored is None or self._overwrite:
            self.messages[key] = message.values
            tally.store(message, duplicate=False)
        else:
            tally.refuse(message)

    def _newest(self, shown: Iterable[Message]) -> list[Block]:
        newest: dict[tuple[str, Shape], int] = {}
        for message in shown:
            device, shape, time_us = message.key
            newest[device, shape] = max(time_us, newest.get((device, shape), time_us))
        return [self._block(Key(device, shape, time_us)) for (device, shape), time_us in newest.items()]

    def _block(self, key: Key) -> Block:
        values = self.messages[key]
        shape = key.shape
        doubles, ints, texts = ([values[m] for m in column] for column in (shape.doubles, shape.ints, shape.texts))
        return Block(
            [key.device],
            np.array([_number(self._device_ids, key.device)], np.int32),
            np.array([self.shape_id(shape)], np.int32),
            np.array([key.time_us], np.int64),
            np.array([doubles], np.float64),
            np.array([ints], np.int64).reshape(1, -1),
            [tuple(map(str, texts))] if texts else (),
        )


def _number(ids: dict[Name, int], name: Name) -> int:
    return ids.setdefault(name, len(ids) + 1)
