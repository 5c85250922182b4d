"""The books under random histories: whatever fails, is refused, given up, spooled or drained, all is counted once.

The real intake, gate, committer and drainer on memory parts. The test keeps books of its own, from what it posts, from
the receipts and from what lies in the sink, and compares them after every step. No real time passes.
"""

import asyncio
import json
from collections import Counter
from random import Random
from typing import Any, NamedTuple

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.core import settings
from gateway.core.errors import SinkFault, SinkUnavailable, SpoolFull
from gateway.domain.contracts.ingest import Written
from gateway.domain.layouts import Layouts
from gateway.domain.ledger import Account, Ledger
from gateway.domain.model import Batch, Outcome, Receipt
from gateway.domain.principal import Principal, Role
from gateway.domain.reasons import Reason
from gateway.ingest.intake import BodyIntake
from gateway.ingest.pipeline.committer import Committer
from gateway.ingest.pipeline.drainer import Drainer
from gateway.ingest.pipeline.stall import Stall
from gateway.telemetry import ledger_events
from tests.builders.gates import usual_gate
from tests.fakes import MemorySink
from tests.fakes.clock import ManualClock
from tests.fakes.directory import MemoryDirectory
from tests.fakes.spool import MemorySpool

SOURCES = ("http", "mqtt", "replay")
ADMIN = Principal(Role.ADMIN)
NOW_US = 1_700_000_000_000_000
TURNS = 200
VALUES = st.sampled_from([1.5, 2.5, "on", None])
ITEM = st.fixed_dictionaries(
    {
        "device": st.sampled_from(["d1", "d2", "poison", "stranger"]),
        "ts": st.sampled_from([NOW_US, NOW_US + 1_000_000, NOW_US + 10**12]),
        "values": st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, min_size=1, max_size=3),
    }
)


class Sink(MemorySink):
    """With `spool` set everything goes there, as through `Fallback` while the database is away."""

    def __init__(self) -> None:
        super().__init__()
        self.spool: MemorySpool | None = None

    async def write(self, group: Any, *, atomic: bool = False) -> Written:
        if self.spool is None or atomic:
            return await super().write(group, atomic=atomic)
        await self.spool.append(group)
        return Written([Outcome(batch.readings, durability="spool") for batch in group], [])


class Posted(NamedTuple):
    source: str
    readings: int
    atomic: bool
    task: "asyncio.Task[Receipt]"


def rejected(receipt: Receipt) -> int:
    """Readings that the database has refused, and kept."""
    return sum(each.readings for each in receipt.errors if each.code == Reason.REJECTED_BY_DATABASE)


