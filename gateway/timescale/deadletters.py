"""Dead letters → the database, committed before `put` returns."""

from collections.abc import Sequence

from gateway.contracts import DeadLetter
from gateway.timescale.pool import Pool
from gateway.timescale.queries import query

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


def _storable(text: str) -> str:
    return text.replace("\0", "\\0").encode("utf-8", "replace").decode()
