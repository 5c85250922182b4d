"""Commands that send nothing, and runs that are killed or held, as a user meets them: own processes."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes import fake_gateway
from tests.fakes.fake_api import FakeHistory
from tests.fakes.fake_gateway import FakeGateway
from tests.fakes.waiting import until
from tests.integration.simulated.test_command import finish, simulate, start

SAME = ("--seed", "7", "--run", "x", "--start-ms", "1790000000000")


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with fake_gateway.running() as running:
        running.calls.append(FakeHistory(running, page=1_000))
        yield running


async def test_the_same_seed_prints_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    printed = await asyncio.gather(
        simulate(tmp_path, "payloads", "dirty", *SAME, "--count", "200"),
        simulate(tmp_path, "payloads", "dirty", *SAME, "--count", "200"),
        simulate(tmp_path, "payloads", "dirty", "--seed", "8", *SAME[2:], "--count", "200"),
    )
    assert [code for code, _, _ in printed] == [0, 0, 0]
    one, other, third = (out for _, out, _ in printed)
    assert one == other
    assert len(set(one.splitlines())) > 600
    assert one != third
    faults = {line.split(" ")[3] for line in one.splitlines()}
    assert {"none", "nan", "type_flip", "malformed_json", "duplicate"} <= faults


async def test_scenarios_are_listed_and_the_schema_is_one(tmp_path: Path) -> None:
    (code, listed, _), (_, schema, _) = await asyncio.gather(
        simulate(tmp_path, "scenarios"), simulate(tmp_path, "schema")
    )
    assert code == 0
    assert "smoke" in listed
    assert "every fault a device can have" in " ".join(listed.lower().split())
    assert json.loads(schema)["$ref"] == "#/$defs/Scenario"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "nosuch"), "no scenario 'nosuch'"),
        (("run", "smoke", "--metrics", "3"), "--metrics and --mixed-kinds"),
        (("run", "--verify", "database"), "--verify database needs the database"),
        (("run", "--workers", "0"), "--workers must be from 1"),
        (("verify", "none"), "no ledger in none"),
    ],
)
async def test_what_makes_no_sense_is_exit_2(tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    code, _, err = await simulate(tmp_path, *arguments)
    assert code == 2
    assert sentence in " ".join(err.split())
    assert "Traceback" not in err


async def test_a_killed_run_is_verified_from_its_ledger(tmp_path: Path, gateway: FakeGateway) -> None:
    process = await start(
        tmp_path, "run", "--url", gateway.url, "--transport", "http", "--seconds", "600", "--ledger", "kept"
    )
    await until(lambda: len(gateway.bodies) >= 50)
    process.kill()
    await process.wait()
    code, out, _ = await simulate(tmp_path, "verify", "kept", "--url", gateway.url, "--json", "out.json")
    assert code == 0, out
    verdict = json.loads((tmp_path / "out.json").read_text())["verdict"]
    total = verdict["total"]
    assert total["stored"] >= 40 * 50
    assert verdict["stream_unchecked"], "this gateway has no stream, whether that was noted in time or not"
    assert f"the live stream was not watched: {verdict['stream_unchecked']}" in " ".join(out.split())
    lost = next(key for key in gateway.readings if key[1] == "humidity")
    altered = next(key for key in gateway.readings if key[1] == "pressure")
    del gateway.readings[lost]
    gateway.readings[altered] += 0.5
    code, out, _ = await simulate(
        tmp_path, "verify", "kept", "--url", gateway.url, "--settle", "0", "--json", "out.json"
    )
    assert code == 1
    total = json.loads((tmp_path / "out.json").read_text())["verdict"]["total"]
    assert (total["lost"], total["wrong"], total["unexpected"]) == (1, 1, 0)
    named = {(problem["trouble"], problem["device"], problem["metric"]) for problem in total["problems"]}
    assert named == {("lost", *lost[:2]), ("wrong", *altered[:2])}


async def test_several_processes_stop_together_and_are_judged_as_far_as_they_came(
    tmp_path: Path, gateway: FakeGateway
) -> None:
    process = await start(
        tmp_path, "run", "--url", gateway.url, "--transport", "http", "--seconds", "600", "--workers", "2",
        "--json", "out.json",
    )  # fmt: skip
    await until(lambda: len(gateway.bodies) >= 50)
    process.send_signal(signal.SIGINT)
    code, _, err = await finish(process)
    assert code == 0, err
    report = json.loads((tmp_path / "out.json").read_text())
    (lane,) = report["lanes"]
    assert lane["acknowledged"] == report["verdict"]["total"]["stored"] == len(gateway.readings)
    assert {fleet["title"] for fleet in report["fleets"]} == {"numbers"}
    assert len(report["fleets"]) == 2
