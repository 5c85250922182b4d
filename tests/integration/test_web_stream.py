"""GET /v1/stream over a real server, read by a client that nobody here wrote (httpx-sse), and by raw bytes."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from httpx import RemoteProtocolError
from httpx_sse import ServerSentEvent, aconnect_sse
from msgspec import structs

from gateway.domain.changes import LogPosition
from gateway.domain.contracts.newest import NewestMessage
from gateway.domain.model import Kind
from gateway.live import tail
from tests.builders.live_parts import NOON_US, reading
from tests.integration.web_server import Door, serving

SOON = 20.0
TS = "2024-11-22T12:03:20.123000Z"


@pytest.fixture
async def door(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    monkeypatch.setattr(tail, "WATCH_SECS", 0.02)
    monkeypatch.setattr("tests.fakes.live.WAIT_SECS", 0.02)
    async with serving() as made:
        made.stage.tags.devices = {"d1": {"site": "north"}, "d2": {"site": "south"}}
        made.stage.states.known = {"d1": {"t": (1.5, NOON_US, Kind.DOUBLE)}}
        yield made


class Events:
    """Events as a library gives them."""

    def __init__(self, source: AsyncIterator[ServerSentEvent]) -> None:
        self._source = source

    async def next(self, name: str) -> Any:
        event = await asyncio.wait_for(anext(self._source), SOON)
        assert event.event == name, event
        return event.json()

    async def next_id(self) -> str:
        return (await asyncio.wait_for(anext(self._source), SOON)).id

    async def end(self) -> None:
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(anext(self._source), SOON)


@asynccontextmanager
async def stream(door: Door, query: str = "", **headers: str) -> AsyncIterator[Events]:
    async with aconnect_sse(door.client, "GET", f"/v1/stream{query}", headers=headers) as source:
        assert source.response.status_code == 200
        assert source.response.headers["cache-control"] == "no-store"
        assert source.response.headers["x-request-id"]
        yield Events(source.aiter_sse())


async def test_a_stream_from_its_beginning(door: Door) -> None:
    async with stream(door, "?device=d1,d3&metric=t") as events:
        states = {"d1": {"t": {"value": 1.5, "ts": TS, "kind": "double"}}}
        assert await events.next("reset") == {"reason": "start", "states": states, "truncated": False}
        door.stage.log.add(("d2", reading(9.5)), ("d1", reading(2.5)))
        assert await events.next("change") == {"changes": [{"device": "d1", "ts": TS, "values": {"t": 2.5}}]}
        door.stage.log.lose_all()
        assert (await events.next("reset"))["reason"] == "lost"


async def test_signs_of_life_are_no_events(door: Door) -> None:
    async with asyncio.timeout(SOON), door.client.stream("GET", "/v1/stream?snapshot=false") as got:
        lines = got.aiter_lines()
        assert await first(lines, "event: ") == "event: reset"
        assert await first(lines, ":") == ": ping"
        door.stage.log.add(("d1", reading(2.5)))
        assert await first(lines, "event: ") == "event: change"


async def first(lines: AsyncIterator[str], start: str) -> str:
    """The next line that starts like this."""
    return await anext(line async for line in lines if line.startswith(start))


@pytest.mark.parametrize("how", ["header", "parameter", "both"])
async def test_a_stream_goes_on_after_the_last_id(door: Door, how: str) -> None:
    door.stage.log.add(("d1", reading(0.5)))
    last = door.stage.log.end.text
    door.stage.log.add(("d1", reading(1.5)))
    stale = LogPosition(door.stage.log.end.epoch, 0, 0).text
    query = {"header": "", "parameter": f"?last_event_id={last}", "both": f"?last_event_id={stale}"}[how]
    headers = {} if how == "parameter" else {"Last-Event-ID": last}
    async with stream(door, query, **headers) as events:
        assert (await events.next("change"))["changes"][0]["values"] == {"t": 1.5}
        door.stage.log.add(("d1", reading(2.5)))
        assert await events.next_id() == door.stage.log.end.text


async def test_an_id_that_a_client_kept_from_elsewhere_begins_anew(door: Door) -> None:
    async with stream(door, "", **{"Last-Event-ID": "17"}) as events:
        assert (await events.next("reset"))["reason"] in ("too_old", "lost")


async def test_a_large_batch_comes_in_parts_and_only_the_last_has_the_id(door: Door) -> None:
    async with stream(door, "?snapshot=false") as events:
        await events.next("reset")
        before = door.stage.log.end.text
        count = 3000
        door.stage.log.add(*[(f"device-{i}", reading(float(i))) for i in range(count)])
        found, ids = 0, []
        while found < count:
            event = await asyncio.wait_for(anext(events._source), SOON)
            found += len(event.json()["changes"])
            ids.append(event.id)
        assert len(ids) > 2
        assert ids == [before] * (len(ids) - 1) + [door.stage.log.end.text]


BAD_QUERIES = [
    "?device=a%00b",
    "?device=,",
    "?device=" + ",".join(f"d{i}" for i in range(1001)),
    "?metric=%FF",
    "?tag=",
    "?tag=:x",
    "?tag=%00",
    "?tag=k:" + "v" * 500,
    "?" + "&".join(f"tag=k{i}" for i in range(21)),
    "?snapshot=maybe",
    "?last_event_id=99",
    "?last_event_id=" + "9" * 500,
    "?last_event_id=epoch0001-" + "9" * 17 + "-1",
    "?colour=red",
]


async def test_questions_that_cannot_be_served(door: Door) -> None:
    for query in BAD_QUERIES:
        got = await door.client.get(f"/v1/stream{query}")
        assert (got.status_code, got.json()["code"]) == (422, "bad_parameter"), query


STRANGERS = [
    ("wrong", "", 401),
    ("ingest", "", 403),
    ("d1", "?device=d2", 403),
    ("d1", "?device=d1,d2", 403),
    ("d1", "?tag=site", 403),
]


async def test_who_may_not_see_what(door: Door) -> None:
    for token, query, status in STRANGERS:
        got = await door.client.get(f"/v1/stream{query}", headers={"Authorization": f"Bearer {token}"})
        assert got.status_code == status, (token, query)


async def test_a_device_sees_itself(door: Door) -> None:
    async with stream(door, Authorization="Bearer d1") as events:
        assert set((await events.next("reset"))["states"]) == {"d1"}
        door.stage.log.add(("d2", reading(2.5)))
        door.stage.log.add(("d1", reading(3.5)))
        assert (await events.next("change"))["changes"][0]["device"] == "d1"


async def test_too_many_streams_are_429(door: Door) -> None:
    door.stage.streams.limits = door.stage.streams.limits.__class__(max_streams=1)
    async with stream(door) as events:
        await events.next("reset")
        got = await door.client.get("/v1/stream")
        assert (got.status_code, got.json()["code"], got.json()["value"]) == (429, "too_many_streams", 1)
        assert int(got.headers["retry-after"]) >= 3


async def test_without_the_log_there_is_no_stream(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "START_SECS", 0.05)
    door.stage.log.away = True
    got = await door.client.get("/v1/stream")
    assert (got.status_code, got.json()["code"]) == (503, "state_unavailable")
    assert "retry-after" in got.headers


async def test_a_log_that_cannot_be_read_ends_a_replay_and_the_reader_comes_back(door: Door) -> None:
    async with stream(door) as keeps_it_open:
        await keeps_it_open.next("reset")
        last = door.stage.log.add(("d1", reading(0.5))).text
        door.stage.log.add(("d1", reading(1.5)))
        await keeps_it_open.next("change")
        await keeps_it_open.next("change")
        door.stage.log.away = True
        with pytest.raises(RemoteProtocolError):
            async with stream(door, "", **{"Last-Event-ID": last}) as events:
                await events.next("change")
        door.stage.log.away = False
        async with stream(door, "", **{"Last-Event-ID": last}) as events:
            assert (await events.next("change"))["changes"][0]["values"] == {"t": 1.5}


async def test_stopping_ends_streams_at_once_and_takes_no_new_ones(door: Door) -> None:
    async with stream(door) as events:
        await events.next("reset")
        await door.stop()
        await events.end()
        got = await door.client.get("/v1/stream")
        assert (got.status_code, got.json()["code"]) == (503, "draining")


async def test_a_client_that_leaves_gives_its_place_back(door: Door) -> None:
    async with stream(door) as events:
        await events.next("reset")
    async with asyncio.timeout(SOON):
        while len(door.stage.streams._readers):  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)


async def test_a_client_that_takes_nothing_is_cut_off_within_its_bound(door: Door) -> None:
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect(("127.0.0.1", door.port))
        stalled.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer admin\r\n\r\n")
        async with asyncio.timeout(SOON):
            while not len(door.stage.streams._readers):  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.01)
            (reader,) = door.stage.streams._readers
            text = "x" * 4000
            number = 0
            while len(door.stage.streams._readers):
                number += 1
                door.stage.log.add(
                    *[(f"d{i}", NewestMessage(2, NOON_US + number, (1.0, 2.0), (3,), (text,))) for i in range(30)]
                )
                await asyncio.sleep(0.005)
                (subscription,) = reader._subscriptions.values() if len(reader) else (None,)
                assert subscription is None or subscription._queue.size < 600_000


async def test_other_methods_are_405(door: Door) -> None:
    assert (await door.client.post("/v1/stream")).status_code == 405


async def test_a_client_that_takes_nothing_is_cut_off_soon_after_its_credential_has_ended(door: Door) -> None:
    """However patient the gateway is with readers that are valid."""
    streams = door.stage.streams
    streams.limits = structs.replace(streams.limits, stall_secs=3600)
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect(("127.0.0.1", door.port))
        stalled.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer admin\r\n\r\n")
        async with asyncio.timeout(SOON):
            while not len(streams._readers):  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.01)
            (reader,) = streams._readers
            message = NewestMessage(2, NOON_US, (1.0, 2.0), (3,), ("x" * 4000,))
            looks = 0
            while looks < 20:  # it has been given something all that time
                door.stage.log.add(*[(f"d{i}", message) for i in range(30)])
                await asyncio.sleep(0.005)
                looks = looks + 1 if reader._sending is not None else 0
            door.authenticator.tokens.clear()
            while len(streams._readers):  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.01)
    assert reader.ended == "unauthorized"
