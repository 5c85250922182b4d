"""Ways to split a group of sorted rows. Pure. In: a group, and what the database said of it. Out: what to try next."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import asyncpg
import numpy as np
from numpy.typing import NDArray

from gateway.timescale.write.assemble import Sorted

_LINE = re.compile(r"COPY messages, line (\d+)")
"""The context of an error (PostgreSQL's sources, CopyFromErrorCallback); translated servers may say it otherwise."""


def failed_row(parts: Sequence[Sorted], exc: asyncpg.PostgresError) -> int | None:
    """Return the place of the row that the database names, None if it names none that can be."""
    found = _LINE.search(str(getattr(exc, "context", None) or ""))
    line = int(found[1]) if found else 0
    return line - 1 if 1 <= line <= count_rows(parts) else None


def halves(parts: Sequence[Sorted]) -> list[list[Sorted]]:
    """Return the group, which has two rows at least, in two parts."""
    rows = count_rows(parts)
    return list(_between(parts, [0, rows // 2, rows]))


def by_rows(parts: Sequence[Sorted], size: int) -> list[list[Sorted]]:
    """Return the group in parts of `size` rows."""
    rows = count_rows(parts)
    return list(_between(parts, [*range(0, rows, size), rows]))


def without(parts: Sequence[Sorted], places: Sequence[int]) -> list[Sorted]:
    """Return the group without some rows; at least one is left."""
    left = np.ones(count_rows(parts), bool)
    left[list(places)] = False
    ends = np.cumsum([len(part.block) for part in parts])
    rests = [np.flatnonzero(rest) for rest in np.split(left, ends[:-1])]
    return [part.take(rest) for part, rest in zip(parts, rests, strict=True) if len(rest)]


def by_chunks(parts: Sequence[Sorted], width_us: int | None, most: int) -> list[list[Sorted]]:
    """Return the group in parts, oldest first, that touch at most so many chunks of this length each."""
    if width_us is None or not parts or _reach(parts) < most * width_us - width_us:
        return [list(parts)]
    chunks = [part.block.times // width_us for part in parts]
    present = np.unique(np.concatenate(chunks))
    return [list(_within(parts, chunks, present[at : at + most])) for at in range(0, len(present), most)]


def count_chunks(parts: Sequence[Sorted], width_us: int | None) -> int:
    """Return how many chunks the group touches, 1 where there are none; it has a row at least."""
    if width_us is None:
        return 1
    return len(np.unique(np.concatenate([part.block.times // width_us for part in parts])))


def count_rows(parts: Sequence[Sorted]) -> int:
    """Return the rows of a group."""
    return sum([len(part.block) for part in parts])


def _reach(parts: Sequence[Sorted]) -> int:
    """Return the time between the first message and the last (µs)."""
    newest = max([int(part.block.times.max()) for part in parts])
    return newest - min([int(part.block.times.min()) for part in parts])


def _within(
    parts: Sequence[Sorted], chunks: Sequence[NDArray[np.int64]], wanted: NDArray[np.int64]
) -> Iterator[Sorted]:
    for part, numbers in zip(parts, chunks, strict=True):
        rows = np.flatnonzero((numbers >= wanted[0]) & (numbers <= wanted[-1]))
        if len(rows):
            yield part.take(rows)


def _between(parts: Sequence[Sorted], places: Sequence[int]) -> Iterator[list[Sorted]]:
    """Yield what lies between each two places, counted in rows over all parts."""
    for start, end in pairwise(places):
        piece, first = [], 0
        for part in parts:
            rows = np.arange(max(start - first, 0), min(end - first, len(part.block)))
            if len(rows):
                piece.append(part.take(rows))
            first += len(part.block)
        yield piece
