"""The encoder of a lane's posts: numbers in, posts out, written as the target reads them, compressed. Pure."""

import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.plan.fleet import Fleet, Lane
from simulator.plan.scenario import Compression

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_GZIP = 31
"""zlib's `wbits` of the gzip format; its header then holds no time."""
_LEVEL = 1


def compress(body: bytes, how: Compression) -> bytes:
    """Return the body in this Content-Encoding (RFC 1952, RFC 8878)."""
    match how:
        case "none":
            return body
        case "gzip":
            engine = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
            return engine.compress(body) + engine.flush()
        case "zstd":
            return zstd.compress(body, _LEVEL)


_CHUNK_READINGS = 2_000
"""Readings encoded in one go: numpy's cost a call is spread thin, and the event loop is held for a millisecond."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a POST goes, and what it says of its body; `headers` are further ones. Posts may share one."""

    path: str
    media: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Post:
    """One POST, or one publish, ready for the wire; `encoding` is a Content-Encoding.

    A POST goes to its `head` and has no topic, a publish to its `topic` and needs no head.
    """

    number: int
    topic: bytes
    body: bytes
    encoding: str = ""
    head: Head = Head("/")


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive messages of one device: rows[i] holds the values of the message at times[i]."""

    device: str
    times: list[int]
    rows: list[tuple[Any, ...]]


Write = Callable[[int, Sequence[Run]], Post]
"""Writes one post: its number, and what it says. The same each time."""


class Encoder:
    """Makes the posts of one lane. Ask for them in rising order: they are made a chunk ahead."""

    def __init__(
        self,
        fleet: Fleet,
        lane: Lane,
        write: Write,
        *,
        compression: Sequence[Compression] = ("none",),
    ) -> None:
        """Let the posts take turns in `compression`."""
        self._fleet = fleet
        self._lane = lane
        self._write = write
        self._compression = tuple(compression)
        self._posts_in_chunk = max(1, _CHUNK_READINGS // lane.readings)
        self._chunk: list[Post] = []
        self._first = 0

    def post(self, number: int) -> Post:
        """Return one post of the lane, `0 <= number < lane.posts`."""
        at = number - self._first
        if not 0 <= at < len(self._chunk):
            self._chunk = self._encode(number, min(self._posts_in_chunk, self._lane.posts - number))
            self._first, at = number, 0
        return self._chunk[at]

    def altered(self, number: int, alter: Callable[[list[Run]], list[Run]] = list) -> Post:
        """Return one post alone, out of turn, with its messages altered; not compressed yet."""
        return self._write(number, alter(list(self._runs(number, 1))))

    def packed(self, post: Post) -> Post:
        """Return the post compressed as its turn is."""
        how = self._compression[post.number % len(self._compression)]
        return post if how == "none" else Post(post.number, post.topic, compress(post.body, how), how, post.head)

    def _encode(self, first: int, count: int) -> list[Post]:
        runs = list(self._runs(first, count))
        share = len(runs) // count
        posts = (self._write(first + i, runs[i * share : (i + 1) * share]) for i in range(count))
        return [self.packed(post) for post in posts]

    def _runs(self, first: int, count: int) -> Iterator[Run]:
        lane, fleet = self._lane, self._fleet
        device, n = lane.said_by(lane.messages_of(first, count))
        codes = (fleet.codes(i, device, n) for i in range(len(fleet.metrics)))
        columns = [m.values(c).tolist() for m, c in zip(fleet.metrics, codes, strict=True)]
        rows = list(zip(*columns, strict=True))
        times = np.asarray(lane.time_ms(n)).tolist()
        for at, number in zip(range(0, len(rows), lane.run), device[:: lane.run].tolist(), strict=True):
            yield Run(fleet.name(number), times[at : at + lane.run], rows[at : at + lane.run])
