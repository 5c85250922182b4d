"""READ THIS FIRST. The one door for HTTP and MQTT: a posted body in, a receipt out, and only when it is durable.

body ─ decode ─▶ columns ─ admit ─▶ batch ─ submit ─▶ COMMIT ─▶ newest state ─▶ receipt
         │ wire: pure       │ admission: rules      │ pipeline: group commit
         └── refusals ──────┴── refusals ───────────┴── duplicates, conflicts, rejected rows
"""

from gateway import receipts, wire
from gateway.admission.gate import Gate
from gateway.contracts import Clock
from gateway.layouts import Layouts
from gateway.model import Outcome, Principal, Receipt
from gateway.pipeline.committer import Committer
from gateway.telemetry import events

NOTHING = Outcome(0)


class Intake:
    """Takes readings in. One per worker, shared by all doors."""

    def __init__(self, gate: Gate, committer: Committer, layouts: Layouts, clock: Clock, *, max_readings: int) -> None:
        self._gate = gate
        self._committer = committer
        self._layouts = layouts
        self._clock = clock
        self._max_readings = max_readings

    async def take(
        self,
        body: bytes,
        *,
        principal: Principal,
        media: str | None = None,
        device: str | None = None,
        atomic: bool = False,
        max_errors: int = 100,
        source: str = "http",
        received_us: int | None = None,
    ) -> Receipt:
        """Return once every reading is committed or refused; with `atomic`, all of them or none.

        `received_us` is what readings without a time get, by default now (µs since 1970 UTC).
        Raises BadPayload, TooLarge, UnsupportedMedia for the body as a whole; Unavailable and SinkFault when nothing
        may be taken for stored.
        """
        now_us = self._clock.now_us()
        decoded = wire.decode(
            body, media, self._layouts, device=device, received_us=now_us, max_readings=self._max_readings
        )
        if not self._gate.passes(principal, decoded.batch, now_us):
            decoded = await self._gate.sift(principal, decoded, now_us)
        batch, refusals = decoded
        outcome = NOTHING
        if batch.readings and not (atomic and refusals):
            outcome = await self._committer.submit(batch, atomic=atomic)
        if outcome.conflicts or outcome.rejected:
            refusals = refusals + receipts.late_refusals(batch, outcome)
        receipt = receipts.to_receipt(decoded, outcome, refusals, max_errors=max_errors)
        events.received(source, receipt.accepted + receipt.conflicts + receipt.refused)
        if refusals:
            events.refused(refusals)
        return receipt
