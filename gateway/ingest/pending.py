"""A pending body: its readings wait for their COMMIT, and whoever brought it does not wait with it."""

import asyncio

from gateway.domain import ledger
from gateway.domain.model import Decoded, Outcome, Receipt, Refusal
from gateway.ingest import receipts
from gateway.ingest.pipeline.stall import Stall
from gateway.telemetry import events
from gateway.telemetry.ledger_events import InHand

MAX_ERRORS = 100
"""Refusals listed in a receipt, unless asked otherwise."""


class SubmittedBody:
    """One body that was submitted. Either `receipt` or `abandon` is to be called, once, when the ticket is done."""

    __slots__ = ("_decoded", "_hand", "_stall", "ticket")

    def __init__(self, decoded: Decoded, ticket: "asyncio.Future[Outcome]", stall: Stall, hand: InHand) -> None:
        self._decoded = decoded
        self._stall = stall
        self._hand = hand
        self.ticket = ticket
        """Resolves after COMMIT. Cancelling it takes the body out if it still waits."""

    @property
    def readings(self) -> int:
        """How many the body holds."""
        return self._decoded.readings

    @property
    def is_clean(self) -> bool:
        """Whether all of it is stored, once the ticket is done: then `receipt` raises nothing and lists nothing."""
        ticket = self.ticket
        if ticket.cancelled() or ticket.exception() is not None:
            return False
        return not late(self._decoded, ticket.result(), listed=0)

    def receipt(self) -> Receipt:
        """Return what became of the body. Raises what the ticket raises: nothing of it may be taken for stored then."""
        with self._hand as hand:
            outcome = self.ticket.result()
            self._stall.durable()
            decoded, refusals = self._decoded, late(self._decoded, outcome, listed=MAX_ERRORS)
            receipt = receipts.to_receipt(decoded, outcome, refusals, max_errors=MAX_ERRORS)
            # What is refused so late was rejected by the database, which is the same for all sources.
            hand.settle(ledger.settle(receipt, refusals, answers=True))
        if refusals:
            events.refused(refusals)
        return receipt

    def abandon(self) -> None:
        """Close the books on a body whose sender is gone."""
        with self._hand:
            pass


def late(decoded: Decoded, outcome: Outcome, *, listed: int) -> list[Refusal]:
    """Return all refusals: those from before the COMMIT, and what turned out there; so many are said in words."""
    if outcome.conflicts or outcome.rejected:
        return receipts.with_late(decoded, outcome, listed=listed)
    return decoded.refusals
