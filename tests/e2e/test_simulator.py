"""The referee against the real gateway: its verdict holds when all is well, and finds exactly what is planted."""

import asyncio
import json
import os
import struct
import subprocess
import sys
import tomllib
from pathlib import Path

import asyncpg
import redis

from tests.e2e.conftest import Serve
from tests.e2e.serving import ADMIN_KEY, RUN_SECS, Gateway
from tests.servers import plain_http

AUTHORIZED = {"Authorization": f"Bearer {ADMIN_KEY}"}
DIRTY = Path("simulator/plan/scenarios/dirty.toml")


def simulator(gateway: Gateway, *arguments: str) -> tuple[int, str]:
    """One command of the simulator, to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "simulator", *arguments, "--url", gateway.url],
        env=os.environ | {"SIMULATOR_KEY": ADMIN_KEY, "SIMULATOR_MQTT": gateway.environ["GATEWAY_MQTT__URL"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_SECS,
        check=False,
    )
    return done.returncode, done.stdout


def registered(gateway: Gateway) -> list[str]:
    page = plain_http.get(f"{gateway.url}/v1/devices", params={"prefix": "sim-"}, headers=AUTHORIZED, timeout=10)
    return [device["device"] for device in page.raise_for_status().json()["devices"]]


def test_every_fault_gets_its_one_right_answer_and_nothing_stays(serve: Serve, tmp_path: Path) -> None:
    gateway = serve(GATEWAY_DEVICES__UNKNOWN="refuse", GATEWAY_HTTP__BODY_DEADLINE_SECS="1")
    scenario = tmp_path / "dirty.toml"
    text = DIRTY.read_text().replace("= 0.002", "= 0.01")  # so that the rare ones come in a short run, too
    scenario.write_text(text + "\n[gateway]\nbody_deadline_secs = 1\n")
    report_file = tmp_path / "report.json"
    code, output = simulator(gateway, "run", str(scenario), "--seconds", "4", "--rate", "5000", "--verify", "api",
                             "--json", str(report_file))  # fmt: skip
    assert code == 0, output
    report = json.loads(report_file.read_text())
    assert report["wrong_answers"] == 0
    injected = {fault for lane in report["lanes"] for fault, count in lane["injected"].items() if count}
    rates = tomllib.loads(text)["faults"]
    assert set(rates) - {"storm"} <= injected, "storms are rare"
    refusals = {code for lane in report["lanes"] for code in lane["expected_refusals"]}
    assert refusals == {
        "not_finite", "bad_text", "too_far_ahead", "conflict", "unauthorized", "bad_payload", "too_large",
        "body_timeout", "unknown_device", "no_answer",
    }  # fmt: skip
    letters = report["verdict"]["letters"]
    assert letters["expected"] > 0
    assert (letters["missing"], letters["unexpected"], letters["unchecked"]) == (0, 0, "")
    assert registered(gateway) == []


def test_planted_losses_are_found_and_nothing_else(serve: Serve, tmp_path: Path) -> None:
    gateway, kept = serve(), tmp_path / "kept.ledger"
    code, output = simulator(gateway, "run", "smoke", "--seconds", "3", "--keep", "--ledger", str(kept), "--run", "p")
    assert code == 0, output
    deleted, changed, rewound = asyncio.run(plant(gateway))
    for source in ((), ("--database", gateway.environ["GATEWAY_DATABASE__URL"])):
        report = tmp_path / "report.json"
        code, output = simulator(gateway, "verify", str(kept), "--settle", "0", "--json", str(report), *source)
        assert code == 1, output
        total = json.loads(report.read_text())["verdict"]["total"]
        named = {(p["trouble"], p["device"], p["metric"]) for p in total["problems"]}
        weather = ("temperature", "humidity", "pressure", "wind_speed", "wind_direction", "rain_mm")
        assert named == {
            *(("lost", deleted, metric) for metric in weather),
            ("wrong", changed, "humidity"),
            *(("state wrong", rewound, metric) for metric in weather),
        }
        assert (total["lost"], total["wrong"], total["state_wrong"]) == (6, 1, 6)
        assert (total["duplicated"], total["unexpected"]) == (0, 0)


async def plant(gateway: Gateway) -> tuple[str, str, str]:
    """Delete a message, change a value, rewind the state of a device; return the devices."""
    deleted, changed, rewound = (f"sim-1-p-weather-station-{number:05d}" for number in (3, 4, 5))
    connection = await asyncpg.connect(gateway.environ["GATEWAY_DATABASE__URL"])
    try:
        await connection.execute(
            "delete from messages where (device_id, time) = (select device_id, min(time) from messages "
            "where device_id = (select id from devices where name = $1) group by 1)",
            deleted,
        )
        await connection.execute(
            "update messages m set values[array_position(s.value_metrics, "
            "(select id from metrics where name = 'humidity' and kind = 'double'))] = -1 from shapes s "
            "where s.id = m.shape_id and (device_id, time) = (select device_id, min(time) from messages "
            "where device_id = (select id from devices where name = $1) group by 1)",
            changed,
        )
    finally:
        await connection.close()
    rewind(gateway.environ["GATEWAY_REDIS__URL"], rewound)
    return deleted, changed, rewound


def rewind(url: str, device: str) -> None:
    """Set the newest message of a device back by a second in Redis: it begins with its time, a double of µs."""
    with redis.from_url(url) as store:
        (key,) = store.scan_iter(match=f"*{device}")
        messages = {field: packed for field, packed in store.hgetall(key).items() if field != b"w"}  # that it is whole
        for field, packed in messages.items():
            (time_us,) = struct.unpack_from(">d", packed)
            store.hset(key, field, struct.pack(">d", time_us - 1e6) + packed[8:])
