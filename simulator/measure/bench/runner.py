"""The runner of a workload: a workload and a window in, a tally out. Looks at nothing but the answers."""

from asyncio import TaskGroup
from collections.abc import Iterable
from itertools import count, cycle

import orjson

from simulator.core.addresses import Broker
from simulator.core.errors import Unreachable, first_of
from simulator.measure.bench.loops import closed, paced
from simulator.measure.bench.posts import Posts, device_names, to_templates
from simulator.measure.bench.publishing import Publishing
from simulator.measure.bench.tally import ReceiptJudge, Tally, Window, judge_state, judge_states
from simulator.measure.bench.workloads import Workload
from simulator.send.drivers.http import HttpClient, Request
from simulator.send.pacing import Clock

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
