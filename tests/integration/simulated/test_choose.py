"""Which target is meant, what can be asked of it, and who is shown which key."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from simulator.measure.run import ScenarioRun
from simulator.plan.options import Access, RunOptions, TargetOptions, VerdictOptions
from tests.docs.pages import blocks
from tests.fakes import fake_sink
from tests.fakes.fake_broker import FakeBroker
from tests.fakes.fake_sink import FakeSink
from tests.integration.simulated.test_command import simulate
from tests.integration.simulated.test_run import idle
from tests.unit.simulator.targets.test_choose import scenario

(EXAMPLE,) = (block.text for block in blocks("python") if block.role == "adapter")


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[FakeSink]:
    (tmp_path / "rows.py").write_text(EXAMPLE)
    async with fake_sink.running() as running:
        yield running


OVER_MQTT = """
        if self.over_mqtt:
            return adapter.Post(number, b"rows/" + runs[0].device.encode(), json.dumps(rows).encode())
        return"""


async def test_an_adapter_may_write_publishes_too(sink: FakeSink, broker: FakeBroker, tmp_path: Path) -> None:
    text = EXAMPLE.replace("\n        return adapter.Post(", OVER_MQTT + " adapter.Post(")
    text = text.replace(
        "        self.readings =", '        self.over_mqtt = part.lane.transport == "mqtt"\n        self.readings ='
    )
    text = text.replace('    name = "rows"', '    name = "rows"\n    transports = frozenset({"http", "mqtt"})')
    (tmp_path / "rows.py").write_text(text)
    options = RunOptions(
        target=Access(url=sink.url, mqtt=f"127.0.0.1:{broker.port}"),
        aim=TargetOptions(kind="custom", adapter=tmp_path / "rows.py"),
        verdict=VerdictOptions(no_verify=True),
    )
    given = replace(scenario(devices=6, rate=300, mqtt=0.5, batch=2), target=options.aim.spec())
    report = await ScenarioRun(options, replace(given, scenario=replace(given.scenario, seconds=0.3))).execute(
        idle, on_sent=lambda: None
    )
    assert report.failures == []
    assert {lane.transport: lane.acknowledged for lane in report.lanes} == {
        "http": 2 * len(sink.bodies),
        "mqtt": 2 * len(broker.published),
    }
    assert all(json.loads(one.payload)[0]["id"] == one.topic.removeprefix("rows/") for one in broker.published)


async def test_capacity_and_payloads_know_targets_and_compare_tells_them_apart(sink: FakeSink, tmp_path: Path) -> None:
    custom = ("--target", "custom", "--adapter", "rows.py", "--transport", "http")
    steady = ("--devices", "20", "--hold", "0.2", "--rest", "0", "--p99", "60000", "--first", "200", "--most", "400")
    code, out, err = await simulate(tmp_path, "capacity", *custom, "--url", sink.url, *steady)
    assert (code, "held for 0.2 s: at least 400 readings/s" in out) == (0, True), err
    code, out, _ = await simulate(tmp_path, "payloads", *custom, "--devices", "2", "--rate", "20", "--count", "1")
    assert (code, out.split(" ")[:4]) == (0, ["http", "/rows", "identity", "none"])
    run = ("run", *custom, "--url", sink.url, "--devices", "5", "--rate", "500", "--seconds", "0.2", "--json")
    assert (await simulate(tmp_path, *run, "a.json"))[0] == 0
    report = json.loads((tmp_path / "a.json").read_bytes())
    report["plan"]["target"] = {"kind": "influx", "db": "x"}
    (tmp_path / "b.json").write_text(json.dumps(report))
    code, out, _ = await simulate(tmp_path, "compare", "a.json", "b.json")
    assert (code, "different targets: rows.py; influx" in out) == (0, True)
