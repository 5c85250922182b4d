"""Replay of dead letters: their bytes go through the intake once more. Never edits a payload.

A reading without `ts` gets the time at which its letter was first refused, so that a second replay meets duplicates.
"""

import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from gateway.core.errors import BadRequest, GatewayError, NotFound
from gateway.core.timestamps import to_us
from gateway.domain.contracts.ingest import Intake
from gateway.domain.dead_letters import DeadLetterFilter, StoredDeadLetter
from gateway.domain.model import Receipt
from gateway.domain.principal import Principal, Role
from gateway.telemetry import events
from gateway.timescale.dead_letters.browse import StoredDeadLetters
from gateway.timescale.registry.audit import UNNAMED, AuditedAct, replaying

SOURCE = "replay"
OPERATOR = Principal(Role.ADMIN)
BUDGET_SECS = 15.0
"""After this a run ends between two letters, so that its caller gets an answer before any time-out."""
LISTED = 100
"""Letters of a run that are listed with what was wrong."""


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one letter: either a receipt, or why its payload could not be read at all."""

    id: int
    replayed: bool
    """Every reading is safe now, and the letter is marked."""
    code: str | None = None
    detail: str | None = None
    receipt: Receipt | None = None


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a page of letters."""

    replayed: int
    refused: int
    """Letters that were refused again, in whole or in part; they stay open."""
    remaining: int
    """Open letters that match and come after these."""
    next_cursor: str | None
    """Where the next call goes on; None when nothing remains."""
    errors: list[Replayed]
    """The first 100 of `refused`, without receipts."""


class DeadLetterReplay:
    """Replays dead letters."""

    def __init__(
        self, intake: Intake, dead_letters: StoredDeadLetters, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._intake = intake
        self._dead_letters = dead_letters
        self._monotonic = monotonic

    async def one(self, letter_id: int, *, actor: str = UNNAMED) -> Replayed:
        """Replay one letter, whether or not it was replayed before. Raises NotFound, Unavailable, SinkFault."""
        result, act = await self._one(letter_id, replaying(actor, str(letter_id)))
        if not result.replayed:
            await self._dead_letters.note_refused(act, 1)
        return result

    async def _one(self, letter_id: int, act: AuditedAct) -> tuple[Replayed, AuditedAct]:
        letter = await self._dead_letters.find(letter_id)
        result = await self._replay(letter)
        if result.replayed:
            act = await self._dead_letters.mark_replayed(letter, act)
            events.dead_letter_replayed()
        return result, act

    async def some(
        self,
        wanted: DeadLetterFilter,
        *,
        after: int = 0,
        limit: int = 100,
        actor: str = UNNAMED,
        go_on: Callable[[], bool] = lambda: True,
    ) -> ReplayReport:
        """Replay open letters, lowest id first, one after the other. Raises Unavailable, SinkFault: call again.

        What was replayed until then is marked, and what is not marked meets duplicates. `go_on` is asked after each.
        """
        until = self._monotonic() + BUDGET_SECS
        act, replayed = replaying(actor), 0
        failed: list[Replayed] = []
        for letter_id in await self._dead_letters.open_ids(wanted, after=after, limit=limit):
            after = letter_id
            with suppress(NotFound):  # removed since the ids were read
                result, act = await self._one(letter_id, act)
                replayed += result.replayed
                failed += [] if result.replayed else [_without_receipt(result)]
            if self._monotonic() > until or not go_on():
                break
        if failed:
            await self._dead_letters.note_refused(act, len(failed))
        remaining = await self._dead_letters.count_open(wanted, after=after)
        return ReplayReport(
            replayed=replayed,
            refused=len(failed),
            remaining=remaining,
            next_cursor=str(after) if remaining else None,
            errors=failed[:LISTED],
        )

    async def _replay(self, letter: StoredDeadLetter) -> Replayed:
        try:
            receipt = await self._take(letter)
        except GatewayError as exc:
            if exc.retry_after is not None:
                raise
            return Replayed(id=letter.id, replayed=False, code=exc.code, detail=exc.message)
        except Exception as exc:  # noqa: BLE001 - it may be why the letter is here, and must not stop the others
            events.dead_letter_replay_failed(letter.id, exc)
            return Replayed(
                id=letter.id, replayed=False, code=GatewayError.code, detail="a mistake of ours; see the log"
            )
        if not receipt.errors:
            return Replayed(id=letter.id, replayed=True, receipt=receipt)
        first = receipt.errors[0]
        return Replayed(
            id=letter.id,
            replayed=False,
            code=first.code,
            detail=f"{first.path} {first.message}".lstrip(),
            receipt=receipt,
        )

    async def _take(self, letter: StoredDeadLetter) -> Receipt:
        if letter.device is None:  # the broker allowed a topic, and not whatever devices the payload names
            raise BadRequest("its topic names no device; post the payload for the device that it is of")
        if not letter.size:  # see dead_letter_budget
            raise BadRequest("it counts items whose bytes were not kept; let their device send them again")
        return await self._intake.take(
            letter.payload or b"",
            principal=OPERATOR,
            device=letter.device,
            source=SOURCE,
            received_us=to_us(letter.first_at),
        )


def _without_receipt(result: Replayed) -> Replayed:
    return Replayed(id=result.id, replayed=False, code=result.code, detail=result.detail)
