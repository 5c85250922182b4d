"""One device posts nine years of daily readings in one body, and nobody suffers: neither it, nor others, nor reads."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import asyncpg
import httpx
import pytest
import redis

from tests.e2e.serving import ADMIN_KEY, Gateway, wait_for
from tests.servers import plain_http
from tests.servers.databases import Database

DAYS, DAY_SECS = 3_300, 86_400
SLOW_SECS = 120.0


class Others:
    """Somebody who posts all the while."""

    def __init__(self, url: str) -> None:
        self._url, self._over = url, threading.Event()
        self._thread = threading.Thread(target=self._post)
        self.answers: list[httpx.Response] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _post(self) -> None:
        with plain_http.Client(base_url=self._url, headers=HEADERS, timeout=SLOW_SECS) as client:
            while not self._over.wait(0.05):
                self.answers.append(client.post("/v1/readings", json={"device": "other", "metric": "t", "value": 1.5}))


HEADERS = {"Authorization": f"Bearer {ADMIN_KEY}"}


def body() -> dict[str, Any]:
    newest = int(time.time()) // DAY_SECS * DAY_SECS
    times = [newest - n * DAY_SECS for n in range(DAYS)]
    return {"device": "old", "ts": times, "values": {"t": [float(n) for n in range(DAYS)]}}


def chunks(url: str) -> int:
    async def count() -> int:
        connection = await asyncpg.connect(url)
        try:
            found: int = await connection.fetchval(
                "select count(*) from pg_inherits where inhparent = 'messages'::regclass"
            )
            return found
        finally:
            await connection.close()

    return asyncio.run(count())


@pytest.mark.slow
def test_nine_years_in_one_body(serve: Callable[..., Gateway], timescale_db: Database, valkey: str) -> None:
    gateway = serve(mqtt=False)
    with plain_http.Client(base_url=gateway.url, headers=HEADERS, timeout=SLOW_SECS) as client:
        said = body()
        with Others(gateway.url) as others:
            answer = client.post("/v1/readings", json=said)
            again = client.post("/v1/readings", json=said)
        assert (answer.status_code, again.status_code) == (200, 200)
        assert answer.json() | {"errors": []} == answer.json()
        assert [answer.json()[key] for key in ("accepted", "duplicates", "durability")] == [DAYS, 0, "db"]
        assert [again.json()[key] for key in ("accepted", "duplicates", "durability")] == [DAYS, DAYS, "db"]
        assert {each.json()["durability"] for each in others.answers} == {"db"}
        assert len(others.answers) > 10
        assert chunks(timescale_db.url) >= DAYS

        refused = client.post("/v1/readings?atomic=true", json=said | {"device": "whole"})
        assert (refused.status_code, refused.json()["code"]) == (422, "atomic_too_wide")
        assert client.get("/readyz").json()["parts"]["spool"]["rows"] == 0

        whole: dict[str, Any] = {"from": "-3650d"}
        rows = client.get("/v1/devices/old/readings", params=whole | {"limit": 5000}).json()
        assert len(rows["readings"]) == DAYS
        buckets = client.get("/v1/devices/old/readings", params=whole | {"every": "30d", "fn": "count,p50"}).json()
        assert sum(buckets["series"][0]["count"]) == DAYS
        chart = client.get("/v1/devices/old/readings", params=whole | {"points": 500}).json()
        assert len(chart["series"][0]["ts"]) > 400

        with redis.Redis.from_url(valkey) as store:
            store.flushall()
        wait_for(
            lambda: client.get("/v1/devices/old/state").json().get("source") == "redis",
            lambda: f"the state is rebuilt: {client.get('/readyz').json()}",
            secs=30,
        )
        assert client.get("/v1/devices/old/state").json()["metrics"]["t"]["value"] == 0.0

        assert client.delete("/v1/devices/old", params={"readings": "delete"}).status_code in (200, 202, 204)
        assert client.get("/v1/devices/old/readings", params=whole).status_code == 404
        gateway.terminate()

    serve(mqtt=False, GATEWAY_RETENTION__DAYS="100")
    wait_for(
        lambda: chunks(timescale_db.url) <= 102, lambda: f"{chunks(timescale_db.url)} chunks are left", secs=SLOW_SECS
    )
