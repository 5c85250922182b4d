"""The referee of a run: waits until all is stored, reads it in portions of devices, checks the state of each.

Only facts decide: an acknowledged reading must be stored once with its value; one that was sent and not answered may
be; any other must not. The state of a series must be its newest reading acknowledged or stored. What was spoiled over
MQTT must have left a dead letter.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from simulator.core.errors import Refused, Unreachable
from simulator.plan.fleet import Lane, Transport
from simulator.send.drivers.http import HttpClient
from simulator.send.pacing import Clock, Sleep
from simulator.send.target import Source
from simulator.verify.audit import Audit, Newest
from simulator.verify.dead_letters import DeadLetterFindings, compare, expected_letters, fetch_letters
from simulator.verify.findings import Account, DroppedFindings, DroppedPosts, Findings, Problem
from simulator.verify.states import MAX_DEVICES, States, differences, fetch_states

_CELLS = 1_000_000
"""Readings looked at in one portion."""
_POLL_S, _STABLE_S = 0.5, 2.0
_STATE_PATIENCE_S = 5.0
"""Seconds the state may lag behind the database; it is written after COMMIT, in its own time."""


@dataclass(slots=True)
class Verdict:
    """Findings by transport. `…_unchecked` and `unfinished` say why not all could be looked at, if so."""

    findings: dict[Transport, Findings] = field(default_factory=dict)
    stored_checked: bool = False
    stored_unchecked: str = ""
    twins_shown: bool = True
    states_unchecked: str = ""
    stream_unchecked: str = "only a run can watch it, while it sends"
    unfinished: str = ""
    letters: DeadLetterFindings = field(default_factory=DeadLetterFindings)
    dropped: DroppedFindings = field(default_factory=DroppedFindings)

    @classmethod
    def none(cls, transports: Iterable[Transport], *, why: str) -> Self:
        """Return the verdict of a verification that could not even begin."""
        return cls({transport: Findings() for transport in transports}, states_unchecked=why, unfinished=why)

    @property
    def total(self) -> Findings:
        """Return the findings of all transports together."""
        total = Findings()
        for findings in self.findings.values():
            total.add(findings)
        return total


class Referee:
    """Holds the ledgers of a run against what is stored and against its states; either may be left out."""

    def __init__(
        self,
        *,
        stored: Source | None,
        client: HttpClient | None,
        clock: Clock,
        sleep: Sleep,
        settle: float,
    ) -> None:
        """`settle` in seconds: how long what the broker, or a spool, has acknowledged may take to be stored."""
        self._stored = stored
        self._client = client
        self._clock = clock
        self._sleep = sleep
        self._settle = settle
        self._deadline = 0.0
        self._state_deadline = 0.0
        self._verdict = Verdict(stored_checked=stored is not None)

    async def verify(self, accounts: Sequence[Account]) -> Verdict:
        """Return the verdict; an unfinished one if the database or the gateway stays away."""
        if self._client is None:
            self._verdict.states_unchecked = "not asked for"
        if self._stored is not None:
            self._verdict.twins_shown = self._stored.shows_twins
        for account in accounts:
            self._verdict.findings.setdefault(account.ledger.lane.transport, Findings())
        try:
            await self._verify(accounts)
        except Unreachable as error:
            self._verdict.unfinished = str(error)
        return self._verdict

    async def verify_letters(self, accounts: Sequence[Account], *, since_ms: int, prefix: str) -> None:
        """Look for the dead letters of what was spoiled over MQTT, and for others; the verdict tells."""
        must, may = expected_letters(accounts)
        if self._client is None or not (must or may) or self._verdict.unfinished:
            return
        deadline = self._clock() + self._settle
        try:
            while True:
                found = compare(must, may, await fetch_letters(self._client, since_ms=since_ms, prefix=prefix))
                if not found.missing or self._clock() >= deadline:
                    break
                await self._sleep(_POLL_S)
            self._verdict.letters = found
        except Refused as refused:
            self._verdict.letters.unchecked = str(refused)
        except Unreachable as error:
            self._verdict.unfinished = str(error)

    async def _verify(self, accounts: Sequence[Account]) -> None:
        self._deadline = self._clock() + self._settle
        if self._stored is not None:
            await self._wait_until_stored(self._stored, accounts)
        self._state_deadline = self._clock() + min(_STATE_PATIENCE_S, self._settle)
        for account in accounts:
            lane = account.ledger.lane
            findings, dropped = self._verdict.findings[lane.transport], DroppedPosts(account.ledger)
            for first, count in portions(lane):
                audit, found = await self._judge(account, first=first, count=count)
                findings.add(found)
                if self._stored is not None:
                    dropped.take(audit.missing_of_dropped())
                await self._judge_states(audit, findings)
            findings.add(dropped.close(self._verdict.dropped))

    async def _wait_until_stored(self, stored: Source, accounts: Sequence[Account]) -> None:
        """Wait for what is on its way: until all that was sent is there, or all that must be and no more comes."""
        before, since = -1, self._clock()
        ledgers = [account.ledger for account in accounts]
        while True:
            began = self._clock()
            found = await self._count(stored, accounts)
            if found is None:
                return
            now = self._clock()
            if found != before:
                before, since = found, now
            is_settled = found >= sum(x.acknowledged for x in ledgers) and now - since >= _STABLE_S
            if is_settled or now >= self._deadline or found >= sum(x.sent - x.refused for x in ledgers):
                return
            await self._sleep(max(_POLL_S, 2 * (now - began)))

    async def _count(self, stored: Source, accounts: Sequence[Account]) -> int | None:
        total = 0
        for account in accounts:
            lane = account.ledger.lane
            names = [account.fleet.name(lane.first + i) for i in range(lane.devices)]
            found = await stored.count(names, since_ms=lane.time_ms(0))
            if found is None:
                return None
            total += found
        return total

    async def _judge(self, account: Account, *, first: int, count: int) -> tuple[Audit, Findings]:
        """Return what is stored of some devices; what is missing may still be on its way, until the deadline."""
        while True:
            audit = Audit(account.fleet, account.ledger, first=first, count=count, draw=account.draw)
            await self._read(audit, account.ledger.lane, first=first)
            found = audit.close(stored=self._stored is not None)
            if not found.lost or self._clock() >= self._deadline:
                return audit, found
            await self._sleep(_POLL_S)

    async def _read(self, audit: Audit, lane: Lane, *, first: int) -> None:
        if self._stored is None:
            return
        columns = self._stored.columns(
            audit.names, since_ms=lane.time_ms(0), until_ms=lane.time_ms(lane.depth), first=first
        )
        try:
            async for column in columns:
                audit.take(column)
        except Refused as refused:
            self._verdict.stored_unchecked, self._verdict.stored_checked = str(refused), False
            self._stored = None

    async def _judge_states(self, audit: Audit, findings: Findings) -> None:
        if self._client is None or self._verdict.states_unchecked:
            return
        self._state_deadline = max(self._state_deadline, self._clock() + min(_POLL_S, self._settle))
        try:
            await self._check_states(self._client, audit, findings)
        except Refused as refused:
            self._verdict.states_unchecked = str(refused)

    async def _check_states(self, client: HttpClient, audit: Audit, findings: Findings) -> None:
        expected = audit.newest()
        findings.state_checked += len(expected)
        while True:
            found = await self._ask(client, expected)
            if self._stored is None:
                found = [x for x in found if not _is_unanswered(audit, x)]
            if not found or self._clock() >= self._state_deadline:
                break
            expected = [series for series, _, _ in found]
            await self._sleep(_POLL_S)
        findings.state_wrong += len(found)
        for series, time_us, value in found:
            shown = "absent" if time_us is None else f"{value!r} of {time_us // 1_000} ms"
            detail = f"should be {series.value!r}, is {shown}"
            findings.note(Problem("state wrong", series.device, series.metric, series.time_us, detail))

    async def _ask(self, client: HttpClient, expected: list[Newest]) -> list[tuple[Newest, int | None, object]]:
        devices = list(dict.fromkeys(series.device for series in expected))
        states: States = {}
        for at in range(0, len(devices), MAX_DEVICES):
            states |= await self._fetch(client, devices[at : at + MAX_DEVICES])
        return list(differences(expected, states))

    async def _fetch(self, client: HttpClient, devices: list[str]) -> States:
        """Ask again while a gateway that was just restarted may come back."""
        while True:
            try:
                return await fetch_states(client, devices)
            except Unreachable:
                if self._clock() >= self._state_deadline:
                    raise
            await self._sleep(_POLL_S)


def portions(lane: Lane) -> Iterator[tuple[int, int]]:
    """Yield (first device, devices) so that each portion holds about a million readings, and at least one device."""
    size = max(1, _CELLS // (lane.depth * lane.metrics))
    end = lane.first + lane.devices
    for first in range(lane.first, end, size):
        yield first, min(size, end - first)


def _is_unanswered(audit: Audit, difference: tuple[Newest, int | None, object]) -> bool:
    """Without the database a reading whose answer never came may be what the state shows, and rightly so."""
    series, time_us, value = difference
    return time_us is not None and audit.may_be_newer(series, time_us=time_us, value=value)
