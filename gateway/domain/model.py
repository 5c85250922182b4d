"""The model: layout, batch, block, refusal, outcome, receipt. No I/O, no clock.

A batch holds messages as columns: position i of `devices`, `times` and `layouts` is message i; its values lie one after
the other in `doubles`, `ints` and `texts`, as many as its layout says. There is never an object per reading.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

MAX_TEXT_BYTES = 4096
"""UTF-8 bytes in a text value."""
MAX_EXACT = 2**53
"""Integers beyond this do not fit a double (IEEE 754 binary64)."""


Value = bool | int | float | str


class Kind(StrEnum):
    """What a metric's values are. `double` and `bool` share a column; `int` is exact int64."""

    DOUBLE = "double"
    BOOL = "bool"
    INT = "int"
    TEXT = "text"


class Metric(NamedTuple):
    """A metric as a device names it: the same name may exist in several kinds."""

    name: str
    kind: Kind


class Shape(msgspec.Struct, frozen=True, gc=False):
    """The metrics of a stored message, sorted by name: what the row's three arrays hold, position by position."""

    doubles: tuple[Metric, ...]
    ints: tuple[Metric, ...]
    texts: tuple[Metric, ...]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All metrics: those of the doubles, then the ints, then the texts."""
        return self.doubles + self.ints + self.texts


class Layout(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The metrics of a message in the order a device posts them; `number` is this process's short name for it."""

    number: int
    posted: tuple[Metric, ...]
    """All metrics, in posted order."""
    doubles: tuple[int, ...]
    """Positions in `posted` of what goes to the doubles; likewise below."""
    ints: tuple[int, ...]
    texts: tuple[int, ...]
    shape: Shape
    stored: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    """For each of the three columns, the positions of the posted values in the order they are stored in."""

    @property
    def width(self) -> int:
        """Readings in a message of this layout."""
        return len(self.posted)


class Origins(Protocol):
    """Where the messages of a batch stood in what was posted."""

    def locate(self, message: int, metric: str | None) -> tuple[int, str]:
        """Return the posted item's index and the JSON pointer (RFC 6901) to the message or to one of its values."""
        ...


class _Behind(NamedTuple):
    """The origins of messages that follow others in their batch."""

    origins: Origins
    before: int

    def locate(self, message: int, metric: str | None) -> tuple[int, str]:
        """Ask the batch they are part of."""
        return self.origins.locate(self.before + message, metric)


class Batch:
    """Messages as columns. Built by `wire`, trimmed by `admission`, read-only afterwards."""

    __slots__ = ("devices", "doubles", "ints", "layouts", "origins", "readings", "table", "texts", "times")

    def __init__(self, origins: Origins, table: Sequence[Layout]) -> None:
        self.table = table
        """Layout numbers → layouts; the batch keeps it, since the gateway begins a new one when it is full."""
        self.devices: list[str] = []
        self.times = array("q")
        """Microseconds since 1970 UTC."""
        self.layouts = array("i")
        """Positions in `table`."""
        self.doubles = array("d")
        self.ints = array("q")
        self.texts: list[str] = []
        self.origins = origins
        self.readings = 0

    def __len__(self) -> int:
        return len(self.devices)

    def add(self, device: str, time_us: int, layout: Layout, row: Sequence[Value]) -> None:
        """Append one message; `row` holds a value for each posted metric of the layout."""
        self.devices.append(device)
        self.times.append(time_us)
        self.layouts.append(layout.number)
        self.doubles.extend([float(row[i]) for i in layout.doubles])
        self.ints.extend([int(row[i]) for i in layout.ints])
        self.texts.extend([str(row[i]) for i in layout.texts])
        self.readings += len(row)

    def readings_of(self, messages: Iterable[int]) -> int:
        """Return how many readings the messages at these positions hold."""
        return sum([self.table[self.layouts[i]].width for i in messages])

    def rows(self) -> Iterator[list[Value]]:
        """Yield the values of each message, one for each posted metric of its layout."""
        doubles, ints, texts = iter(self.doubles), iter(self.ints), iter(self.texts)
        for number in self.layouts:
            layout = self.table[number]
            row: list[Value] = [0.0] * layout.width
            for positions, column in ((layout.doubles, doubles), (layout.ints, ints), (layout.texts, texts)):
                for position in positions:
                    row[position] = next(column)  # type: ignore[call-overload]
            yield row

    def pick(self, messages: Sequence[int]) -> "Batch":
        """Return a batch of the messages at these positions; it takes a look at all of them."""
        rows, made = list(self.rows()), Batch(self.origins, self.table)
        for i in messages:
            made.add(self.devices[i], self.times[i], self.table[self.layouts[i]], rows[i])
        return made

    def split(self, most: int) -> "list[Batch]":
        """Return the batch in parts of at most so many messages each."""
        present, codes = np.unique(np.frombuffer(self.layouts, np.int32), return_inverse=True)
        layouts = [self.table[number] for number in present.tolist()]
        widths = ([len(x.doubles) for x in layouts], [len(x.ints) for x in layouts], [len(x.texts) for x in layouts])
        ends = [np.concatenate(([0], np.cumsum(np.array(width, np.intp)[codes]))) for width in widths]
        return [self._part(start, min(start + most, len(self)), ends) for start in range(0, len(self), most)]

    def _part(self, start: int, stop: int, ends: "list[NDArray[np.intp]]") -> "Batch":
        """Return some messages; `ends` tells where the values of each begin, for each of the three columns."""
        doubles, ints, texts = (slice(int(each[start]), int(each[stop])) for each in ends)
        part = Batch(_Behind(self.origins, start), self.table)
        part.devices, part.times, part.layouts = (
            self.devices[start:stop],
            self.times[start:stop],
            self.layouts[start:stop],
        )
        part.doubles, part.ints, part.texts = self.doubles[doubles], self.ints[ints], self.texts[texts]
        part.readings = len(part.doubles) + len(part.ints) + len(part.texts)
        return part

    @property
    def size(self) -> int:
        """Bytes this batch holds in memory, roughly: what the queue's cap counts."""
        text = sum(map(len, self.texts)) + 60 * len(self.texts)
        return 400 + 100 * len(self.devices) + 8 * self.readings + text


