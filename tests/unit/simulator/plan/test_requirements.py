"""What a run is required to reach: how it is written, and when it is met."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.core.errors import UsageError
from simulator.plan.options import VerdictOptions
from simulator.plan.requirements import KINDS, Figure, Requirement, parse
from simulator.report.report import MISSED, Report
from simulator.verify.findings import Findings
from simulator.verify.referee import Verdict
from tests.unit.simulator.cases import plan
from tests.unit.simulator.report.test_report import result

GOOD = Verdict({"http": Findings(stored=100)}, stored_checked=True)


def judged(text: str, *, verdict: Verdict | None = GOOD, **changes: Any) -> Report:
    return Report(plan(), [result(**changes)], verdict=verdict, requirements=parse(text))


@pytest.mark.parametrize(
    ("text", "is_met", "told"),
    [
        ("p99_ack<201ms", True, "200.0 ms"),
        ("p99_ack<0.2s", False, "200.0 ms"),
        ("p50_ack_http<=100_100us", True, "100.0 ms"),
        ("p50_ack_mqtt<1s", False, "cannot be told: nothing was measured"),
        ("rate>=50/s", True, "50 /s"),
        ("rate > 50", False, "50 /s"),
        ("errors<34%", True, "33.3 %"),
        ("errors<0.1%", False, "33.3 %"),
        ("errors=1", True, "1"),
        ("lost=0", True, "0"),
        ("lost==0", True, "0"),
        ("unsent=0%", True, "0 %"),
        ("wrong_answers=0", True, "0"),
    ],
)
def test_conditions_are_held_against_the_figures(text: str, is_met: bool, told: str) -> None:
    report = judged(text, errors={"overloaded": 1})
    (outcome,) = report.outcomes
    assert (outcome.is_met, outcome.told) == (is_met, told)
    assert report.exit_code == (0 if is_met else MISSED)
    assert bool(report.missed) != is_met


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("p98_ack<1ms", "there is no figure 'p98_ack'. Known are p50_ack"),
        ("p99_ack<200", "p99_ack is given in ms or s or us"),
        ("p99_ack<5%", "p99_ack is given in ms or s or us"),
        ("lost<1%", "lost is given as a number alone."),
        ("errors<3ms", "errors is given as a number alone, or in %"),
        ("lost", "'lost' is no condition"),
        ("lost=0,", "'' is no condition"),
        ("lost=-1", "'lost=-1' is no condition"),
        ("lost=nan", "'lost=nan' is no condition"),
        ("lost=0;errors=0", "is no condition"),
    ],
)
def test_what_is_no_condition_is_said_in_a_sentence(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert says in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_conditions_or_a_usage_error(text: str) -> None:
    try:
        found = parse(text)
    except UsageError:
        return
    assert all(one.name in KINDS for one in found)


@given(st.sampled_from(sorted(KINDS)), st.floats(0, 1e9), st.floats(0, 1e9))
def test_less_and_at_least_are_opposites(name: str, value: float, limit: float) -> None:
    unit = "ms" if KINDS[name] == "time" else ""
    figures = {name: Figure(value=value)}
    less, least = (Requirement.parse(f"{name}{sign}{limit:.6f}{unit}").check(figures) for sign in ("<", ">="))
    assert less.is_met != least.is_met


def test_a_loss_comes_first_then_what_could_not_be_verified_then_a_requirement() -> None:
    lost = Verdict({"http": Findings(lost=1)}, stored_checked=True)
    assert judged("p99_ack<1ms,lost=0", verdict=lost).exit_code == 1
    gone = Verdict({"http": Findings()}, unfinished="The database does not answer.")
    one = judged("lost=0", verdict=gone)
    assert (one.exit_code, one.missed) == (2, ["lost=0 (cannot be told: The database does not answer.)"])
    assert judged("p99_ack<1ms").exit_code == MISSED


def test_what_the_api_cannot_show_is_not_said_to_be_met() -> None:
    by_api = Verdict({"http": Findings(stored=100)}, stored_checked=True, twins_shown=False, states_unchecked="refused")
    assert judged("duplicated=0,state_wrong=0,lost=0", verdict=by_api).missed == [
        "duplicated=0 (cannot be told: only the database shows it)",
        "state_wrong=0 (cannot be told: refused)",
    ]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (VerdictOptions(require="lost=0", no_verify=True), "lost=0 needs a verification"),
        (VerdictOptions(require="lost=0", verify="none"), "lost=0 needs a verification"),
        (VerdictOptions(require="duplicated=0"), "give it with --database"),
    ],
)
def test_what_nobody_will_look_at_cannot_be_required(options: VerdictOptions, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        options.requirements()
