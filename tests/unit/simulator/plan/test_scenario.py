"""Scenario files: what comes along, what may be said, and what is said about mistakes."""

import json
from pathlib import Path

import msgspec
import pytest

from simulator.core.errors import UsageError
from simulator.plan import scenario as catalogue
from simulator.plan.faults import CONTENT, ORDER
from simulator.plan.load import LoadOptions
from simulator.plan.metrics import MODEL_NAMES, MODELS
from simulator.plan.options import RunOptions, VerdictOptions
from simulator.plan.scenario import FaultRates, schema
from tests.unit.simulator.cases import START_MS

SHIPPED = {"backfill", "dirty", "factory", "mqtt-10k", "reconnect-storm", "smart-city-10k", "smoke", "soak"}
FLEET = '[[fleets]]\nmodel = "door"\ndevices = 2\nrate = 10\n'


def test_what_comes_along() -> None:
    assert set(catalogue.names()) == SHIPPED
    assert {name: scenario.title for name, scenario in catalogue.listed()}.keys() == SHIPPED


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_each_can_be_run_and_its_clock_stays_behind_ours(name: str) -> None:
    for workers in (1, 3):
        plan = LoadOptions(workers=workers).plan(name, now_ms=START_MS)
        for part in plan.parts():
            sent_ms = plan.began_ms + part.timetable.due(part.lane.posts - 1) * 1_000
            assert part.lane.time_ms(part.lane.depth - 1) <= sent_ms + 60_000


def test_they_use_every_model_and_dirty_every_fault() -> None:
    used = {spec.model for _, scenario in catalogue.listed() for spec in scenario.fleets}
    assert used == set(MODELS) == set(MODEL_NAMES) - {"numbers"}
    assert all(getattr(catalogue.find("dirty").faults, fault.value) for fault in (*CONTENT, *ORDER))
    assert set(FaultRates.__struct_fields__) == {fault.value for fault in (*CONTENT, *ORDER)}


def test_the_city_has_ten_thousand_devices_and_backfill_ends_in_the_present() -> None:
    assert catalogue.find("smart-city-10k").devices == 10_000
    backfill = catalogue.find("backfill")
    behind = backfill.ago - backfill.duration * backfill.speed
    assert 0 <= behind < 36_000


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('title = "mine"\nseconds = 3\n' + FLEET)
    assert catalogue.find(str(path)).duration == 3


def test_the_name_of_before_for_registering_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('title = "mine"\nenrol = false\n' + FLEET)
    assert not catalogue.find(str(path)).register
    assert RunOptions(verdict=VerdictOptions(enrol=True)).plan(str(path), now_ms=START_MS).scenario.register
    asked = RunOptions(verdict=VerdictOptions(register=True, enrol=False))
    assert asked.plan(str(path), now_ms=START_MS).scenario.register


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('title = "x"\nsecond = 3\n' + FLEET, "unknown field `second`"),
        ('title = "x"\n' + FLEET.replace("door", "gate"), r"Invalid enum value 'gate' - at `\$.fleets\[0\].model`"),
        ('title = "x"\n' + FLEET.replace("= 2", "= 0"), r"`int` >= 1 - at `\$.fleets\[0\].devices`"),
        ('title = "x"\n' + FLEET + "[faults]\nnan = 2\n", r"<= 1.0 - at `\$.faults.nan`"),
        ('title = "x"\n', "missing required field `fleets`"),
        ("title", "makes no sense"),
        ('title = "\xff"'.encode("latin-1"), "makes no sense"),
    ],
)
def test_a_mistake_is_said_with_its_place(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=sentence):
        catalogue.find(str(path))


def test_no_such_scenario() -> None:
    with pytest.raises(UsageError, match=r"no scenario 'smok'.* smoke"):
        catalogue.find("smok")


def test_two_fleets_of_one_name_and_readings_in_the_future(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('title = "x"\n' + FLEET + FLEET)
    with pytest.raises(UsageError, match="same name"):
        LoadOptions().plan(str(path), now_ms=START_MS).parts()
    path.write_text('title = "x"\nspeed = 100\n' + FLEET)
    with pytest.raises(UsageError, match=r"larger `ago`"):
        LoadOptions().plan(str(path), now_ms=START_MS).parts()


def test_options_change_a_scenario_in_proportion() -> None:
    scenario = LoadOptions(devices=1_000, rate=1_900, seconds=6, transport="http", shape="flat", seed=9).scenario(
        "smart-city-10k"
    )
    assert [spec.devices for spec in scenario.fleets] == [200, 400, 150, 50, 200]
    assert scenario.rate == pytest.approx(1_900)
    assert [phase.seconds for phase in scenario.phases] == pytest.approx([1, 2, 3])
    assert {(spec.mqtt, spec.shapes) for spec in scenario.fleets} == {(0.0, ("flat",))}
    assert scenario.seed == 9
    with pytest.raises(UsageError, match="--metrics and --mixed-kinds"):
        LoadOptions(metrics=3).scenario("smoke")


def test_the_schema_tells_of_every_field() -> None:
    told = json.loads(schema())
    definitions = told["$defs"]
    assert told["$ref"] == "#/$defs/Scenario"
    assert set(definitions["FaultRates"]["properties"]) == set(FaultRates.__struct_fields__)
    assert definitions["FleetSpec"]["properties"]["model"]["enum"] == sorted(MODEL_NAMES)
    assert definitions["Scenario"]["additionalProperties"] is False
    assert msgspec.json.decode(schema())
