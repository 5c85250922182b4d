"""Every fault: a scene and randomness in, the time from which recovery counts out. Never looks at what came of it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import NamedTuple

import asyncpg
import httpx
import redis

from tests.chaos import failover
from tests.chaos.books import Ends, exit_line
from tests.chaos.revoked import write_revoked
from tests.chaos.scene import Scene
from tests.chaos.years import years_sent
from tests.e2e.serving import wait_for
from tests.servers.docker import ContainerServer
from tests.servers.freezing import frozen, main_process

Strike = Callable[[Scene, Random], float]
"""Do it and undo it; return the time (monotonic) at which the last part of it was over, or of the kill."""

ROOMY_BYTES, SMALL_BYTES = 2**30, 2**16
FULL_SECS = 20.0
EVICTING_SECS = 4.0
SAVE_SECS = 10.0
DOCKER_SECS = COMMAND_SECS = 30.0
POST_SECS = 15.0


class Fault(NamedTuple):
    """One way in which the field breaks things; `rounds` is how many of them a whole campaign is worth."""

    name: str
    strike: Strike
    rounds: int = 10
    workers: int = 1
    spool_bytes: int = ROOMY_BYTES
    ends: Ends = "nothing"
    steps_clock: bool = False
    plain_role: bool = False
    """Whether the gateway's user of the database may only do what a gateway does."""
    hosts: int = 1
    """In the URL of the database."""


def gateway_killed(scene: Scene, _rng: Random) -> float:
    """SIGKILL of every process of the gateway; a service manager starts it at once."""
    killed = time.monotonic()
    scene.gateway.kill()
    scene.gateway.start()
    return killed


def gateway_frozen(scene: Scene, _rng: Random) -> float:
    """SIGSTOP of all its processes, as when a machine is suspended."""
    assert scene.gateway.process is not None
    with frozen(scene.gateway.process.pid):
        time.sleep(3)
    return time.monotonic()


def gateway_rolled(scene: Scene, _rng: Random) -> float:
    """SIGTERM and a new start; anything but exit code 0 is a fault of the gateway."""
    code = scene.gateway.terminate()
    assert code == 0, f"the gateway ended with {code} on SIGTERM"
    ended = time.monotonic()
    scene.gateway.start()
    books = exit_line(scene.gateway.log)
    assert books["interrupted"] == books["queued"] == 0, f"the books at its end do not balance: {books}"
    return ended


def worker_killed(scene: Scene, rng: Random) -> float:
    """SIGKILL of one worker; the gateway itself starts another."""
    os.kill(rng.choice(scene.gateway.workers()), signal.SIGKILL)
    return time.monotonic()


def worker_frozen(scene: Scene, rng: Random) -> float:
    with frozen(rng.choice(scene.gateway.workers())):
        time.sleep(3)
    return time.monotonic()


def database_killed(scene: Scene, rng: Random) -> float:
    """SIGKILL of the server and all backends; back after up to two seconds, with crash recovery."""
    scene.ground.postgres.kill()
    time.sleep(rng.uniform(0, 2))
    scene.ground.postgres.start()
    return time.monotonic()


def spool_filled(scene: Scene, _rng: Random) -> float:
    """The database is away for longer than the spool has room; the doors must refuse and never drop."""
    before = scene.spool_refusals()
    scene.ground.postgres.kill()
    wait_for(lambda: scene.spool_refusals() > before, lambda: "the spool is full", secs=FULL_SECS)
    scene.ground.postgres.start()
    return time.monotonic()


def database_restarted(scene: Scene, _rng: Random) -> float:
    """A fast shutdown, as of a package update."""
    scene.ground.postgres.stop()
    scene.ground.postgres.start()
    return time.monotonic()


def database_frozen(scene: Scene, _rng: Random) -> float:
    """Connections stay open and nothing answers."""
    server = scene.ground.postgres
    with paused(server) if isinstance(server, ContainerServer) else frozen(main_process(server)):
        time.sleep(8)
    return time.monotonic()


