"""The simulator against a real InfluxDB: what is there is found right, and what is harmed is found out."""

import json
import time
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from msgspec.structs import replace

from simulator.core.times import time_of
from simulator.measure.run import ScenarioRun
from simulator.plan.options import Access, RunOptions, TargetOptions, VerdictOptions
from simulator.plan.scenario import FaultRates, FleetSpec, Scenario
from simulator.report.report import Report
from simulator.send.progress import Look
from tests.integration.simulated.test_command import simulate
from tests.servers import plain_http

FLEETS = (
    FleetSpec(model="weather_station", devices=6, rate=600, batch=30, compression=("none", "gzip")),
    FleetSpec(model="energy_meter", devices=4, rate=400, batch=20, shapes=("columns",)),
    FleetSpec(model="battery_sensor", devices=4, rate=80, batch=8),
)
FAULTS = FaultRates(late=0.1, out_of_order=0.1, duplicate=0.2, disconnect=0.1, churn=0.1, truncated_gzip=0.1)


@pytest.fixture(name="aim")
def own_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TargetOptions:
    monkeypatch.chdir(tmp_path)
    for name in ("SIMULATOR_KEY", "SIMULATOR_URL", "SIMULATOR_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    return TargetOptions(kind="influx", influx_db=f"simulator {uuid4().hex}")


def query(url: str, aim: TargetOptions, statement: str) -> list[list[object]]:
    answer = plain_http.post(f"{url}/query?{urlencode({'db': aim.influx_db or '', 'q': statement, 'epoch': 'ms'})}")
    (result,) = answer.raise_for_status().json()["results"]
    assert "error" not in result, result
    rows: list[list[object]] = [row for series in result.get("series", ()) for row in series["values"]]
    return rows


def of(device: str) -> str:
    """The place of a device, as a statement names it."""
    return f"\"{device.rpartition('-')[0]}\" WHERE device = '{device}'"


def write(url: str, aim: TargetOptions, line: str) -> None:
    answer = plain_http.post(f"{url}/write?{urlencode({'db': aim.influx_db or '', 'precision': 'ms'})}", content=line)
    assert answer.status_code == 204, answer.text


async def idle(_: Look) -> None:
    return


async def execute(url: str, aim: TargetOptions, *, ledger: Path | None = None) -> Report:
    options = RunOptions(target=Access(url=url), aim=aim, verdict=VerdictOptions(settle=0.2, ledger=ledger))
    scenario = Scenario(title="t", fleets=FLEETS, seconds=1.0, connections=4, faults=FAULTS)
    plan = replace(options.plan(now_ms=time.time_ns() // 1_000_000), scenario=scenario)
    return await ScenarioRun(options, plan).execute(idle, on_sent=lambda: None)


async def test_all_is_stored_unaltered_and_dropped_in_the_end(influx_url: str, aim: TargetOptions) -> None:
    report = await execute(influx_url, aim)
    assert (report.failures, report.exit_code) == ([], 0)
    assert report.verdict is not None
    (lane,) = report.lanes
    assert report.verdict.total.stored == lane.acknowledged > 600
    assert min(lane.injected[name] for name in ("duplicate", "disconnect", "truncated_gzip")) > 0
    assert set(lane.expected_refusals) == {"http_400", "no_answer"}
    assert query(influx_url, aim, "SHOW MEASUREMENTS") == []


async def test_what_is_taken_away_altered_or_added_is_found(
    influx_url: str, aim: TargetOptions, tmp_path: Path
) -> None:
    before = await execute(influx_url, aim, ledger=Path("kept"))
    assert before.exit_code == 0
    fleet = before.plan.fleets[0]
    device = fleet.name(1)
    (first, *_), (second, *_), *_ = query(influx_url, aim, f"SELECT humidity FROM {of(device)}")
    query(influx_url, aim, f"DELETE FROM {of(device)} AND time = {first}ms")
    write(influx_url, aim, f"{fleet.prefix},device={device} humidity=-1 {second}")
    write(influx_url, aim, f"{fleet.prefix},device={device} humidity=50 {int(str(second)) + 1}")
    code, out, err = await simulate(
        tmp_path, "verify", "kept", "--url", influx_url, "--settle", "0.2", "--json", "out.json"
    )
    assert (code, "FAILED" in out) == (1, True), err
    total = json.loads((tmp_path / "out.json").read_bytes())["verdict"]["total"]
    assert (total["lost"], total["wrong"], total["unexpected"]) == (len(fleet.metrics), 1, 1)
    assert {problem["device"] for problem in total["problems"]} == {device}
    code, _, err = await simulate(tmp_path, "remove", "kept", "--url", influx_url)
    assert (code, query(influx_url, aim, "SHOW MEASUREMENTS")) == (0, []), err


async def test_points_that_are_dropped_are_refusals_and_found_one_by_one(influx_url: str, aim: TargetOptions) -> None:
    """Readings from beyond the retention of the database: each post says how many, none says which."""
    query(influx_url, aim, f'CREATE DATABASE "{aim.influx_db}" WITH DURATION 1h')
    fleet = FleetSpec(model="energy_meter", devices=4, rate=400, batch=40, shapes=("columns",))
    scenario = Scenario(title="t", fleets=(fleet,), seconds=1.0, connections=2, ago=3_600, speed=40)
    options = RunOptions(target=Access(url=influx_url), aim=aim, verdict=VerdictOptions(settle=0.2))
    now_ms = time.time_ns() // 1_000_000
    began = replace(options.plan(now_ms=now_ms), scenario=scenario, start_ms=now_ms - 3_600_000 - 20_000)
    report = await ScenarioRun(options, began).execute(idle, on_sent=lambda: None)
    (lane,) = report.lanes
    assert report.failures == []
    assert report.verdict is not None
    dropped = lane.refused_by_code["partial_write"]
    assert 0 < dropped < lane.sent
    assert report.verdict.dropped.readings == dropped == lane.sent - report.verdict.total.stored
    oldest = min(example.split()[2] for example in report.verdict.dropped.examples)
    assert oldest.startswith(time_of(began.start_ms * 1_000)[:10])
    assert f"{dropped:,} readings were dropped by the target" in "\n".join(report.notes)


async def test_capacity_looks_for_what_was_acknowledged(influx_url: str, aim: TargetOptions, tmp_path: Path) -> None:
    code, out, err = await simulate(
        tmp_path, "capacity", "--target", "influx", "--influx-db", aim.influx_db or "", "--url", influx_url,
        "--transport", "http", "--devices", "20", "--hold", "0.3", "--rest", "0", "--p99", "60000", "--first", "2000",
        "--most", "2000", "--json", "out.json",
    )  # fmt: skip
    assert code == 0, out + err
    told = json.loads((tmp_path / "out.json").read_bytes())
    assert (told["held"], told["verified"], told["unverified"]) == (2_000, True, "")
    assert query(influx_url, aim, "SHOW MEASUREMENTS") == []
