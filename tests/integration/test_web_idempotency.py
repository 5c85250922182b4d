"""Idempotency-Key over a real server: the same answer again, other bodies, what still runs, what is not kept."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from gateway.core.errors import BadPayload, GatewayError, Overloaded, SinkUnavailable
from gateway.domain.model import Receipt, Refusal
from gateway.web.http import idempotency
from tests.integration.web_server import CLEAN, Door, serving
from tests.integration.web_wire import head

BODY = b'{"device":"d1","metric":"t","value":1.5}'
KEY = {"Idempotency-Key": "batch-1"}
REFUSED = Receipt(0, 0, 0, 1, "db", [Refusal(0, "/0", "too_old", "m")], errors_truncated=False)
MIXED = Receipt(1, 0, 0, 1, "db", [Refusal(0, "/0", "too_old", "m")], errors_truncated=False)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.001)


@pytest_asyncio.fixture(name="door")
async def running() -> AsyncIterator[Door]:
    async with serving() as door:
        yield door


@pytest.mark.parametrize(("receipt", "status"), [(CLEAN, 200), (MIXED, 207), (REFUSED, 422)])
async def test_a_repeat_gets_the_same_answer_and_is_not_taken_again(door: Door, receipt: Receipt, status: int) -> None:
    async def answer(_: bytes) -> Receipt:
        return receipt

    door.intake.answer = answer
    first = await door.client.post("/v1/readings", content=BODY, headers=KEY)
    again = await door.client.post("/v1/readings", content=BODY, headers=KEY)
    assert (first.status_code, again.status_code) == (status, status)
    assert first.content == again.content
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert len(door.intake.taken) == 1


async def test_without_the_header_nothing_is_kept(door: Door) -> None:
    for _ in range(2):
        assert (await door.client.post("/v1/readings", content=BODY)).status_code == 200
    assert len(door.intake.taken) == 2
    assert door.receipts.kept == {}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/readings", BODY + b" "),
        ("/v1/readings?atomic=true", BODY),
        ("/v1/devices/d1/readings", BODY),
    ],
)
async def test_the_key_of_another_request_is_refused(door: Door, path: str, body: bytes) -> None:
    await door.client.post("/v1/readings", content=BODY, headers=KEY)
    got = await door.client.post(path, content=body, headers=KEY)
    assert (got.status_code, got.json()["code"]) == (422, "idempotency_mismatch")
    assert "retry-after" not in got.headers
    assert len(door.intake.taken) == 1


async def test_while_the_first_runs_a_repeat_is_told_to_come_back(door: Door) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(_: bytes) -> Receipt:
        began.set()
        await asyncio.wait_for(go_on.wait(), 10)
        return CLEAN

    door.intake.answer = slowly
    first = asyncio.create_task(door.client.post("/v1/readings", content=BODY, headers=KEY))
    await asyncio.wait_for(began.wait(), 10)
    meanwhile = await door.client.post("/v1/readings", content=BODY, headers=KEY)
    assert (meanwhile.status_code, meanwhile.json()["code"]) == (409, "idempotency_in_progress")
    assert int(meanwhile.headers["retry-after"]) >= 1
    go_on.set()
    assert (await first).status_code == 200
    after = await door.client.post("/v1/readings", content=BODY, headers=KEY)
    assert after.headers["idempotency-replayed"] == "true"
    assert len(door.intake.taken) == 1


@pytest.mark.parametrize("problem", [SinkUnavailable(), Overloaded(), BadPayload(), RuntimeError("a mistake")])
async def test_a_problem_is_not_kept(door: Door, problem: Exception) -> None:
    door.intake.fail(problem)
    failed = await door.client.post("/v1/readings", content=BODY, headers=KEY)
    assert failed.status_code == (problem.status if isinstance(problem, GatewayError) else 500)
    assert door.receipts.kept == {}
    door.intake.answer = door.intake._clean
    again = await door.client.post("/v1/readings", content=BODY, headers=KEY)
    assert (again.status_code, again.headers.get("idempotency-replayed")) == (200, None)


@pytest.mark.parametrize(("words", "kept"), [("m" * 50, 100), ("m" * 500, 0)])
async def test_of_a_very_long_receipt_at_least_the_counts_are_kept(door: Door, words: str, kept: int) -> None:
    refused = [Refusal(i, f"/{i}", "too_old", words) for i in range(1000)]

    async def answer(_: bytes) -> Receipt:
        return Receipt(5, 0, 0, 1000, "db", refused, errors_truncated=False)

    door.intake.answer = answer
    door.receipts.max_bytes = 20_000
    first = await door.client.post("/v1/readings", content=BODY, headers=KEY)
    again = await door.client.post("/v1/readings", content=BODY, headers=KEY)
    assert (first.status_code, again.status_code, again.headers["idempotency-replayed"]) == (207, 207, "true")
    assert again.json() == {**first.json(), "errors": first.json()["errors"][:kept], "errors_truncated": True}
    assert len(door.intake.taken) == 1


async def test_keys_belong_to_their_credential(door: Door) -> None:
    for token in ("admin", "ingest", "d1"):
        headers = {**KEY, "Authorization": f"Bearer {token}"}
        got = await door.client.post("/v1/readings", content=BODY, headers=headers)
        assert (got.status_code, got.headers.get("idempotency-replayed")) == (200, None)
    assert len(door.intake.taken) == 3


async def test_without_redis_readings_are_taken_all_the_same(door: Door) -> None:
    door.receipts.away = True
    for _ in range(2):
        got = await door.client.post("/v1/readings", content=BODY, headers=KEY)
        assert (got.status_code, got.headers.get("idempotency-replayed")) == (200, None)
    assert len(door.intake.taken) == 2


@pytest.mark.parametrize("failing", [False, True])
async def test_redis_going_away_amid_a_request_changes_no_answer(door: Door, failing: bool) -> None:
    async def answer(_: bytes) -> Receipt:
        door.receipts.away = True
        if failing:
            raise SinkUnavailable
        return CLEAN

    door.intake.answer = answer
    got = await door.client.post("/v1/readings", content=BODY, headers=KEY)
    assert got.status_code == (503 if failing else 200)


@pytest.mark.parametrize("length", [1, 255])
async def test_every_visible_character_may_be_in_a_key(door: Door, length: int) -> None:
    visible = ("".join(map(chr, range(0x21, 0x7F))) * 3)[:length]
    got = await door.client.post("/v1/readings", content=BODY, headers={"Idempotency-Key": visible})
    assert got.status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "a\tb", "schl\u00fcssel"])
async def test_other_keys_are_refused_before_the_body_is_read(door: Door, key: str) -> None:
    wire = await door.raw()
    lines = head("/v1/readings", f"Content-Length: {len(BODY)}", f"Idempotency-Key: {key}")
    await wire.send(lines + BODY)
    got = await wire.answer()
    assert (got.status, b'"bad_parameter"' in got.body) == (422, True)
    assert door.intake.taken == []
    await wire.close()


async def leave_before(door: Door, outcome: Receipt | Exception) -> asyncio.Event:
    """Post, go away while it is taken in, and return what lets that end so."""
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(_: bytes) -> Receipt:
        began.set()
        await asyncio.wait_for(go_on.wait(), 10)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    door.intake.answer = slowly
    wire = await door.raw()
    await wire.send(head("/v1/readings", f"Content-Length: {len(BODY)}", "Idempotency-Key: batch-1") + BODY)
    await asyncio.wait_for(began.wait(), 10)
    await wire.close()
    return go_on


async def test_a_client_that_goes_away_finds_its_receipt(door: Door) -> None:
    go_on = await leave_before(door, CLEAN)
    await until(lambda: not door.connections)
    assert door.context.bodies.inflight_bytes == len(BODY)  # it is still in hand, though nobody waits for it
    go_on.set()
    await until(lambda: door.context.bodies.inflight_bytes == 0)
    again = await door.client.post("/v1/readings", content=BODY, headers=KEY)
    assert (again.status_code, again.headers.get("idempotency-replayed")) == (200, "true")
    assert len(door.intake.taken) == 1


async def test_what_fails_after_its_client_went_away_leaves_no_claim(door: Door) -> None:
    (await leave_before(door, SinkUnavailable())).set()
    await until(lambda: not door.context.concluding)
    door.intake.answer = door.intake._clean
    again = await door.client.post("/v1/readings", content=BODY, headers=KEY)
    assert (again.status_code, again.headers.get("idempotency-replayed")) == (200, None)


@pytest.mark.parametrize("path", ["/v1/readings", "/v1/devices/d1/readings"])
async def test_after_a_device_was_removed_its_receipts_are_not_repeated(door: Door, path: str) -> None:
    for removed, replayed in ((None, None), ("d2", "true"), ("d1", None), (None, "true")):
        if removed is not None:
            door.receipts.remove(removed, 1)
        got = await door.client.post(path, content=BODY, headers=KEY)
        assert (got.status_code, got.headers.get("idempotency-replayed")) == (200, replayed), removed
    assert len(door.intake.taken) == 2


async def test_a_claim_is_renewed_while_its_request_runs(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "RENEW_SECS", 0.001)
    renewed = asyncio.Event()

    async def renew(*_: object) -> None:
        renewed.set()

    async def slowly(_: bytes) -> Receipt:
        await asyncio.wait_for(renewed.wait(), 10)
        return CLEAN

    monkeypatch.setattr(door.receipts, "renew", renew)
    door.intake.answer = slowly
    assert (await door.client.post("/v1/readings", content=BODY, headers=KEY)).status_code == 200
