"""The store of dead letters. In: letters, or rejected messages. Out: rows, committed before `put` returns."""

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from gateway.core.timestamps import to_datetime
from gateway.domain.contracts import DeadLetter
from gateway.domain.model import Batch, Kind, Layout, Value
from gateway.domain.reasons import Reason
from gateway.timescale.connections.pool import Connection, Pool
from gateway.timescale.queries import query

MAX_DETAIL = 2000
"""Characters of a detail that are kept."""


class TimescaleDeadLetters:
    """`contracts.DeadLetters` on the database."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Return after COMMIT; an item that is kept already is counted there. Raises SinkUnavailable, SinkFault."""
        if letters:
            async with self._pool.connection() as connection:
                await put(connection, letters)


async def put(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    """Do the same in the transaction of somebody else. Raises DATABASE_ERRORS."""
    if not letters:
        return
    marked = [(_fingerprint(one), one) for one in map(_storable, letters)]
    counts, kept = Counter(fingerprint for fingerprint, _ in marked), dict(marked)
    # By fingerprint, so that two calls with the same letters wait for each other and never deadlock.
    rows = [(*kept[fingerprint], fingerprint, counts[fingerprint]) for fingerprint in sorted(kept)]
    columns = [list(column) for column in zip(*rows, strict=True)]
    await connection.execute(query("insert_dead_letters"), *columns)


def to_letters(group: Sequence[Batch], words: Mapping[int, str]) -> list[DeadLetter]:
    """Return a letter for each message that has `words`, by its place in the group; its payload can be posted again."""
    letters = []
    places = sorted(words)
    first = 0
    for batch in group:
        with_any = bisect_left(places, first) < bisect_left(places, first + len(batch))
        for i, row in enumerate(batch.rows() if with_any else ()):
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
    return msgspec.json.encode({"device": device, "ts": to_datetime(time_us), "values": values})


def _fingerprint(letter: DeadLetter) -> bytes:
    """Return what is the same for the same item refused for the same reason; the words of the reason may differ."""
    parts = (letter.source, letter.code, letter.device, letter.topic, hashlib.sha256(letter.payload).digest())
    return hashlib.sha256(msgspec.msgpack.encode(parts)).digest()


def _storable(letter: DeadLetter) -> DeadLetter:
    """Return the letter with words that PostgreSQL can store."""
    return letter._replace(
        detail=_text(letter.detail)[:MAX_DETAIL],
        device=letter.device and _text(letter.device),
        topic=letter.topic and _text(letter.topic),
    )


def _text(text: str) -> str:
    return text.replace("\0", "\\0").encode("utf-8", "replace").decode()
