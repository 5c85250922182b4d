"""The calls for dead letters over a real server, on a real letterbox; what replays is scripted."""

import base64
import re
from collections.abc import AsyncIterator

import pytest

from gateway.core.errors import BadPayload, SinkUnavailable
from gateway.domain.dead_letters import DeadLetter, DeadLetterFilter
from gateway.domain.model import Receipt, Refusal
from gateway.services.dead_letter_replay import DeadLetterReplay
from gateway.timescale.connections.pool import open_pool
from gateway.timescale.dead_letters.browse import StoredDeadLetters
from gateway.timescale.dead_letters.store import TimescaleDeadLetters
from tests.integration.registries import registrar_on
from tests.integration.web_server import Door, serving
from tests.integration.writing import SOON
from tests.servers.databases import Database

LETTERS = [
    DeadLetter("mqtt", "unknown_device", "1 refused", "d1", '{"t": "ü"}'.encode(), "devices/d1/readings"),
    DeadLetter("mqtt", "bad_payload", "no JSON", "d2", b"\xff\x00", "devices/d2/readings"),
    DeadLetter("database", "rejected_by_database", "23514: no", "d1", b"{}"),
]
REFUSED = Receipt(0, 0, 0, 1, "db", [Refusal(0, "/0", "unknown_device", "register it")], errors_truncated=False)
CANNOT_BE_ASKED = [
    "device=d1&device=d2",
    "limit=0",
    "limit=1001",
    "limit=x",
    "limit=-1",
    "limit=",
    "cursor=0",
    "cursor=99999999999999999999",
    "cursor=9223372036854775808",
    "cursor=%D9%A1",
    "code=Nope!",
    "source=",
    "device=%00",
    "device=",
    "since=yesterday",
    "since=2026-01-01T00:00:00",
    "replayed=maybe",
    "devices=d1",
]
ALL_CALLS = [
    ("GET", "/v1/dead-letters"),
    ("GET", "/v1/dead-letters/1"),
    ("POST", "/v1/dead-letters/1:replay"),
    ("POST", "/v1/dead-letters:replay"),
]


@pytest.fixture
async def door(plain_db: Database) -> AsyncIterator[Door]:
    async with (
        open_pool(plain_db.url, name="test", size=2, connect_timeout=SOON, command_timeout=SOON) as pool,
        serving() as door,
    ):
        box = StoredDeadLetters(pool)
        door.context.letters, door.context.redelivery = box, DeadLetterReplay(door.intake, box)
        door.context.registrar = registrar_on(pool)
        for letter in LETTERS:
            await TimescaleDeadLetters(pool).put([letter])
        yield door


async def ids(door: Door, query: str = "") -> list[int]:
    got = await door.client.get(f"/v1/dead-letters{query}")
    assert got.status_code == 200, got.text
    return [letter["id"] for letter in got.json()["dead_letters"]]


async def test_a_list_shows_the_newest_first(door: Door) -> None:
    got = await door.client.get("/v1/dead-letters")
    assert got.headers["cache-control"] == "no-store"
    newest, middle, oldest = got.json()["dead_letters"]
    assert got.json()["next_cursor"] is None
    assert oldest["first_at"] == oldest["last_at"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", oldest["first_at"])
    assert {name: value for name, value in oldest.items() if not name.endswith("_at") and name != "id"} == {
        "source": "mqtt",
        "code": "unknown_device",
        "detail": "1 refused",
        "device": "d1",
        "topic": "devices/d1/readings",
        "count": 1,
        "size": 11,
        "payload": '{"t": "ü"}',
        "encoding": "utf-8",
    }
    assert oldest["replayed_at"] is None
    assert (middle["encoding"], base64.b64decode(middle["payload"])) == ("base64", b"\xff\x00")
    assert (newest["source"], newest["topic"]) == ("database", None)
    one = await door.client.get(f"/v1/dead-letters/{middle['id']}")
    assert one.json() == middle


async def test_pages_follow_each_other(door: Door) -> None:
    everything = await ids(door)
    seen, query = [], "?limit=2"
    while True:
        page = (await door.client.get(f"/v1/dead-letters{query}")).json()
        seen += [letter["id"] for letter in page["dead_letters"]]
        if page["next_cursor"] is None:
            break
        query = f"?limit=2&cursor={page['next_cursor']}"
    assert seen == everything == sorted(everything, reverse=True)


async def test_filters(door: Door) -> None:
    last, middle, first = await ids(door)
    assert await ids(door, "?device=d1") == [last, first]
    assert await ids(door, "?code=bad_payload") == [middle]
    assert await ids(door, "?source=database&device=d1") == [last]
    assert await ids(door, "?since=2020-01-01T00:00:00Z") == [last, middle, first]
    assert await ids(door, "?since=2999-01-01T00:00:00%2B02:00") == []
    assert await ids(door, "?since=2999-01-01+00:00:00+02:00") == []
    assert await ids(door, "?replayed=true") == []
    assert await ids(door, "?device=nobody") == []


async def test_what_cannot_be_asked_is_said(door: Door) -> None:
    for method, path in (ALL_CALLS[0], ALL_CALLS[-1]):
        for query in CANNOT_BE_ASKED:
            got = await door.client.request(method, f"{path}?{query}")
            assert (got.status_code, got.json()["code"]) == (422, "bad_parameter"), query
            assert query.partition("=")[0] in got.json()["parameter"]
    assert door.intake.taken == []


async def test_a_run_leaves_out_what_was_replayed_and_has_no_say_in_it(door: Door) -> None:
    got = await door.client.post("/v1/dead-letters:replay?replayed=false")
    assert (got.status_code, got.json()["parameter"]) == (422, "'replayed'")


async def test_only_admins_may(door: Door) -> None:
    for method, path in ALL_CALLS:
        for token in ("reader", "ingest", "d1"):
            got = await door.client.request(method, path, headers={"Authorization": f"Bearer {token}"})
            assert (got.status_code, got.json()["code"]) == (403, "forbidden")
        nobody = await door.client.request(method, path, headers={"Authorization": ""})
        assert nobody.status_code == 401
    assert door.intake.taken == []


async def test_what_is_not_there_is_404(door: Door) -> None:
    for number in ("999999", "9223372036854775807", "9223372036854775808", "0", "-1", "x"):
        got = await door.client.get(f"/v1/dead-letters/{number}")
        again = await door.client.post(f"/v1/dead-letters/{number}:replay")
        for answer in (got, again):
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), number


