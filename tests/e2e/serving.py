"""The real gateway and the real simulator as processes, as an operator starts them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from gateway.app.dev_servers.ports import free_port
from tests.servers import plain_http

ADMIN_KEY = "e2e-admin-key"
READY_SECS = 30.0
STOP_SECS = 30.0
RUN_SECS = 240.0


def environ_of(database: str, redis: str, folder: Path, **more: str) -> dict[str, str]:
    """What a gateway is told that makes a device of whatever posts; with these settings more, or instead."""
    return {
        "GATEWAY_DATABASE__URL": database,
        "GATEWAY_REDIS__URL": redis,
        "GATEWAY_AUTH__ADMIN_KEY": ADMIN_KEY,
        "GATEWAY_DEVICES__UNKNOWN": "auto",
        "GATEWAY_SPOOL__DIR": str(folder / "spool"),
    } | more


@dataclass
class Gateway:
    """`gateway serve` on a port of its own, with its log in a file."""

    environ: Mapping[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when /readyz says 200 with every part in order."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start it, and do not wait."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve"],
                env=os.environ | dict(self.environ) | {"GATEWAY_HTTP__PORT": str(self.port)},
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C here must not reach it
            )

    def is_alive(self) -> bool:
        """Whether it answers at all."""
        try:
            return plain_http.get(f"{self.url}/livez", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def wait_ready(self) -> None:
        wait_for(
            self.is_ready, lambda: f"the gateway is ready; its log:\n{self.log.read_text()[-2000:]}", secs=READY_SECS
        )

    def is_ready(self) -> bool:
        try:
            reply = plain_http.get(f"{self.url}/readyz", timeout=2)
        except httpx.HTTPError:
            return False
        return reply.status_code == 200 and all(part["ok"] for part in reply.json()["parts"].values())

    def kill(self) -> None:
        """SIGKILL the main process and every worker at once, as an out-of-memory killer or a power cut would."""
        assert self.process is not None
        victims = [self.process.pid, *descendants(self.process.pid)]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        self.process.wait(STOP_SECS)

    def workers(self) -> list[int]:
        """The processes that serve, by how Python starts them."""
        assert self.process is not None
        return [pid for pid in descendants(self.process.pid) if _is_worker(pid)]

    def terminate(self) -> int:
        """SIGTERM; return the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(STOP_SECS)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()


@dataclass
class Simulator:
    """One `simulator run`."""

    process: "subprocess.Popen[str]"
    report: Path

    def stop(self) -> None:
        """Have it send nothing new, and verify."""
        self.process.send_signal(signal.SIGINT)

    def finish(self) -> tuple[int, dict[str, Any], str]:
        """Return the exit code, the JSON report and what was printed."""
        output, _ = self.process.communicate(timeout=RUN_SECS)
        report = json.loads(self.report.read_text()) if self.report.exists() else {}
        return self.process.returncode, report, output

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_SECS)


def simulate(gateway: Gateway, folder: Path, *options: str) -> Simulator:
    """Start `simulator run` against this gateway, with verification through its database."""
    report = folder / "report.json"
    broker = gateway.environ.get("GATEWAY_MQTT__URL", "")
    command = [sys.executable, "-m", "simulator", "run", "--url", gateway.url, "--json", str(report), *options]
    if broker:
        command += ["--mqtt", broker]
    process = subprocess.Popen(
        [*command, "--database", gateway.environ["GATEWAY_DATABASE__URL"]],
        env=os.environ | {"SIMULATOR_KEY": ADMIN_KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Simulator(process, report)


def wait_for(condition: Callable[[], bool], what: Callable[[], str], *, secs: float) -> None:
    deadline = time.monotonic() + secs
    while not condition():
        assert time.monotonic() < deadline, f"not within {secs} s: {what()}"
        time.sleep(0.05)


def _is_worker(pid: int) -> bool:
    try:
        return b"--multiprocessing-fork" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """All processes below this one, from /proc."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, queue = [], [pid]
    while queue:
        children = parents.get(queue.pop(), [])
        found += children
        queue += children
    return found
