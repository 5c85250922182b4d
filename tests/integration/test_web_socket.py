"""GET /v1/ws over a real server, spoken to by a client that nobody here wrote (the `websockets` package)."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.domain.model import Kind
from gateway.live import streams, tail
from gateway.web.handlers import websocket_protocol
from tests.builders.live_parts import NOON_US, reading
from tests.integration.web_server import Door, serving

SOON = 10.0
TS = "2024-11-22T12:03:20.123000Z"


@pytest.fixture
async def door(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    monkeypatch.setattr(tail, "WATCH_SECS", 0.02)
    monkeypatch.setattr("tests.fakes.live.WAIT_SECS", 0.02)
    async with serving() as made:
        made.stage.states.known = {"d1": {"t": (1.5, NOON_US, Kind.DOUBLE)}}
        yield made


@pytest.fixture
async def talk(door: Door) -> AsyncIterator[ClientConnection]:
    async with open_socket(door) as connection:
        yield connection


def open_socket(door: Door, *protocols: str, token: str | None = "admin", **options: Any) -> connect:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    uri = f"ws://127.0.0.1:{door.port}/v1/ws"
    return connect(uri, additional_headers=headers, subprotocols=list(protocols) or None, proxy=None, **options)  # type: ignore[arg-type]


async def say(connection: ClientConnection, **message: object) -> None:
    await connection.send(orjson.dumps(message).decode())


async def hear(connection: ClientConnection) -> dict[str, Any]:
    found = orjson.loads(await asyncio.wait_for(connection.recv(), SOON))
    assert isinstance(found, dict)
    return found


async def begin(connection: ClientConnection, **message: object) -> dict[str, Any]:
    await say(connection, type="subscribe", **message)
    heard = [await hear(connection), await hear(connection)]
    said = sorted(heard, key=lambda each: each["type"], reverse=True)
    assert said[0] == {"type": "subscribed", "subscription": message["id"]}
    return said[1]


async def test_two_subscriptions_on_one_socket(door: Door, talk: ClientConnection) -> None:
    reset = await begin(talk, id="one", device=["d1"])
    shown = {"d1": {"t": {"value": 1.5, "ts": TS, "kind": "double"}}}
    assert (reset["type"], reset["subscription"], reset["reason"], reset["states"]) == ("reset", "one", "start", shown)
    assert (await begin(talk, id="all", snapshot=False))["states"] == {}
    door.stage.log.add(("d1", reading(2.5)), ("d2", reading(3.5)))
    heard = {each["subscription"]: each for each in [await hear(talk), await hear(talk)]}
    change = {"device": "d1", "ts": TS, "values": {"t": 2.5}}
    number = door.stage.log.end.text
    assert heard["one"] == {"type": "change", "subscription": "one", "id": number, "changes": [change]}
    assert [each["device"] for each in heard["all"]["changes"]] == ["d1", "d2"]
    await say(talk, type="unsubscribe", id="one")
    assert await hear(talk) == {"type": "unsubscribed", "subscription": "one"}
    door.stage.log.add(("d1", reading(4.5)))
    assert (await hear(talk))["subscription"] == "all"


async def test_a_subscription_goes_on_after_the_last_id(door: Door, talk: ClientConnection) -> None:
    last = door.stage.log.add(("d1", reading(0.5))).text
    for value in (1.5, 2.5):
        door.stage.log.add(("d1", reading(value)))
    first = await begin(talk, id="x", last_event_id=last)
    assert [first["changes"], (await hear(talk))["changes"]] == [
        [{"device": "d1", "ts": TS, "values": {"t": value}}] for value in (1.5, 2.5)
    ]


async def test_a_browser_sends_its_token_as_a_subprotocol(door: Door) -> None:
    async with open_socket(door, "gateway.v1", "bearer.admin", token=None) as connection:
        assert connection.subprotocol == "gateway.v1"
        await say(connection, type="ping")
        assert await hear(connection) == {"type": "pong"}
    async with open_socket(door, "bearer.d1", token=None) as connection:
        assert connection.subprotocol is None
        await say(connection, type="subscribe", id="x", device=["d2"])
        assert (await hear(connection))["code"] == "forbidden"
        assert set((await begin(connection, id="x"))["states"]) == {"d1"}


@pytest.mark.parametrize(("token", "status"), [("wrong", 401), (None, 401), ("ingest", 403)])
async def test_who_may_not_come_in(door: Door, token: str | None, status: int) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with open_socket(door, token=token):
            pass
    assert caught.value.response.status_code == status
    assert orjson.loads(caught.value.response.body or b"")["code"] in ("unauthorized", "forbidden")


BAD_MESSAGES = [
    ("", "bad_payload"),
    ("{", "bad_payload"),
    ("[" * 60_000, "bad_parameter"),
    ("[]", "bad_parameter"),
    ('{"type":"dance"}', "bad_parameter"),
    ('{"type":"subscribe"}', "bad_parameter"),
    ('{"type":"subscribe","id":""}', "bad_parameter"),
    ('{"type":"subscribe","id":"x","colour":1}', "bad_parameter"),
    ('{"type":"subscribe","id":"x","device":["\\u0000"]}', "bad_parameter"),
    ('{"type":"subscribe","id":"x","device":"d1"}', "bad_parameter"),
    ('{"type":"subscribe","id":"x","tag":[":"]}', "bad_parameter"),
    ('{"type":"subscribe","id":"x","last_event_id":"99"}', "bad_parameter"),
    ('{"type":"subscribe","id":"\\ud800"}', "bad_payload"),
    ('{"type":"unsubscribe","id":"nothing"}', "bad_parameter"),
]


async def test_what_cannot_be_served_is_said_and_costs_nothing_else(talk: ClientConnection) -> None:
    for message, code in BAD_MESSAGES:
        await talk.send(message)
        heard = await hear(talk)
        assert (heard["type"], heard["code"]) == ("error", code), message[:60]
        await say(talk, type="ping")
        assert await hear(talk) == {"type": "pong"}


async def test_a_name_that_is_taken_and_too_many_subscriptions(
    talk: ClientConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_SUBSCRIPTIONS", 1)
    await begin(talk, id="x")
    for name, code in (("x", "bad_parameter"), ("y", "too_many_streams")):
        await say(talk, type="subscribe", id=name)
        heard = await hear(talk)
        assert (heard["code"], heard["subscription"]) == (code, name)


async def test_messages_in_pieces_and_in_binary_frames(talk: ClientConnection) -> None:
    await talk.send(['{"type":', '"ping"}'])
    await talk.send(b'{"type":"ping"}')
    assert [await hear(talk), await hear(talk)] == [{"type": "pong"}, {"type": "pong"}]
    await asyncio.wait_for(await talk.ping(), SOON)


async def test_text_that_is_not_utf8_ends_the_socket(talk: ClientConnection) -> None:
    await talk.send(b"\xff\xfe", text=True)
    with pytest.raises(ConnectionClosed) as caught:
        await hear(talk)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1007


async def test_a_message_that_is_too_large_ends_the_socket(talk: ClientConnection) -> None:
    await talk.send("x" * (websocket_protocol.MAX_MESSAGE + 1))
    with pytest.raises(ConnectionClosed) as caught:
        await hear(talk)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009


async def test_many_messages_at_once_are_all_answered(talk: ClientConnection) -> None:
    for _ in range(500):
        await say(talk, type="ping")
    assert [await hear(talk) for _ in range(500)] == [{"type": "pong"}] * 500


async def test_stopping_says_why_and_closes(door: Door, talk: ClientConnection) -> None:
    await begin(talk, id="x")
    await door.stop()
    assert (await hear(talk))["code"] == "draining"
    with pytest.raises(ConnectionClosed) as caught:
        await hear(talk)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1001


async def test_a_client_that_leaves_gives_its_place_back(door: Door) -> None:
    async with open_socket(door) as connection:
        await begin(connection, id="x")
        connection.transport.abort()
    async with open_socket(door) as connection:
        await begin(connection, id="x")
    async with asyncio.timeout(SOON):
        while len(door.stage.streams._readers):  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)


KEY = base64.b64encode(os.urandom(16)).decode()
GOOD = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13"}


BAD_HANDSHAKES = [
    ({"Upgrade": ""}, 426),
    ({"Upgrade": "h2c"}, 426),
    ({"Connection": "close"}, 422),
    ({"Sec-WebSocket-Key": "short"}, 422),
    ({"Sec-WebSocket-Key": ""}, 422),
    ({"Sec-WebSocket-Version": "8"}, 426),
    ({"Sec-WebSocket-Version": "013"}, 426),
    ({"Sec-WebSocket-Version": "13, 8"}, 426),
    ({"Sec-WebSocket-Version": ""}, 426),
    ({"Sec-WebSocket-Version": "14", "Sec-WebSocket-Key": ""}, 426),
    ({"Sec-WebSocket-Protocol": "(,"}, 422),
]


async def test_handshakes_that_are_none(door: Door) -> None:
    for change, status in BAD_HANDSHAKES:
        got = await door.client.get("/v1/ws", headers=GOOD | change)
        assert got.status_code == status, change
        assert got.json()["code"] == {426: "upgrade_required", 422: "bad_parameter"}[status]
        names = ("upgrade", "sec-websocket-version")
        assert [got.headers.get(name) for name in names] == (["websocket", "13"] if status == 426 else [None, None])


async def test_another_version_is_told_which_one_is_spoken(door: Door) -> None:
    got = await door.client.get("/v1/ws", headers=GOOD | {"Sec-WebSocket-Version": "8"})
    assert "version 13 of WebSocket (RFC 6455), not '8'" in got.json()["detail"]
    without = {name: value for name, value in GOOD.items() if name != "Sec-WebSocket-Version"}
    got = await door.client.get("/v1/ws", headers=without)
    assert (got.status_code, got.headers["sec-websocket-version"]) == (426, "13")
    assert "no Sec-WebSocket-Version" in got.json()["detail"]


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [("revoked", 1008, "unauthorized"), ("unheard", 1013, "unverified")],
)
async def test_it_is_closed_when_its_credential_is_not_valid_or_nobody_can_tell(
    door: Door, talk: ClientConnection, change: str, code: int, said: str
) -> None:
    await begin(talk, id="a")
    if change == "revoked":
        del door.authenticator.tokens["admin"]
    else:
        door.authenticator.unheard = 1e6
    error = await hear(talk)
    assert (error["type"], error["code"]) == ("error", said)
    with pytest.raises(ConnectionClosed):
        await asyncio.wait_for(talk.recv(), SOON)
    assert talk.close_code == code
    with pytest.raises(InvalidStatus) as caught:
        await open_socket(door)
    assert caught.value.response.status_code == (401 if change == "revoked" else 503)


FIELDS = ("Host", "Authorization", *GOOD, "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Origin", "X-Any")


@pytest.mark.parametrize("field", FIELDS)
async def test_no_byte_in_a_handshake_is_a_mistake_of_ours(door: Door, field: str) -> None:
    fields = {"Host": "g", "Authorization": "Bearer admin", **GOOD}
    for byte in [*range(0x20), 0x22, 0x2C, 0x3B, 0x7F, 0x80, 0xC3, 0xFF]:
        value = fields.get(field, "gateway.v1").encode()
        sent = {name: text.encode() for name, text in fields.items()} | {field: value[:2] + bytes([byte]) + value[2:]}
        wire = await door.raw()
        await wire.send(
            b"".join([b"GET /v1/ws HTTP/1.1\r\n", *[b"%b: %b\r\n" % (n.encode(), v) for n, v in sent.items()], b"\r\n"])
        )
        status = (await wire.answer()).status
        wire.abort()
        assert status == 101 or 400 <= status < 500, (field, byte)


async def test_why_it_is_closed_is_heard_by_who_sends_on(door: Door) -> None:
    fields = {"Host": "g", "Authorization": "Bearer admin", **GOOD}
    wire = await door.raw()
    await wire.send(
        "".join(["GET /v1/ws HTTP/1.1\r\n", *[f"{n}: {v}\r\n" for n, v in fields.items()], "\r\n"]).encode()
    )
    assert (await wire.answer()).status == 101
    wire.put(b"\xff" * 2**20)
    heard = b""
    while len(heard) < 4:
        heard += await asyncio.wait_for(wire.some(), SOON)
    assert (heard[0], int.from_bytes(heard[2:4], "big")) == (0x88, 1002)
    wire.abort()
