"""The receipt: it adds up in readings, and says no more than there is to say."""

import msgspec

from gateway.domain.model import Decoded, Outcome
from gateway.ingest.receipts import to_json, to_receipt, with_late
from tests.unit.ingest.admission.door import Door, said


async def test_a_receipt_adds_up_in_readings() -> None:
    door = Door()
    door.directory.add("d1")
    posted = [said(t=1), said(t=1, h=2), said(t=None), said("d9", t=1, h=2), said(t=1, h=2, x=3), said(t=4, h=None)]
    answer = await door.post(posted)
    outcome = Outcome(stored=2, duplicates=1, conflicts=[1], rejected=[(2, "no")])
    decoded = Decoded(answer.batch, answer.refusals)
    refusals = with_late(decoded, outcome, listed=3)
    receipt = to_receipt(decoded, outcome, refusals, max_errors=3)
    assert (receipt.accepted, receipt.duplicates, receipt.conflicts, receipt.refused) == (2, 1, 2, 7)
    assert receipt.accepted + receipt.conflicts + receipt.refused == 11 == answer.received
    assert [error.code for error in receipt.errors] == ["bad_value", "bad_value", "unknown_device"]
    assert receipt.errors_truncated
    assert receipt.status == 207


async def test_a_receipt_in_json_leaves_out_what_says_nothing() -> None:
    door = Door()
    door.directory.add("d1")
    answer = await door.post([said(t=1), 5])
    decoded = Decoded(answer.batch, answer.refusals)
    receipt = to_receipt(decoded, Outcome(stored=1), answer.refusals, max_errors=100)
    assert msgspec.json.decode(to_json(receipt)) == {
        "accepted": 1,
        "duplicates": 0,
        "conflicts": 0,
        "refused": 1,
        "durability": "db",
        "errors": [
            {"index": 1, "path": "/1", "code": "bad_item", "message": answer.refusals[0].message},
        ],
        "errors_truncated": False,
    }
