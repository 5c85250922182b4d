"""The loops of a bench, and the runner that chooses between them: a workload and a window in, a filled tally out.

In the closed loop each connection sends its next request when the last one is answered. In the open one a request is
sent when it is due, and its time counts from then, so a gateway that stalls cannot hide it. Everything happens in
callbacks of the event loop: some 20 µs of CPU a request, where a task that awaits each answer (`drivers.http`) takes
45 µs. On a machine that the gateway and its database share with us the difference is their throughput.
"""

import asyncio
from asyncio import TaskGroup
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count, cycle
from typing import TypeVar

import orjson

from simulator.core.addresses import Broker
from simulator.core.errors import ConnectionLost, Unreachable, first_of
from simulator.measure.bench.posts import Posts, device_names, to_templates
from simulator.measure.bench.publishing import Publishing
from simulator.measure.bench.results import ReceiptJudge, Tally, Window, judge_state, judge_states
from simulator.measure.bench.workloads import Workload
from simulator.send.drivers.http import HttpClient, Request
from simulator.send.drivers.http_connection import HttpProtocol, trying
from simulator.send.drivers.http_reader import Response
from simulator.send.pacing import Clock, Pace

_PAUSE_S = 0.05
"""After an answer that says no: a closed loop must not turn refusals into a flood."""
GRACE_S = 30.0
_PACED_CONNECTIONS = 64
"""Enough to keep the rate up while an answer takes 30 ms."""
_CONNECT_S = _ANSWER_S = 10.0
_PATIENCE_S = 1.0
"""Seconds after which a request that could not be sent when it was due is left out."""
_GRAIN_S = 0.001
_T = TypeVar("_T")


class Caller(HttpProtocol):
    """One connection. `on_free` gets it back when its request is answered, or when it has ended."""

    def __init__(self, tally: Tally, on_free: Callable[["Caller"], None], *, clock: Clock) -> None:
        super().__init__()
        self._tally = tally
        self._on_free = on_free
        self._clock = clock
        self._since = 0.0
        self.waits = False
        """Whether a request is on the way."""

    def ask(self, request: bytes, *, since: float) -> None:
        """Send a request whose time counts from then."""
        self.waits, self._since = True, since
        if self._transport is not None:
            self._transport.write(request)

    def abort(self) -> None:
        """Close the connection; what is on the way will not be waited for."""
        self._give_up("no_answer")
        if self._transport is not None:
            self._transport.abort()

    def _give_up(self, fault: str) -> None:
        if self.waits:
            self.waits = False
            self._tally.faults[fault] += 1

    def _deliver(self, response: Response) -> None:
        if not self.waits:
            raise ConnectionLost("a response nobody asked for")
        self.waits = False
        if not response.keep_alive:
            self.close()
        if self._tally.take(response.status, response.body, self._clock() - self._since):
            self._on_free(self)
        else:
            asyncio.get_running_loop().call_later(_PAUSE_S, self._on_free, self)

    def _fail(self, error: ConnectionLost) -> None:
        del error
        self._give_up("connection_lost")
        self.close()
        self._on_free(self)


async def closed(
    client: HttpClient, requests: Iterator[bytes], tally: Tally, window: Window, *, connections: int
) -> float:
    """Send while the window is open; return the seconds from the first request to the last answer. Raises Unreachable.

    What is not answered `GRACE_S` after the window's time is counted as a fault.
    """
    ended = asyncio.Event()
    busy: set[Caller] = set()

    def send(caller: Caller) -> None:
        request = next(requests, None) if window.is_open and caller.is_open else None
        if request is not None:
            caller.ask(request, since=window.clock())
            return
        busy.discard(caller)
        if not busy:
            ended.set()

    async with _callers(client, connections, partial(Caller, tally, send, clock=window.clock)) as callers:
        busy.update(callers)
        began = window.open()
        for caller in callers:
            send(caller)
        await _within(window.seconds + GRACE_S, ended.wait())
        return window.clock() - began


async def paced(client: HttpClient, requests: Iterator[bytes], tally: Tally, window: Window, *, rate: float) -> float:
    """Send `rate` requests/s while the window is open; return the seconds until the last answer. Raises Unreachable."""
    free: asyncio.Queue[Caller] = asyncio.Queue()
    make = partial(Caller, tally, free.put_nowait, clock=window.clock)
    async with _callers(client, _PACED_CONNECTIONS, make) as callers:
        for one in callers:
            free.put_nowait(one)
        began = window.open()
        posts = max(1, int(rate * window.seconds))
        pace = Pace(rate, posts, patience=_PATIENCE_S, clock=window.clock, grain=_GRAIN_S)
        while window.is_open and (turn := pace.claim()) is not None:
            await pace.arrival(turn)
            caller = await _next(free)
            if caller is None:
                break
            caller.ask(next(requests), since=turn.due)
        while any(one.waits for one in callers) and await _within(_ANSWER_S, free.get()) is not None:
            pass
        if pace.unsent:
            tally.faults["unsent"] += pace.unsent
        return window.clock() - began


@asynccontextmanager
async def _callers(client: HttpClient, count: int, make: Callable[[], Caller]) -> AsyncIterator[list[Caller]]:
    """Hold open so many connections. Raises Unreachable."""
    callers: list[Caller] = []
    try:
        for _ in range(count):
            async with trying(_CONNECT_S, otherwise="no connection in time"):
                callers.append(await client.connect(make))
        yield callers
    except ConnectionLost as error:
        raise Unreachable(f"The gateway at {client.url} does not answer: {error}.") from error
    finally:
        for caller in callers:
            caller.abort()


