"""The arrangement of a group. In: batches. Out: sorted blocks, repeats folded, and what to tell each sender. Pure."""

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.domain.model import Batch, Block, Layout, Outcome

STORED, DUPLICATE, CONFLICT, REJECTED = range(4)
"""What became of a message."""


class Sorted(NamedTuple):
    """A block and where each of its rows stands in the group."""

    block: Block
    messages: NDArray[np.intp]

    def take(self, rows: NDArray[np.intp]) -> "Sorted":
        """Return the given rows, in that order."""
        return Sorted(self.block.take(rows), self.messages[rows])


class Repeats(NamedTuple):
    """Rows left out of a block because another row of the group has the same key."""

    each: Sorted
    """The block they were in."""
    rows: NDArray[np.intp]
    leaders: NDArray[np.intp]
    """For each of them, the message that stands for the key."""
    same: NDArray[np.bool_]
    """Whether it says the same as its leader."""


class Group:
    """The messages of several batches in one line, and the verdict on each."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches
        self.names = list(chain.from_iterable(batch.devices for batch in batches))
        self.times = np.frombuffer(b"".join([batch.times for batch in batches]), np.int64)
        self.verdicts = np.zeros(len(self.names), np.int8)
        self.errors: dict[int, str] = {}
        """What the database said of each rejected message."""
        self._doubles = np.frombuffer(b"".join([batch.doubles for batch in batches]), np.float64)
        self._ints = np.frombuffer(b"".join([batch.ints for batch in batches]), np.int64)
        self._texts = list(chain.from_iterable(batch.texts for batch in batches))
        numbers, table = _in_one_table(batches)
        present = np.unique(numbers)
        self.layouts: list[Layout] = [table[number] for number in present.tolist()]
        """The layouts that occur."""
        self._codes = np.searchsorted(present, numbers)
        """For each message, the position of its layout in `layouts`."""
        self._widths = [_widths(layout) for layout in self.layouts]
        self._starts = [self._offsets(column) for column in range(3)]
        self._repeats: list[Repeats] = []

    def blocks(self, devices: NDArray[np.int32], shapes: Sequence[int], *, last_wins: bool) -> list[Sorted]:
        """Return the messages as one sorted block a width, each key once; repeats get their verdict here.

        `devices` are the ids of `names`, `shapes` the ids of `layouts`. Of messages with one key the first is
        kept, or with `last_wins` the last.
        """
        shape_ids = np.array(shapes, np.int32)[self._codes]
        keys = (devices.astype(np.int64) << 32) | shape_ids
        order = np.lexsort((self.times, keys))
        classes = sorted(set(self._widths))
        result = []
        for width in classes:
            rows = order
            if len(classes) > 1:
                rows = order[np.array([each == width for each in self._widths])[self._codes[order]]]
            block = self._block(rows, width, devices, shape_ids)
            result.append(self._fold(Sorted(block, rows), keys[rows], last_wins=last_wins))
        return result

    def reject(self, message: int, error: str) -> None:
        """Note that the database refuses a message, and what it said."""
        self.verdicts[message] = REJECTED
        self.errors[message] = error

    def settle(self) -> list[Sorted]:
        """Give repeats of a message that was not stored its fate; call it when the verdicts of the others are final.

        A repeat of a rejected message is rejected too: it goes the same way instead of being tried again. Returned is
        what differs from a conflicting message: it may still be what is stored.
        """
        contested = []
        for each, rows, leaders, same in self._repeats:
            fates, repeats = self.verdicts[leaders], each.messages[rows]
            self.verdicts[repeats[same & (fates == CONFLICT)]] = CONFLICT
            rejected = np.flatnonzero(fates == REJECTED)
            self.verdicts[repeats[rejected]] = REJECTED
            for repeat, leader in zip(repeats[rejected].tolist(), leaders[rejected].tolist(), strict=True):
                self.errors[repeat] = self.errors[leader]
            open_rows = rows[~same & (fates == CONFLICT)]
            if len(open_rows):
                contested.append(each.take(open_rows))
        return contested

    def outcomes(self) -> list[Outcome]:
        """Return what to tell the sender of each batch."""
        if not self.verdicts.any():
            return [Outcome(batch.readings) for batch in self.batches]
        widths = np.array([sum(width) for width in self._widths])[self._codes]
        ends = np.cumsum([len(batch) for batch in self.batches]).tolist()
        starts = [0, *ends]
        return [self._outcome(start, end, widths) for start, end in zip(starts, ends, strict=False)]

    def _outcome(self, start: int, end: int, widths: NDArray[np.intp]) -> Outcome:
        verdicts, widths = self.verdicts[start:end], widths[start:end]
        duplicates = int(widths[verdicts == DUPLICATE].sum())
        rejected = np.flatnonzero(verdicts == REJECTED).tolist()
        return Outcome(
            int(widths[verdicts == STORED].sum()) + duplicates,
            duplicates,
            np.flatnonzero(verdicts == CONFLICT).tolist(),
            [(i, self.errors.get(start + i, "")) for i in rejected],
        )

    def _block(
        self,
        rows: NDArray[np.intp],
        width: tuple[int, int, int],
        devices: NDArray[np.int32],
        shapes: NDArray[np.int32],
    ) -> Block:
        doubles, ints, texts = (self._places(rows, column) for column in range(3))
        picked = rows.tolist()
        return Block(
            [self.names[i] for i in picked],
            devices[rows],
            shapes[rows],
            self.times[rows],
            self._doubles[doubles],
            self._ints[ints],
            [tuple(map(self._texts.__getitem__, row)) for row in texts.tolist()] if width[2] else (),
        )

    def _places(self, rows: NDArray[np.intp], column: int) -> NDArray[np.intp]:
        """Return, for each row, where its values lie in the flat column, in stored order: rows × width."""
        starts = self._starts[column][rows]
        codes = self._codes[rows]
        present = np.unique(codes)
        orders = np.array([self.layouts[code].stored[column] for code in present.tolist()], np.intp)
        places: NDArray[np.intp] = starts[:, None] + orders[np.searchsorted(present, codes)]
        return places

    def _offsets(self, column: int) -> NDArray[np.intp]:
        """Return, for each message, where its values begin in the flat column."""
        widths = np.array([width[column] for width in self._widths], np.intp)[self._codes]
        offsets: NDArray[np.intp] = np.cumsum(widths) - widths
        return offsets

    def _fold(self, each: Sorted, keys: NDArray[np.int64], *, last_wins: bool) -> Sorted:
        block, messages = each
        repeats = (keys[1:] == keys[:-1]) & (block.times[1:] == block.times[:-1])
        if not repeats.any():
            return each
        first = np.concatenate(([True], ~repeats))
        heads = np.flatnonzero(first)
        run = np.cumsum(first) - 1
        kept = np.concatenate((heads[1:], [len(first)])) - 1 if last_wins else heads
        other = np.setdiff1d(np.arange(len(first)), kept)
        leaders = kept[run[other]]
        same = _same(block, other, leaders)
        differs = DUPLICATE if last_wins else CONFLICT
        self.verdicts[messages[other]] = np.where(same, DUPLICATE, differs)
        self._repeats.append(Repeats(each, other, messages[leaders], same))
        return each.take(kept)


def newest(blocks: Sequence[Block]) -> list[Block]:
    """Keep the last message of each device and shape; blocks are sorted by key."""
    result = []
    for block in blocks:
        keys = (block.devices.astype(np.int64) << 32) | block.shapes
        last = np.concatenate((keys[1:] != keys[:-1], [True])) if len(keys) else np.zeros(0, bool)
        result.append(block if last.all() else block.take(np.flatnonzero(last)))
    return result


def stored(group: Group, parts: Sequence[Sorted]) -> list[Block]:
    """Return what may be shown as state: duplicates too, conflicting and rejected messages not."""
    result = []
    for part in parts:
        shown = group.verdicts[part.messages] <= DUPLICATE
        result.append(part.block if shown.all() else part.block.take(np.flatnonzero(shown)))
    return result


def pairs(block: Block) -> list[int]:
    """Return the keys without the time that occur: device << 32 | shape; blocks are sorted by key."""
    keys = (block.devices.astype(np.int64) << 32) | block.shapes
    first = np.concatenate(([True], keys[1:] != keys[:-1]))
    result: list[int] = keys[first].tolist()
    return result


def _same(block: Block, rows: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.bool_]:
    same = (block.doubles[rows] == block.doubles[others]).all(axis=1)
    same &= (block.ints[rows] == block.ints[others]).all(axis=1)
    if block.texts:
        pairs = zip(rows.tolist(), others.tolist(), strict=True)
        same &= np.array([block.texts[a] == block.texts[b] for a, b in pairs], bool)
    result: NDArray[np.bool_] = same
    return result


def _widths(layout: Layout) -> tuple[int, int, int]:
    return len(layout.doubles), len(layout.ints), len(layout.texts)


def _in_one_table(batches: Sequence[Batch]) -> tuple[NDArray[np.int32], Sequence[Layout]]:
    """Return the layout numbers of all messages, and the table they refer to: mostly the one all batches share."""
    tables = {id(batch.table): batch.table for batch in batches}
    if len(tables) <= 1:
        return np.frombuffer(b"".join([batch.layouts for batch in batches]), np.int32), next(iter(tables.values()), ())
    firsts = dict(zip(tables, accumulate(map(len, tables.values()), initial=0), strict=False))
    moved = [np.frombuffer(batch.layouts, np.int32) + firsts[id(batch.table)] for batch in batches if batch.devices]
    return np.concatenate(moved).astype(np.int32), list(chain.from_iterable(tables.values()))
