"""The loops of a bench, and the runner that chooses between them: a workload and a window in, a filled tally out.

In the closed loop each connection sends its next request when the last one is answered. In the open one a request is
sent when it is due, and its time counts from then, so a gateway that stalls cannot hide it. Everything happens in
callbacks of the event loop: some 20 µs of CPU a request, where a task that awaits each answer (`drivers.http`) takes
45 µs. On a machine that the gateway and its database share with us the difference is their throughput.
"""

import asyncio
from asyncio import TaskGroup
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count, cycle

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
_CONNECT_S = 10.0
_PATIENCE_S = 1.0
"""Seconds after which a request that could not be sent when it was due is left out."""


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
        if self._transport is not None and self.is_open:
            self._transport.write(request)
        else:
            self._fail(ConnectionLost("it ended before the request was due"))

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


async def send_all(
    client: HttpClient,
    requests: Iterator[bytes],
    tally: Tally,
    window: Window,
    *,
    connections: int = _PACED_CONNECTIONS,
    rate: float = 0.0,
) -> None:
    """Send while the window is open, at a rate if one is given, in requests/s; fill the tally. Raises Unreachable.

    What is not answered `GRACE_S` after the window's time is counted as a fault.
    """
    ended, busy, loop = asyncio.Event(), set[Caller](), asyncio.get_running_loop()
    pace: Pace | None = None

    def next_due() -> float | None:
        turn = pace.claim() if pace else None
        return turn.due if turn else None if pace else window.clock()

    def send(caller: Caller) -> None:
        due = next_due() if window.is_open and caller.is_open else None
        request = None if due is None else next(requests, None)
        if due is None or request is None:
            busy.discard(caller)
            if not busy:
                ended.set()
        elif pace and (wait := due - window.clock()) > 0:
            loop.call_later(wait, partial(caller.ask, request, since=due))
        else:
            caller.ask(request, since=due)

    async with _callers(client, connections, partial(Caller, tally, send, clock=window.clock)) as callers:
        busy.update(callers)
        began = window.open()
        if rate:
            pace = Pace(rate, max(1, int(rate * window.seconds)), patience=_PATIENCE_S, clock=window.clock)
        for caller in callers:
            send(caller)
        with suppress(TimeoutError):
            async with asyncio.timeout(window.seconds + GRACE_S):
                await ended.wait()
        tally.elapsed = window.clock() - began
    if pace is not None and pace.unsent:
        tally.faults["unsent"] += pace.unsent


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
                return await self._sent(self._state_requests(), Tally(judge_state, items=1), window)
            case "states":
                body = orjson.dumps({"devices": self.names})
                tally = Tally(judge_states, items=self.workload.items)
                return await self._sent(cycle([self._client.head(_STATES, len(body)) + body]), tally, window)
        if self.workload.dashboards:
            return await self._post_beside_dashboards(posts, window)
        return await self._post(posts, window, repeats=self.workload.repeats, rate=rate)

    async def _sent(self, requests: Iterable[bytes], tally: Tally, window: Window) -> Tally:
        """Send in a closed loop."""
        await send_all(self._client, iter(requests), tally, window, connections=self.workload.connections)
        return tally

    async def _post(
        self, posts: Iterable[tuple[bytes, bytes]], window: Window, *, repeats: bool, rate: float = 0.0
    ) -> Tally:
        readings, requests = self.workload.form.readings, (data for _, data in posts)
        tally = Tally(ReceiptJudge(readings=readings, repeats=repeats), items=readings)
        if rate:
            await send_all(self._client, requests, tally, window, rate=rate)
            return tally
        return await self._sent(requests, tally, window)

    async def _post_beside_dashboards(self, posts: Iterable[tuple[bytes, bytes]], window: Window) -> Tally:
        reads, reading = Tally(judge_state, items=1), Window(window.seconds, clock=self._clock)
        states = iter(self._state_requests())
        dashboards = send_all(self._client, states, reads, reading, rate=self.workload.dashboards)
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
