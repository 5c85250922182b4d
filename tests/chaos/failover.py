"""Faults in which another database server takes over; it is the scene's server afterwards. Never looks at readings.

The proxy before the database stands for whatever leads a client to the primary: an address that moves, a name, a list.
"""

import asyncio
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import httpx

from gateway.app.dev_servers.ports import free_port
from gateway.app.dev_servers.postgres import Loopback, PostgresServer
from tests.chaos import gone
from tests.chaos.scene import Scene
from tests.e2e.serving import wait_for
from tests.servers import replicas
from tests.servers.freezing import frozen, main_process

FOLLOW_SECS = 30.0
NOTICE_SECS = 20.0
SYNCHRONOUS = "select count(*) from pg_stat_replication where sync_state = 'sync'"
READINGS = (
    "select coalesce(sum(coalesce(cardinality(values), 0) + coalesce(cardinality(ints), 0)"
    " + coalesce(cardinality(texts), 0)), 0)::int8 from messages"
)
LATEST_SECS = 120.0
"""Readings that a standby lacks are younger."""


def clean(scene: Scene, rng: Random) -> float:
    """A synchronous standby is promoted when the primary was killed: nothing that was committed is lost."""
    with _following(scene, synchronous=True) as (old, new):
        time.sleep(rng.uniform(0, 1))
        _fail(scene, old)
        return _take_over(scene, old, new)


def lossy(scene: Scene, rng: Random) -> float:
    """The standby had not got the last second: what it lacks the database has lost, and only that."""
    with _following(scene, synchronous=False) as (old, new):
        asyncio.run(replicas.cut_off(new))
        time.sleep(rng.uniform(0.3, 1.5))
        _fail(scene, old)
        old.start()
        asyncio.run(replicas.promote(new))
        lacks = _ask(old, READINGS) - _ask(new, READINGS)
        taken = asyncio.run(gone.taken(old.url(), new.url(), since=time.time() - LATEST_SECS))
        assert len(taken) == lacks, f"{lacks:,} readings are gone, of which {len(taken):,} were found"
        scene.taken |= taken
        old.stop()
        return _take_over(scene, old, new)


def unfenced(scene: Scene, rng: Random) -> float:
    """After a clean failover the old primary comes back, and clients are led to it again for a while."""
    with _following(scene, synchronous=True) as (old, new):
        time.sleep(rng.uniform(0, 1))
        _fail(scene, old)
        asyncio.run(replicas.promote(new))
        since = scene.flow()
        scene.line.target = _port(new)
        wait_for(lambda: scene.flows(since), lambda: "the new primary is in use", secs=NOTICE_SECS)
        _start_alone(old)
        had = _ask(old, READINGS)
        scene.line.target = _port(old)
        scene.line.cut_after(1)
        wait_for(lambda: "old primary" in _trouble(scene), lambda: "the old primary is noticed", secs=NOTICE_SECS)
        time.sleep(rng.uniform(0, 1))
        assert _ask(old, READINGS) == had, "an old primary was written to"
        old.stop()
        return _take_over(scene, old, new)


def first_frozen(scene: Scene, rng: Random) -> float:
    """The first of two hosts freezes, and the second one is promoted; then the first one wakes up, none the wiser."""
    assert scene.first is not None
    with _following(scene, synchronous=True) as (old, new):
        time.sleep(rng.uniform(0, 1))
        with frozen(main_process(old)):
            asyncio.run(replicas.promote(new))
            since = scene.flow()
            scene.line.target = _port(new)
            wait_for(lambda: scene.flows(since), lambda: "the second host is in use", secs=NOTICE_SECS)
        since = scene.flow()
        time.sleep(rng.uniform(0.5, 1.5))
        wait_for(lambda: scene.flows(since), lambda: "the second host stays in use", secs=NOTICE_SECS)
        old.kill()
        struck = _take_over(scene, old, new)
        scene.first.target = free_port()
        return struck


@contextmanager
def _following(scene: Scene, *, synchronous: bool) -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """The scene's server and a standby that has caught up with it; it takes the server's place in the end."""
    server = replicas.ours(scene.ground.postgres)
    standby = replicas.base_backup(server, f"data-{secrets.token_hex(4)}", follows=True)
    standby.start()
    try:
        if synchronous:
            asyncio.run(replicas.ask(server, "alter system set synchronous_standby_names = '*'"))
            asyncio.run(replicas.ask(server, "select pg_reload_conf()"))
            wait_for(lambda: _ask(server, SYNCHRONOUS) == 1, lambda: "the standby is synchronous", secs=FOLLOW_SECS)
        else:
            asyncio.run(replicas.caught_up(server, standby))
        yield server, standby
    except BaseException:
        standby.stop()
        raise


def _fail(scene: Scene, old: PostgresServer) -> None:
    """Kill the primary, and lead nobody anywhere."""
    scene.line.target = free_port()
    old.kill()


def _take_over(scene: Scene, old: PostgresServer, new: PostgresServer) -> float:
    """Promote, if that is not done yet; lead clients there from now on, and forget the old one."""
    if _ask(new, "select pg_is_in_recovery()::int"):
        asyncio.run(replicas.promote(new))
    scene.line.target = _port(new)
    gone = old.data
    old.data, old.log, old.listen = new.data, new.log, new.listen
    old._child, new._child = new._child, None
    shutil.rmtree(gone)
    return time.monotonic()


def _start_alone(old: PostgresServer) -> None:
    """Start it as somebody would who does not know of the other one: it waits for no standby."""
    with (old.data / "postgresql.auto.conf").open("a") as file:
        file.write("\nsynchronous_standby_names = ''\n")
    old.start()


def _trouble(scene: Scene) -> str:
    """What /readyz says of the database."""
    try:
        return str(scene.asking.get("/readyz").json()["parts"]["database"].get("error"))
    except httpx.HTTPError:
        return ""


def _port(server: PostgresServer) -> int:
    assert isinstance(server.listen, Loopback)
    return server.listen.port


def _ask(server: PostgresServer, statement: str) -> int:
    answer = asyncio.run(replicas.ask(server, statement))
    assert isinstance(answer, int)
    return answer
