"""A real PostgreSQL is killed under a whole gateway: /readyz and the log say what is not well and since when."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from gateway.web.cached_view import KEEP_SECS
from tests.integration.whole_gateway import Whole, settings_of, whole
from tests.servers.freezing import frozen, main_process
from tests.servers.postgres import DatabaseServer

SOON = 60.0
LOOK_SECS = 0.05


async def post(gateway: Whole, value: float) -> str:
    body = {"device": "d1", "metric": "t", "value": value}
    return str((await gateway.json("POST", "/v1/readings", json=body))["durability"])


async def readyz(gateway: Whole) -> dict[str, Any]:
    found: dict[str, Any] = await gateway.json("GET", "/readyz")
    return found


async def until(condition: Callable[[dict[str, Any]], bool], gateway: Whole) -> dict[str, Any]:
    async with asyncio.timeout(SOON):
        while not condition(found := await readyz(gateway)):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECS)
    return found


async def until_said(lines: list[Any], name: str) -> None:
    async with asyncio.timeout(SOON):
        while not {"database", "spool"} <= set(lines_of(lines, name)):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECS)


def named(found: dict[str, Any]) -> list[str]:
    return [each["part"] for each in found["degraded"]]


def lines_of(lines: list[Any], name: str) -> list[str]:
    return [line["part"] for line in lines if line["name"] == name]


async def timed(call: Awaitable[dict[str, Any]]) -> float:
    began = asyncio.get_running_loop().time()
    await call
    return asyncio.get_running_loop().time() - began


async def test_what_is_not_well_is_named_since_when_and_said_once(
    own_timescale: DatabaseServer, valkey: str, tmp_path: Path
) -> None:
    settings = settings_of(own_timescale.url(), valkey, tmp_path, unknown="auto")
    with capture_logs() as lines:
        async with whole(settings) as gateway:
            assert await post(gateway, 1.0) == "db"
            well = await until(lambda found: found["status"] == "ready", gateway)
            assert (well["degraded"], well["parts"]["spool"]["usable"]) == ([], True)
            began = datetime.now(UTC)
            own_timescale.kill()
            assert [await post(gateway, value) for value in (2.0, 3.0)] == ["spool"] * 2
            ended = datetime.now(UTC)
            away = await readyz(gateway)
            assert (away["status"], named(away)) == ("degraded", ["database", "spool"])
            for each in away["degraded"]:
                assert began <= datetime.fromisoformat(each["since"]) <= max(ended, datetime.now(UTC))
            assert "Readings are safe in the spool: 2 messages wait there" in away["degraded"][0]["what"]
            assert "2 messages wait on disk for the database" in away["degraded"][1]["what"]
            await until_said(lines, "degraded")
            still = await readyz(gateway)
            assert [each["since"] for each in still["degraded"]] == [each["since"] for each in away["degraded"]]
            view = await gateway.json("GET", "/v1/fleet")
            assert (view["ready"], view["status"], named(view)) == (True, "degraded", ["database", "spool"])
            own_timescale.start()
            back = await until(lambda found: found["status"] == "ready", gateway)
            assert (back["degraded"], back["parts"]["spool"]["rows"]) == ([], 0)
            await until_said(lines, "well_again")
    for name in ("degraded", "well_again"):
        assert sorted(part for part in lines_of(lines, name) if part != "redis") == ["database", "spool"], name


async def test_a_frozen_database_holds_no_answer_back(
    own_timescale: DatabaseServer, valkey: str, tmp_path: Path
) -> None:
    async with whole(settings_of(own_timescale.url(), valkey, tmp_path, unknown="auto")) as gateway:
        await until(lambda found: found["status"] == "ready", gateway)
        with frozen(main_process(own_timescale)):
            found = await until(lambda found: not found["parts"]["database"]["ok"], gateway)
            assert (found["status"], named(found)) == ("degraded", ["database"])
            assert "no answer within" in found["degraded"][0]["what"]
            assert await timed(readyz(gateway)) < 1.0
            for _ in range(2):  # the page gives up after 10 s
                assert await timed(gateway.json("GET", "/v1/fleet")) < 5.0
                await asyncio.sleep(KEEP_SECS)
        await until(lambda found: found["status"] == "ready", gateway)
