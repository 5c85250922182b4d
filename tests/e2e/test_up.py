"""`gateway up --demo` as a newcomer meets it: it comes up, devices move, Ctrl-C leaves nothing, the data stays."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.local.ports import free_port
from tests.e2e.serving import descendants, wait_for

START_SECS = 60.0
DEMO_DEVICE = "demo-00000"


@dataclass
class Up:
    """A running `gateway up --demo`."""

    process: "subprocess.Popen[bytes]"
    url: str
    data: Path
    log: Path

    def state(self, device: str) -> dict[str, Any]:
        key = (self.data / "admin.key").read_text().strip()
        reply = httpx.get(
            f"{self.url}/v1/devices/{device}/state", headers={"Authorization": f"Bearer {key}"}, timeout=5
        )
        return reply.json() if reply.status_code == 200 else {}

    def newest(self) -> str:
        metrics = self.state(DEMO_DEVICE).get("metrics", {})
        return max((metric["ts"] for metric in metrics.values()), default="")


@contextmanager
def up(data: Path, log: Path) -> Iterator[Up]:
    """Start it on free ports, interrupt it at the end, and check that no process of it is left."""
    port = free_port()
    ports = {"GATEWAY_HTTP__PORT": str(port), "GATEWAY_MQTT__PORT": str(free_port())}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "up", "--demo", "--devices", "10", "--data", str(data)],
            env=os.environ | ports,
            stdout=out,
            stderr=out,
            start_new_session=True,  # a Ctrl-C here must not reach the tests
        )
    running = Up(process, f"http://127.0.0.1:{port}", data, log)
    try:
        wait_for(lambda: "The gateway is ready" in log.read_text(), lambda: log.read_text()[-2000:], secs=START_SECS)
        yield running
        family = descendants(process.pid)
        assert len(family) >= 5  # PostgreSQL, Valkey, the broker, the demo, a worker
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, log.read_text()[-2000:]
        wait_for(lambda: not [pid for pid in family if Path(f"/proc/{pid}").exists()], lambda: "all are gone", secs=10)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


@pytest.mark.slow
def test_it_comes_up_moves_stops_clean_and_keeps_its_data(tmp_path: Path) -> None:
    data, log = tmp_path / "local", tmp_path / "up.log"
    with up(data, log) as first:
        assert (data / "admin.key").stat().st_mode & 0o777 == 0o600
        key = (data / "admin.key").read_text()
        wait_for(lambda: first.newest() != "", lambda: "a demo device reports", secs=20)
        seen = first.newest()
        wait_for(lambda: first.newest() > seen, lambda: "it moves", secs=20)
        posted = httpx.post(
            f"{first.url}/v1/readings",
            json={"device": "kept", "metric": "t", "value": 1.5},
            headers={"Authorization": f"Bearer {key.strip()}"},
        )
        assert posted.json()["accepted"] == 1
    with up(data, log) as second:
        assert (data / "admin.key").read_text() == key
        assert second.state("kept")["metrics"]["t"]["value"] == 1.5
