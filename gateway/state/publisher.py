"""The publisher: stored and spooled blocks → the newest state. No acknowledgement fails or waits long for it.

One script call at a time, in the order of the commits: of two messages of equal time the later one must win. Each call
takes what has gathered during the one before. What Redis did not take is kept, bounded in rows and bytes, and tried
again; what does not fit is dropped, oldest first, and counted as skipped: the database still has it, and `on_skip`
hears of it so that the state is rebuilt.
"""

import asyncio
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

from gateway.core import settings
from gateway.core.errors import StateUnavailable
from gateway.core.tasks import end
from gateway.domain.contracts.newest import LiveState
from gateway.domain.model import Block
from gateway.telemetry import state_events

CALL_ROWS = 10_000
"""Messages one script call takes, unless a single commit has more: Redis serves nobody else meanwhile."""
MAX_PENDING_BYTES = 256 * 2**20
RETRY_SECS = 0.5
"""Pause after a call that failed."""
STOP_SECS = 2.0
"""Longest wait for what is under way when stopping."""


class Pending(NamedTuple):
    """What one commit has to show."""

    blocks: Sequence[Block]
    shown: "asyncio.Future[bool]"
    """Resolves once nobody needs to wait any more; true if the state shows the blocks."""
    rows: int
    size: int
    later_wins: bool = True
    spooled: bool = False
    dropped: Sequence[str] = ()
    """Instead of blocks: devices that the state is to forget."""

    def goes_with(self, other: "Pending") -> bool:
        """Whether one call can do both."""
        same = self.later_wins == other.later_wins and self.spooled == other.spooled
        return same and not self.dropped and not other.dropped


class Publisher:
    """Owns the way to Redis. `async with` starts and stops it."""

    def __init__(
        self,
        state: LiveState,
        limits: settings.RedisSettings,
        *,
        on_skip: Callable[[], None] = lambda: None,
        on_part: Callable[[Sequence[str]], None] = lambda _: None,
    ) -> None:
        """`on_part` hears of devices that Redis did not hold: until they are repaired it does not tell of them."""
        self._state = state
        self._on_skip = on_skip
        self._on_part = on_part
        self._wait = limits.ack_wait_ms / 1000
        self._max_rows = limits.max_pending_rows
        self._waiting: deque[Pending] = deque()
        self._calling: list[Pending] = []
        self._size = 0
        self._turn = 0
        """Grows with every `forget`."""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.healthy = True
        self.behind = 0
        """Messages that Redis has not got yet."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work(), name="state.publisher")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Show what is left if Redis is there, for a bounded time; the rest is skipped."""
        left = [pending.shown for pending in (*self._calling, *self._waiting)]
        try:
            if self.healthy and left:
                await asyncio.wait(left, timeout=STOP_SECS)
        finally:
            if self._task:
                await end(self._task)
        if self.behind:
            self._skip(self.behind)

    async def publish(self, blocks: Sequence[Block], *, later_wins: bool = True, spooled: bool = False) -> None:
        """Return when the state shows the blocks, or after the bounded wait, or at once while Redis is away.

        Of messages of equal times the later one wins, or without `later_wins` the one that is shown already. `spooled`
        ones are published again when they are stored.
        """
        rows = sum(map(len, blocks))
        if not rows:
            return
        shown: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._keep(Pending(blocks, shown, rows, sum(map(_size, blocks)), later_wins, spooled))
        if self.healthy:
            await asyncio.wait([shown], timeout=self._wait)
        if not (shown.done() and shown.result()):
            state_events.late()

    def forget(self) -> None:
        """Drop what waits: it was stored in a database that is not the one of this state any more."""
        self._turn += 1
        while self._waiting:
            pending = self._waiting.popleft()
            self._skip(pending.rows)
            self._done_with(pending, shown=False)

    def drop(self, devices: Sequence[str]) -> None:
        """Have the state forget devices, after all that was published so far, and fill them from the database."""
        shown: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._keep(Pending((), shown, len(devices), 100 * len(devices), dropped=devices))

    def _keep(self, pending: Pending) -> None:
        self._waiting.append(pending)
        self.behind += pending.rows
        self._size += pending.size
        self._drop_oldest()
        self._wake.set()

    def _drop_oldest(self) -> None:
        """Keep the bounds; the newest commit stays, however large."""
        while len(self._waiting) > 1 and (self.behind > self._max_rows or self._size > MAX_PENDING_BYTES):
            oldest = self._waiting.popleft()
            self._skip(oldest.rows)
            self._done_with(oldest, shown=False)

    def _skip(self, rows: int) -> None:
        state_events.skipped(rows=rows)
        self._on_skip()

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            if not self._waiting:
                self._wake.clear()
            elif not await self._call():
                await asyncio.sleep(RETRY_SECS)

    async def _call(self) -> bool:
        """Apply what waits; False, with everything in its place again, if Redis is away."""
        self._calling, turn = self._take(), self._turn
        started = asyncio.get_running_loop().time()
        try:
            part = await self._do(self._calling)
        except StateUnavailable as exc:
            self._give_back(exc)
            if turn != self._turn:
                self.forget()
            return False
        except Exception as exc:  # noqa: BLE001 - one block that cannot be packed must not end the state for good
            state_events.lost("".join(traceback.format_exception(exc)))
            self._skip(sum([pending.rows for pending in self._calling]))
            self._finish(shown=False)
            return True
        state_events.applied(asyncio.get_running_loop().time() - started)
        self._finish(shown=True)
        if part:
            self._on_part(part)
        if not self.healthy:
            self.healthy = True
            state_events.back()
        return True

    async def _do(self, calling: Sequence[Pending]) -> Sequence[str]:
        """Return devices that the state does not hold whole afterwards."""
        first = calling[0]
        if first.dropped:
            await self._state.remove(first.dropped)
            return first.dropped
        blocks = [block for pending in calling for block in pending.blocks]
        return await self._state.apply(blocks, later_wins=first.later_wins, spooled=first.spooled)

    def _take(self) -> list[Pending]:
        taken = [self._waiting.popleft()]
        rows = taken[0].rows
        while self._waiting and rows + self._waiting[0].rows <= CALL_ROWS and taken[0].goes_with(self._waiting[0]):
            taken.append(self._waiting.popleft())
            rows += taken[-1].rows
        return taken

    def _give_back(self, exc: StateUnavailable) -> None:
        """Let nobody wait for Redis, and put what it did not take in front of what came since."""
        if self.healthy:
            self.healthy = False
            state_events.lost(repr(exc.__cause__ or exc))
        self._waiting.extendleft(reversed(self._calling))
        self._calling = []
        self._drop_oldest()
        for pending in self._waiting:
            _resolve(pending, shown=False)

    def _finish(self, *, shown: bool) -> None:
        for pending in self._calling:
            self._done_with(pending, shown=shown)
        self._calling = []

    def _done_with(self, pending: Pending, *, shown: bool) -> None:
        self.behind -= pending.rows
        self._size -= pending.size
        _resolve(pending, shown=shown)


def _resolve(pending: Pending, *, shown: bool) -> None:
    if not pending.shown.done():
        pending.shown.set_result(shown)


def _size(block: Block) -> int:
    """Bytes a block holds in memory, roughly."""
    texts = sum([60 + len(text) for row in block.texts for text in row])
    return 100 * len(block) + block.doubles.nbytes + block.ints.nbytes + texts
