"""What several processes of one gateway count: merged, begun at zero, and kept when one of them is killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
from prometheus_client.parser import text_string_to_metric_families

import gateway.app.worker  # noqa: F401 - it knows every part, and so every metric
from gateway.domain.ledger import Account, Ledger
from gateway.telemetry import MULTIPROC_ENV, declared, prometheus
from gateway.telemetry.rates import Sums

COUNTING = """
import json, sys
from gateway.telemetry import declared, events, prometheus as metrics, rates_sampler as history_sampler
declared.begin_at_zero()
metrics.readings_received[("http",)].inc(5)
metrics.readings_refused[("http",)].inc(2)
metrics.mqtt_connected.set(1)
events.http_answered("a", 200)
events.http_answered("b", 404)
events.queue_changed(7, 70)
events.acknowledged(0.2)
if sys.argv[1:]:
    print(json.dumps(history_sampler.to_sums(history_sampler.totals(), at_ms=1, at_secs=1.0), default=lambda x: 0))
else:
    print(flush=True)
    sys.stdin.read()
"""
COUNT = """
from gateway.telemetry import events, prometheus as metrics
metrics.readings_received[("http",)].inc(5)
events.queue_changed(7, 70)
"""
SHOW = "from gateway.telemetry import exposition; print(exposition.exposition().decode())"
BEGIN = """
from gateway.app import worker
from gateway.web import app
from gateway.telemetry.declared import begin_at_zero
begin_at_zero()
"""
SETTLE = """
import asyncio
from gateway.domain.ledger import Fate
from gateway.telemetry import ledger_events

async def main():
    with ledger_events.InHand("http", 5) as hand:
        hand.settle(Fate(5))
    await asyncio.sleep(0)

asyncio.run(main())
"""
DIE = """
import asyncio
import os
from gateway.telemetry import ledger_events

async def main():
    with ledger_events.InHand("http", 7):
        await asyncio.sleep(0)
        os._exit(0)

asyncio.run(main())
"""
READ = """
import sys
import msgspec
from prometheus_client.multiprocess import mark_process_dead
from gateway.telemetry import ledger_events
mark_process_dead(int(sys.argv[1]))
print(msgspec.json.encode(ledger_events.read()).decode())
"""


def test_the_workers_are_summed(tmp_path: Path) -> None:
    env = os.environ | {MULTIPROC_ENV: str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", COUNTING], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        other = subprocess.run(
            [sys.executable, "-c", COUNTING, "print"], env=env, capture_output=True, text=True, check=True, timeout=60
        )
        worker.communicate()
    sums = Sums(*json.loads(other.stdout))
    assert (sums.requests, sums.readings, sums.refused, sums.mqtt_connections) == (4, 10, 4, 2)
    assert sums.latency[-1] == 2
    assert len(sums.latency) == len(prometheus.LATENCY_BUCKETS) + 1


def test_numbers_of_several_processes_are_merged(tmp_path: Path) -> None:
    environ = {**os.environ, MULTIPROC_ENV: str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", COUNT], env=environ, check=True, timeout=60)
    shown = subprocess.run(
        [sys.executable, "-c", SHOW], env=environ, check=True, timeout=60, capture_output=True, text=True
    ).stdout
    assert 'gateway_readings_received_total{source="http"} 10.0' in shown
    assert "gateway_queue_rows 14.0" in shown
    one = subprocess.run(
        [sys.executable, "-c", SHOW.replace("exposition()", 'exposition({"gateway_readings_received_total"})')],
        env=environ,
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    ).stdout
    assert [line for line in one.splitlines() if line and line[0] != "#"] == [
        'gateway_readings_received_total{source="http"} 10.0'
    ]


def test_every_declared_series_of_every_worker_begins_at_zero(tmp_path: Path) -> None:
    environ = {**os.environ, MULTIPROC_ENV: str(tmp_path)}
    subprocess.run([sys.executable, "-c", BEGIN], env=environ, check=True, timeout=60)
    show = [sys.executable, "-c", SHOW]
    shown = subprocess.run(show, env=environ, check=True, timeout=60, capture_output=True, text=True).stdout
    samples = {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(shown)
        for sample in family.samples
    }
    wanted = [(b.sample, tuple(sorted(labels))) for b in declared.bounds() for labels in b.declared]
    assert len(wanted) > 300
    assert {one: samples.get(one) for one in wanted} == dict.fromkeys(wanted, 0.0)
    assert samples["gateway_commit_failures_total", ("fault",)] == 0.0
    assert samples["gateway_http_requests_total", ("499", "readings")] == 0.0


def test_the_books_are_of_all_processes_and_show_what_a_killed_one_had_in_hand(tmp_path: Path) -> None:
    environ = {**os.environ, MULTIPROC_ENV: str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", SETTLE], env=environ, check=True, timeout=60)
    with subprocess.Popen([sys.executable, "-c", DIE], env=environ) as dead:
        assert dead.wait(60) == 0
    got = subprocess.run(
        [sys.executable, "-c", READ, str(dead.pid)], env=environ, check=True, timeout=60, capture_output=True
    )
    account = msgspec.json.decode(got.stdout, type=Ledger).sources["http"]
    assert account == Account(17, 10, 0, 0, 0, 0, 0, 0, queued=0, interrupted=7)
