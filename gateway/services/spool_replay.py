"""Replay of the spool: batches → the database, the state, and for what does not go there the dead letters.

The state shows them since they are in the spool. Of a device of which the database did not take something it forgets
what it has, since that may be shown: the database tells then.
"""

import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence

from gateway.domain.contracts.ingest import DeadLetters, Written
from gateway.domain.dead_letters import to_dead_letters
from gateway.domain.model import Batch, Block, Outcome
from gateway.domain.reasons import Reason
from gateway.domain.refusals import ADVICE
from gateway.ingest.pipeline.poison import Answers, words_of
from gateway.telemetry import events, spool_events, state_events

RESCUE_SECS = 30.0
"""How long a batch that cannot be stored is taken to pieces; then what is left of it is parked as it is."""

Write = Callable[[Sequence[Batch]], Awaitable[Written]]


class SpoolReplay:
    """What the drainer does with a batch."""

    def __init__(
        self,
        write: Write,
        publish: Callable[[Sequence[Block]], Awaitable[None]],
        letters: DeadLetters,
        *,
        show_spooled: Callable[[Sequence[Batch]], Awaitable[None]],
        answers: Answers,
        drop: Callable[[Sequence[str]], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`show_spooled` shows what is not shown yet, `drop` has the state forget devices."""
        self._write = write
        self._publish = publish
        self._show_spooled = show_spooled
        self._letters = letters
        self._drop = drop
        self._answers = answers
        self._monotonic = monotonic

    async def store(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Return after COMMIT; the state follows, and never makes it fail. Raises SinkUnavailable, SinkFault."""
        written = await self._write(batches)
        try:
            await self._publish(written.newest)
            await self._show_spooled(list(_with_duplicates(batches, written.outcomes)))
        except Exception as exc:  # noqa: BLE001 - what is committed must leave the spool, whatever the state does
            state_events.lost("".join(traceback.format_exception(exc)))
        return written.outcomes

    async def bury(self, batch: Batch, outcome: Outcome) -> None:
        """Keep the conflicts: their device was told "accepted". The writer has kept what the database rejected."""
        refused = [*outcome.conflicts, *[i for i, _ in outcome.rejected]]
        self._unshow([batch.devices[i] for i in refused])
        words = dict.fromkeys(outcome.conflicts, ADVICE[Reason.CONFLICT])
        if words:
            letters = to_dead_letters([batch], words)
            await self._letters.put([letter._replace(source="spool", code=Reason.CONFLICT) for letter in letters])
            events.dead_lettered("spool", Reason.CONFLICT, count=len(letters), device=letters[0].device)

    async def rescue(self, batch: Batch, words: str) -> Outcome:
        """Store what can be stored of a batch that failed with these words, and park the rest as dead letters.

        Raises SinkUnavailable, SinkFault while the database does not answer: the same batch may be rescued later.
        """
        until = self._monotonic() + RESCUE_SECS
        outcomes: list[tuple[int, Outcome]] = []
        parked: dict[int, str] = {}
        left = [range(len(batch))]
        while left:
            piece = left.pop()
            try:
                (outcome,) = await self.store([batch.pick(piece)])
            except Exception as exc:
                if not await self._answers():
                    raise
                if len(piece) == 1 or self._monotonic() > until:
                    parked |= dict.fromkeys(piece, f"it could not be stored while others were: {words_of(exc)}")
                else:
                    middle = len(piece) // 2
                    left += [piece[middle:], piece[:middle]]
            else:
                outcomes.append((piece[0], outcome))
        self._unshow(batch.devices)  # before what may fail: then the batch is set aside
        await self._park(batch, parked, words)
        return _joined(outcomes, parked)

    def _unshow(self, devices: Sequence[str]) -> None:
        if devices:
            self._drop(list(dict.fromkeys(devices)))

    async def _park(self, batch: Batch, parked: dict[int, str], words: str) -> None:
        if not parked:
            return
        letters = to_dead_letters([batch], parked)
        await self._letters.put(letters)
        events.dead_lettered("database", Reason.REJECTED_BY_DATABASE, count=len(parked), device=letters[0].device)
        spool_events.record_parked([batch.devices[i] for i in sorted(parked)], len(parked), words)


def _with_duplicates(batches: Sequence[Batch], outcomes: Sequence[Outcome]) -> Iterator[Batch]:
    """Yield what the database has of the batches of which it had something already.

    A COMMIT whose answer was lost is one: nobody has published it, and what was spooled then may not have been shown.
    """
    for batch, outcome in zip(batches, outcomes, strict=True):
        if outcome.duplicates:
            refused = {*outcome.conflicts, *[i for i, _ in outcome.rejected]}
            yield batch.pick([i for i in range(len(batch)) if i not in refused]) if refused else batch


def _joined(outcomes: Sequence[tuple[int, Outcome]], parked: dict[int, str]) -> Outcome:
    """Return the outcome of a batch from those of its pieces, each told with its first position in the batch."""
    rejected = [(first + i, words) for first, outcome in outcomes for i, words in outcome.rejected]
    return Outcome(
        sum([outcome.stored for _, outcome in outcomes]),
        sum([outcome.duplicates for _, outcome in outcomes]),
        sorted(first + i for first, outcome in outcomes for i in outcome.conflicts),
        sorted(rejected + list(parked.items())),
    )
