import json
from typing import Any

import pytest

from simulator.measure.bench.results import ReceiptJudge, Tally, judge_state, judge_states
from simulator.send.latency import Percentiles


def receipt(**changes: Any) -> bytes:
    plain = {"accepted": 5, "duplicates": 0, "conflicts": 0, "refused": 0, "durability": "db", "errors": []}
    return json.dumps({**plain, **changes}).encode()


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (200, receipt(), ""),
        (200, receipt(accepted=4), "accepted_4"),
        (200, receipt(duplicates=5), "duplicates_5"),
        (200, receipt(durability="spool"), "durability_spool"),
        (200, b"", "accepted_None"),
        (200, b"[]", "accepted_None"),
        (207, receipt(accepted=4, refused=1), "http_207"),
        (207, receipt(errors=[{"code": "too_old"}]), "http_207_too_old"),
        (503, b'{"code":"overloaded"}', "http_503_overloaded"),
        (500, b"<html>", "http_500"),
        (422, receipt(errors=["odd"]), "http_422"),
    ],
)
def test_only_a_full_receipt_counts(status: int, body: bytes, fault: str) -> None:
    judge = ReceiptJudge(readings=5, repeats=False)
    assert judge(200, receipt()) == ""
    for _ in range(2):
        assert judge(status, body) == fault


def test_a_receipt_known_as_good_counts_with_200_only() -> None:
    judge = ReceiptJudge(readings=5, repeats=False)
    assert judge(200, receipt()) == ""
    assert judge(202, receipt()) == "http_202"


def test_duplicates_are_what_a_repeat_wants() -> None:
    judge = ReceiptJudge(readings=5, repeats=True)
    assert judge(200, receipt(duplicates=5)) == ""
    assert judge(200, receipt()) == "duplicates_0"
    assert judge(200, receipt(duplicates=4)) == "duplicates_4"


def test_states_must_be_there() -> None:
    assert judge_state(200, b'{"device":"d","metrics":{"t":{"value":1}},"source":"redis"}') == ""
    assert judge_state(200, b'{"device":"d"}') == "no_metrics"
    assert judge_state(404, b"{}") == "http_404"
    assert judge_states(200, b'{"states":{},"missing":[]}') == ""
    assert judge_states(200, b'{"states":{},"missing":["d"]}') == "missing_devices"
    assert judge_states(503, b'{"missing":[]}') == "http_503"


def test_totals_and_percentiles_are_of_good_answers_only() -> None:
    tally = Tally(judge_state, items=3)
    assert tally.times() == Percentiles()
    for i in range(1, 1001):
        assert tally.take(200, b'"metrics":{"', i / 1_000)
    assert not tally.take(500, b"", 99.0)
    assert (tally.answers, tally.items, tally.faults) == (1_000, 3_000, {"http_500": 1})
    times = tally.times()
    assert times.p50 == pytest.approx(500, abs=1)
    assert times.p99 == pytest.approx(990, abs=1)
    assert times.p999 == pytest.approx(999, abs=1)
