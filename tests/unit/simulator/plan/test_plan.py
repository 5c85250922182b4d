from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from simulator.core.errors import UsageError
from simulator.plan.load import LoadOptions
from simulator.plan.options import Access
from simulator.plan.plan import Plan
from simulator.plan.scenario import Shape, run_id
from tests.unit.simulator.cases import START_MS, plan


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"devices": 0}, "--devices"),
        ({"rate": 0.0}, "--rate"),
        ({"rate": float("nan")}, "--rate"),
        ({"seconds": -1.0}, "--seconds"),
        ({"seconds": float("inf")}, "--seconds"),
        ({"batch": 0}, "--batch"),
        ({"publish_batch": 0}, "--publish-batch"),
        ({"metrics": 0}, "--metrics"),
        ({"metrics": 501}, "--metrics"),
        ({"seed": -1}, "--seed"),
        ({"rate": 1e9, "seconds": 60.0, "batch": 1}, "--batch"),
        ({"devices": 1, "transport": "mixed"}, "mixed needs"),
        ({"run": ""}, "--run"),
        ({"run": "ü"}, "--run"),
        ({"run": "x" * 41}, "--run"),
        ({"run": "a/b"}, "--run"),
    ],
)
def test_what_makes_no_sense_is_refused_by_the_name_of_its_option(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        plan(**changes).parts()


def test_devices_too_few_for_the_rate_are_refused_with_a_number_that_works() -> None:
    greedy = {"devices": 1, "rate": 100_000.0, "seconds": 30.0, "metrics": 1}
    with pytest.raises(UsageError, match="--devices 101 or more"):
        plan(**greedy).parts()
    plan(**{**greedy, "devices": 101}).parts()


plans = st.builds(
    plan,
    devices=st.integers(2, 300),
    rate=st.floats(1, 200_000),
    seconds=st.floats(0.1, 100),
    batch=st.integers(1, 1_000),
    publish_batch=st.integers(1, 1_000),
    metrics=st.integers(1, 30),
    shape=st.sampled_from(["flat", "values", "readings", "columns"]),
    transport=st.sampled_from(["http", "mqtt", "mixed"]),
    workers=st.integers(1, 4),
)


@given(plans)
def test_parts_share_devices_and_rate(given_plan: Plan) -> None:
    try:
        parts = given_plan.parts()
    except UsageError:
        assume(False)
    (spec,) = given_plan.scenario.fleets
    lanes = [part.lane for part in parts]
    told = [device for lane in lanes for device in range(lane.first, lane.first + lane.devices)]
    assert told == list(range(spec.devices))
    assert sum(lane.rate * lane.readings for lane in lanes) == pytest.approx(spec.rate)
    for lane in lanes:
        assert lane.readings <= max(spec.batch, spec.publish_batch, spec.metrics)
        assert lane.messages % lane.run == 0
        assert lane.posts == max(1, round(lane.rate * given_plan.scenario.duration))
        last = max(lane.posts / lane.rate, given_plan.scenario.duration)
        assert lane.time_ms(lane.depth - 1) <= START_MS + last * 1_000 + 60_000


def test_several_messages_in_a_publish_go_as_readings() -> None:
    def shapes(batch: int, **changes: Any) -> tuple[Shape, ...]:
        (part,) = plan(transport="mqtt", publish_batch=batch, **changes).parts()
        return part.shapes

    assert shapes(10) == ("readings",)
    assert shapes(9) == ("values",)
    assert shapes(10, shape="flat") == ("flat",)
    assert plan().parts()[0].shapes == ("values",)


@given(st.integers(0, 10**15))
def test_runs_a_millisecond_apart_have_names_apart(ms: int) -> None:
    assert run_id(ms) != run_id(ms + 1)
    assert run_id(ms).isalnum()
    assert int(run_id(ms), 36) == ms


def test_options_make_a_plan() -> None:
    made = LoadOptions(devices=7, run="x", start_ms=5).plan(now_ms=START_MS)
    assert (made.scenario.devices, made.run, made.start_ms, made.began_ms) == (7, "x", 5, START_MS)
    assert LoadOptions().plan(now_ms=START_MS).start_ms == START_MS


@pytest.mark.parametrize(
    "options", [{"connections": 0}, {"mqtt_connections": 20_001}, {"window": 65_536}, {"give_up": -1.0}]
)
def test_options_out_of_bounds(options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')}"):
        plan(**options)


def test_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIMULATOR_KEY", raising=False)
    assert Access().key() == ""
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "admin.key").write_text("local\n")
    assert Access().key() == "local"
    monkeypatch.setenv("SIMULATOR_KEY", "variable")
    assert Access().key() == "variable"
    monkeypatch.setenv("SIMULATOR_KEY", "two\nlines")
    with pytest.raises(UsageError, match="SIMULATOR_KEY"):
        Access().key()
    file = tmp_path / "other.key"
    file.write_text("given\n")
    assert Access(key_file=file).key() == "given"
    for content in (b"", b"two words", b"\xff"):
        file.write_bytes(content)
        with pytest.raises(UsageError, match="key file"):
            Access(key_file=file).key()
    with pytest.raises(UsageError, match="cannot be read"):
        Access(key_file=tmp_path / "none").key()
