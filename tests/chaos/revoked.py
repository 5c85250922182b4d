"""The fault `write-revoked`: a gateway that is no superuser loses the right to store readings, and gets it back."""

import asyncio
import time
from random import Random
from urllib.parse import urlsplit

import asyncpg

from gateway.timescale.migrations import migrate
from tests.chaos.scene import Scene
from tests.e2e.serving import wait_for

ROLE = "gateway_chaos"
CHUNK_HOURS = 24
NOTICED_SECS = 10.0
"""Longest wait until the gateway has noticed: it writes all the time."""
GRANTS = f"""
do $$ begin
    if not exists (select from pg_roles where rolname = '{ROLE}') then
        create role {ROLE} login password '{ROLE}' nosuperuser;
    end if;
end $$;
grant usage on schema public to {ROLE};
grant select, insert, update, delete on all tables in schema public to {ROLE};
"""


def as_role(url: str) -> str:
    """Bring the schema up to date as who may, and return the URL of a role that may do what a gateway does, no more."""
    asyncio.run(_prepare(url))
    parts = urlsplit(url)
    return parts._replace(netloc=f"{ROLE}:{ROLE}@{parts.netloc.rpartition('@')[2]}").geturl()


def write_revoked(scene: Scene, rng: Random) -> float:
    """Revoke insert on messages for some seconds; the gateway must say so once, and not flap."""
    url, log = scene.ground.postgres.url(), scene.gateway.log
    before = log.stat().st_size
    asyncio.run(_execute(url, f"revoke insert on messages from {ROLE}"))
    wait_for(lambda: not scene.database()["ok"], lambda: "the gateway notices", secs=NOTICED_SECS)
    for _ in range(10):
        time.sleep(rng.uniform(0.2, 0.8))
        database = scene.database()
        assert not database["ok"], f"/readyz calls the database well: {database}"
        assert "permission denied" in str(database["error"]), database
    asyncio.run(_execute(url, f"grant insert on messages to {ROLE}"))
    granted = time.monotonic()
    wait_for(lambda: bool(scene.database()["ok"]), lambda: "the database is believed again", secs=NOTICED_SECS)
    said = log.read_bytes()[before:]
    changes = (said.count(b"database_lost"), said.count(b"database_back"))
    assert changes == (1, 1), f"the database was lost and found {changes} times"
    return granted


async def _prepare(url: str) -> None:
    await migrate(url, chunk_hours=CHUNK_HOURS)
    await _execute(url, GRANTS)


async def _execute(url: str, command: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(command)
    finally:
        await connection.close()