class Block(msgspec.Struct, frozen=True, eq=False):
    """Stored messages of one width, as columns of n rows: what COPY encodes and what the state store packs."""

    names: Sequence[str]
    """Device names."""
    devices: NDArray[np.int32]
    shapes: NDArray[np.int32]
    times: NDArray[np.int64]
    """Microseconds since 1970 UTC."""
    doubles: NDArray[np.float64]
    """n × doubles of the shape."""
    ints: NDArray[np.int64]
    """n × ints of the shape."""
    texts: Sequence[tuple[str, ...]]
    """n tuples; empty when the shapes have none."""

    def __len__(self) -> int:
        return len(self.times)

    def take(self, rows: NDArray[np.intp]) -> "Block":
        """Return the given rows, in that order."""
        picked = rows.tolist()
        return Block(
            [self.names[i] for i in picked],
            self.devices[rows],
            self.shapes[rows],
            self.times[rows],
            self.doubles[rows],
            self.ints[rows],
            [self.texts[i] for i in picked] if self.texts else (),
        )


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that may not come in: a reading, or a message or item of several `readings`."""

    index: int
    path: str
    code: str
    message: str
    device: str | None = None
    metric: str | None = None
    readings: int = 1


class Decoded(NamedTuple):
    """What a body held: the messages that can be understood, and what cannot."""

    batch: Batch
    refusals: list[Refusal]

    @property
    def readings(self) -> int:
        """Readings it held, good and bad."""
        return self.batch.readings + sum([refusal.readings for refusal in self.refusals])


class Outcome(msgspec.Struct, frozen=True):
    """What became of a batch. Every number counts readings; messages are positions in the batch."""

    stored: int
    """Safe now, duplicates included."""
    duplicates: int = 0
    conflicts: Sequence[int] = ()
    """Messages whose key is stored with other values; the first was kept."""
    rejected: Sequence[tuple[int, str]] = ()
    """Messages that the database itself refused, with its words; they lie in the dead letters."""
    durability: Literal["db", "spool"] = "db"
    """Committed, or fsynced on the gateway's disk while the database is away."""
    spooled: int | None = None
    """How many of `stored` wait there, if not all of them do."""


class Receipt(msgspec.Struct, frozen=True):
    """The answer to an ingest call. accepted + conflicts + refused = readings received."""

    accepted: int
    duplicates: int
    conflicts: int
    refused: int
    durability: str
    errors: list[Refusal]
    errors_truncated: bool

    @property
    def status(self) -> int:
        """HTTP status: 200 all stored, 207 some (RFC 4918), 422 none."""
        if not self.errors:
            return 200
        return 207 if self.accepted or self.conflicts else 422
