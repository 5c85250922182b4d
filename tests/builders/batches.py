"""In: messages as a test writes them down. Out: batches, and readings as a person would list them. Never a decoder."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gateway.domain.contracts.ingest import Written
from gateway.domain.contracts.newest import NewestMessage
from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch, Block, Kind, Metric, Shape, Value

NOON = 1_700_000_000_000_000
"""A time in microseconds; tests count from here."""
SECOND = 1_000_000
KINDS: Mapping[type, Kind] = {float: Kind.DOUBLE, bool: Kind.BOOL, int: Kind.INT, str: Kind.TEXT}

Message = tuple[str, int, dict[str, Value]]
"""Device, microseconds after NOON, values by metric name; the kind of a metric is told by the value's type."""
Reading = tuple[str, int, str, str, Value]
"""Device, microseconds after NOON, metric, kind, value."""


class Anywhere:
    """`model.Origins` of batches that were never posted."""

    def locate(self, message: int, metric: str | None) -> tuple[int, str]:
        return message, f"/{message}" if metric is None else f"/{message}/values/{metric}"


def batch(layouts: Layouts, *messages: Message) -> Batch:
    made = Batch(Anywhere(), layouts.table)
    for device, after, values in messages:
        number = layouts.define(tuple(Metric(name, KINDS[type(value)]) for name, value in values.items()))
        assert number is not None, values
        made.add(device, NOON + after, layouts.table[number], list(values.values()))
    return made


def readings(*messages: Message) -> list[Reading]:
    """What the database should list for these messages."""
    return sorted(
        (
            (device, after, name, KINDS[type(value)].value, value)
            for device, after, values in messages
            for name, value in values.items()
        ),
        key=repr,
    )


class Said(NamedTuple):
    """An outcome, for comparing."""

    stored: int
    duplicates: int = 0
    conflicts: Sequence[int] = []
    rejected: Sequence[int] = []


def said(written: Written) -> list[Said]:
    return [Said(o.stored, o.duplicates, list(o.conflicts), [i for i, _ in o.rejected]) for o in written.outcomes]


class Shown(NamedTuple):
    """A newest message, for comparing: shapes by what they hold, not by number."""

    device: str
    after: int
    values: tuple[tuple[str, Value], ...]


def shown(blocks: Iterable[Block], shapes: Mapping[int, Shape]) -> list[Shown]:
    return sorted(
        Shown(name, int(block.times[i]) - NOON, _values(block, i, shapes[int(block.shapes[i])]))
        for block in blocks
        for i, name in enumerate(block.names)
    )


def _values(block: Block, i: int, shape: Shape) -> tuple[tuple[str, Value], ...]:
    texts: Sequence[str] = block.texts[i] if block.texts else ()
    values = [*block.doubles[i].tolist(), *block.ints[i].tolist(), *texts]
    return tuple(sorted(zip((metric.name for metric in shape.metrics), values, strict=True)))


def entries(block: Block) -> list[tuple[str, NewestMessage]]:
    """The rows of a block as the state store should give them back."""
    return [
        (
            name,
            NewestMessage(
                int(block.shapes[i]),
                int(block.times[i]),
                tuple(block.doubles[i].tolist()),
                tuple(block.ints[i].tolist()),
                block.texts[i] if block.texts else (),
            ),
        )
        for i, name in enumerate(block.names)
    ]
