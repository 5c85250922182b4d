"""The store of dead letters. In: letters. Out: rows, committed before `put` returns.

Letters that come while others are being written are written together next: one connection and one COMMIT at a time,
however many are refused. What their owner may not add is counted instead (`dead_letter_budget`), and what its share or
all letters together do not hold any more is removed, oldest first.
"""

import asyncio
import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy

import msgspec

from gateway.core.errors import Unavailable
from gateway.core.settings import DeadLetterSettings
from gateway.domain.dead_letter_budget import STRANGERS, DeadLetterBudget, Divided, Folded, size_of, to_letter
from gateway.domain.dead_letters import DeadLetter
from gateway.telemetry import events
from gateway.timescale.connections.pool import Connection, Pool
from gateway.timescale.dead_letters.purge import keep_bound, keep_share
from gateway.timescale.queries import query

MAX_DETAIL = 2000
"""Characters of a detail that are kept."""
GROUP_LETTERS, GROUP_BYTES = 1000, 8 * 2**20
"""What is written at once, unless a single call has more."""
PACE_SECS = 0.02
"""Pause after a write of which something was only counted."""
LOOK_PART = 16
"""How much may be added, as a part of all bytes, before it is looked at how much there is."""


class _Putting:
    """A call that waits for its COMMIT."""

    __slots__ = ("alone", "done", "error", "letters", "size")

    def __init__(self, letters: Sequence[DeadLetter]) -> None:
        self.letters = letters
        self.size = sum([len(letter.payload) for letter in letters])
        self.alone = False
        """It was written with others and failed: perhaps it is to blame."""
        self.done = False
        self.error: Exception | None = None


class TimescaleDeadLetters:
    """`contracts.DeadLetters` on the database."""

    def __init__(
        self,
        pool: Pool,
        limits: DeadLetterSettings = DeadLetterSettings(),  # noqa: B008 - frozen
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._limits = limits
        self._monotonic = monotonic
        self._budget = DeadLetterBudget(limits)
        self._waiting: deque[_Putting] = deque()
        self._turn = asyncio.Lock()
        self._next_at = float("-inf")
        self._room = 0
        """Bytes that this worker may add before it looks how many there are."""

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Return after COMMIT; an item that is kept already is counted there. Raises SinkUnavailable, SinkFault."""
        if not letters:
            return
        own = _Putting(letters)
        self._waiting.append(own)
        try:
            async with self._turn:  # whoever has it writes for all who wait
                while not own.done:
                    await self._write()
        finally:
            if not own.done and own in self._waiting:
                self._waiting.remove(own)
        if own.error is not None:
            raise copy(own.error) from own.error.__cause__

    async def _write(self) -> None:
        await asyncio.sleep(self._next_at - self._monotonic())
        group = self._take()
        try:
            await self._store([letter for each in group for letter in each.letters])
        except asyncio.CancelledError:
            self._waiting.extendleft(reversed(group))
            raise
        except Exception as exc:  # noqa: BLE001 - each caller is told
            if len(group) > 1 and not isinstance(exc, Unavailable):
                for each in group:
                    each.alone = True
                self._waiting.extendleft(reversed(group))
                return
            _conclude(group, exc)
        else:
            _conclude(group, None)

    def _take(self) -> list[_Putting]:
        group = [self._waiting.popleft()]
        letters, size = len(group[0].letters), group[0].size
        while self._waiting and not group[0].alone and not self._waiting[0].alone:
            letters, size = letters + len(self._waiting[0].letters), size + self._waiting[0].size
            if letters > GROUP_LETTERS or size > GROUP_BYTES:
                break
            group.append(self._waiting.popleft())
        return group

    async def _store(self, letters: Sequence[DeadLetter]) -> None:
        letters = list(map(_storable, letters))
        async with self._pool.connection() as connection:
            divided = self._budget.divide(letters, await _registered(connection, letters), self._monotonic())
            bytes_of = await _insert(connection, divided)
        for (source, code, owner), count in divided.folded.items():
            events.dead_letters_folded(source, code, count=count, device=owner or None)
        if divided.folded:
            self._next_at = self._monotonic() + PACE_SECS
        self._room -= sum([size_of(letter) for letter, _ in divided.kept])
        try:
            await self._keep_bounds(bytes_of)
        except Exception as exc:  # noqa: BLE001 - the letters are kept, and the next ones, or the purge, do this again
            events.dead_letter_purge_failed(exc)

    async def _keep_bounds(self, bytes_of: Mapping[str, int]) -> None:
        full = {owner: size for owner, size in bytes_of.items() if size > self._budget.share(owner)}
        if full:
            async with self._pool.connection() as connection:
                for owner, size in full.items():
                    await keep_share(connection, owner, size, share=self._budget.share(owner))
        if self._room <= 0:
            self._room = self._limits.max_bytes // LOOK_PART
            await keep_bound(self._limits).once(self._pool)


def _conclude(group: Sequence[_Putting], error: Exception | None) -> None:
    for each in group:
        each.done, each.error = True, error


async def put(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    """Keep letters in the transaction of somebody else, whatever there is already. Raises DATABASE_ERRORS."""
    if letters:
        letters = list(map(_storable, letters))
        registered = await _registered(connection, letters)
        kept = [(one, one.device if one.device in registered and one.device else STRANGERS) for one in letters]
        await _insert(connection, Divided(kept, Counter()))


async def _registered(connection: Connection, letters: Sequence[DeadLetter]) -> Collection[str]:
    names = {letter.device for letter in letters if letter.device}
    return {row["name"] for row in await connection.fetch(query("known_owners"), sorted(names))} if names else ()


async def _insert(connection: Connection, divided: Divided) -> Mapping[str, int]:
    """Return how many bytes those owners have now who got more."""
    rows: dict[bytes, tuple[DeadLetter, str]] = {}
    counts: Counter[bytes] = Counter()
    for letter, owner in divided.kept:
        mark = _fingerprint(letter)
        rows[mark] = letter, owner
        counts[mark] += 1
    for folded, count in divided.folded.items():
        mark = _mark(folded)
        rows[mark] = to_letter(folded), folded.owner
        counts[mark] += count
    # By fingerprint, so that two calls with the same letters wait for each other and never deadlock.
    table = [(*rows[mark][0], mark, counts[mark], rows[mark][1]) for mark in sorted(rows)]
    columns = [list(column) for column in zip(*table, strict=True)]
    return {row["owner"]: row["bytes"] for row in await connection.fetch(query("insert_dead_letters"), *columns)}


def _fingerprint(letter: DeadLetter) -> bytes:
    """Return what is the same for the same item refused for the same reason; the words of the reason may differ."""
    parts = (letter.source, letter.code, letter.device, letter.topic, hashlib.sha256(letter.payload).digest())
    return hashlib.sha256(msgspec.msgpack.encode(parts)).digest()


def _mark(folded: Folded) -> bytes:
    """Return the fingerprint of what is only counted."""
    return hashlib.sha256(msgspec.msgpack.encode(("folded", *folded))).digest()


def _storable(letter: DeadLetter) -> DeadLetter:
    """Return the letter with words that PostgreSQL can store."""
    return letter._replace(
        detail=_text(letter.detail)[:MAX_DETAIL],
        device=letter.device and _text(letter.device),
        topic=letter.topic and _text(letter.topic),
    )


def _text(text: str) -> str:
    return text.replace("\0", "\\0").encode("utf-8", "replace").decode()
