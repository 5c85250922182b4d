"""The live state in Valkey against a database in memory, whatever is lost between any two steps.

Commits, updates, and the three steps of filling a device again come in any order, and keys, fields or books vanish in
between. What is told of a device is never a part of it, never older than what the state was given, and never goes back.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import redis.asyncio
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from gateway.core import settings
from gateway.core.errors import StateUnavailable
from gateway.domain.contracts.newest import DevicePage, NewestMessage
from gateway.state.rebuilder import Rebuilder
from gateway.state.store import RedisState, open_state
from tests.builders.batches import NOON
from tests.builders.blocks import block

NAMES = ["a", "b"]
SHAPES = (1, 2)
STEPS = st.sampled_from(["commit", "lose", "show"])
Series = dict[int, int]
"""Shape → the newest time after NOON."""


class Committed:
    """`contracts.NewestStored` of what was committed."""

    def __init__(self) -> None:
        self.series: dict[str, Series] = defaultdict(dict)

    async def read(self, devices: Sequence[str]) -> list[list[NewestMessage]]:
        return [[_entry(shape, after) for shape, after in self.series[name].items()] for name in devices]

    async def times(self, devices: Sequence[str]) -> list[int | None]:
        return [max((NOON + after for after in self.series[name].values()), default=None) for name in devices]

    async def count(self) -> int:
        return sum(map(len, self.series.values()))

    async def page(self, after: int, *, size: int) -> DevicePage:  # noqa: ARG002
        return DevicePage([], 0, after) if after else DevicePage(NAMES, len(NAMES), 1)


def _entry(shape: int, after: int) -> NewestMessage:
    return NewestMessage(shape, NOON + after, (float(after),), (), ())


class Losses(RuleBasedStateMachine):
    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.stored = Committed()
        self.given: dict[str, Series] = defaultdict(dict)
        """What the state was given, or was read and filled in."""
        self.pending: list[tuple[str, int, int]] = []
        self.claims: list[tuple[list[str], list[bytes]]] = []
        self.fills: list[tuple[list[str], list[bytes], list[list[NewestMessage]]]] = []
        self.site = secrets.token_hex(4)
        self.state, self.client = self.runner.run(self._open())
        self.run(self._rebuild())

    async def _open(self) -> tuple[RedisState, "redis.asyncio.Redis"]:
        branch = settings.RedisSettings(url=self.url, timeout_secs=20)
        state = await self.stack.enter_async_context(open_state(branch, site=self.site))
        return state, await self.stack.enter_async_context(redis.asyncio.from_url(self.url))

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()

    @rule(name=st.sampled_from(NAMES), shape=st.sampled_from(SHAPES), after=st.integers(1, 9), shown=st.booleans())
    def commit(self, name: str, shape: int, after: int, shown: bool) -> None:
        """The database has it; the state gets it at once, or later."""
        series = self.stored.series[name]
        series[shape] = max(after, series.get(shape, 0))
        self.pending.append((name, shape, after))
        if shown:
            self.show(many=False)

    @precondition(lambda self: self.pending)
    @rule(many=st.booleans())
    def show(self, many: bool) -> None:
        """Updates in the order of the commits, one or all of them in a call."""
        some = self.pending if many else self.pending[:1]
        self.pending = self.pending[len(some) :]
        blocks = [block(name, after, shape=shape, doubles=(float(after),)) for name, shape, after in some]
        self.run(self.state.apply(blocks))
        for name, shape, after in some:
            series = self.given[name]
            series[shape] = max(after, series.get(shape, 0))

    @rule(names=st.lists(st.sampled_from(NAMES), min_size=1, unique=True), anew=st.booleans())
    def claim(self, names: list[str], anew: bool) -> None:
        self.claims.append((names, self.run(self.state.claim(names, anew=anew))))

    @precondition(lambda self: self.claims)
    @rule()
    def look(self) -> None:
        names, claims = self.claims.pop()
        self.fills.append((names, claims, self.run(self.stored.read(names))))

    @precondition(lambda self: self.fills)
    @rule()
    def fill(self) -> None:
        names, claims, found = self.fills.pop()
        self.run(self.state.restore(names, claims, found))

    @rule(name=st.sampled_from(NAMES), anew=st.booleans(), between=st.lists(st.tuples(STEPS, STEPS), max_size=3))
    def meddle(self, name: str, anew: bool, between: list[tuple[str, str]]) -> None:
        """Fill a device while things happen to it: before it is looked at, and after that."""
        self.claim([name], anew)
        self._do([early for early, _ in between], name)
        self.look()
        self._do([late for _, late in between], name)
        self.fill()

    def _do(self, steps: list[str], name: str) -> None:
        for number, step in enumerate(steps):
            if step == "commit":
                newest = max(self.stored.series[name].values(), default=0)
                self.commit(name, SHAPES[number % 2], newest + 1, shown=not self.pending)
            elif step == "lose":
                self.lose(name, "delete")
            elif self.pending:
                self.show(many=True)

    @rule(name=st.sampled_from(NAMES), how=st.sampled_from(["delete", "expire", "field", "text"]))
    def lose(self, name: str, how: str) -> None:
        """Evicted, deleted, or in somebody else's hands."""
        self.run(self._lose(f"gateway:{self.site}:{name}", how))

    async def _lose(self, key: str, how: str) -> None:
        if how == "expire":
            await self.client.pexpire(key, 0)
        elif how == "field" and await self.client.type(key) == b"hash":
            await self.client.hdel(key, *(await self.client.hkeys(key))[:1])
        elif how == "text":
            await self.client.set(key, "x")
        else:
            await self.client.delete(key)

    @rule(key=st.sampled_from(["#complete", "#gateways", "#rebuild"]), again=st.booleans())
    def lose_book(self, key: str, again: bool) -> None:
        self.run(self.client.delete(f"gateway:{self.site}:{key}"))
        if again:
            self.rebuild()

    @rule()
    def rebuild(self) -> None:
        self.run(self._rebuild())

    async def _rebuild(self) -> None:
        condition = await self.state.check()
        if not condition.complete:
            await Rebuilder(self.state, self.stored).rebuild(condition.server, on_progress=lambda _: None)
            assert (await self.state.check()).complete

    @invariant()
    def is_right_where_it_tells(self) -> None:
        try:
            shown, times = self.run(self._told())
        except StateUnavailable:
            return
        for name, entries, time_us in zip(NAMES, shown, times, strict=True):
            if entries is None:
                assert time_us is None
                continue
            told = {entry.shape_id: entry.time_us - NOON for entry in entries}
            newest = self.stored.series[name]
            assert set(self.given[name]) <= set(told) <= set(newest)
            assert all(self.given[name].get(shape, 0) <= told[shape] <= newest[shape] for shape in told)
            assert all(entry.doubles == (float(entry.time_us - NOON),) for entry in entries)
            assert time_us == max((entry.time_us for entry in entries), default=None)
            self.given[name] = told  # from now on anything less is going back in time

    async def _told(self) -> tuple[list[list[NewestMessage] | None], list[int | None]]:
        return await self.state.read(NAMES), await self.state.times(NAMES)


def test_what_is_told_is_never_a_part_and_never_goes_back(valkey: str) -> None:
    Losses.url = valkey
    run_state_machine_as_test(Losses, settings=examples(max_examples=60, stateful_step_count=40, deadline=None))
