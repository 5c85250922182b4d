"""Two reports side by side: what counts as worse, and what cannot be compared."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.core.errors import UsageError
from simulator.report.compare import Comparison, parse_tolerance, read, rows
from simulator.report.report import Report
from simulator.verify.findings import Findings
from simulator.verify.referee import Verdict
from tests.unit.simulator.cases import plan
from tests.unit.simulator.report.test_report import latencies, result


def written(*, findings: Findings | None = None, **changes: Any) -> bytes:
    verdict = Verdict({"http": findings or Findings(stored=100)}, stored_checked=True)
    return Report(plan(), [result(**changes)], verdict=verdict).to_json()


def worse(before: bytes, after: bytes, tolerance: float = 0.1) -> list[str]:
    return [row.title for row in rows(read(before, "a"), read(after, "b")) if row.is_worse(tolerance)]


def test_a_run_is_as_good_as_itself() -> None:
    assert worse(written(), written(), 0.0) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"latencies": latencies(0.1, 0.23)}, ["http latency p90", "http latency p99", "http latency p99.9"]),
        ({"latencies": latencies(0.1, 0.21)}, []),
        ({"errors": {"overloaded": 1}}, ["http errors"]),
        ({"findings": Findings(stored=99, lost=1)}, ["lost"]),
        ({"findings": Findings(stored=100, state_wrong=1)}, ["state wrong"]),
    ],
)
def test_worse_is_what_exceeds_the_tolerance(changes: dict[str, Any], says: list[str]) -> None:
    assert worse(written(), written(**changes)) == says
    assert worse(written(**changes), written()) == []


def test_a_lower_rate_is_worse_and_a_few_microseconds_are_not() -> None:
    slow = written()
    fast = slow.replace(b'"elapsed_s": 2.0', b'"elapsed_s": 1.5')
    assert worse(fast, slow) == ["http acknowledged"]
    assert worse(written(latencies=latencies(0.0005)), written(latencies=latencies(0.001))) == []


def test_what_was_not_looked_for_is_unknown_not_none() -> None:
    unseen = Verdict({"http": Findings()}, stored_checked=True, twins_shown=False, states_unchecked="refused")
    content = Report(plan(), [result()], verdict=unseen).to_json()
    found = {row.title: (row.a, row.b) for row in rows(read(content, "a"), read(written(), "b"))}
    assert (found["duplicated"], found["state wrong"], found["lost"]) == ((None, 0), (None, 0), (0, 0))


@given(a=st.floats(0, 1e6), b=st.floats(0, 1e6), tolerance=st.floats(0, 1))
def test_never_are_both_worse_than_each_other(a: float, b: float, tolerance: float) -> None:
    one = Comparison(title="x", unit="ms", a=a, b=b, rule="more")
    other = Comparison(title="x", unit="ms", a=b, b=a, rule="more")
    assert not (one.is_worse(tolerance) and other.is_worse(tolerance))


@pytest.mark.parametrize(("text", "share"), [("10%", 0.1), ("5", 0.05), ("0 %", 0.0), ("2.5%", 0.025)])
def test_a_tolerance_is_in_per_cent(text: str, share: float) -> None:
    assert parse_tolerance(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "%", "ten", "-1%", "1e3%", "nan", "²%", "."])
def test_what_is_no_tolerance_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="per cent"):
        parse_tolerance(text)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"plan": 1}'])
def test_what_is_no_report_is_said(content: bytes) -> None:
    with pytest.raises(UsageError, match=r"some\.json is no report"):
        read(content, "some.json")


def test_runs_over_different_transports_are_not_compared() -> None:
    over_mqtt = read(written().replace(b'"transport": "http"', b'"transport": "mqtt"'), "b")
    with pytest.raises(UsageError, match="over http, the other over mqtt"):
        rows(read(written(), "a"), over_mqtt)
