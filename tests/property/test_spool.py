"""The spool on disk against a list, with reopening between steps; and against SIGKILL in the middle of appends."""

import asyncio
import re
import subprocess
import sys
import tempfile
import threading
from contextlib import AsyncExitStack
from itertools import groupby
from pathlib import Path

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.core import settings
from gateway.core.errors import SpoolFull
from gateway.domain.contracts.ingest import Spooled
from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch
from gateway.ingest.spool.folder import Spools, open_spools
from gateway.ingest.spool.spool import SqliteSpool
from tests.builders.batches import Message, batch
from tests.builders.spooled import messages_of, opened
from tests.fakes import ManualClock
from tests.property.spool_writer import SPREAD, WRITERS

SOON = 30.0
MAX_BYTES = 150_000
MESSAGES: st.SearchStrategy[list[Message]] = st.lists(
    st.tuples(
        st.sampled_from(["d1", "d2"]),
        st.integers(-5, 5),
        st.dictionaries(st.sampled_from("abc"), st.floats(0, 1) | st.integers(0, 9) | st.just("x"), min_size=1),
    ),
    min_size=1,
    max_size=4,
)
LARGE = 4000
"""Messages of a batch of which only a few fit."""


def large(text: str) -> list[Message]:
    return [("d", i, {"a": 0.5, "s": text}) for i in range(LARGE // 4)]


class SpoolMachine(RuleBasedStateMachine):
    """Every step is done to the spool and to a list; they must never differ."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(prefix="spool-")
        self.stack = AsyncExitStack()
        self.spools: Spools
        self.model: list[list[Message]] = []
        self.removed: list[int] = []
        self.looked: list[Spooled] = []

    @property
    def spool(self) -> SqliteSpool:
        return self.spools.own

    @initialize()
    def open(self) -> None:
        limits = settings.SpoolSettings(dir=self.folder.name, max_bytes=MAX_BYTES)
        opening = open_spools(limits, "w", layouts=Layouts(), clock=ManualClock())
        self.spools = self.runner.run(self.stack.enter_async_context(opening))

    @rule(groups=st.lists(MESSAGES, max_size=4))
    def append(self, groups: list[list[Message]]) -> None:
        self._append(groups)

    @rule(before=MESSAGES, text=st.sampled_from(["x", "xyz" * 20]))
    def append_large(self, before: list[Message], text: str) -> None:
        self._append([before, large(text)])

    @rule(calls=st.lists(st.lists(MESSAGES, min_size=1, max_size=2), max_size=5))
    def append_at_once(self, calls: list[list[list[Message]]]) -> None:
        async def together() -> list[BaseException | None]:
            appends = [self.spool.append([batch(Layouts(), *m) for m in groups]) for groups in calls]
            return await asyncio.gather(*appends, return_exceptions=True)

        for groups, outcome in zip(calls, self.runner.run(together()), strict=True):
            assert outcome is None or isinstance(outcome, SpoolFull)
            if outcome is None:
                self.model += groups

    @rule(max_rows=st.integers(1, 3000))
    def look(self, max_rows: int) -> None:
        self.looked = self.runner.run(self.spool.oldest(max_rows))
        expected: list[list[Message]] = []
        rows = 0
        for messages in self.model:
            rows += len(messages)
            if expected and rows > max_rows:
                break
            expected.append(messages)
        assert [messages_of(each.batch) for each in self.looked] == expected

    @rule(which=st.lists(st.integers(0, 50)), stale=st.booleans())
    def remove(self, which: list[int], *, stale: bool) -> None:
        """Any of what was looked at, once more what was removed before, in any order."""
        picked = {i % len(self.looked) for i in which} if self.looked else set()
        ids = [self.looked[i].id for i in picked]
        self.runner.run(self.spool.remove(ids + self.removed * stale))
        self.model = [messages for i, messages in enumerate(self.model) if i not in picked]
        self.removed += ids
        self.looked = [each for i, each in enumerate(self.looked) if i not in picked]

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.stack.aclose())
        self.open()

    @invariant()
    def counts_are_right(self) -> None:
        if not hasattr(self, "spools"):
            return
        assert self.spool.rows == sum(map(len, self.model))
        assert self.spool.readings == sum(len(values) for messages in self.model for *_, values in messages)
        assert self.spool.size <= MAX_BYTES
        assert (self.spool.oldest_us is None) == (not self.model)

    def teardown(self) -> None:
        if hasattr(self, "spools"):
            self.look(10**9)
        self.runner.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()

    def _append(self, groups: list[list[Message]]) -> None:
        try:
            self.runner.run(self.spool.append([batch(Layouts(), *messages) for messages in groups]))
        except SpoolFull:
            assert self.spool.size > MAX_BYTES // 3, "it was not full"
        else:
            self.model += groups


TestSpool = SpoolMachine.TestCase
TestSpool.settings = hypothesis.settings(max_examples=40, stateful_step_count=25, deadline=None)


async def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    """In order, nothing twice, and of what was not acknowledged at most what was under way."""
    acknowledged: list[int] = []
    for kill in range(5):
        acknowledged += await asyncio.to_thread(write_until_killed, tmp_path, kill * 1000, lines=40 + 60 * kill)
    async with opened(tmp_path) as spools:
        assert [spool.name for spool in (spools.own, *spools.left)] == ["w.db"]
        found = [number_of(each.batch) for each in await spools.own.oldest(10**6)]
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    assert len(found) <= len(acknowledged) + 5 * WRITERS
    for lane in range(WRITERS):
        mine = [number for number in found if number // SPREAD == lane]
        assert mine == sorted(mine)
        for _, run in groupby(mine, key=lambda number: number % SPREAD // 1000):
            numbers = list(run)
            assert numbers == list(range(numbers[0] // 1000 * 1000, numbers[-1] + 1))


def number_of(one: Batch) -> int:
    ((_, _, values),) = messages_of(one)
    return int(values["n"])


def write_until_killed(folder: Path, first: int, *, lines: int) -> list[int]:
    """Kill the writer after so many lines, in the middle of whatever it does; return all that it acknowledged."""
    command = [sys.executable, "-m", "tests.property.spool_writer", str(folder), "w", str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        watchdog = threading.Timer(SOON, writer.kill)
        watchdog.start()
        assert writer.stdout
        said = [line for _, line in zip(range(lines), writer.stdout, strict=False)]
        writer.kill()
        said += writer.stdout.readlines()
        watchdog.cancel()
    assert len(said) >= lines, "it did not run"
    return [int(line.removeprefix("kept ")) for line in said if re.fullmatch(r"kept \d+\n", line)]
