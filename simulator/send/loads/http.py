"""A load over HTTP: as many senders as connections, one post at a time each."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from simulator.core.errors import ConnectionLost
from simulator.plan.faults import AGAIN, HANG_UPS, Fault
from simulator.plan.scenario import Scenario
from simulator.send.drivers.http import HttpClient, Request
from simulator.send.drivers.http_reader import Response
from simulator.send.encode import Post
from simulator.send.ledger import Ledger
from simulator.send.loads.base import Load
from simulator.send.loads.script import Job, Script
from simulator.send.loads.truth import judge
from simulator.send.pacing import Clock, Pace
from simulator.send.receipts import TARGET, Answer, Meaning

_FIRST_DELAY, _MAX_DELAY = 0.05, 2.0
_DRIP_S = 1.0
"""Seconds between two bytes of a slow socket."""
_PATIENCE_S = 15.0
"""Seconds that the gateway may take beyond its own deadline to answer a slow socket."""
_PIECE = 256 * 1024
_MAX_ASIDE = 64
"""Posts at a time that go their own slow way beside the senders."""
_BAD_KEY = "this-is-no-key"
_UNHURRIED = frozenset({Fault.SLOW_SOCKET, Fault.DISCONNECT})
"""Their latency is our own doing."""


class HttpLoad(Load):
    """A part over HTTP."""

    def __init__(
        self, script: Script, ledger: Ledger, pace: Pace, *, scenario: Scenario, clock: Clock, client: HttpClient,
        senders: int,
    ) -> None:  # fmt: skip
        super().__init__(script, ledger, pace, scenario=scenario, clock=clock)
        self._client = client
        self._senders = senders
        self._busy = 0
        self._aside = asyncio.Semaphore(_MAX_ASIDE)
        self._errors: Counter[str] = Counter()

    @property
    def in_flight(self) -> int:
        """Posts on the way."""
        return self._busy

    @property
    def errors(self) -> Counter[str]:
        """Attempts that came to nothing."""
        return self._errors

    async def run(self) -> None:
        """Send the whole part, as `Load.run` says."""
        async with asyncio.TaskGroup() as group:
            for i in range(self._senders):
                group.create_task(self._send_all(group), name=f"http.sender[{i}]")

    async def _send_all(self, group: asyncio.TaskGroup) -> None:
        while (job := self._claim()) is not None:
            if not await self._wait_for(job.turn):
                continue
            self.script.count(job)
            if job.fault in HANG_UPS:
                self._client.hang_up(all_of_them=job.fault is Fault.STORM)
            if job.fault is Fault.SLOW_SOCKET:
                await self._aside.acquire()
                group.create_task(self._send_aside(job), name=f"http.slow[{job.number}]")
            else:
                await self._send(job)

    async def _send_aside(self, job: Job) -> None:
        """Send a post that takes its time without holding up a sender."""
        try:
            await self._send(job)
        finally:
            self._aside.release()

    async def _send(self, job: Job) -> None:
        self._busy += 1
        try:
            answer = await self._deliver(job)
            if answer is not None:
                self._settle(job, answer)
            if job.fault in AGAIN and answer is not None and _is_stored(answer):
                await self._send_again(self.script.again(job))
        finally:
            self._busy -= 1

    async def _send_again(self, job: Job) -> None:
        """Send what is stored already; its answer is judged, and changes nothing in the ledger."""
        answer = await self._deliver(job)
        if answer is not None:
            self.script.note(job, judge(job.expected, answer), len(job.expected.refused))

    async def _deliver(self, job: Job) -> Answer | None:
        """Return the answer that settles a post; None if there was none in time, or none before the run was ended."""
        deadline = self._clock() + self._give_up
        delay = _FIRST_DELAY
        while True:
            answer, retry_after = await self._attempt(job)
            if answer.meaning is not Meaning.AGAIN or not judge(job.expected, answer):
                return answer
            self._errors[answer.reason] += 1
            pause = max(retry_after, delay * self._random.uniform(0.5, 1.5))
            if self._clock() + pause > deadline or not await self.pace.rest(pause):
                return None
            delay = min(delay * 2, _MAX_DELAY)

    async def _attempt(self, job: Job) -> tuple[Answer, float]:
        self.ledger.write_sent(job.number)
        try:
            response = await self._exchange(job)
        except ConnectionLost:
            return Answer(Meaning.AGAIN, reason="connection_lost"), 0.0
        if response is None:
            return Answer(Meaning.REFUSED, codes=Counter({job.expected.code: len(job.expected.refused)})), 0.0
        answer = self.script.codec.read(job.number, response.status, response.body)
        if answer.meaning is not Meaning.AGAIN:
            return answer, 0.0
        return answer, parse_retry_after(response.headers.get("retry-after", ""))

    async def _exchange(self, job: Job) -> Response | None:
        """Send a post the way its fault asks for; return the response, None if we left before there was one."""
        request = _request(job.post)
        match job.fault:
            case Fault.BAD_TOKEN:
                return await self._client.request(replace(request, key=_BAD_KEY))
            case Fault.DISCONNECT:
                await self._client.send_and_leave(request, len(request.body) // 2)
                return None
            case Fault.OVERSIZE:
                pieces = (request.body[at : at + _PIECE] for at in range(0, len(request.body), _PIECE))
                return await self._client.request_in_parts(request, pieces, pause=0.0, timeout=_PATIENCE_S)
            case Fault.SLOW_SOCKET:
                patience = self.part.draw.assumed.body_deadline_secs + _PATIENCE_S
                drips = _drips(request.body, int(patience / _DRIP_S))
                return await self._client.request_in_parts(request, drips, pause=_DRIP_S, timeout=patience)
            case _:
                return await self._client.request(request)

    def _settle(self, job: Job, answer: Answer) -> None:
        """Judge an answer and note what it means. What was spoiled and is said to be stored stays open."""
        if job.fault not in _UNHURRIED:
            self._measure(job.turn)
        ledger, number, expected = self.ledger, job.number, job.expected
        wrong = judge(expected, answer)
        self.script.note(job, wrong, len(expected.refused))
        if answer.meaning is Meaning.AGAIN:  # the right answer to a slow socket sounds like one to come again
            ledger.write_refused(number, Counter({expected.code: len(expected.refused)}))
        elif answer.meaning is Meaning.REFUSED:
            ledger.write_refused(number, answer.codes)
        elif answer.meaning is Meaning.PARTLY and (not wrong or not expected.code):
            ledger.write_partly(number, answer.codes, refused=answer.refused)
        elif answer.meaning is Meaning.DROPPED and not expected.code:
            ledger.write_dropped(number, answer.codes)
        elif answer.meaning is Meaning.STORED and not expected.code:
            ledger.write_acknowledged(number, answer.durability)
        elif answer.meaning is Meaning.UNCLEAR:
            ledger.faults[answer.reason] += 1


def _drips(body: bytes, count: int) -> Iterator[bytes]:
    """Yield half of a body, and then so many single bytes of the rest, but never the last one."""
    half = len(body) // 2
    yield body[:half]
    for at in range(half, half + count):
        yield body[at : min(at + 1, len(body) - 1)]


def _is_stored(answer: Answer) -> bool:
    """Whether a repeat must find the post stored; what is in a spool may be stored after it."""
    return answer.meaning in {Meaning.STORED, Meaning.PARTLY} and answer.durability in {"db", TARGET}


def _request(post: Post) -> Request:
    head = post.head
    return Request("POST", head.path, post.body, head.media, post.encoding, headers=head.headers)


def parse_retry_after(text: str) -> float:
    """Return the seconds of a Retry-After header, 0 if it holds none (a date is not worth the trouble)."""
    return float(text) if text.isascii() and text.isdigit() else 0.0
