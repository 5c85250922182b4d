"""`gateway up --demo` for tests: on free ports, interrupted at the end, and then nothing of it is left."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.app.dev_servers.ports import free_port
from tests.e2e.serving import descendants, wait_for
from tests.servers import plain_http

START_SECS = 60.0
DEMO_DEVICE = "demo-00000"
"""The first of those that `--demo` simulates."""


@dataclass
class Up:
    """A running `gateway up --demo`."""

    process: "subprocess.Popen[bytes]"
    ports: dict[str, str]
    """Its settings, by the names of the environment."""
    data: Path
    log: Path

    @property
    def url(self) -> str:
        """Of the gateway."""
        return f"http://127.0.0.1:{self.ports['GATEWAY_HTTP__PORT']}"

    def state(self, device: str) -> dict[str, Any]:
        """What is newest of a device; nothing if it is not known."""
        key = (self.data / "admin.key").read_text().strip()
        reply = plain_http.get(
            f"{self.url}/v1/devices/{device}/state", headers={"Authorization": f"Bearer {key}"}, timeout=5
        )
        return reply.json() if reply.status_code == 200 else {}

    def newest(self) -> str:
        """When a simulated device last reported."""
        metrics = self.state(DEMO_DEVICE).get("metrics", {})
        return max((metric["ts"] for metric in metrics.values()), default="")


@contextmanager
def up(data: Path, log: Path) -> Iterator[Up]:
    """Start it on free ports, interrupt it at the end, and check that no process of it is left."""
    ports = {name: str(free_port()) for name in ("GATEWAY_HTTP__PORT", "GATEWAY_MQTT__PORT")}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "up", "--demo", "--devices", "10", "--data", str(data)],
            env=os.environ | ports,
            stdout=out,
            stderr=out,
            start_new_session=True,  # a Ctrl-C here must not reach the tests
        )
    running = Up(process, ports, data, log)
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
