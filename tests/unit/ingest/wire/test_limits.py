"""What a body may hold: counted before it is read, and for a compressed one in proportion to what was sent."""

import json
from typing import Any

import pytest

from gateway.core.errors import TooLarge
from gateway.core.slices import at_once
from gateway.domain.layouts import MAX_METRICS, Layouts
from gateway.domain.model import Decoded
from gateway.domain.reasons import Reason
from gateway.domain.refusals import MORE, Refusals, refuse
from gateway.ingest import wire
from gateway.ingest.wire.limits import ALWAYS, MESSAGES_A_BYTE, SENT_BYTES, Limits
from tests.unit.ingest.wire.decoded import RECEIVED_US

MANY = 100_000


def decode(posted: Any, *, sent: int | None = None, listed: int = 100, max_readings: int = MANY) -> Decoded:
    limits, body = Limits(max_readings, listed, sent), json.dumps(posted).encode()
    return at_once(wire.steps(body, None, Layouts(), limits, device="d1", received_us=RECEIVED_US))


@pytest.mark.parametrize("sent", [100, 4 * SENT_BYTES * ALWAYS])
def test_faults_are_looked_at_in_proportion_to_what_was_sent(sent: int) -> None:
    most = max(ALWAYS, sent // SENT_BYTES)
    few, many = [{"metric": "t", "value": None}] * (most // 3), [{"metric": "t", "value": None}] * (most + 1)
    assert decode(few, sent=sent).readings == len(few)
    assert decode(many).readings == len(many)
    with pytest.raises(TooLarge, match="compress it less") as refused:
        decode(many, sent=sent)
    assert refused.value.details == {"limit": "http.max_inflated_ratio", "value": sent}


def test_messages_are_taken_in_proportion_to_what_was_sent() -> None:
    sent = ALWAYS
    body = {"ts": list(range(MESSAGES_A_BYTE * sent + 1)), "values": {"t": [1] * (MESSAGES_A_BYTE * sent + 1)}}
    assert decode(body, sent=sent + 1).readings == MESSAGES_A_BYTE * sent + 1
    with pytest.raises(TooLarge, match="compress it less"):
        decode(body, sent=sent)


@pytest.mark.parametrize("values", [dict.fromkeys(map(str, range(MAX_METRICS + 1)), 1)])
def test_a_message_of_too_many_metrics_is_refused_as_a_whole(values: dict[str, int]) -> None:
    columns = {"ts": [1], "values": {name: [value] for name, value in values.items()}}
    for posted in ({"values": values}, columns):
        (refusal,) = decode([{"metric": "t", "value": 1}, posted]).refusals
        assert (refusal.code, refusal.readings) == ("series_limit", MAX_METRICS + 1)


def test_commas_in_texts_are_no_readings() -> None:
    posted = [{"metric": "t", "value": "," * 1000 + '\\"' * 500}] * 50
    assert decode(posted, max_readings=50).readings == 50
    with pytest.raises(TooLarge, match="max_readings"):
        decode([*posted, {"metric": "t", "value": 1}], max_readings=50)


def test_of_many_refusals_the_first_are_said_and_the_others_counted() -> None:
    decoded = decode([5] * 1000 + [{"metric": "t", "value": None}] * 500, listed=10)
    *listed, items, values = decoded.refusals
    assert [refusal.index for refusal in listed] == list(range(10))
    assert [(rest.code, rest.readings, rest.message) for rest in (items, values)] == [
        ("bad_item", 990, MORE),
        ("bad_value", 500, MORE),
    ]
    assert decoded.readings == 1500


def test_what_is_said_of_refusals_is_bounded_in_bytes() -> None:
    refusals = Refusals(10**6)
    while not refusals.is_full:
        refusals.add(refuse(Reason.BAD_VALUE, 0, "/0/values/" + "x" * 100, value="y" * 100))
    assert sum(len(one.path) + len(one.message) for one in refusals.all()) < 2**20 + 1000