async def _next(free: "asyncio.Queue[Caller]") -> Caller | None:
    """Return a connection without a request; None if there is none for too long."""
    while True:
        caller = free.get_nowait() if not free.empty() else await _within(_ANSWER_S, free.get())
        if caller is None or caller.is_open:
            return caller


async def _within(seconds: float, result: Awaitable[_T]) -> _T | None:
    try:
        async with asyncio.timeout(seconds):
            return await result
    except TimeoutError:
        return None


_CYCLE = 200
"""Posts that W7 repeats: far more than are on the way at once, so that no batch holds one twice."""
_WARM_UP_S = 60.0
_READINGS = Request("POST", "/v1/readings")
_STATES = Request("POST", "/v1/states:query")


class Runner:
    """One workload against one gateway."""

    def __init__(
        self, workload: Workload, client: HttpClient, broker: Broker, *, prefix: str, start_ms: int, clock: Clock
    ) -> None:
        """`prefix` begins the names of its devices; their first messages are of `start_ms`."""
        self.workload = workload
        self.names = device_names(prefix, workload.form)
        head = None if workload.api == "mqtt" else lambda length: client.head(_READINGS, length)
        templates = to_templates(workload.form, prefix=prefix, head=head)
        self.posts = Posts(templates, form=workload.form, start_ms=start_ms, cycle=_CYCLE if workload.repeats else None)
        self._client = client
        self._broker = broker
        self._prefix = prefix
        self._clock = clock

    async def warm_up(self) -> None:
        """Let every device speak once, so that it is known. Raises Unreachable if one is not let in."""
        posts, window = (self.posts.next() for _ in range(self.posts.count)), Window(_WARM_UP_S, clock=self._clock)
        if self.workload.api == "mqtt":
            done = await self._publish(posts, window)
        else:
            done = await self._post(posts, window, repeats=False)
        if done.answers == self.posts.count:
            return
        faults = ", ".join(done.faults) or "no answer"
        hint = ": let unknown devices in (GATEWAY_DEVICES__UNKNOWN=auto)" if "unknown_device" in faults else ""
        raise Unreachable(f"{self.workload.name}: the gateway does not take our readings ({faults}){hint}.")

    async def run(self, window: Window, *, rate: float = 0.0) -> Tally:
        """Open the window once all is connected, and send until it is closed; at a rate, if one is given, in posts/s.

        Raises Unreachable.
        """
        posts = (self.posts.next() for _ in count())
        match self.workload.api:
            case "mqtt":
                return await self._publish(posts, window)
            case "state":
                return await self._closed(self._state_requests(), Tally(judge_state, items=1), window)
            case "states":
                body = orjson.dumps({"devices": self.names})
                tally = Tally(judge_states, items=self.workload.items)
                return await self._closed(cycle([self._client.head(_STATES, len(body)) + body]), tally, window)
        if self.workload.dashboards:
            return await self._post_beside_dashboards(posts, window)
        return await self._post(posts, window, repeats=self.workload.repeats, rate=rate)

    async def _closed(self, requests: Iterable[bytes], tally: Tally, window: Window) -> Tally:
        connections = self.workload.connections
        tally.elapsed = await closed(self._client, iter(requests), tally, window, connections=connections)
        return tally

    async def _paced(self, requests: Iterable[bytes], tally: Tally, window: Window, *, rate: float) -> Tally:
        tally.elapsed = await paced(self._client, iter(requests), tally, window, rate=rate)
        return tally

    async def _post(
        self, posts: Iterable[tuple[bytes, bytes]], window: Window, *, repeats: bool, rate: float = 0.0
    ) -> Tally:
        readings, requests = self.workload.form.readings, (data for _, data in posts)
        tally = Tally(ReceiptJudge(readings=readings, repeats=repeats), items=readings)
        if rate:
            return await self._paced(requests, tally, window, rate=rate)
        return await self._closed(requests, tally, window)

    async def _post_beside_dashboards(self, posts: Iterable[tuple[bytes, bytes]], window: Window) -> Tally:
        reads, reading = Tally(judge_state, items=1), Window(window.seconds, clock=self._clock)
        dashboards = self._paced(self._state_requests(), reads, reading, rate=self.workload.dashboards)
        try:
            async with TaskGroup() as group:
                group.create_task(dashboards, name="bench.dashboards")
                done = await self._post(posts, window, repeats=self.workload.repeats)
                reading.close()
        except* Unreachable as errors:
            raise first_of(errors) from None
        done.beside = reads
        return done

    async def _publish(self, posts: Iterable[tuple[bytes, bytes]], window: Window) -> Tally:
        publishing = Publishing(
            self._client, self._broker, name=self._prefix, clients=self.workload.connections,
            readings=self.workload.form.readings,
        )  # fmt: skip
        await publishing.run(iter(posts), window)
        return publishing.tally

    def _state_requests(self) -> Iterable[bytes]:
        """Return requests for the newest state of one device after the other, without end."""
        return cycle([self._client.head(Request("GET", f"/v1/devices/{name}/state"), 0) for name in self.names])
