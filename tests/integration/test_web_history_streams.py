"""Streams of history over a real server: broken off if they fail, ended with their reader, held back by a slow one."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import httpx
import pytest
import pytest_asyncio

from gateway.core.errors import SinkUnavailable
from gateway.core.settings import HistorySettings
from gateway.domain.history import HistoryRow, Order
from gateway.telemetry import prometheus
from gateway.web.limits.exports import Exports
from tests.integration.web_server import NOW_US, Door, serving

PATH = "/v1/devices/d1/readings"
NDJSON = {"Accept": "application/x-ndjson"}
DEADLINE = 10.0
Source = Callable[[], AsyncGenerator[list[HistoryRow], None]]


def rows(count: int) -> list[HistoryRow]:
    return [HistoryRow("d1", NOW_US + i, {"s": "x" * 1000}) for i in range(count)]


class Scripted:
    """History that streams what a test says, and nothing else."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.lists = 0
        self.closed = asyncio.Event()

    async def stream(self, *_: object, order: Order, caller: str) -> AsyncGenerator[list[HistoryRow], None]:
        assert order.span.start_us < order.span.end_us
        assert caller in ("key 1", "device d1")
        try:
            async for some in self._source():
                self.lists += 1
                yield some
        finally:
            self.closed.set()


async def endless() -> AsyncGenerator[list[HistoryRow], None]:
    while True:
        yield rows(100)


def counted(outcome: str) -> float:
    value: float = prometheus.history_streams[(outcome,)]._value.get()
    return value


@pytest_asyncio.fixture(name="door")
async def running() -> AsyncIterator[Door]:
    async with serving() as door:
        yield door


def script(door: Door, source: Source) -> Scripted:
    scripted = Scripted(source)
    door.context.stored = scripted  # type: ignore[assignment]
    return scripted


@pytest.mark.parametrize("error", [SinkUnavailable(), ValueError("a mistake of ours")])
async def test_a_stream_that_fails_does_not_look_complete(door: Door, error: Exception) -> None:
    async def failing() -> AsyncGenerator[list[HistoryRow], None]:
        yield rows(1)
        raise error

    script(door, failing)
    before = counted("broken_off")
    with pytest.raises(httpx.TransportError):
        await door.client.get(PATH, headers=NDJSON)
    assert counted("broken_off") == before + 1
    assert (await door.client.get("/livez")).status_code == 200


async def test_a_stream_that_fails_at_once_is_a_problem(door: Door) -> None:
    async def failing() -> AsyncGenerator[list[HistoryRow], None]:
        raise SinkUnavailable
        yield []

    script(door, failing)
    got = await door.client.get(PATH, headers=NDJSON)
    assert (got.status_code, got.json()["code"]) == (503, "database_unavailable")


async def test_a_stream_ends_with_its_reader(door: Door) -> None:
    scripted = script(door, endless)
    before = counted("gone")
    async with door.client.stream("GET", PATH, headers=NDJSON) as got:
        async for line in got.aiter_lines():
            assert json.loads(line)["device"] == "d1"
            break
    await asyncio.wait_for(scripted.closed.wait(), DEADLINE)
    assert counted("gone") == before + 1


async def test_a_slow_reader_holds_the_stream_back(door: Door) -> None:
    scripted = script(door, endless)
    async with door.client.stream("GET", PATH, headers=NDJSON):
        async with asyncio.timeout(DEADLINE):
            seen = -1
            while scripted.lists != seen:  # a hundred rounds of the loop without one more: it waits
                seen = scripted.lists
                for _ in range(100):
                    await asyncio.sleep(0.001)
        assert 0 < scripted.lists < 500, "a list is 100 kB, and the kernel's buffers are a few MB"
    await asyncio.wait_for(scripted.closed.wait(), DEADLINE)


async def test_so_many_streams_at_once(door: Door) -> None:
    go_on = asyncio.Event()

    async def waiting() -> AsyncGenerator[list[HistoryRow], None]:
        yield rows(1)
        await go_on.wait()

    script(door, waiting)
    door.context.exports = Exports(HistorySettings(max_exports=1))
    async with door.client.stream("GET", PATH, headers=NDJSON) as first:
        assert first.status_code == 200
        second = await door.client.get(PATH, headers=NDJSON)
        assert (second.status_code, second.json()["code"]) == (503, "overloaded")
        assert (second.json()["limit"], second.json()["value"]) == ("history.max_exports", 1)
        assert second.headers["retry-after"]
        go_on.set()
        assert len((await first.aread()).splitlines()) == 1
    assert (await door.client.get(PATH, headers=NDJSON)).status_code == 200


async def test_a_stream_has_a_longest_time(door: Door) -> None:
    script(door, endless)
    door.context.exports = Exports(HistorySettings(export_timeout_secs=0.1))
    with pytest.raises(httpx.TransportError):
        await asyncio.wait_for(door.client.get(PATH, headers=NDJSON), DEADLINE)


async def test_a_whole_stream_is_counted(door: Door) -> None:
    async def short() -> AsyncGenerator[list[HistoryRow], None]:
        yield rows(2)
        yield []
        yield rows(3)

    script(door, short)
    before = counted("complete")
    got = await door.client.get(PATH, headers={"Accept": "text/csv"})
    assert len(got.text.splitlines()) == 1 + 5
    assert counted("complete") == before + 1


async def test_one_credential_has_a_share_of_the_streams(door: Door) -> None:
    script(door, endless)
    door.context.exports = Exports(HistorySettings(max_exports=4, max_exports_per_credential=1))
    before = prometheus.shares_refused[("history.max_exports_per_credential",)]._value.get()
    device = {"Authorization": "Bearer d1"}
    async with door.client.stream("GET", PATH, headers=NDJSON) as first:
        assert first.status_code == 200
        second = await door.client.get(PATH, headers=NDJSON)
        assert (second.status_code, second.json()["code"]) == (429, "too_many_at_once")
        assert (second.json()["limit"], second.json()["value"]) == ("history.max_exports_per_credential", 1)
        assert second.headers["retry-after"]
        async with door.client.stream("GET", PATH, headers=NDJSON | device) as other:
            assert other.status_code == 200
    assert prometheus.shares_refused[("history.max_exports_per_credential",)]._value.get() == before + 1


@pytest.mark.parametrize("is_read", [True, False])
async def test_a_stream_is_broken_off_when_its_credential_ends(door: Door, *, is_read: bool) -> None:
    """Also where its reader takes nothing, and what is sent waits."""
    script(door, endless)
    before = counted("broken_off")
    async with door.client.stream("GET", PATH, headers=NDJSON) as answer:
        assert answer.status_code == 200
        parts = answer.aiter_raw()
        await anext(parts)
        del door.authenticator.tokens["admin"]
        if is_read:
            with pytest.raises(httpx.TransportError):
                async for _ in parts:
                    pass
        else:
            async with asyncio.timeout(DEADLINE):
                while counted("broken_off") == before:  # noqa: ASYNC110 - a counter has no event
                    await asyncio.sleep(0.01)
    assert counted("broken_off") == before + 1


async def test_a_question_under_way_ends_when_its_credential_does(door: Door) -> None:
    asked = asyncio.Event()

    class Slow(Scripted):
        async def page(self, *_: object, **__: object) -> None:
            asked.set()
            await asyncio.Event().wait()

    door.context.stored = Slow(endless)  # type: ignore[assignment]
    call = asyncio.create_task(door.client.get(PATH))
    await asyncio.wait_for(asked.wait(), DEADLINE)
    del door.authenticator.tokens["admin"]
    answer = await asyncio.wait_for(call, DEADLINE)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
