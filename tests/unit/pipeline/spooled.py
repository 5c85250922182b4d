"""In: spools and batches. Out: what is in them, as a test compares it. Never changes them."""

from collections.abc import Iterable

from gateway.contracts import Spool
from gateway.model import Batch, Kind
from tests.batches import NOON, Message, Reading, readings


def messages_of(one: Batch) -> list[Message]:
    return [
        (
            one.devices[i],
            one.times[i] - NOON,
            {
                metric.name: bool(value) if metric.kind is Kind.BOOL else value
                for metric, value in zip(one.table[one.layouts[i]].posted, row, strict=True)
            },
        )
        for i, row in enumerate(one.rows())
    ]


def readings_of(batches: Iterable[Batch]) -> list[Reading]:
    return readings(*(message for one in batches for message in messages_of(one)))


async def devices_in(spool: Spool) -> list[str]:
    """The device of the first message of each batch, oldest first."""
    return [each.batch.devices[0] for each in await spool.oldest(10**9)]
