"""What a real gateway of two workers shows a Prometheus: in order, and after one of them was killed."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from platform import python_version

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry import gauges
from tests.e2e.serving import ADMIN_KEY, Gateway, environ_of, wait_for
from tests.servers import plain_http
from tests.servers.databases import Database

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def gateway(plain_db: Database, valkey: str, tmp_path: Path) -> Iterator[Gateway]:
    http = {
        "GATEWAY_HTTP__WORKERS": "2",
        "GATEWAY_HTTP__DRAIN_SECS": "0.2",
        "GATEWAY_HTTP__MAX_CONNECTIONS": "77",
    }
    with closing(Gateway(environ_of(plain_db.url, valkey, tmp_path, **http), tmp_path / "gateway.log")) as made:
        made.start()
        yield made


def shown(gateway: Gateway) -> Samples:
    text = plain_http.get(f"{gateway.url}/metrics", timeout=10).text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, tuple(sorted(labels.items()))))


def post(gateway: Gateway, *devices: str) -> None:
    body = [{"device": device, "metric": "t", "value": 1.0} for device in devices]
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    assert plain_http.post(f"{gateway.url}/v1/readings", json=body, headers=headers, timeout=10).status_code == 200


def test_a_gateway_in_order_says_so(gateway: Gateway) -> None:
    def is_in_order(samples: Samples) -> bool:
        parts = [value(samples, "gateway_part_ok", part=part) for part in gauges.PARTS]
        return [value(samples, "gateway_ready"), value(samples, "gateway_state_complete"), *parts] == [1.0] * 7

    wait_for(lambda: is_in_order(shown(gateway)), lambda: str(shown(gateway)), secs=20)
    samples = shown(gateway)
    for name in ("queue_rows", "queue_bytes", "spool_bytes", "http_inflight_bytes", "live_streams", "history_exports"):
        level, limit = value(samples, f"gateway_{name}"), value(samples, f"gateway_{name}_limit")
        assert (level, (limit or 0) > 0) == (0.0, True), name
    assert value(samples, "gateway_http_connections_limit") == 2 * 77  # of two workers
    assert value(samples, "gateway_database_connections_limit", pool="gateway-writer") == 2 * 3
    assert value(samples, "gateway_state_pending_rows_limit") == 2 * 200_000
    assert value(samples, "gateway_dead_letter_bytes_limit") == 2**30
    assert value(samples, "gateway_build_info", version=version("device-ingestion-gateway"), python=python_version())
    post(gateway, "d1", "d2")

    def counted() -> tuple[float | None, ...]:
        samples = shown(gateway)
        return value(samples, "gateway_devices"), value(samples, "gateway_devices_offline")

    wait_for(lambda: counted() == (2.0, 0.0), lambda: str(counted()), secs=30)


PROCESS = ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "start_time_seconds")


def test_a_worker_that_was_replaced_leaves_no_numbers_of_its_own(gateway: Gateway) -> None:
    before = gateway.workers()

    def up() -> set[str]:
        return {labels["pid"] for name, labels in labelled(shown(gateway)) if name == "gateway_worker_up"}

    wait_for(lambda: up() == set(map(str, before)), lambda: f"{up()} are {before}", secs=20)
    assert value(shown(gateway), "gateway_worker_restarts_total") == 0.0
    os.kill(before[0], signal.SIGKILL)

    seen: list[Samples] = []

    def is_replaced() -> bool:
        """Whether it is said so in all metrics at once: each worker renders them now and then, and answers for both."""
        samples = shown(gateway) if gateway.is_ready() else {}
        seen[:] = [samples]
        now = {labels["pid"] for name, labels in labelled(samples) if name == "gateway_worker_up"}
        complete = value(samples, "gateway_state_complete"), value(samples, "gateway_ready")
        told = [len(processes(samples, name)) for name in PROCESS]
        return len(now) == 2 and str(before[0]) not in now and complete == (1.0, 1.0) and min(told) == 2

    wait_for(is_replaced, lambda: f"{shown(gateway)}\n{gateway.log.read_text()[-3000:]}", secs=40)
    (after,) = seen
    assert value(after, "gateway_worker_restarts_total") == 1.0
    for name in PROCESS:
        of = {labels["worker"]: after[name, tuple(labels.items())] for name, labels in processes(after, name)}
        assert sorted(of) == ["Sanic-Server-0-0", "Sanic-Server-1-0"], name
        assert all(of.values()), name


def labelled(samples: Samples) -> list[tuple[str, dict[str, str]]]:
    return [(name, dict(labels)) for name, labels in samples]


def processes(samples: Samples, name: str) -> list[tuple[str, dict[str, str]]]:
    return [(full, labels) for full, labels in labelled(samples) if full == f"process_{name}"]
