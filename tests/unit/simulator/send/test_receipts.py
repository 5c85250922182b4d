import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.plan.scenario import Shape
from simulator.send.loads.http import parse_retry_after
from simulator.send.receipts import Meaning, ReceiptReader
from tests.unit.simulator.cases import METRICS

MESSAGES, RUN = 6, 3
READINGS = MESSAGES * len(METRICS)


def _reader(shape: Shape = "values") -> ReceiptReader:
    return ReceiptReader(METRICS, shape=shape, messages=MESSAGES, run=RUN)


def _receipt(**changes: Any) -> bytes:
    whole = {"accepted": READINGS, "duplicates": 0, "conflicts": 0, "refused": 0, "durability": "db", "errors": []}
    return json.dumps(whole | changes).encode()


def _partly(*errors: dict[str, Any], refused: int, conflicts: int = 0) -> bytes:
    accepted = READINGS - refused - conflicts
    return _receipt(accepted=accepted, refused=refused, conflicts=conflicts, errors=list(errors))


def test_all_stored() -> None:
    answer = _reader().read(200, _receipt(durability="spool", duplicates=3))
    assert (answer.meaning, answer.durability) == (Meaning.STORED, "spool")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'"ok"', b"\xff", _receipt(accepted=READINGS - 1)])
def test_a_200_that_does_not_account_for_every_reading_is_no_acknowledgement(body: bytes) -> None:
    assert _reader().read(200, body).meaning is Meaning.UNCLEAR


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_work_another_time(status: int) -> None:
    answer = _reader().read(status, b'{"code": "overloaded"}')
    assert (answer.meaning, answer.reason) == (Meaning.AGAIN, f"http_{status}")


@pytest.mark.parametrize(
    ("shape", "error", "wanted"),
    [
        ("flat", {"index": 5, "path": "/5/value", "metric": METRICS[1].name}, [5]),
        ("values", {"index": 1, "path": "/1/values/humidity", "metric": METRICS[1].name}, [5]),
        ("values", {"index": 5, "path": "/5/ts"}, [20, 21, 22, 23]),
        ("readings", {"index": 1, "path": "/1/readings/2/values/x", "metric": METRICS[3].name}, [23]),
        ("readings", {"index": 0, "path": "/0/readings/1/ts"}, [4, 5, 6, 7]),
        ("columns", {"index": 1, "path": "/1/values/door_open/0", "metric": METRICS[2].name}, [14]),
        ("columns", {"index": 0, "path": "/0/ts/2"}, [8, 9, 10, 11]),
    ],
)
def test_a_refusal_is_traced_to_its_readings(shape: Shape, error: dict[str, Any], wanted: list[int]) -> None:
    body = _partly({**error, "code": "too_old"}, refused=len(wanted))
    answer = _reader(shape).read(207, body)
    assert answer.meaning is Meaning.PARTLY
    assert answer.refused == tuple(wanted)
    assert answer.codes == Counter(too_old=len(wanted))


def test_a_conflict_is_not_stored_as_we_said_it() -> None:
    error = {"index": 0, "path": "/0", "metric": METRICS[0].name, "code": "conflict"}
    answer = _reader().read(207, _partly(error, refused=0, conflicts=1))
    assert (answer.refused, answer.codes) == ((0,), Counter(conflict=1))


@pytest.mark.parametrize(
    "error",
    [{}, {"index": -1}, {"index": 99, "path": "/99"}, {"index": "0"}, {"index": 0, "path": "/0/readings/x"}],
)
def test_a_refusal_of_nobody_knows_what_makes_the_answer_unclear(error: dict[str, Any]) -> None:
    answer = _reader("readings").read(207, _partly({**error, "code": "odd"}, refused=1))
    assert answer.meaning is Meaning.UNCLEAR


def test_more_refused_than_listed_is_unclear() -> None:
    error = {"index": 0, "path": "/0", "metric": METRICS[0].name, "code": "too_old"}
    assert _reader().read(207, _partly(error, refused=2)).meaning is Meaning.UNCLEAR


def test_all_refused_counts_every_reading_listed_or_not() -> None:
    errors = [{"index": 0, "path": "/0/ts", "code": "too_old"}]
    answer = _reader().read(422, _receipt(accepted=0, refused=READINGS, errors=errors))
    assert answer.meaning is Meaning.REFUSED
    assert answer.codes == Counter(too_old=4, unlisted=READINGS - 4)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (413, b'{"code": "too_large"}', "too_large"),
        (403, b"<html>", "http_403"),
        (301, b"", "http_301"),
        (422, b'{"code": "idempotency_mismatch"}', "idempotency_mismatch"),
    ],
)
def test_a_refused_post_counts_by_the_code_of_the_problem(status: int, body: bytes, code: str) -> None:
    answer = _reader().read(status, body)
    assert (answer.meaning, answer.codes) == (Meaning.REFUSED, Counter({code: READINGS}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["errors", "index", "path", "metric", "code", "accepted"]), inner)
    ),
    max_leaves=12,
)


counts = st.sampled_from([READINGS - 1, READINGS, READINGS + 1, str(READINGS), None])
receipts = st.builds(lambda accepted, duplicates: _receipt(accepted=accepted, duplicates=duplicates), counts, counts)


@given(
    st.sampled_from([200, 207, 422, 503]) | st.integers(100, 599),
    receipts | json_values.map(lambda v: json.dumps(v).encode()) | st.binary(max_size=40),
)
def test_any_answer_means_something_and_only_a_full_receipt_means_stored(status: int, body: bytes) -> None:
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    is_full = status == 200 and isinstance(said, dict) and said.get("accepted") == READINGS
    for shape in ("flat", "values", "readings", "columns"):
        answer = _reader(shape).read(status, body)
        assert all(0 <= reading < READINGS for reading in answer.refused)
        assert (answer.meaning is Meaning.STORED) == is_full


@pytest.mark.parametrize(("text", "seconds"), [("3", 3.0), ("", 0.0), ("Wed, 21 Oct", 0.0), ("-1", 0.0), ("1.5", 0.0)])
def test_retry_after(text: str, seconds: float) -> None:
    assert parse_retry_after(text) == seconds
