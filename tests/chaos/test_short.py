"""One round of every fault, in few runs of the simulator: nothing acknowledged is lost, doubled or altered."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from random import Random

import pytest

from gateway.app.dev_servers.valkey import ValkeyServer
from tests.chaos.campaign import PATIENCE_SECS, Load, run_block
from tests.chaos.clock import library
from tests.chaos.faults import FAULTS
from tests.chaos.scene import Ground
from tests.conftest import have
from tests.servers.mosquitto import Limits, Mosquitto
from tests.servers.postgres import DatabaseServer

SEED = 20_261_122
LOAD = Load(rate=2_000, devices=300)
BLOCKS = (
    ("gateway-kill-2-workers", "gateway-freeze", "gateway-roll", "worker-kill", "worker-freeze"),
    ("database-kill", "database-restart", "database-freeze", "backend-storm", "line-cut", "line-stall"),
    ("gateway-kill", "broker-kill", "broker-freeze", "valkey-freeze", "valkey-kill", "valkey-flush", "redis-evict"),
    ("database-failover", "database-failover-lossy", "database-failover-unfenced"),
    ("database-failover-frozen",),
    ("spool-full",),
    ("years",),
    ("write-revoked",),
    ("clock-step",),
)


@pytest.fixture
def servers(
    own_timescale: DatabaseServer,
    own_valkey: ValkeyServer,
    start_mosquitto: Callable[[Limits], Mosquitto],
    tmp_path: Path,
) -> Ground:
    return Ground(own_timescale, own_valkey, start_mosquitto(Limits()), tmp_path)


def test_every_fault_is_in_a_block() -> None:
    assert sorted(name for block in BLOCKS for name in block) == sorted(fault.name for fault in FAULTS)


@pytest.mark.slow
@pytest.mark.parametrize("names", BLOCKS, ids=lambda names: names[0])
def test_nothing_acknowledged_is_lost(servers: Ground, names: tuple[str, ...]) -> None:
    known = {fault.name: fault for fault in FAULTS}
    if any(known[name].steps_clock for name in names):
        have(lambda: nullcontext(library()))
    faults = [known[name] for name in names]
    result = run_block(servers, faults, rounds=1, seconds=60, rng=Random(SEED), load=LOAD, recovery_secs=PATIENCE_SECS)
    assert result.troubles == []
    assert len(result.recoveries) == len(names)
    assert result.counts["acknowledged"] > 0
    assert result.counts["state_checked"] > 0
