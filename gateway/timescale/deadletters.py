"""Dead letters → the database, committed before `put` returns; rejected messages → dead letters."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from gateway.contracts import DeadLetter
from gateway.errors import Reason
from gateway.model import Batch, Kind, Layout, Value
from gateway.timescale.pool import Pool
from gateway.timescale.queries import query

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_DETAIL = 2000
"""Characters of a detail that are kept."""


class TimescaleDeadLetters:
    """`contracts.DeadLetters` on the database."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Return after COMMIT. Raises SinkUnavailable, SinkFault."""
        if not letters:
            return
        columns = (
            [letter.source for letter in letters],
            [letter.code for letter in letters],
            [_storable(letter.detail)[:MAX_DETAIL] for letter in letters],
            [letter.device and _storable(letter.device) for letter in letters],
            [letter.topic and _storable(letter.topic) for letter in letters],
            [letter.payload for letter in letters],
        )
        async with self._pool.connection() as connection:
            await connection.execute(query("insert_dead_letters"), *columns)


def to_letters(group: Sequence[Batch], words: Mapping[int, str]) -> list[DeadLetter]:
    """Return a letter for each message that has `words`, by its place in the group; its payload can be posted again."""
    letters = []
    first = 0
    for batch in group:
        for i, row in enumerate(batch.rows()):
            if first + i in words:
                payload = _to_body(batch.devices[i], batch.times[i], batch.table[batch.layouts[i]], row)
                code = Reason.REJECTED_BY_DATABASE
                letters.append(DeadLetter("database", code, words[first + i], batch.devices[i], payload))
        first += len(batch)
    return letters


def _to_body(device: str, time_us: int, layout: Layout, row: Sequence[Value]) -> bytes:
    """Form the posted item anew; the time as text, whose unit does not depend on its size."""
    values = {
        metric.name: bool(value) if metric.kind is Kind.BOOL else value
        for metric, value in zip(layout.posted, row, strict=True)
    }
    time = EPOCH + timedelta(microseconds=time_us)
    return msgspec.json.encode({"device": device, "ts": time, "values": values})


def _storable(text: str) -> str:
    return text.replace("\0", "\\0").encode("utf-8", "replace").decode()