def backends_ended(scene: Scene, rng: Random) -> float:
    """pg_terminate_backend of everybody else, again and again for a second."""
    asyncio.run(_end_backends(scene.ground.postgres.url(), rng))
    return time.monotonic()


def line_cut(scene: Scene, rng: Random) -> float:
    """The lines to the database are cut at a random byte, within a message of the protocol, several times."""
    for _ in range(3):
        before, deadline = scene.line.cuts, time.monotonic() + 5
        scene.line.cut_after(rng.randrange(1, 200_000))
        while scene.line.cuts == before and time.monotonic() < deadline:
            time.sleep(0.01)
    return time.monotonic()


def line_stalled(scene: Scene, rng: Random) -> float:
    """The lines to the database go silent at a random moment, as behind a firewall that forgot them."""
    scene.line.stall()
    time.sleep(rng.uniform(1, 4))
    scene.line.flow()
    return time.monotonic()


def valkey_killed(scene: Scene, rng: Random) -> float:
    """SIGKILL; back after up to two seconds, with nothing in it."""
    valkey = scene.ground.valkey
    valkey.kill()
    (valkey.data / "dump.rdb").unlink(missing_ok=True)
    time.sleep(rng.uniform(0, 2))
    valkey.start()
    return time.monotonic()


def valkey_frozen(scene: Scene, _rng: Random) -> float:
    with frozen(main_process(scene.ground.valkey)):
        time.sleep(3)
    return time.monotonic()


def valkey_flushed(scene: Scene, _rng: Random) -> float:
    """FLUSHALL: the server is well, and what it knew is gone."""
    with redis.Redis.from_url(scene.ground.valkey.url()) as client:
        client.flushall()
    return time.monotonic()


def redis_evicting(scene: Scene, rng: Random) -> float:
    """Somebody sets allkeys-lru and less memory than it takes, and deletes keys by hand; later it is set right."""
    with redis.Redis.from_url(scene.ground.valkey.url()) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", client.info("memory")["used_memory"])
        until = time.monotonic() + EVICTING_SECS
        try:
            while time.monotonic() < until:
                with suppress(redis.exceptions.OutOfMemoryError):  # more was written than can be evicted at once
                    client.set(f"filler:{rng.randrange(20)}", rng.randbytes(10_000), px=1000)
                if key := client.randomkey():
                    client.unlink(key)
                time.sleep(0.005)
            assert client.info("stats")["evicted_keys"] > 0
        finally:
            client.config_set("maxmemory", 0)
            client.config_set("maxmemory-policy", "noeviction")
    return time.monotonic()


def broker_killed(scene: Scene, rng: Random) -> float:
    """SIGKILL within a second after it saved its sessions; back after up to a second.

    A broker that dies before it ever saved the gateway's session has nobody to keep messages for; no gateway can help.
    """
    saved, since = scene.ground.broker.data / "mosquitto.db", time.time()
    wait_for(lambda: saved.exists() and saved.stat().st_mtime > since, lambda: "the broker saves", secs=SAVE_SECS)
    time.sleep(rng.uniform(0, 1))
    scene.ground.broker.kill()
    time.sleep(rng.uniform(0, 1))
    scene.ground.broker.start()
    return time.monotonic()


def broker_frozen(scene: Scene, _rng: Random) -> float:
    with frozen(main_process(scene.ground.broker)):
        time.sleep(3)
    return time.monotonic()


def clock_stepped(scene: Scene, rng: Random) -> float:
    """The wall clock jumps an hour ahead, back, an hour behind, and back; the simulator's readings stay in range.

    Readings of the true time are taken in while the clock is ahead (they are merely old), and refused with the reason
    while it is behind. A key from the database and an Idempotency-Key work throughout.
    """
    clock, token = scene.clock, new_key(scene)
    assert clock is not None
    for step, expected in ((3600, ""), (0, ""), (-3600, "too_far_ahead"), (0, "")):
        clock.step(step)
        time.sleep(rng.uniform(0.3, 1.0))
        refused = post_now(scene.asking, token, key=f"clock-{rng.random()}")
        assert refused == expected, f"with a clock {step:+d} s off: {refused!r} instead of {expected!r}"
    return time.monotonic()


