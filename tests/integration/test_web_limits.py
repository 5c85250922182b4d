"""Rate limits at the HTTP door: who is counted, what is refused before it is read, and what the answer says."""

import asyncio
import gzip
import math
from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.core.errors import BadPayload, SettingsError
from gateway.core.settings import HttpSettings, LimitSettings
from tests.integration.web_server import Door, serving
from tests.integration.web_wire import Wire, head

BODY = b'{"device": "d1", "values": {"t": 1}}'
SLOW = 1e-3
"""Units a second: nothing comes back while a test runs."""
PATH = "/v1/readings"


def of_three(*names: str) -> LimitSettings:
    """Limits of these names: three units at once, and as good as none after that."""
    return LimitSettings(burst_secs=3000, **dict.fromkeys(names, SLOW))  # type: ignore[arg-type]


def http(**more: object) -> HttpSettings:
    return HttpSettings(drain_secs=0, grace_secs=1, **more)  # type: ignore[arg-type]


async def post(door: Door, token: str, body: bytes = BODY, *, path: str = PATH, **headers: str) -> httpx.Response:
    bearer = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    return await door.client.post(path, content=body, headers=bearer | headers)


@pytest.fixture
async def three() -> AsyncIterator[Door]:
    async with serving(limits=of_three("device_requests_per_sec", "key_requests_per_sec")) as door:
        yield door


async def test_without_limits_nothing_is_counted_and_nothing_is_told() -> None:
    async with serving() as door:
        assert door.context.limits is None
        answer = await post(door, "d1")
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("ratelimit")]


