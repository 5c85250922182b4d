"""Spooled batches → the database, the state, and for what turns out to be a conflict the dead letters."""

from collections.abc import Awaitable, Callable, Sequence

from gateway.advice import ADVICE
from gateway.contracts import DeadLetters
from gateway.model import Batch, Block, Outcome
from gateway.pipeline.fallback import Fallback
from gateway.reasons import Reason
from gateway.telemetry import events
from gateway.timescale.deadletters import to_letters


class Replay:
    """What the drainer does with a batch."""

    def __init__(
        self,
        fallback: Fallback,
        publish: Callable[[Sequence[Block]], Awaitable[None]],
        letters: DeadLetters,
    ) -> None:
        self._fallback = fallback
        self._publish = publish
        self._letters = letters

    async def store(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Return after COMMIT; the state follows. Raises SinkUnavailable, SinkFault."""
        written = await self._fallback.store(batches)
        await self._publish(written.newest)
        return written.outcomes

    async def bury(self, batch: Batch, outcome: Outcome) -> None:
        """Keep the conflicts: their device was told "accepted". The writer has kept what the database rejected."""
        words = dict.fromkeys(outcome.conflicts, ADVICE[Reason.CONFLICT])
        if words:
            letters = to_letters([batch], words)
            await self._letters.put([letter._replace(source="spool", code=Reason.CONFLICT) for letter in letters])
            events.dead_lettered("spool", Reason.CONFLICT, count=len(letters))
