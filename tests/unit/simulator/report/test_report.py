"""What a report says of figures that are given: failures, notes, exit codes, who was the bottleneck."""

from typing import Any

import orjson
import pytest

from simulator.core.counts import MAX_EXAMPLES
from simulator.plan.faults import Fault
from simulator.report.report import Report
from simulator.send.latency import Buckets, Latencies
from simulator.send.loads.script import Score, WrongAnswer
from simulator.send.progress import Progress, together
from simulator.send.results import PartResult, Sent, WorkerResult
from simulator.verify.dead_letters import DeadLetterFindings
from simulator.verify.findings import Findings
from simulator.verify.referee import Verdict
from tests.unit.simulator.cases import plan


def latencies(*seconds: float) -> Buckets:
    one = Latencies()
    for second in seconds:
        one.record(second)
    return one.counts


def result(*, cpu: float = 0.1, lateness: Buckets | None = None, **changes: Any) -> WorkerResult:
    counts = Sent(offered=100, sent=100, acknowledged=100)
    part = PartResult(
        title="a", transport="http", counts=counts, lateness=lateness or {}, latencies=latencies(0.1, 0.2)
    )
    for name, value in changes.items():
        setattr(part, name, value)
    return WorkerResult(parts=[part], elapsed=2.0, cpu=cpu)


def report(*results: WorkerResult, verdict: Verdict | None = None) -> Report:
    return Report(plan(), results, verdict=verdict)


def wrong(number: int = 0) -> WrongAnswer:
    return WrongAnswer(device=f"d{number}", time_us=0, fault="nan", expected="207 not_finite", got="200")


def test_many_connections_are_told_with_the_time_they_took() -> None:
    one, other = result(), result()
    one.connections, one.connecting = 700, 1.25
    other.connections, other.connecting = 600, 2.5
    both = report(one, other)
    assert "1,300 MQTT connections, opened in 2.5 s" in both.notes
    told = orjson.loads(both.to_json())
    assert (told["mqtt_connections"], told["mqtt_connecting_s"]) == (1_300, 2.5)
    assert not any("connections" in note for note in report(one).notes)


def test_results_of_several_processes_add_up() -> None:
    both = report(result(), result(cpu=0.4, latencies=latencies(0.9)))
    (lane,) = both.lanes
    assert (lane.acknowledged, lane.latency.count, both.cpu) == (200, 3, 0.4)
    assert lane.latency.max == pytest.approx(900, rel=0.01)
    assert (both.failures, both.exit_code, both.held_back) == ([], 0, "")


@pytest.mark.parametrize(
    ("cpu", "late", "says"),
    [
        (0.95, (0.001,), "use more --workers"),
        (0.2, (0.05,) * 10, "the machine was busy with something else"),
        (0.2, (*(0.001,) * 999, 2.0), "stood still for 2.0 s"),
        (0.2, (0.001,) * 10, ""),
    ],
)
def test_who_was_the_bottleneck_is_said(cpu: float, late: tuple[float, ...], says: str) -> None:
    told = report(result(cpu=cpu, lateness=latencies(*late))).held_back
    assert says in told
    assert bool(says) == bool(told)


def test_a_wrong_answer_is_exit_1_and_the_first_hundred_are_named() -> None:
    score = Score()
    for number in range(MAX_EXAMPLES + 20):
        score.note(Fault.NAN, wrong(number))
    one = report(result(score=score))
    assert (one.failures, one.exit_code) == ([f"{MAX_EXAMPLES + 20} wrong answers"], 1)
    assert [example.device for example in one.score.examples] == [f"d{i}" for i in range(MAX_EXAMPLES)]


@pytest.mark.parametrize(
    ("verdict", "failures", "code"),
    [
        (Verdict({"http": Findings(stored=100)}, stored_checked=True), [], 0),
        (Verdict({"http": Findings(lost=2, state_wrong=1)}, stored_checked=True), ["2 lost", "1 state wrong"], 1),
        (Verdict({"http": Findings()}, unfinished="The database does not answer."), [], 2),
        (Verdict({"http": Findings(wrong=1)}, unfinished="gone"), ["1 wrong"], 1),
        (Verdict({}, letters=DeadLetterFindings(expected=5, missing=1, unexpected=2)), ["3 wrong answers"], 1),
    ],
)
def test_failures_and_exit_codes(verdict: Verdict, failures: list[str], code: int) -> None:
    one = report(result(), verdict=verdict)
    assert (one.failures, one.exit_code) == (failures, code)


def test_refusals_that_had_to_be_are_not_told_as_trouble() -> None:
    score = Score(refusals={"not_finite": 3})
    one = report(result(score=score, codes={"not_finite": 4, "too_old": 1}))
    assert one.expected_refusals == 3
    assert "refused over http: not_finite 1, too_old 1" in one.notes


def test_progress_of_several_processes_adds_up_and_shows_the_worst_latency() -> None:
    both = together([Progress(offered=5, errors=1, p99=3.0), Progress(offered=7, in_flight=2, p99=9.0)])
    assert both == Progress(offered=12, errors=1, in_flight=2, p99=9.0)