async def test_the_refusal_explains_itself(three: Door) -> None:
    answers = [await post(three, "d1") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    refusal = answers[3]
    problem = refusal.json()
    assert refusal.headers["content-type"] == "application/problem+json"
    assert problem["code"] == "rate_limited"
    assert problem["limit"] == "limits.device_requests_per_sec"
    assert (problem["value"], problem["scope"]) == (SLOW, "credential")
    assert 990_000 < problem["retry_after_ms"] <= 1_000_000
    assert problem["retry_after_ms"] == pytest.approx(1000 * problem["retry_after"], abs=2)
    assert "limits.device_requests_per_sec" in problem["detail"]
    secs = math.ceil(problem["retry_after"])
    assert refusal.headers["retry-after"] == str(secs)
    assert refusal.headers["ratelimit-policy"] == '"limits.device_requests_per_sec";q=3;w=3000'
    assert refusal.headers["ratelimit"] == f'"limits.device_requests_per_sec";r=0;t={secs}'
    assert [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers[:3]] == [
        f'"limits.device_requests_per_sec";r={left}' for left in (2, 1, 0)
    ]
    assert len(three.intake.taken) == 3


async def test_each_credential_has_its_own_and_reads_count(three: Door) -> None:
    for _ in range(3):
        assert (await post(three, "d1")).status_code == 200
    assert (await post(three, "d1")).status_code == 429
    state = "/v1/devices/d1/state"
    assert (await three.client.get(state, headers={"authorization": "Bearer d1"})).status_code == 429
    assert (await post(three, "ingest")).status_code == 200
    for status in (404, 404, 404, 429):
        answer = await three.client.get(state, headers={"authorization": "Bearer reader"})
        assert answer.status_code == status
    assert answer.json()["limit"] == "limits.key_requests_per_sec"


async def test_health_and_metrics_are_never_refused(three: Door) -> None:
    limits = of_three("address_requests_per_sec")
    async with serving(limits=limits) as door:
        for _ in range(5):
            await post(door, "d1")
        assert (await post(door, "d1")).status_code == 429
        assert [(await door.client.get(path)).status_code for path in ("/livez", "/readyz", "/metrics")] == [200] * 3


async def test_an_address_is_counted_before_its_credential_is_looked_at() -> None:
    async with serving(limits=of_three("address_requests_per_sec")) as door:
        statuses = [(await post(door, token)).status_code for token in ("nobody", "d1", "ingest", "d1")]
        assert statuses == [401, 200, 200, 429]
        problem = (await post(door, "nobody")).json()
        assert (problem["limit"], problem["scope"]) == ("limits.address_requests_per_sec", "address")


async def test_proxies_are_believed_only_if_they_are_known() -> None:
    limits = of_three("address_requests_per_sec")
    for proxies, statuses in (("", [200, 200, 200, 429]), ("127.0.0.0/8", [200] * 4)):
        async with serving(http(proxies=proxies), limits=limits) as door:
            wire = await door.raw()
            answers = [await wire.post(BODY, more=[f"X-Forwarded-For: 192.0.2.{i}"]) for i in range(4)]
            assert [answer.status for answer in answers] == statuses
            await wire.close()


async def test_proxies_that_cannot_be_read_stop_the_start() -> None:
    with pytest.raises(SettingsError, match=r"http\.proxies"):
        async with serving(http(proxies="10.0.0.1/8")):
            pass


async def test_a_proxy_may_say_any_bytes() -> None:
    async with serving(http(proxies="127.0.0.1"), limits=of_three("address_requests_per_sec")) as door:
        wire = await door.raw()
        for said in (b"\xff\xfe", b'"', b"[", b",,,,", b"1" * 4000):
            await wire.send(head(PATH, "Content-Length: 2")[:-2] + b"X-Forwarded-For: " + said + b"\r\n\r\n[]")
        statuses = [(await wire.answer()).status for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429], "all of them are the proxy itself"
        await wire.close()


async def test_readings_are_paid_for_afterwards() -> None:
    async with serving(limits=of_three("device_readings_per_sec")) as door:
        door.intake.readings = 2
        assert [(await post(door, "d1")).status_code for _ in range(3)] == [200, 200, 429]
        assert (await post(door, "ingest")).status_code == 200
        refusal = await post(door, "d1")
        assert refusal.json()["limit"] == "limits.device_readings_per_sec"
        assert 1_900_000 < refusal.json()["retry_after_ms"] <= 2_000_000  # one in debt, and one to have
        assert 'qu="readings"' in refusal.headers["ratelimit-policy"]
        assert len(door.intake.taken) == 3


async def test_bodies_in_hand_together_do_not_each_get_the_whole_bucket() -> None:
    async with serving(limits=of_three("device_readings_per_sec")) as door:
        door.intake.readings = 3
        answers = await asyncio.gather(*[post(door, "d1") for _ in range(8)])
        assert sorted(answer.status_code for answer in answers) == [200] + [429] * 7
        assert len(door.intake.taken) == 1


async def test_too_many_bytes_are_refused_before_they_are_read() -> None:
    limits = LimitSettings(device_bytes_per_sec=1, burst_secs=100)
    async with serving(limits=limits) as door:
        wire = await door.raw()
        await wire.send(head(PATH, "Content-Length: 90", token="d1") + b" " * 90)
        assert (await wire.answer()).status == 200
        await wire.send(head(PATH, "Content-Length: 90", token="d1"))  # and never a byte of it
        refusal = await wire.answer()
        assert refusal.status == 429
        assert refusal.headers["ratelimit-policy"] == '"limits.device_bytes_per_sec";q=100;w=100;qu="content-bytes"'
        assert len(door.intake.taken) == 1
        await wire.close()


async def test_a_body_larger_than_the_bucket_passes_once() -> None:
    async with serving(limits=LimitSettings(device_bytes_per_sec=1, burst_secs=10)) as door:
        statuses = [(await post(door, "d1", BODY * 9)).status_code for _ in range(2)]
        assert statuses == [200, 429]


async def test_a_size_that_is_refused_anyway_does_not_count() -> None:
    async with serving(http(max_body_bytes=1000), limits=LimitSettings(device_bytes_per_sec=1, burst_secs=100)) as door:
        wire = await door.raw()
        await wire.send(head(PATH, "Content-Length: 100000000000", token="d1"))
        assert (await wire.answer()).status == 413
        await wire.close()
        assert (await post(door, "d1")).status_code == 200


async def test_bytes_that_were_not_declared_count_when_they_are_here() -> None:
    async with serving(limits=LimitSettings(device_bytes_per_sec=1, burst_secs=100)) as door:

        async def parts() -> AsyncIterator[bytes]:
            yield gzip.compress(b" " * 5000)

        bearer = {"authorization": "Bearer d1", "content-encoding": "gzip"}
        first = await door.client.post(PATH, content=parts(), headers=bearer)
        assert first.status_code == 200
        second = await post(door, "d1", b"")
        assert second.status_code == 429
        assert 4_800_000 < second.json()["retry_after_ms"] <= 4_901_000


async def test_backfill_has_a_purse_of_its_own() -> None:
    limits = of_three("device_readings_per_sec", "device_bytes_per_sec", "backfill_readings_per_sec")
    async with serving(limits=limits) as door:
        door.intake.readings = 3
        assert (await post(door, "d1")).status_code == 200
        assert (await post(door, "d1")).status_code == 429
        assert (await post(door, "d1", path=f"{PATH}?backfill=true")).status_code == 200
        refusal = await post(door, "d1", path=f"{PATH}?backfill=true")
        assert refusal.json()["limit"] == "limits.backfill_readings_per_sec"
        assert (await post(door, "ingest", path=f"{PATH}?backfill=true")).status_code == 200
        assert door.intake.backfill == [False, True, True]


async def test_without_a_purse_backfill_is_no_way_around_the_limits() -> None:
    async with serving(limits=of_three("device_readings_per_sec")) as door:
        assert (await post(door, "d1")).status_code == 200
        assert (await post(door, "d1", path=f"{PATH}?backfill=true")).status_code == 429


@pytest.mark.parametrize("limits", [None, of_three("key_requests_per_sec")])
async def test_backfill_goes_on_to_the_intake(limits: LimitSettings | None) -> None:
    async with serving(limits=limits) as door:
        for query in ("", "?backfill=true", "?backfill=false"):
            assert (await post(door, "ingest", path=PATH + query)).status_code == 200
        assert door.intake.backfill == [False, True, False]


@pytest.mark.parametrize("query", ["backfill=yes", "backfill=", "backfill=true&backfill=true"])
async def test_a_backfill_that_is_not_true_or_false_is_refused(query: str) -> None:
    async with serving() as door:
        answer = await post(door, "ingest", path=f"{PATH}?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_parameter")


async def test_problems_of_other_kinds_tell_what_is_left_too(three: Door) -> None:
    three.intake.fail(BadPayload("not JSON"))
    answer = await post(three, "d1")
    assert answer.status_code == 400
    assert answer.headers["ratelimit"].startswith('"limits.device_requests_per_sec";r=2;')


async def test_the_nearest_limit_is_told_and_all_are_listed() -> None:
    limits = LimitSettings(
        device_requests_per_sec=10, device_bytes_per_sec=10, address_requests_per_sec=1000, burst_secs=10
    )
    async with serving(limits=limits) as door:
        answer = await post(door, "d1")
        assert answer.headers["ratelimit"].startswith('"limits.device_bytes_per_sec";r=6')
        assert answer.headers["ratelimit-policy"] == (
            '"limits.address_requests_per_sec";q=10000;w=10, "limits.device_requests_per_sec";q=100;w=10, '
            '"limits.device_bytes_per_sec";q=100;w=10;qu="content-bytes"'
        )


async def test_a_refused_connection_can_be_used_again(three: Door) -> None:
    wire: Wire = await three.raw()
    statuses = [(await wire.post(BODY)).status for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    await wire.close()
