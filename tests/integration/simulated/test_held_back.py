"""A generator held back for two seconds: its percentiles must show it, over either transport, and in workers."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.fakes.fake_broker import FakeBroker
from tests.fakes.fake_gateway import FakeGateway
from tests.fakes.waiting import until
from tests.integration.simulated.test_command import finish, start

HELD_S = 2


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def send(number: signal.Signals, pids: Sequence[int]) -> None:
    for pid in pids:
        os.kill(pid, number)


async def held_back(folder: Path, url: str, mqtt: str, *given: str, is_on: Callable[[], bool]) -> dict[str, Any]:
    """Run for four seconds, hold all senders for two of them once it is on; return the report."""
    process = await start(
        folder, "run", "--url", url, "--mqtt", mqtt, "--devices", "50", "--rate", "2000", "--seconds", "4",
        "--batch", "50", "--watch", "0", "--no-verify", "--json", "out.json", *given,
    )  # fmt: skip
    await until(is_on)
    senders = children(process.pid) or [process.pid]
    send(signal.SIGSTOP, senders)
    await asyncio.sleep(HELD_S)
    send(signal.SIGCONT, senders)
    code, _, err = await finish(process)
    assert code == 0, err
    report: dict[str, Any] = json.loads((folder / "out.json").read_text())
    return report


async def test_a_generator_held_back_shows_in_the_percentiles_and_says_so(
    tmp_path: Path, gateway: FakeGateway, broker: FakeBroker
) -> None:
    mqtt = f"127.0.0.1:{broker.port}"

    def names(word: bytes) -> bool:
        return sum(word in body for body in gateway.bodies) >= 10

    def run(name: str, *given: str, is_on: Callable[[], bool]) -> Any:
        (tmp_path / name).mkdir()
        return held_back(tmp_path / name, gateway.url, mqtt, "--run", name, *given, is_on=is_on)

    reports = await asyncio.gather(
        run("plain", "--transport", "http", is_on=lambda: names(b"-plain-")),
        run("two", "--transport", "http", "--workers", "2", is_on=lambda: names(b"-two-")),
        run("publishes", "--transport", "mqtt", is_on=lambda: len(broker.published) >= 5),
    )
    for report in reports:
        (lane,) = report["lanes"]
        assert lane["latency"]["max"] >= HELD_S * 950
        assert lane["latency"]["p99"] >= HELD_S * 500, "half of the posts were due while nobody could send"
        assert lane["unsent"] == lane["unacknowledged"] == 0
        assert "the generator itself" in report["generator_held_back"]
