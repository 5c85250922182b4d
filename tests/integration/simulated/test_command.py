"""The command as a user meets it: its own process, exit codes, what it prints."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.fakes import fake_gateway
from tests.fakes.fake_broker import FakeBroker
from tests.fakes.fake_gateway import FakeGateway
from tests.fakes.waiting import LIMIT_S, until


async def start(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIMULATOR_")}
    environment |= {"PYTHONPATH": str(Path.cwd()), "COLUMNS": "80"}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulator", *arguments,
        cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def finish(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    try:
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def simulate(folder: Path, *arguments: str) -> tuple[int, str, str]:
    return await finish(await start(folder, *arguments))


async def test_a_run_that_goes_well(tmp_path: Path, gateway: FakeGateway, broker: FakeBroker) -> None:
    code, out, _ = await simulate(
        tmp_path, "run", "--url", gateway.url, "--transport", "http", "--devices", "5", "--rate", "1000",
        "--seconds", "0.3", "--json", "out.json", "--mqtt", f"127.0.0.1:{broker.port}",
    )  # fmt: skip
    assert code == 0, out
    assert "acknowledged" in out
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["lanes"][0]["acknowledged"] == len(gateway.readings) == 300


async def test_a_state_that_goes_back_is_exit_1(tmp_path: Path, gateway: FakeGateway) -> None:
    def frozen(own: FakeGateway, items: list[dict[str, object]]) -> tuple[int, dict[str, object]]:
        before = {device: dict(state) for device, state in own.states.items()}
        answer = own.store(items)
        own.states.update(before)
        return answer

    gateway.tricks.extend([fake_gateway.FakeGateway.store] * 3 + [frozen] * 1_000)
    code, out, _ = await simulate(
        tmp_path, "run", "--url", gateway.url, "--transport", "http", "--devices", "5", "--seconds", "0.2"
    )
    assert code == 1
    assert "FAILED" in out
    assert "state wrong" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "--devices", "0"), "--devices must be from 1"),
        (("run", "--devices", "many"), "--devices"),
        (("run", "--key-file", "none.key"), "key file none.key"),
        (("run", "--url", "nowhere"), "http://host:port"),
        (("run", "--mqtt", "ftp://x"), "host:port"),
        (("run", "--url", "http://127.0.0.1:1"), "does not answer"),
        (("run", "--database", "postgresql://127.0.0.1:1/x"), "The database does not answer"),
        (("demo", "--devices", "1"), "--devices must be from 2"),
    ],
)
async def test_what_cannot_be_run_is_exit_2_and_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    code, out, err = await simulate(tmp_path, *arguments)
    assert code == 2, out
    assert sentence in " ".join(err.split())
    assert "Traceback" not in err


async def test_help_shows_every_option_and_examples(tmp_path: Path) -> None:
    code, out, _ = await simulate(tmp_path, "run", "--help")
    assert code == 0
    for word in (
        "--devices",
        "--rate",
        "--no-verify",
        "--database",
        "--shape",
        "Exit codes",
        "Examples",
        "--seconds 20",
    ):
        assert word in out


async def test_interrupted_it_stops_sending_and_gives_its_verdict(tmp_path: Path, gateway: FakeGateway) -> None:
    process = await start(tmp_path, "run", "--url", gateway.url, "--transport", "http", "--seconds", "600")
    await until(lambda: len(gateway.bodies) >= 5)
    process.send_signal(signal.SIGINT)
    code, out, err = await finish(process)
    assert code == 0, err
    assert "state wrong" in out


async def test_the_demo_reports_over_both_until_it_is_stopped(
    tmp_path: Path, gateway: FakeGateway, broker: FakeBroker
) -> None:
    process = await start(
        tmp_path, "demo", "--devices", "4", "--every", "0.1", "--url", gateway.url, "--mqtt", f"127.0.0.1:{broker.port}"
    )
    await until(lambda: len(gateway.bodies) >= 6)
    await until(lambda: len(broker.published) >= 6)
    process.send_signal(signal.SIGTERM)
    code, _, err = await finish(process)
    assert (code, err) == (0, "")
    assert {device for device, _, _ in gateway.readings} == {"demo-00000", "demo-00001"}
    assert {p.topic for p in broker.published} == {"devices/demo-00002/readings", "devices/demo-00003/readings"}
    values = next(iter(gateway.messages))[2]
    assert set(values) == {"temperature", "humidity", "battery", "door_open", "firmware"}


async def test_the_demo_waits_for_a_gateway_and_a_broker_that_are_away(tmp_path: Path) -> None:
    process = await start(
        tmp_path, "demo", "--devices", "2", "--every", "0.05", "--url", "http://127.0.0.1:1", "--mqtt", "127.0.0.1:1"
    )
    assert process.stderr is not None
    told = ""
    async with asyncio.timeout(LIMIT_S):
        while "MQTT" not in told or "the gateway" not in told:
            told += (await process.stderr.readline()).decode()
    process.send_signal(signal.SIGTERM)
    code, _, err = await finish(process)
    assert code == 0
    assert (told + err).count("the gateway: does not answer") == 1
