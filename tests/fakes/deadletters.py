"""In: refused items. Out: the same, in a list. Never durable."""

from collections.abc import Sequence

from gateway.core.errors import SinkUnavailable
from gateway.domain.dead_letters import DeadLetter


class MemoryDeadLetters:
    """`contracts.DeadLetters` without a database; while `away` is set every call raises SinkUnavailable."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        self.away = False

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Keep the letters. Raises SinkUnavailable."""
        if self.away:
            raise SinkUnavailable
        self.letters.extend(letters)
