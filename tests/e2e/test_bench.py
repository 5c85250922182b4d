"""`simulator bench` on a real gateway and TimescaleDB: all that is acknowledged is stored, its table does not stay."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg

from tests.e2e.conftest import Serve
from tests.e2e.serving import ADMIN_KEY, Gateway

LIMIT_S = 120


def bench(gateway: Gateway, folder: Path, *options: str) -> "subprocess.Popen[str]":
    """Start a bench of this gateway."""
    environ = {
        "SIMULATOR_KEY": ADMIN_KEY,
        "SIMULATOR_URL": gateway.url,
        "SIMULATOR_MQTT": gateway.environ["GATEWAY_MQTT__URL"] or "127.0.0.1:1",
        "SIMULATOR_DATABASE": gateway.environ["GATEWAY_DATABASE__URL"],
        "SIMULATOR_REDIS": gateway.environ["GATEWAY_REDIS__URL"],
    }
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", "bench", "--json", str(folder / "out.json"), *options],
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Wait for its end; return the exit code and all it said."""
    try:
        out, err = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    return process.returncode, out + err


async def is_clean(gateway: Gateway) -> bool:
    """Whether the bench's own schema is gone."""
    connection = await asyncpg.connect(gateway.environ["GATEWAY_DATABASE__URL"])
    try:
        return bool(await connection.fetchval("select to_regnamespace('simulator_bench') is null"))
    finally:
        await connection.close()


def workloads(folder: Path) -> dict[str, dict[str, Any]]:
    """The only round of each workload."""
    report = json.loads((folder / "out.json").read_text())
    return {name: workload["rounds"][0] for name, workload in report["workloads"].items()}


async def test_what_is_acknowledged_over_http_is_stored(serve: Serve, tmp_path: Path) -> None:
    gateway = serve(mqtt=False)
    page = tmp_path / "performance.md"
    options = ("--seconds", "0.5", "--rounds", "1", "--workloads", "W1,W3,W3f,W5,W7", "--append", str(page))
    code, said = finish(bench(gateway, tmp_path, *options))
    assert code == 0, said
    done = workloads(tmp_path)
    assert list(done) == ["W1", "W3", "W3f", "W5", "W7"]
    for name, load in done.items():
        assert load["acked"] > 0, name
        assert load["faults"] == {}, name
        assert load["cpu"].keys() == {"gateway", "database", "redis"}, name
        assert load["stored"] == (load["acked"] if name in {"W1", "W3", "W3f"} else 0), name
    assert page.read_text().startswith("# Performance\n\n## 2")
    assert await is_clean(gateway)


async def test_what_is_committed_over_mqtt_is_stored(serve: Serve, tmp_path: Path) -> None:
    gateway = serve()
    code, said = finish(bench(gateway, tmp_path, "--seconds", "0.5", "--rounds", "1", "--workloads", "W4,W4b"))
    assert code == 0, said
    for name, load in workloads(tmp_path).items():
        assert load["acked"] > 0, name
        assert load["stored"] == load["acked"], name
        assert load["cpu"].keys() == {"gateway", "database", "redis", "broker"}, name


async def test_ctrl_c_keeps_what_was_measured_and_cleans_up(serve: Serve, tmp_path: Path) -> None:
    gateway = serve(mqtt=False)
    process = bench(gateway, tmp_path, "--seconds", "1", "--rounds", "20", "--workloads", "W5,W6")
    assert process.stderr is not None
    line = ""
    while not line.startswith("  W5"):
        line = process.stderr.readline()
        assert line, "it ended by itself"
    process.send_signal(signal.SIGINT)
    code, said = finish(process)
    assert code == 0, said
    assert "stopping" in said
    assert "Traceback" not in said
    assert workloads(tmp_path)["W5"]["acked"] > 0
    assert await is_clean(gateway)


async def test_a_gateway_that_refuses_new_devices_is_told_how_to_let_them_in(serve: Serve, tmp_path: Path) -> None:
    gateway = serve(mqtt=False, GATEWAY_DEVICES__UNKNOWN="refuse")
    code, said = finish(bench(gateway, tmp_path, "--seconds", "0.5", "--rounds", "1", "--workloads", "W1"))
    assert code == 2, said
    assert "GATEWAY_DEVICES__UNKNOWN=auto" in " ".join(said.split())
    assert await is_clean(gateway)
