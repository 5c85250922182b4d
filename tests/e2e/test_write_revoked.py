"""A right to write is taken from the gateway and given back: loud while it stands, never a flap, nothing is lost."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.conftest import Serve
from tests.e2e.serving import ADMIN_KEY, Gateway, wait_for
from tests.integration.writing import execute, fetch
from tests.servers import plain_http
from tests.servers.databases import Database
from tests.servers.roles import plain_role, url_of

POSTS = 40


@pytest_asyncio.fixture(name="role")
async def of_the_gateway(timescale_db: Database) -> AsyncIterator[str]:
    async with plain_role(timescale_db.url) as role:
        yield role


async def post(gateway: Gateway, number: int) -> Any:
    body = {"device": f"d{number}", "ts": 1_700_000_000 + number, "values": {"t": float(number)}}
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with plain_http.AsyncClient() as client:
        answer = await client.post(f"{gateway.url}/v1/readings", json=body, headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json()["durability"]


def part(gateway: Gateway, name: str) -> dict[str, Any]:
    found: dict[str, Any] = plain_http.get(f"{gateway.url}/readyz", timeout=5).json()["parts"][name]
    return found


def faults(gateway: Gateway) -> float:
    text = plain_http.get(f"{gateway.url}/metrics", timeout=5).text
    return sum(map(float, re.findall(r'^gateway_commit_failures_total\{kind="fault"\} (\S+)', text, re.MULTILINE)))


def doctor(gateway: Gateway) -> str:
    command = [sys.executable, "-m", "gateway", "doctor"]
    done = subprocess.run(
        command, env=os.environ | dict(gateway.environ), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    return " ".join((done.stdout + done.stderr).split())


def said(log: Path, event: str) -> int:
    return len(re.findall(rf"\b{event}\b", log.read_text()))


@pytest.mark.parametrize("table", ["messages", "devices"])
async def test_it_is_loud_while_it_stands_and_over_when_it_is_granted(
    serve: Serve, timescale_db: Database, role: str, table: str
) -> None:
    gateway = serve(mqtt=False, GATEWAY_DATABASE__URL=url_of(timescale_db.url, role))
    assert await post(gateway, 0) == "db"
    await execute(timescale_db.url, f"revoke insert on {table} from {role}")
    for number in range(1, POSTS):
        assert await post(gateway, number) == "spool"
        await asyncio.sleep(0.05)  # so that probes and attempts of the drainer fall among them
    database = part(gateway, "database")
    assert (database["ok"], database["kind"]) == (False, "fault")
    assert f"permission denied for table {table}; grant the user of database.url" in database["error"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT[0-9:.]+Z", database["since"])
    assert faults(gateway) == 1
    assert f"permission denied for table {table}" in doctor(gateway)
    assert (said(gateway.log, "database_lost"), said(gateway.log, "database_back")) == (1, 0)
    await execute(timescale_db.url, f"grant insert on {table} to {role}")
    wait_for(lambda: part(gateway, "spool")["rows"] == 0, lambda: "the spool is drained", secs=30)
    assert part(gateway, "database")["ok"]
    assert await fetch(timescale_db.url, "select count(*) from messages") == [(POSTS,)]
    assert (said(gateway.log, "database_lost"), said(gateway.log, "database_back")) == (1, 1)
    assert await post(gateway, POSTS) == "db"