@pytest.mark.parametrize("colon", [":", "%3A"])
async def test_a_replay_takes_the_same_bytes_in_again(door: Door, colon: str) -> None:
    number = (await ids(door))[-1]
    got = await door.client.post(f"/v1/dead-letters/{number}{colon}replay")
    assert got.status_code == 200
    assert (got.json()["id"], got.json()["replayed"]) == (number, True)
    assert got.json()["receipt"]["accepted"] == 5
    [taken] = door.intake.taken
    assert (taken.body, taken.device) == (LETTERS[0].payload, "d1")
    kept = await door.context.letters.find(number)
    assert door.intake.replays == [int(kept.first_at.timestamp()) * 1_000_000 + kept.first_at.microsecond]
    assert await ids(door, "?replayed=true") == [number]
    again = await door.client.post(f"/v1/dead-letters/{number}:replay")
    assert (again.status_code, again.json()["replayed"]) == (200, True)


async def test_filters_in_a_body_are_not_taken_for_everything(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    number = (await ids(door))[-1]
    for path in ("/v1/dead-letters:replay", f"/v1/dead-letters/{number}:replay"):
        got = await door.client.post(path, json={"code": "bad_payload"})
        assert (got.status_code, got.json()["code"]) == (422, "bad_parameter")
        assert door.intake.taken == []
        assert (await door.client.post(path)).status_code == 200
        door.intake.taken.clear()
    assert not [record for record in caplog.records if "not consumed" in record.getMessage()]


async def test_a_letter_that_is_refused_again_is_422_and_stays_open(door: Door) -> None:
    async def refuse(_: bytes) -> Receipt:
        return REFUSED

    door.intake.answer = refuse
    number = (await ids(door))[-1]
    got = await door.client.post(f"/v1/dead-letters/{number}:replay")
    assert (got.status_code, got.json()["code"], got.json()["detail"]) == (422, "unknown_device", "/0 register it")
    assert got.json()["receipt"]["refused"] == 1
    door.intake.fail(BadPayload("no JSON"))
    unreadable = await door.client.post(f"/v1/dead-letters/{number}:replay")
    assert (unreadable.status_code, unreadable.json()["code"]) == (422, "bad_payload")
    assert unreadable.json()["receipt"] is None
    assert await ids(door, "?replayed=true") == []


async def test_a_gateway_that_cannot_take_it_now_says_so(door: Door) -> None:
    door.intake.fail(SinkUnavailable())
    number = (await ids(door))[-1]
    for path in (f"/v1/dead-letters/{number}:replay", "/v1/dead-letters:replay"):
        got = await door.client.post(path)
        assert (got.status_code, got.json()["code"]) == (503, "database_unavailable")
        assert got.headers["retry-after"]
    assert await ids(door, "?replayed=true") == []


async def test_many_are_replayed_page_by_page_and_only_once(door: Door) -> None:
    everything = sorted(await ids(door))
    first = (await door.client.post("/v1/dead-letters:replay?limit=2")).json()
    assert first == {"replayed": 2, "refused": 0, "remaining": 1, "next_cursor": str(everything[1]), "errors": []}
    second = (await door.client.post(f"/v1/dead-letters:replay?cursor={first['next_cursor']}")).json()
    assert (second["replayed"], second["remaining"], second["next_cursor"]) == (1, 0, None)
    noted = await door.context.registrar.audit.page()
    assert [(one.action, one.detail["replayed"]) for one in noted] == [("dead_letter.replay", n) for n in (1, 2)]
    assert [taken.body for taken in door.intake.taken] == [letter.payload for letter in LETTERS]
    third = (await door.client.post("/v1/dead-letters:replay")).json()
    assert (third["replayed"], third["refused"]) == (0, 0)
    assert await door.context.letters.page(DeadLetterFilter(replayed=False)) == []


async def test_only_what_the_filters_say_is_replayed(door: Door) -> None:
    run = (await door.client.post("/v1/dead-letters%3Areplay?code=bad_payload&device=d2&source=mqtt")).json()
    assert (run["replayed"], run["remaining"]) == (1, 0)
    assert [taken.body for taken in door.intake.taken] == [b"\xff\x00"]
