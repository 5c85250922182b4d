"""Plain requests where there are limits: let through at once and counted as any other, refused as any other."""

import orjson
import pytest

from gateway.core.settings import HttpSettings, LimitSettings
from tests.integration.twin_doors import StoringDoor
from tests.integration.web_server import NOW_US, serving
from tests.integration.web_wire import Answer, Wire, head

BODY = orjson.dumps({"device": "d1", "ts": NOW_US // 1000, "values": {"t": 1.5, "h": 2.5}})
SLOW = 1e-3
"""Units a second: nothing comes back while a test runs."""
UNHEARD_OF = ("X-Unheard-Of: 1",)
"""A header that makes a request Sanic's."""


async def posted(wire: Wire, *more: str, token: str = "admin") -> Answer:
    await wire.send(head("/v1/readings", f"Content-Length: {len(BODY)}", *more, token=token) + BODY)
    return await wire.answer()


@pytest.mark.parametrize(
    ("name", "burst", "left"),
    [
        ("key_requests_per_sec", 4, [3, 2, 1, 0]),
        ("address_requests_per_sec", 4, [3, 2, 1, 0]),
        ("key_readings_per_sec", 7, [5, 3, 1, 0]),  # the last is taken whole, and paid for afterwards
        ("address_bytes_per_sec", 4 * len(BODY), [n * len(BODY) for n in (3, 2, 1, 0)]),
    ],
)
async def test_both_ways_are_counted_together(name: str, burst: float, left: list[int]) -> None:
    limits = LimitSettings(burst_secs=3600, **{name: burst / 3600})  # type: ignore[arg-type]
    async with serving(HttpSettings(drain_secs=0, grace_secs=1), limits=limits, make=StoringDoor) as door:
        assert isinstance(door, StoringDoor)
        wire = await door.raw()
        answers = [await posted(wire, *more) for more in ((), (), UNHEARD_OF, ())]
        assert [answer.status for answer in answers] == [200] * 4
        assert [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers] == [
            f'"limits.{name}";r={units}' for units in left
        ]
        assert door.taken_at_once == 2  # the first made the token known
        for more in ((), UNHEARD_OF):
            refused = await posted(wire, *more)
            assert refused.status == 429
            assert orjson.loads(refused.body)["limit"] == f"limits.{name}"
        assert door.taken_at_once == 2
        await wire.close()


async def test_the_address_is_the_one_that_the_proxy_names() -> None:
    http = HttpSettings(drain_secs=0, grace_secs=1, proxies="127.0.0.0/8")
    limits = LimitSettings(address_requests_per_sec=SLOW, burst_secs=3000)
    async with serving(http, limits=limits, make=StoringDoor) as door:
        assert isinstance(door, StoringDoor)
        wire = await door.raw()
        first, second = "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2"
        statuses = [(await posted(wire, hop)).status for hop in (first, first, second, first, first, second)]
        assert statuses == [200, 200, 200, 200, 429, 200]
        assert door.taken_at_once == 4
        await wire.close()


async def test_questions_count_as_requests() -> None:
    limits = LimitSettings(key_requests_per_sec=SLOW, key_readings_per_sec=SLOW, burst_secs=3000)
    ask = b"GET /v1/devices/d1/state HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer admin\r\n\r\n"
    async with serving(HttpSettings(drain_secs=0, grace_secs=1), limits=limits, make=StoringDoor) as door:
        wire = await door.raw()
        answers = []
        for _ in range(4):
            await wire.send(ask)
            answers.append(await wire.answer())
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert answers[2].headers["ratelimit"].startswith('"limits.key_requests_per_sec";r=0;')
        assert door.live.asked_soon == 2
        await wire.close()
