from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from simulator.encode import Encoder
from simulator.errors import UsageError
from simulator.options import LoadOptions, Target
from simulator.scenario import Scenario, run_id
from tests.unit.simulator.cases import START_MS, scenario


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
        scenario(**changes).lanes()


def test_devices_too_few_for_the_rate_are_refused_with_a_number_that_works() -> None:
    greedy = {"devices": 1, "rate": 100_000.0, "seconds": 30.0, "metrics": 1}
    with pytest.raises(UsageError, match="--devices 101 or more"):
        scenario(**greedy).lanes()
    scenario(**{**greedy, "devices": 101}).lanes()


scenarios = st.builds(
    scenario,
    devices=st.integers(2, 300),
    rate=st.floats(1, 200_000),
    seconds=st.floats(0.1, 100),
    batch=st.integers(1, 1_000),
    publish_batch=st.integers(1, 1_000),
    metrics=st.integers(1, 30),
    shape=st.sampled_from(["flat", "values", "readings", "columns"]),
    transport=st.sampled_from(["http", "mqtt", "mixed"]),
)


@given(scenarios)
def test_lanes_share_devices_and_rate(given_scenario: Scenario) -> None:
    try:
        lanes = given_scenario.lanes()
    except UsageError:
        assume(False)
    told = [device for lane in lanes for device in range(lane.first, lane.first + lane.devices)]
    assert told == list(range(given_scenario.devices))
    assert sum(lane.rate * lane.readings for lane in lanes) == pytest.approx(given_scenario.rate)
    for lane in lanes:
        assert lane.readings <= max(given_scenario.batch, given_scenario.publish_batch, given_scenario.metrics)
        assert lane.messages % lane.run == 0
        assert lane.posts == max(1, round(lane.rate * given_scenario.seconds))
        last = max(lane.posts / lane.rate, given_scenario.seconds)
        assert lane.time_ms(lane.depth - 1) <= START_MS + last * 1_000 + 60_000


def test_the_same_scenario_makes_the_same_bytes_and_another_seed_others() -> None:
    bodies = []
    for seed in (1, 1, 2):
        one = scenario(transport="mixed", mixed_kinds=True, seed=seed)
        posts = [
            Encoder(one.fleet, lane, shape=one.shape_over(lane.transport)).post(number)
            for lane in one.lanes()
            for number in range(3)
        ]
        bodies.append([(post.topic, post.body) for post in posts])
    assert bodies[0] == bodies[1]
    assert bodies[0] != bodies[2]


def test_several_messages_in_a_publish_go_as_readings() -> None:
    assert scenario(publish_batch=10).shape_over("mqtt") == "readings"
    assert scenario(publish_batch=9).shape_over("mqtt") == "values"
    assert scenario(publish_batch=10).shape_over("http") == "values"
    assert scenario(publish_batch=10, shape="flat").shape_over("mqtt") == "flat"


@given(st.integers(0, 10**15))
def test_runs_a_millisecond_apart_have_names_apart(ms: int) -> None:
    assert run_id(ms) != run_id(ms + 1)
    assert run_id(ms).isalnum()
    assert int(run_id(ms), 36) == ms


def test_options_make_a_scenario() -> None:
    made = LoadOptions(devices=7, run="x", start_ms=5).scenario(now_ms=START_MS)
    assert (made.devices, made.run, made.start_ms, made.publish_batch) == (7, "x", 5, 50)
    assert LoadOptions().scenario(now_ms=START_MS).start_ms == START_MS


@pytest.mark.parametrize(
    "options", [{"connections": 0}, {"mqtt_connections": 2_000}, {"window": 65_536}, {"give_up": -1.0}]
)
def test_options_out_of_bounds(options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')}"):
        LoadOptions(**options)  # type: ignore[arg-type]


def test_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIMULATOR_KEY", raising=False)
    assert Target().key() == ""
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "admin.key").write_text("local\n")
    assert Target().key() == "local"
    monkeypatch.setenv("SIMULATOR_KEY", "variable")
    assert Target().key() == "variable"
    monkeypatch.setenv("SIMULATOR_KEY", "two\nlines")
    with pytest.raises(UsageError, match="SIMULATOR_KEY"):
        Target().key()
    file = tmp_path / "other.key"
    file.write_text("given\n")
    assert Target(key_file=file).key() == "given"
    for content in (b"", b"two words", b"\xff"):
        file.write_bytes(content)
        with pytest.raises(UsageError, match="key file"):
            Target(key_file=file).key()
    with pytest.raises(UsageError, match="cannot be read"):
        Target(key_file=tmp_path / "none").key()
