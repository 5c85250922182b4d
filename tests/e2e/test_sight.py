"""What becomes visible, and what the live stream leaves out: measured and found through a real gateway."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Serve
from tests.e2e.meddling import Meddler, meddling
from tests.e2e.serving import ADMIN_KEY, Gateway, wait_for
from tests.e2e.test_simulator import simulator

LOAD = ("--devices", "12", "--rate", "120", "--transport", "mixed", "--batch", "5", "--watch", "12", "--register")
"""Each device reports five metrics twice a second."""
A, B = "sim-1-gaps-00002", "sim-1-gaps-00008"
"""The first over HTTP, the second over MQTT."""


def run(gateway: Gateway, through: Meddler, folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """One run with every question sent through the meddler."""
    report = folder / "report.json"
    given = Gateway(gateway.environ, gateway.log, port=through.server_port)
    code, output = simulator(given, "run", *LOAD, "--verify", "api", "--json", str(report), *options)
    return code, json.loads(report.read_text()) if report.exists() else {}, output


def test_exactly_the_devices_whose_changes_are_dropped_have_gaps(serve: Serve, tmp_path: Path) -> None:
    gateway = serve()

    def drop(device: str, number: int) -> bool:
        return (device == A and number in {3, 4, 5, 6}) or (device == B and number >= 6)

    with meddling(gateway.url, drop=drop) as through:
        code, report, output = run(
            gateway, through, tmp_path, "--seconds", "4", "--run", "gaps", "--settle", "1", "--workers", "2",
            "--require", "stream_gaps=0",
        )  # fmt: skip
        assert code == 1, output
        assert set(through.dropped.keys()) >= {A, B}
    total = report["verdict"]["total"]
    gaps = [problem for problem in total["problems"] if problem["trouble"] == "stream gap"]
    assert {problem["device"] for problem in gaps} == {A, B}, output
    assert 0 < total["stream_gaps"] <= 5 * sum(through.dropped.values())
    assert (total["lost"], total["state_wrong"], total["stream_wrong"]) == (0, 0, 0)
    assert f"FAILED: {total['stream_gaps']} stream gaps" in output
    unseen = {lane["transport"]: lane["stream"]["unseen"] for lane in report["lanes"]}
    assert unseen["http"] == 0, "newer values came"
    assert unseen["mqtt"] > 0


def test_a_line_that_is_cut_is_taken_up_again_and_nothing_is_missing(serve: Serve, tmp_path: Path) -> None:
    gateway = serve()
    with meddling(gateway.url, cut_after=9) as through:
        code, report, output = run(
            gateway, through, tmp_path, "--seconds", "3", "--require",
            "stream_gaps=0,stream_wrong=0,p99_state_http<60s,p50_state_mqtt<60s,max_stream<60s",
        )  # fmt: skip
        assert code == 0, output
        assert len(through.last_ids) == 2
        assert (through.last_ids[0], through.last_ids[1].count("-")) == ("", 2)
    watch = report["watch"]
    assert (watch["devices"], watch["stream_connections"], watch["stream_resets"]) == (12, 2, {"start": 1})
    assert (watch["state_unwatched"], watch["stream_unwatched"]) == ("", "")
    assert watch["state_reads"] > 10
    assert report["verdict"]["total"]["stream_checked"] >= 12 * 5
    for lane in report["lanes"]:
        assert lane["state"]["latency"]["count"] == lane["stream"]["latency"]["count"] == lane["acknowledged"] / 5
        assert (lane["state"]["unseen"], lane["stream"]["unseen"]) == (0, 0)


def started(gateway: Gateway, *arguments: str) -> "subprocess.Popen[bytes]":
    """A command of the simulator that goes on."""
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", *arguments, "--url", gateway.url],
        env=os.environ | {"SIMULATOR_KEY": ADMIN_KEY, "SIMULATOR_MQTT": gateway.environ["GATEWAY_MQTT__URL"]},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def lines_in(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def processes_of(folder: Path) -> list[str]:
    """The processes that were started with this folder, by their number."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.fsencode(folder) in (process / "cmdline").read_bytes():
                found.append(process.name)
    return found


def test_a_simulator_that_is_killed_leaves_what_it_saw_and_its_processes_end(serve: Serve, tmp_path: Path) -> None:
    gateway, kept = serve(), tmp_path / "kept.ledger"

    def drop(device: str, number: int) -> bool:
        return device == A and number in {3, 4}

    with meddling(gateway.url, drop=drop) as through:
        asked = Gateway(gateway.environ, gateway.log, port=through.server_port)
        load = ("--seconds", "60", "--run", "gaps", "--workers", "2", "--ledger", str(kept))
        with started(asked, "run", *LOAD, *load) as process:
            try:
                wait_for(lambda: through.changes[A] >= 6, lambda: f"the stream shows {through.changes}", secs=60)
                noted = lines_in(kept / "watch")
                wait_for(lambda: lines_in(kept / "watch") >= noted + 2, lambda: "what was seen is noted", secs=30)
            finally:
                process.kill()
    wait_for(lambda: not processes_of(kept), lambda: f"left: {processes_of(kept)}", secs=30)
    report = tmp_path / "report.json"
    code, output = simulator(gateway, "verify", str(kept), "--settle", "1", "--json", str(report))
    assert code == 1, output
    told = json.loads(report.read_text())
    total = told["verdict"]["total"]
    assert {(p["trouble"], p["device"]) for p in total["problems"]} == {("stream gap", A)}, output
    assert 0 < total["stream_gaps"] <= 2 * 5
    assert (total["lost"], total["unexpected"], total["stream_wrong"]) == (0, 0, 0)
    assert "watch broke off" in output
    for lane in told["lanes"]:
        assert lane["state"]["latency"]["count"] > 0
        assert lane["stream"]["latency"]["p99"] > 0
