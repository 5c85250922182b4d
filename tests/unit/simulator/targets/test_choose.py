"""Which target is meant, what can be asked of it, and who is shown which key."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from simulator.core.errors import UsageError
from simulator.plan.faults import CONTENT, ORDER, Fault
from simulator.plan.options import Access, TargetOptions
from simulator.plan.plan import Plan, TargetSpec
from simulator.plan.scenario import FaultRates, FleetSpec, Scenario
from simulator.send.loads.truth import HARMLESS, ForeignTruth, judge
from simulator.send.receipts import Answer
from simulator.targets.choose import fitted, target_of
from simulator.targets.gateway import GatewayTarget
from simulator.targets.influx import InfluxTarget
from tests.unit.simulator.cases import START_MS, plan


@pytest.mark.parametrize(
    ("aim", "sentence"),
    [
        (TargetOptions(kind="custom"), "--target custom and --adapter FILE belong together"),
        (TargetOptions(adapter=Path("x.py")), "--target custom and --adapter FILE belong together"),
        (TargetOptions(kind="influx", adapter=Path("x.py")), "--target custom and --adapter FILE belong together"),
        (TargetOptions(influx_db="x"), "need --target influx"),
        (TargetOptions(kind="custom", adapter=Path("x.py"), influx_org="x"), "need --target influx"),
        (TargetOptions(kind="influx", influx_db='a"b'), "a name without quotes and backslashes"),
        (TargetOptions(kind="influx", influx_db="a\nb"), "a name without quotes and backslashes"),
        (TargetOptions(kind="influx", influx_db=""), "a name without quotes and backslashes"),
    ],
)
def test_what_makes_no_sense_is_said(aim: TargetOptions, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        aim.spec()


def test_a_plan_keeps_its_target_until_another_is_asked_for() -> None:
    aimed = TargetOptions(kind="influx", influx_db="x").aimed(plan())
    assert aimed.target == TargetSpec(kind="influx", db="x")
    assert TargetOptions().aimed(aimed) is aimed
    assert TargetOptions(kind="gateway").aimed(aimed).target == TargetSpec()
    assert TargetOptions(kind="influx").spec().db == "simulator"
    assert Path(TargetOptions(kind="custom", adapter=Path("x.py")).spec().adapter).is_absolute()


def scenario(faults: FaultRates = FaultRates(), **fleet: Any) -> Plan:  # noqa: B008 - frozen
    spec = replace(FleetSpec(model="door", devices=4, rate=4), **fleet)
    return Plan(scenario=Scenario(title="t", fleets=(spec,), faults=faults), run="x", start_ms=START_MS)


@pytest.mark.parametrize("fault", [*ORDER, *CONTENT])
def test_a_gateway_knows_every_fault_and_others_those_that_need_no_agreement(fault: Fault) -> None:
    given = scenario(FaultRates(**{fault.value: 0.1}))
    assert fitted(GatewayTarget(), given) is given
    influx = InfluxTarget(db="x")
    if fault in HARMLESS | {Fault.TRUNCATED_GZIP}:
        assert fitted(influx, given).scenario.watch == 0
    else:
        with pytest.raises(UsageError, match=f"must answer to {fault.value}"):
            fitted(influx, given)


@pytest.mark.parametrize(
    ("fleet", "sentence"),
    [({"mqtt": 0.5}, "is not sent to over mqtt"), ({"compression": ("zstd",)}, "does not read zstd")],
)
def test_transports_and_codings_that_a_target_does_not_take(fleet: dict[str, Any], sentence: str) -> None:
    assert fitted(target_of(TargetSpec()), scenario(**fleet)) == scenario(**fleet)
    with pytest.raises(UsageError, match=sentence):
        fitted(target_of(TargetSpec(kind="influx", db="x")), scenario(**fleet))


def test_the_right_answers_of_a_foreign_target() -> None:
    truth = ForeignTruth({Fault.OVERSIZE: (413, "large")}, readings=4)
    stored, refused = Answer.stored(204), Answer.refusal(413, "large", readings=4)
    for fault in (Fault.NONE, Fault.LATE, Fault.CHURN, Fault.DUPLICATE):
        assert judge(truth.expected(0, fault), stored) == ""
        assert judge(truth.expected(0, fault), refused) == "413 large"
    assert judge(truth.again(0, Fault.DUPLICATE, "values"), stored) == ""
    assert judge(truth.expected(0, Fault.OVERSIZE), refused) == ""
    assert judge(truth.expected(0, Fault.OVERSIZE), stored) == "204"
    assert judge(truth.expected(0, Fault.NONE), Answer.unclear(400, "partial_write")) == "400 partial_write"
    assert judge(truth.expected(0, Fault.NONE), Answer.partly(207, {3: "bad", 1: "worse"})) == "207 bad worse"
    assert Answer.partly(207, {3: "bad", 1: "worse"}).refused == (1, 3)
    assert str(truth.expected(0, Fault.NONE)) == "stored"


def test_only_a_gateway_is_shown_the_key_that_lies_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIMULATOR_KEY", raising=False)
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "admin.key").write_text("secret")
    assert (Access().key(), Access().key(kind="influx"), Access().key(kind="custom")) == ("secret", "", "")
    monkeypatch.setenv("SIMULATOR_KEY", "given")
    assert Access().key(kind="influx") == "given"
