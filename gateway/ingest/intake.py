"""READ THIS FIRST. The intake of HTTP and MQTT alike: a posted body → a receipt, and only when it is durable.

body ─ decode ─▶ columns ─ admit ─▶ batch ─ submit ─▶ COMMIT ─▶ newest state ─▶ receipt
         │ wire: pure       │ admission: rules      │ pipeline: group commit
         └── refusals ──────┴── refusals ───────────┴── duplicates, conflicts, rejected rows
"""

from gateway.core.clock import Clock
from gateway.domain import ledger
from gateway.domain.contracts.ingest import Charge
from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch, Decoded, Outcome, Receipt, Refusal
from gateway.domain.principal import Principal
from gateway.ingest import receipts, wire
from gateway.ingest.admission.admission import Admission
from gateway.ingest.pending import MAX_ERRORS, SubmittedBody, late
from gateway.ingest.pipeline.committer import Committer
from gateway.ingest.pipeline.stall import Stall
from gateway.ingest.wire.limits import Limits
from gateway.telemetry import events
from gateway.telemetry.ledger_events import InHand

NOTHING = Outcome(0)
PART_MESSAGES = 5_000
"""Messages that go to the database together, unless they must: what is done with them at once takes some 20 ms."""


class BodyIntake:
    """Takes readings in. One per worker, shared by all who bring them."""

    def __init__(
        self,
        admission: Admission,
        committer: Committer,
        layouts: Layouts,
        clock: Clock,
        *,
        stall: Stall,
        max_readings: int,
    ) -> None:
        self._admission = admission
        self._committer = committer
        self._layouts = layouts
        self._clock = clock
        self._stall = stall
        self._max_readings = max_readings
        self._slices = admission.slices

    @property
    def is_open(self) -> bool:
        """Whether `refuse_if_full` would say nothing."""
        return self._committer.is_open

    def refuse_if_full(self) -> None:
        """Raise Overloaded or Draining if nothing would be taken now, before a body is read."""
        self._committer.refuse_if_full()

    async def devices(self, body: bytes) -> set[str]:
        """Return whose readings a body holds. Raises BadPayload, TooLarge for one that would not be taken in."""
        decoded = await self._decode(body, None, None, self._clock.now_us(), Limits(self._max_readings, 0))
        return set(decoded.batch.devices)

    async def take(
        self,
        body: bytes,
        *,
        principal: Principal,
        media: str | None = None,
        device: str | None = None,
        atomic: bool = False,
        max_errors: int = MAX_ERRORS,
        source: str = "http",
        received_us: int | None = None,
        charge: Charge | None = None,
        sent: int | None = None,
    ) -> Receipt:
        """Return once every reading is committed or refused; with `atomic`, all of them or none.

        `received_us` is when the body first came, for readings without a time of their own; default: now. `sent` are
        the bytes of a compressed body, as it was sent.
        Raises BadPayload, TooLarge, UnsupportedMedia for the body as a whole, and what `charge` raises; Unavailable and
        SinkFault when nothing may be taken for stored.
        """
        now_us = self._clock.now_us()
        limits = Limits(self._max_readings, max_errors, sent)
        decoded = await self._decode(body, media, device, received_us or now_us, limits)
        backfill = charge is not None and await charge(decoded.readings)
        with InHand(source, decoded.readings) as hand:
            if not self._admission.passes(principal, decoded.batch, now_us):
                decoded = await self._admission.admit(principal, decoded, now_us, listed=max_errors)
            outcome, refusals = await self._store(decoded, atomic=atomic, backfill=backfill, listed=max_errors)
            receipt = receipts.to_receipt(decoded, outcome, refusals, max_errors=max_errors)
            answers, spooled = source != "mqtt", outcome.spooled
            hand.settle(ledger.settle(receipt, refusals, answers=answers, atomic=atomic, spooled=spooled))
        if refusals:
            events.refused(refusals)
        return receipt

    async def _decode(
        self, body: bytes, media: str | None, device: str | None, received_us: int, limits: Limits
    ) -> Decoded:
        """Read a body in slices."""
        self._layouts.make_room()
        layouts = self._layouts.pinned()
        return await self._slices.run(wire.steps(body, media, layouts, limits, device=device, received_us=received_us))

    async def _store(
        self, decoded: Decoded, *, atomic: bool, backfill: bool, listed: int
    ) -> tuple[Outcome, list[Refusal]]:
        """Return what became of the batch, and everything that was refused, early and late."""
        batch, refusals = decoded
        if not batch.readings or (atomic and refusals):
            return NOTHING, refusals
        self._stall.entered()
        if atomic or len(batch) <= PART_MESSAGES:
            outcome = await self._committer.submit(batch, atomic=atomic, backfill=backfill)
        else:
            outcome = await self._store_parts(batch, backfill=backfill)
        self._stall.durable()
        return outcome, late(decoded, outcome, listed=listed)

    async def _store_parts(self, batch: Batch, *, backfill: bool) -> Outcome:
        """Store a large batch part by part: what is done with a group at once must not take the loop for long.

        One after the other, so that of messages with one key it is still the first that is kept. What is stored when
        one fails is absorbed as duplicates when the body comes again.
        """
        parts = batch.split(PART_MESSAGES)
        outcomes = [await self._committer.submit(part, backfill=backfill) for part in parts]
        return receipts.join(outcomes, list(map(len, parts)))

    def at_once(
        self, body: bytes, *, principal: Principal, device: str | None = None, source: str = "http"
    ) -> SubmittedBody | None:
        """Take in, without waiting for anything, a body that is let through whole from memory; None: `take` it.

        The same path, for whoever has no time to be a coroutine. Never raises.
        """
        if not self._committer.is_open:
            return None
        now_us = self._clock.now_us()
        batch = wire.plain(body, self._layouts, device=device, received_us=now_us)
        if batch is None or batch.readings > self._max_readings or not self._admission.passes(principal, batch, now_us):
            return None
        if not self._committer.has_room(batch):
            return None
        self._stall.entered()
        hand = InHand(source, batch.readings)
        return SubmittedBody(Decoded(batch, []), self._committer.submit(batch), self._stall, hand)
