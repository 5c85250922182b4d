"""Reading beside a load, from a server that shows little, nothing, or stops doing so."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from simulator.send.drivers.http import HttpClient
from simulator.send.ledger import Ledger
from simulator.send.results import PartResult, WorkerResult
from simulator.verify.referee import Verdict
from simulator.verify.states import States
from simulator.watch import watching
from simulator.watch.stream import AT_ONCE, Polls, SseEvent, StreamReader
from simulator.watch.watching import Keep, Watching
from tests.fakes.listening import listening
from tests.fakes.waiting import until
from tests.unit.simulator.cases import plan
from tests.unit.simulator.watch.test_watching import OK, chunk

RESET = 'event: reset\nid: e-0-1\nretry: 10\ndata: {"reason":"start","states":{}}\n\n'


class FakeViews:
    """Shows the states given, and streams what is put into `lines`; `statuses` are used up one a stream first."""

    def __init__(self) -> None:
        self.states: Any = {}
        self.state_status = 200
        self.statuses: list[int] = []
        self.heads: list[str] = []
        self.lines = [RESET]
        self.is_open = asyncio.Event()
        self.cut = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if head.startswith("GET /v1/stream"):
                self.heads.append(head)
                return await self._stream(writer)
            length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
            await reader.readexactly(length)
            body = json.dumps({"states": self.states}).encode()
            writer.write(b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n%b" % (self.state_status, len(body), body))

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        status = self.statuses.pop(0) if self.statuses else 200
        if status != 200:
            writer.write(b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\n{}" % status)
            return
        writer.write(OK + b"".join(map(chunk, self.lines)))
        self.is_open.set()
        await self.cut.wait()
        self.cut.clear()


@asynccontextmanager
async def shown(views: FakeViews) -> AsyncIterator[HttpClient]:
    async with listening(views.serve) as port, HttpClient(f"http://127.0.0.1:{port}", key="k", timeout=5) as client:
        yield client


@asynccontextmanager
async def running(work: Awaitable[None]) -> AsyncIterator["asyncio.Future[None]"]:
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def reader(client: HttpClient, take: Callable[[SseEvent], None], names: tuple[str, ...] = ("d1", "d2")) -> StreamReader:
    return StreamReader(client, list(names), take=take, random=Random(1))


async def test_it_comes_back_with_the_last_id_after_the_time_it_was_told() -> None:
    views, events = FakeViews(), list[SseEvent]()
    views.lines += ['event: change\ndata: {"changes":[]}\n\n', 'event: change\nid: e-9-9\ndata: {"changes":[]}\n\n']
    async with shown(views) as client:
        stream = reader(client, events.append, ("d1", "straße"))
        async with running(stream.run()):
            await until(lambda: len(events) == 3)
            assert stream.is_open
            views.cut.set()
            await until(lambda: len(events) == 6)
    first, again = views.heads
    assert first.startswith("GET /v1/stream?device=d1,stra%C3%9Fe HTTP/1.1\r\n")
    assert "\r\nAuthorization: Bearer k\r\n" in first
    assert "Last-Event-ID" not in first
    assert "\r\nLast-Event-ID: e-9-9\r\n" in again
    assert stream.connections == 2


async def test_a_gateway_that_is_busy_is_asked_again_and_one_that_has_no_stream_is_not() -> None:
    views, events = FakeViews(), list[SseEvent]()
    views.statuses = [503, 429, 500]
    async with shown(views) as client:
        stream = reader(client, events.append)
        stream._retry_s = 0.01
        async with running(stream.run()):
            await until(lambda: len(events) == 1)
        assert len(views.heads) == 4
        views.statuses = [404]
        other = reader(client, events.append)
        await other.run()
    assert other.refused == "GET /v1/stream was answered with 404"


async def test_states_are_asked_for_at_fixed_times_however_slow_the_answers_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("simulator.watch.stream.EVERY_S", 0.01)
    views, seen = FakeViews(), list[States]()
    views.states = {"d1": {"metrics": {"t": {"value": 1.0, "ts": "2026-01-01T00:00:00Z"}}}}
    async with shown(views) as client:
        asking = Polls(client, ["d1"], take=seen.append, clock=time.monotonic)
        async with running(asking.run()):
            await until(lambda: asking.answered >= 5)
            views.state_status = 503
            await until(lambda: asking.failed >= 2)
    assert seen[0] == {"d1": {"t": {"value": 1.0, "ts": "2026-01-01T00:00:00Z"}}}
    assert asking.trouble == "states:query was answered with 503"


async def test_questions_that_are_not_answered_are_few_and_the_others_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("simulator.watch.stream.EVERY_S", 0.005)
    asked = 0

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.read()

    async with listening(silent) as port, HttpClient(f"http://127.0.0.1:{port}") as client:
        asking = Polls(client, ["d1"], take=lambda _: None, clock=time.monotonic)
        async with running(asking.run()):
            await until(lambda: asking.left_out >= 10)
    assert asked <= AT_ONCE


async def watched(
    views: FakeViews,
    *,
    patience: float = 0.0,
    before: Callable[[], object] = lambda: None,
    keep: Keep | None = None,
    enough: Callable[[], bool] = lambda: True,
) -> Watching:
    """Watch a run of one part whose first message of each device was acknowledged."""
    run = plan(watch=3)
    (part,) = run.parts()
    ledger = Ledger(part.lane)
    ledger.write_acknowledged(0, "db")
    results = [WorkerResult(parts=[PartResult.of_ledger(part, ledger)])]
    results[0].parts[0].began = time.monotonic()
    async with shown(views) as client, Watching(client, run, clock=time.monotonic, keep=keep) as watch:
        await watch.begun()
        before()
        await until(enough)
        await watch.settle([ledger], results, patience=patience, quiet=patience)
    return watch


async def test_what_is_not_shown_to_us_is_not_watched_and_nothing_is_blamed() -> None:
    views = FakeViews()
    views.statuses, views.state_status = [403], 403
    watch = await watched(views, patience=0.3)
    assert watch.told.stream_unwatched == "GET /v1/stream was answered with 403"
    assert watch.told.state_unwatched == "states:query was answered with 403"
    verdict = Verdict()
    watch.add_to(verdict)
    assert verdict.stream_unchecked == watch.told.stream_unwatched
    assert verdict.total.is_clean


async def test_a_stream_that_does_not_begin_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_BEGIN_S", 0.05)
    views = FakeViews()
    views.lines = [": ping\n"]
    assert (await watched(views)).told.stream_unwatched == "it did not begin within 0.05 s"


async def test_a_stream_that_is_lost_in_the_end_proves_nothing() -> None:
    views = FakeViews()

    def lose() -> None:
        views.statuses = [503] * 100
        views.cut.set()

    watch = await watched(views, patience=0.2, before=lose)
    verdict = Verdict()
    watch.add_to(verdict)
    assert (verdict.stream_unchecked, verdict.total.stream_gaps) == (watching.LOST, 0)


async def test_what_never_comes_is_waited_for_and_then_missed() -> None:
    watch = await watched(FakeViews(), patience=0.3)
    verdict = Verdict()
    watch.add_to(verdict)
    assert (watch.told.stream_unwatched, watch.told.state_unwatched) == ("", "")
    assert verdict.total.stream_gaps > 0


async def test_it_notes_how_it_stands_as_it_goes_and_once_more_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_NOTE_S", 0.01)
    kept: list[bytes] = []
    watch = await watched(FakeViews(), keep=kept.append, enough=lambda: len(kept) >= 3)
    lines = [json.loads(line) for line in kept]
    assert all(line.endswith(b"\n") for line in kept)
    assert [line["has_settled"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert [line["until"] for line in lines] == sorted(line["until"] for line in lines)
    assert lines[-1]["watch"]["stream_resets"] == dict(watch.told.stream_resets) == {"start": 1}
    assert watch.told.unkept == ""


async def test_a_disk_that_is_full_ends_the_notes_and_not_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_NOTE_S", 0.01)
    tries: list[bytes] = []

    def full(line: bytes) -> None:
        tries.append(line)
        raise OSError(28, "No space left on device")

    watch = await watched(FakeViews(), keep=full, enough=lambda: bool(tries))
    assert watch.told.unkept == "[Errno 28] No space left on device"
    assert (watch.told.stream_unwatched, len(tries)) == ("", 1)
