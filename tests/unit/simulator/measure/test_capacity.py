"""The search for the highest rate: how it goes, and what a rate must keep."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.core.errors import UsageError
from simulator.measure.capacity.options import CapacityOptions, SearchOptions, SteadyLoad
from simulator.measure.capacity.search import GENERATOR, Capacity, Trial, judge, search
from simulator.report.report import Report
from simulator.send.timeline import Row, Timeline
from simulator.verify.findings import Findings
from simulator.verify.referee import Verdict
from tests.unit.simulator.cases import plan
from tests.unit.simulator.report.test_report import latencies, result

_LIMITS = SearchOptions(p99=250, errors=0.1)


def trial(rate: float, *, is_held: bool, held_back: str = "") -> Trial:
    broken = () if is_held else ("errors",)
    return Trial(rate=rate, acknowledged=rate, p99=1.0, errors=0.0, broken=broken, held_back=held_back)


def found_by(is_held: Callable[[float], bool], **options: float) -> Capacity:
    async def attempt(rate: float) -> Trial:
        return trial(rate, is_held=is_held(rate))

    return Capacity(trials=asyncio.run(search(attempt, **options)), most=options["most"])


@given(limit=st.floats(100, 1e6), first=st.floats(100, 1e5), precision=st.floats(0.01, 0.5))
def test_the_search_ends_close_to_the_limit_in_few_trials(limit: float, first: float, precision: float) -> None:
    most = 500_000.0
    found = found_by(lambda rate: rate <= limit, first=first, most=most, precision=precision)
    rates = [one.rate for one in found.trials]
    assert len(set(rates)) == len(rates) <= 8 + math.log2(most / 100) + math.log2(1 / precision)
    assert max(rates) <= most
    if found.held is None:
        assert limit < first / 60
        assert found.exit_code == 1
    elif found.broke is None:
        assert found.held.rate == most <= limit
    else:
        assert found.held.rate <= limit < found.broke.rate <= found.held.rate * (1 + precision)
        assert found.exit_code == 0


def test_a_rate_held_above_one_that_broke_is_not_the_capacity() -> None:
    found = Capacity(trials=[trial(4, is_held=False), trial(2, is_held=True), trial(5, is_held=True)], most=9)
    assert found.held is not None
    assert (found.held.rate, found.exit_code) == (2, 0)


def test_a_generator_that_was_the_bottleneck_tells_nothing_of_the_gateway() -> None:
    found = Capacity(trials=[trial(1, is_held=True), trial(2, is_held=False, held_back="95% of a core")], most=9)
    assert found.broke is not None
    assert (found.broke.first, found.exit_code) == (GENERATOR, 2)


def judged(*rows: Row, verdict: Verdict | None = None, **changes: Any) -> Trial:
    one = result(**changes)
    one.timelines = {"http": Timeline(rows=list(rows))}
    return judge(Report(plan(), [one], verdict=verdict), _LIMITS, rate=50)


def test_a_rate_is_held_when_every_limit_is_even_if_the_generator_was_late() -> None:
    assert judged().is_held
    late = judged(lateness=latencies(*(0.05,) * 10))
    assert (late.is_held, bool(late.held_back), late.first) == (True, True, "")


def test_a_generator_that_was_late_is_blamed_for_latency_and_not_for_refusals() -> None:
    late: dict[str, Any] = {"lateness": latencies(*(0.3,) * 10), "latencies": latencies(0.5)}
    assert judged(**late).first == GENERATOR
    refused = judged(errors={"overloaded": 1}, **late)
    assert (refused.first != GENERATOR, len(refused.broken)) == (True, 2)


def test_a_generator_that_was_a_little_late_is_not_blamed_for_more_than_that() -> None:
    late: dict[str, Any] = {"lateness": latencies(*(0.05,) * 10), "latencies": latencies(2.0)}
    assert judged(**late).first.startswith("p99 over HTTP 1,999 ms")
    assert judged(**late, cpu=0.95).first == GENERATOR, "one that had no time to spare may have caused any of it"


def test_what_broke_first_in_time_is_told_first() -> None:
    slow, failing = Row(latencies={16 * 19: 1}), Row(errors={"overloaded": 1})
    both: dict[str, Any] = {"latencies": latencies(0.5), "errors": {"overloaded": 1}}
    assert judged(Row(), slow, failing, **both).first.startswith("p99 over HTTP 500 ms, more than 250 ms")
    assert judged(Row(), failing, slow, **both).first == "50 % of the attempts failed (overloaded), more than 0.1 %"


def test_a_loss_breaks_a_rate() -> None:
    lost = Verdict({"http": Findings(lost=7)}, stored_checked=True)
    assert judged(verdict=lost).broken == ("7 lost",)
    gone = Verdict.none({"http"}, why="The database does not answer.")
    assert judged(verdict=gone).broken == ("not verified: The database does not answer.",)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (CapacityOptions(load=SteadyLoad(rate=5.0)), "--rate is not for capacity"),
        (CapacityOptions(load=SteadyLoad(start_ms=5)), "--start-ms is not for capacity"),
        (CapacityOptions(search=SearchOptions(hold=0)), "--hold must be more than 0"),
        (CapacityOptions(search=SearchOptions(precision=math.nan)), "--precision must be more than 0"),
        (CapacityOptions(search=SearchOptions(errors=-1)), "--errors must not be negative"),
    ],
)
def test_options_that_make_no_sense_are_said(options: CapacityOptions, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        options.check()


def test_the_highest_rate_is_what_the_devices_can_say_and_phases_are_left_out() -> None:
    options = CapacityOptions(load=SteadyLoad(devices=10, run="x"))
    most = options.most(None, now_ms=0)
    assert 10_000 <= most < 4_000_000
    one = CapacityOptions(search=SearchOptions(hold=7)).plan("smart-city-10k", 500, now_ms=0)
    assert (one.scenario.duration, round(one.scenario.rate), len(one.scenario.timeline)) == (7, 500, 1)