class Books(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.posted: list[Posted] = []
        self.before = ledger_events.read()

    @initialize()
    def open(self) -> None:
        self.loop.run_until_complete(self._open())

    async def _open(self) -> None:
        layouts, directory = Layouts(), MemoryDirectory()
        directory.add("d1", "d2", "poison")
        self.sink, self.spool = Sink(), MemorySpool()
        self.sink.rejects["poison"] = "23514: no"
        self.committer = Committer(
            self.sink, self._publish, limits=settings.QueueSettings(max_rows=12, commit_rows=4), slots=2
        )
        await self.committer.__aenter__()
        admission = usual_gate(directory, layouts)
        self.intake = BodyIntake(
            admission, self.committer, layouts, ManualClock(NOW_US), stall=Stall(lambda: 0.0), max_readings=1000
        )

    async def _publish(self, _: Any) -> None:
        await asyncio.sleep(0)

    @rule(source=st.sampled_from(SOURCES), items=st.lists(ITEM, min_size=1, max_size=5), atomic=st.booleans())
    def post(self, source: str, items: list[dict[str, Any]], atomic: bool) -> None:
        readings = sum(len(item["values"]) for item in items)
        self.loop.run_until_complete(self._post(source, readings, json.dumps(items).encode(), atomic=atomic))

    async def _post(self, source: str, readings: int, body: bytes, *, atomic: bool) -> None:
        atomic = atomic and source == "http"
        taking = self.intake.take(body, principal=ADMIN, atomic=atomic, source=source)
        self.posted.append(Posted(source, readings, atomic, asyncio.create_task(taking)))
        await asyncio.sleep(0)

    @rule(source=st.sampled_from(SOURCES))
    def post_what_cannot_be_read(self, source: str) -> None:
        self.loop.run_until_complete(self._post(source, 0, b"{", atomic=False))

    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        if self.posted:
            data.draw(st.sampled_from(self.posted)).task.cancel()

    @rule(turns=st.integers(0, 6))
    def turn(self, turns: int) -> None:
        self.loop.run_until_complete(self._turn(turns))

    async def _turn(self, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    @rule(failure=st.sampled_from([None, None, SinkUnavailable(), SinkFault(), SpoolFull(), RuntimeError("a mistake")]))
    def fail(self, failure: Exception | None) -> None:
        self.sink.failure = failure

    @rule(away=st.booleans())
    def spool_instead(self, away: bool) -> None:
        self.sink.spool = self.spool if away else None

    @rule(hold=st.booleans())
    def hold_commits(self, hold: bool) -> None:
        if hold:
            self.sink.hold()
        else:
            self.sink.release()

    @invariant()
    def each_reading_has_one_place(self) -> None:
        books = self._books()
        for source in SOURCES:
            account = books[source]
            mine = [each for each in self.posted if each.source == source]
            assert account["interrupted"] == 0
            assert account["received"] == sum(each.readings for each in mine)
            assert account["queued"] == sum(each.readings for each in mine if not each.task.done())
            assert all(count >= 0 for count in account.values()), account

    @invariant()
    def the_books_agree_with_the_receipts(self) -> None:
        books, said, failed = self._books(), {source: Counter[str]() for source in SOURCES}, Counter[str]()
        for each in self.posted:
            if not each.task.done():
                continue
            if each.task.cancelled() or each.task.exception():
                failed[each.source] += each.readings
                continue
            receipt = each.task.result()
            spooled = receipt.durability == "spool"
            buried = receipt.refused if each.source == "mqtt" else 0 if each.atomic else rejected(receipt)
            said[each.source] += Counter(
                stored=0 if spooled else receipt.accepted - receipt.duplicates,
                spooled=receipt.accepted if spooled else 0,
                duplicates=receipt.duplicates,
                conflicts=receipt.conflicts,
                dead_lettered=buried,
                refused=receipt.refused - buried,
            )
        for source in SOURCES:
            assert books[source]["failed"] == failed[source]
            for name in ("stored", "spooled", "duplicates", "conflicts", "dead_lettered", "refused"):
                assert books[source][name] == said[source][name], (source, name)

    def teardown(self) -> None:
        self.sink.release()
        self.sink.failure = None
        self.loop.run_until_complete(self._finish())
        self.each_reading_has_one_place()
        self.the_books_agree_with_the_receipts()
        self._check_what_lies_in_the_sink()
        self.loop.close()

    async def _finish(self) -> None:
        await self.committer.__aexit__()
        await asyncio.wait_for(asyncio.gather(*[each.task for each in self.posted], return_exceptions=True), 10)
        drainer = Drainer([self.spool], self._store, bury=self._bury, busy=lambda: False, rng=Random(1), max_rows=3)
        self.sink.spool = None
        async with drainer:
            for _ in range(TURNS * (1 + self.spool.rows)):
                if not self.spool.rows:
                    break
                await asyncio.sleep(0)
        assert self.spool.rows == 0

    async def _store(self, batches: Any) -> list[Outcome]:
        return (await self.sink.write(batches)).outcomes

    async def _bury(self, batch: Batch, outcome: Outcome) -> None:
        assert batch.readings_of(outcome.conflicts) or outcome.rejected

    def _check_what_lies_in_the_sink(self) -> None:
        """Readings that nobody was told of may be stored too; all others are there, and counted once."""
        books, now = self._books(), ledger_events.read()
        told = sum(account["stored"] for account in books.values())
        drained = {
            name: getattr(now.from_spool, name) - getattr(self.before.from_spool, name)
            for name in self.before.from_spool.__struct_fields__
        }
        in_sink = sum(map(len, self.sink.messages.values()))
        assert told + drained["stored"] <= in_sink
        if not any(account["failed"] for account in books.values()):
            assert told + drained["stored"] == in_sink
            assert sum(drained.values()) == sum(account["spooled"] for account in books.values())

    def _books(self) -> dict[str, Counter[str]]:
        return {source: _since(self.before, ledger_events.read(), source) for source in SOURCES}


def _since(before: Ledger, now: Ledger, source: str) -> Counter[str]:
    zero = Account(*[0] * len(Account.__struct_fields__))
    old, new = before.sources.get(source, zero), now.sources.get(source, zero)
    return Counter({name: getattr(new, name) - getattr(old, name) for name in Account.__struct_fields__})


Books.TestCase.settings = hypothesis.settings(max_examples=40, stateful_step_count=25, deadline=None)
TestBooks = Books.TestCase
