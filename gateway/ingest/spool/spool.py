"""The spool: batches on disk while the database is away, oldest first. An append that returned survives any kill.

    append ─ encode ─▶ waiting ─▶ writer: all that waits in one transaction, one fsync ─▶ tickets
                                   └ one thread a file; appends during a transaction join the next one

A record that cannot be read is set aside, counted and told; it never stops the others. Which files there are: `spools`.
Formats: `spool_codec` (records), `spool_file` (the file).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Self, TypeVar

from gateway.core.clock import Clock
from gateway.core.errors import SpoolFault, SpoolFull
from gateway.domain.contracts.ingest import Spooled
from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch
from gateway.ingest.spool.claims import SpoolClaim
from gateway.ingest.spool.codec import DamagedRecord, Record, decode, encode
from gateway.ingest.spool.file import SpoolFile, StoredRecord, Verdict, disk_full
from gateway.telemetry import spool_events

DISK_SECS = 30.0
"""Longest wait for the disk; past it the caller is told, and what it appended may be there all the same."""
GROUP_BYTES = 16 * 2**20
"""Bytes one transaction takes at most, unless a single append has more."""
WAITING_BYTES = 64 * 2**20
"""Bytes that wait for the disk at most."""
LARGE_SECS = 10.0
"""How long the refusal of an append that is larger than the margin stands, if none is taken meanwhile."""
DECODE_TURN = 64
"""Records decoded before others get their turn on the loop."""

T = TypeVar("T")


class Appending(NamedTuple):
    """An append that waits for its fsync."""

    records: Sequence[Record]
    size: int
    ticket: "asyncio.Future[Verdict]"


class SqliteSpool:
    """`contracts.Spool` on one file, for one event loop. `async with` opens and closes it.

    A file that cannot be opened is no reason not to start: it is told, and every call tries again. When `adopted` the
    file is deleted at the end if nothing is left in it.
    """

    def __init__(
        self, claim: SpoolClaim, layouts: Layouts, *, clock: Clock, max_bytes: int, adopted: bool = False
    ) -> None:
        self._claim = claim
        self._adopted = adopted
        self._layouts = layouts
        self._clock = clock
        self._max_bytes = max_bytes
        self._file = SpoolFile(claim.path, max_bytes=max_bytes)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"spool[{self.name}]")
        self._waiting: deque[Appending] = deque()
        self._waiting_bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self.refusal: SpoolFault | SpoolFull | None = None
        """Why the last append was not taken; None if it was, or if the next one would be, as far as is known."""
        self._refused_bytes = 0
        self._refused_at = 0.0
        """Loop time."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the file, and say what is in it."""
        try:
            await self.in_thread(self._file.open)
        except SpoolFault as exc:
            spool_events.fault(self.name, exc.message)
        spool_events.opened(self.name, messages=self.rows, damaged=self.damaged, adopted=self._adopted)

    async def close(self) -> None:
        """Write what waits, close the file, give up the right to it. Waits for the disk DISK_SECS at most."""
        if self._writer:
            await asyncio.wait([self._writer], timeout=DISK_SECS)
        deletes = self._adopted and self.is_empty
        try:
            await self.in_thread(self._file.delete if deletes else self._file.close)
        except SpoolFault as exc:
            spool_events.fault(self.name, exc.message)
        finally:
            self._thread.shutdown(wait=False)
            self._claim.release(deleted=deletes)

    @property
    def name(self) -> str:
        """The file's name."""
        return self._claim.path.name

    @property
    def rows(self) -> int:
        """Messages that wait."""
        return self._file.totals.messages

    @property
    def readings(self) -> int:
        """Readings that wait."""
        return self._file.totals.readings

    @property
    def size(self) -> int:
        """Bytes on disk, counted against spool.max_bytes: the pages in use, not the WAL; 0 if nothing is in it."""
        totals = self._file.totals
        return totals.size if totals.records or totals.damaged else 0

    @property
    def margin(self) -> int:
        """Bytes that must fit for it to be said to take readings."""
        return self._file.margin

    @property
    def damaged(self) -> int:
        """Records that were set aside."""
        return self._file.totals.damaged

    @property
    def oldest_us(self) -> int | None:
        """When the oldest batch was appended (µs since 1970 UTC); None if nothing waits."""
        return self._file.totals.oldest_us

    @property
    def is_open(self) -> bool:
        """Whether its file could be used the last time; each further call tries again."""
        return self._file.is_open

    @property
    def is_empty(self) -> bool:
        """Whether the file was opened and holds nothing, set aside or not."""
        totals = self._file.totals
        return self._file.is_open and not totals.records and not totals.damaged

    async def append(self, batches: Sequence[Batch]) -> None:
        """Return when all of them are on disk (fsync). Raises SpoolFull (nothing of them is kept), SpoolFault."""
        if not batches:
            return
        records = [encode(batch) for batch in batches]
        size = sum([len(record.content) for record in records])
        if self.size + self._waiting_bytes + size > self._max_bytes:
            raise self._noted(self._full(), size)
        if self._waiting and self._waiting_bytes + size > WAITING_BYTES:
            raise SpoolFault("the spool's disk is slower than what comes in; send less, or use a faster disk")
        ticket: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.append(Appending(records, size, ticket))
        self._waiting_bytes += size
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name=f"spool.writer[{self.name}]")
        if (verdict := await self._answer(ticket)) != "kept":
            raise self._noted(self._full() if verdict == "limit" else disk_full(), size)
        self.refusal = None
        spool_events.appended(sum([r.messages for r in records]), sum([r.readings for r in records]))

    async def probe(self) -> None:
        """See whether an append like the one that was refused would be taken now: then `refusal` is None.

        After a while a smaller one will do: whoever sent that large one may be the only one who does.
        """
        is_recent = asyncio.get_running_loop().time() - self._refused_at < LARGE_SECS
        size = max(self.margin, self._refused_bytes if is_recent else 0)
        try:
            await self.in_thread(self._file.probe, size)
        except SpoolFull:
            return
        except SpoolFault as exc:
            self.refusal = exc
        else:
            self.refusal = None

    async def oldest(self, max_rows: int, *, skip: Collection[int] = ()) -> list[Spooled]:
        """Return the oldest batches, at least one if there is any, else as many as hold `max_rows` messages.

        Fewer if they are large (`spool_file.READ_BYTES`); those with the ids `skip` are passed over. Raises SpoolFault.
        """
        while self._file.totals.records or not self._file.is_open:
            stored = await self.in_thread(self._file.read, max_rows, frozenset(skip))
            batches = await self._decode(stored)
            if batches or not stored:
                return batches
        return []

    async def remove(self, ids: Sequence[int]) -> None:
        """Forget batches that are stored now. Raises SpoolFault: they come again."""
        await self.in_thread(self._file.remove, ids)

    async def set_aside(self, number: int, why: str) -> None:
        """Move a batch to the table `damaged`, where people find it. Raises SpoolFault."""
        await self.in_thread(self._file.set_aside, number, why)

    async def _write(self) -> None:
        """Write groups of what waits until nothing waits."""
        while self._waiting:
            group = self._take()
            try:
                await self._write_group(group)
            finally:
                self._waiting_bytes -= sum([each.size for each in group])

    async def _write_group(self, group: list[Appending]) -> None:
        try:
            records = [each.records for each in group]
            verdicts = await self.in_thread(self._file.append, records, self._clock.now_us())
        except Exception as exc:  # noqa: BLE001 - whoever waits is told, whatever it was
            self._fail(group, exc)
            return
        for each, verdict in zip(group, verdicts, strict=True):
            if not each.ticket.done():
                each.ticket.set_result(verdict)

    def _take(self) -> list[Appending]:
        group = [self._waiting.popleft()]
        size = group[0].size
        while self._waiting and size + self._waiting[0].size <= GROUP_BYTES:
            group.append(self._waiting.popleft())
            size += group[-1].size
        return group

    def _fail(self, group: list[Appending], exc: Exception) -> None:
        message = ""
        if isinstance(exc, SpoolFault):
            message = self._noted(exc, 0).message
        else:
            spool_events.failed(self.name, exc)
        for each in group:
            if not each.ticket.done():
                each.ticket.set_exception(SpoolFault(message))

    async def _answer(self, ticket: "asyncio.Future[Verdict]") -> Verdict:
        try:
            async with asyncio.timeout(DISK_SECS):
                return await ticket
        except TimeoutError as exc:
            raise SpoolFault(f"the spool's disk does not answer within {DISK_SECS:.0f} s") from exc

    async def _decode(self, stored: Sequence[StoredRecord]) -> list[Spooled]:
        batches = []
        for i, (number, content) in enumerate(stored, 1):
            try:
                batches.append(Spooled(number, decode(content, self._layouts)))
            except Exception as exc:  # noqa: BLE001 - a mistake of ours in one record must not stop the others
                why = str(exc) if isinstance(exc, DamagedRecord) else repr(exc)
                await self.set_aside(number, why)
                spool_events.record_damaged(self.name, number, why)
            if not i % DECODE_TURN:
                await asyncio.sleep(0)
        return batches

    def _noted(self, refusal: SpoolFull | SpoolFault, size: int) -> SpoolFull | SpoolFault:
        """Remember that so many bytes were refused."""
        self.refusal, self._refused_bytes = refusal, size
        self._refused_at = asyncio.get_running_loop().time()
        return refusal

    def _full(self) -> SpoolFull:
        spool_events.full(self._max_bytes)
        return SpoolFull(
            f"the database cannot be reached and the spool holds all it may (spool.max_bytes = {self._max_bytes})",
            limit="spool.max_bytes",
        )

    async def in_thread(self, call: "Callable[..., T]", *args: object) -> T:
        """Run a call that may wait for the disk in the file's thread. Raises SpoolFault, and what the call raises."""
        work = asyncio.get_running_loop().run_in_executor(self._thread, call, *args)
        try:
            async with asyncio.timeout(DISK_SECS):
                return await work
        except TimeoutError as exc:
            raise SpoolFault(f"the spool's disk does not answer within {DISK_SECS:.0f} s") from exc