FAULTS = (
    Fault("gateway-kill", gateway_killed, rounds=20, ends="gateway"),
    Fault("gateway-kill-2-workers", gateway_killed, rounds=8, workers=2, ends="gateway"),
    Fault("gateway-freeze", gateway_frozen, rounds=3, workers=2),
    Fault("gateway-roll", gateway_rolled, rounds=5, workers=2, ends="gateway"),
    Fault("worker-kill", worker_killed, rounds=15, workers=2, ends="worker"),
    Fault("worker-freeze", worker_frozen, rounds=4, workers=2),
    Fault("database-kill", database_killed, rounds=20),
    Fault("database-restart", database_restarted, rounds=5),
    Fault("database-freeze", database_frozen, rounds=2),
    Fault("database-failover", failover.clean, rounds=4),
    Fault("database-failover-lossy", failover.lossy, rounds=3),
    Fault("database-failover-unfenced", failover.unfenced, rounds=3),
    Fault("years", years_sent, rounds=2),
    Fault("database-failover-frozen", failover.first_frozen, rounds=1, hosts=2),
    Fault("spool-full", spool_filled, rounds=5, spool_bytes=SMALL_BYTES),
    Fault("backend-storm", backends_ended, rounds=8),
    Fault("write-revoked", write_revoked, rounds=4, plain_role=True),
    Fault("line-cut", line_cut, rounds=10),
    Fault("line-stall", line_stalled, rounds=4),
    Fault("valkey-kill", valkey_killed, rounds=20),
    Fault("valkey-freeze", valkey_frozen, rounds=3),
    Fault("valkey-flush", valkey_flushed, rounds=10),
    Fault("redis-evict", redis_evicting, rounds=8),
    Fault("broker-kill", broker_killed, rounds=20),
    Fault("broker-freeze", broker_frozen, rounds=3),
    Fault("clock-step", clock_stepped, rounds=3, steps_clock=True),
)


def new_key(scene: Scene) -> str:
    """Return a new ingest key, which the gateway has to look up."""
    command = [sys.executable, "-m", "gateway", "key", "add", "--role", "ingest", "--json"]
    environ = os.environ | {"GATEWAY_DATABASE__URL": scene.gateway.environ["GATEWAY_DATABASE__URL"]}
    done = subprocess.run(command, env=environ, check=True, capture_output=True, timeout=COMMAND_SECS)
    return str(json.loads(done.stdout)["token"])


def post_now(client: httpx.Client, token: str, *, key: str) -> str:
    """Post a reading of the true time, twice with one Idempotency-Key; return the code of the refusal, or nothing."""
    body = {"device": "clock", "ts": time.time_ns(), "values": {"t": 1.0}}
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
    first, again = (client.post("/v1/readings", json=body, headers=headers, timeout=POST_SECS) for _ in range(2))
    assert first.status_code in (200, 422), first.text
    assert again.content == first.content, f"not one answer to one key: {first.text} and {again.text}"
    assert again.headers["idempotency-replayed"] == "true"
    errors = first.json()["errors"]
    return str(errors[0]["code"]) if errors else ""


@contextmanager
def paused(server: ContainerServer) -> Iterator[None]:
    """The same for a container, whose processes are not ours to signal."""
    subprocess.run(["docker", "pause", server.name], check=True, capture_output=True, timeout=DOCKER_SECS)
    try:
        yield
    finally:
        subprocess.run(["docker", "unpause", server.name], check=True, capture_output=True, timeout=DOCKER_SECS)


async def _end_backends(url: str, rng: Random) -> None:
    connection = await asyncpg.connect(url, timeout=10, command_timeout=10)
    try:
        for _ in range(10):
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where backend_type = 'client backend' and pid <> pg_backend_pid()"
            )
            await asyncio.sleep(rng.uniform(0.01, 0.2))
    finally:
        await connection.close(timeout=10)
