"""The store of dead letters. In: letters. Out: rows, committed before `put` returns."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import msgspec

from gateway.domain.dead_letters import DeadLetter
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
