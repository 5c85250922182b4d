"""A spool file: records in SQLite. Synchronous, for one thread; never looks into a record.

    records  (id, appended_us, messages, readings, content)   what waits; oldest = lowest id; no id is used twice
    damaged  (the same, why)                                  what could not be read: kept for people, never deleted

A write is one transaction: WAL with synchronous=FULL, so its one fsync has happened when `append` returns, and of a
transaction that a crash cut short nothing is left. Any failure closes the file, and the next call opens it anew. A file
that SQLite calls damaged is replaced by what can be read of it (`spool_salvage`).

The pages in use are what counts against `max_bytes`; removing frees pages for reuse, and an empty file shrinks. Beside
it there is the WAL: WAL_BYTES, or the largest transaction. Some of the disk is left free, because removing needs it.
"""

import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

from gateway.core.errors import SpoolFault, SpoolFull
from gateway.ingest.spool.codec import Record
from gateway.ingest.spool.salvage import finish, is_damage, salvage
from gateway.ingest.spool.schema import connect

TWICE = 2
"""A record is written to the WAL, and from there to the file."""
READ_BYTES = 32 * 2**20
"""Bytes one read returns at most, unless a single record has more."""
FREE_BYTES = 16 * 2**20
"""Disk left free by appends: for the WAL, and for moving it into the file."""
MARGIN_BYTES = 2**20
"""What must fit for a spool to be said to take readings, unless it is so small that this is more than a part of it."""
MARGIN_PART = 4
SHRINK_BYTES = 16 * 2**20
"""Free pages an emptied file may keep; with more of them it gives them back."""

_INSERT = "insert into records (appended_us, messages, readings, content) values (?, ?, ?, ?)"
_TOTALS = """
select messages, readings, records, damaged, (select appended_us from records order by id limit 1) from totals
"""


Verdict = Literal["kept", "limit", "disk"]
"""What became of an append: it is on disk, beyond `max_bytes`, or more than the disk has room for."""


class Totals(NamedTuple):
    """What a file holds."""

    messages: int = 0
    readings: int = 0
    records: int = 0
    damaged: int = 0
    oldest_us: int | None = None
    """When the oldest record was appended; microseconds since 1970 UTC."""
    size: int = 0
    """Bytes of the pages in use."""


class StoredRecord(NamedTuple):
    """A record as it lies in the file."""

    id: int
    content: bytes


class SpoolFile:
    """The file. Every method raises SpoolFault if SQLite or the disk fails; the call may succeed later."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self.margin = min(MARGIN_BYTES, max_bytes // MARGIN_PART)
        """Bytes that must fit for it to be said to take readings."""
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self.totals = Totals()
        """Replaced as a whole, so that other threads may read it."""

    @property
    def is_open(self) -> bool:
        """Whether `totals` says what the file holds."""
        return self._connection is not None

    def open(self) -> None:
        """Open or make the file."""
        with self._transaction():
            pass

    def append(self, calls: Sequence[Sequence[Record]], now_us: int) -> list[Verdict]:
        """Write the records of several calls with one fsync; say for each call whether it had room.

        Of a call without room nothing is written.
        """
        free = self._free_bytes()
        verdicts: list[Verdict] = []
        with self._transaction() as connection:
            for records in calls:
                needed = TWICE * sum(len(record.content) for record in records)
                verdicts.append(self._append(connection, records, now_us) if needed <= free else "disk")
                free -= needed if verdicts[-1] == "kept" else 0
        return verdicts

    def probe(self, size: int) -> None:
        """Return if an append of so many bytes would succeed. Raises SpoolFault, SpoolFull."""
        free = self._free_bytes()
        if self.totals.size + size > self._max_bytes:
            raise SpoolFull
        if free < TWICE * size:
            raise disk_full()
        path = Path(f"{self.path}.probe")
        try:
            path.unlink(missing_ok=True)
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            try:  # a quota, which no free space tells of, is met only by taking it
                os.posix_fallocate(number, 0, TWICE * size)
                os.fsync(number)
            finally:
                os.close(number)
                path.unlink()
        except OSError as exc:
            raise SpoolFault(f"the spool's disk takes no more: {exc}; see spool.dir") from exc

    def read(self, max_messages: int, skip: Collection[int] = ()) -> list[StoredRecord]:
        """Return the oldest records: at least one if there is any, else up to `max_messages` and READ_BYTES.

        Those with the ids `skip` are passed over.
        """
        found: list[StoredRecord] = []
        size = 0
        with (
            self._transaction() as connection,
            closing(connection.execute("select id, messages, content from records order by id")) as rows,
        ):
            for number, messages, content in rows:
                if number in skip:
                    continue
                max_messages -= messages
                size += len(content)
                if found and (max_messages < 0 or size > READ_BYTES):
                    break
                found.append(StoredRecord(number, content))
        return found

    def remove(self, ids: Sequence[int]) -> None:
        """Delete records; unknown ids are ignored."""
        with self._transaction() as connection:
            connection.executemany("delete from records where id = ?", [(number,) for number in ids])
        if not self.totals.records:
            self._shrink()

    def set_aside(self, number: int, why: str) -> None:
        """Move a record to the damaged ones."""
        with self._transaction() as connection:
            connection.execute("insert or replace into damaged select *, ? from records where id = ?", (why, number))
            connection.execute("delete from records where id = ?", (number,))

    def close(self) -> None:
        """Close the file, moving the WAL into it. Never raises."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def delete(self) -> None:
        """Close the file and delete it, if the disk lets it. Never raises."""
        self.close()
        with suppress(OSError):
            for suffix in ("-wal", "-shm", ""):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._connection or self._open()
            connection.execute("begin immediate")
            yield connection
            totals = Totals._make((*connection.execute(_TOTALS).fetchone(), _size(connection)))
            connection.execute("commit")
            self.totals = totals
        except (sqlite3.Error, OSError) as exc:
            self.close()
            if is_damage(exc):
                with suppress(sqlite3.Error, OSError):  # tried again by the next call
                    salvage(self.path)
            raise SpoolFault(f"the spool's file {self.path.name} cannot be used: {exc}; see spool.dir") from exc
        except BaseException:
            self.close()
            raise

    def _open(self) -> sqlite3.Connection:
        finish(self.path)
        connection = self._connection = connect(self.path)
        self._inode = self.path.stat().st_ino
        return connection

    def _append(self, connection: sqlite3.Connection, records: Sequence[Record], now_us: int) -> Verdict:
        connection.execute("savepoint call")
        connection.executemany(_INSERT, [(now_us, r.messages, r.readings, r.content) for r in records])
        fits = _size(connection) <= self._max_bytes
        if not fits:
            connection.execute("rollback to call")
        connection.execute("release call")
        return "kept" if fits else "limit"

    def _free_bytes(self) -> int:
        """Return what the disk has room for. Raises SpoolFault if the file was deleted: an append would be lost."""
        if not self.is_open:
            self.open()
        try:
            replaced = self.path.stat().st_ino != self._inode
            free = free_bytes(self.path.parent)
        except OSError as exc:
            self.close()
            raise SpoolFault(f"the spool's file is gone: {exc}; it is made anew") from exc
        if replaced:
            self.close()
            raise SpoolFault("the spool's file was replaced by another one, which is used from now on")
        return free

    def _shrink(self) -> None:
        """Give back what an empty file no longer needs."""
        with suppress(sqlite3.Error, OSError):  # the removal itself is done
            if self._connection and self.path.stat().st_size - self.totals.size > SHRINK_BYTES:
                self._connection.execute("vacuum")
                self._connection.execute("pragma wal_checkpoint(truncate)").fetchall()


def disk_full() -> SpoolFault:
    """Return what an append is answered that the disk has no room for."""
    return SpoolFault("the spool's disk is full; free some space, or set spool.dir to another disk")


def free_bytes(folder: Path | str) -> int:
    """Return how much the disk of a folder takes beside what is left free, at least 0. Raises OSError."""
    disk = os.statvfs(folder)
    return max(0, disk.f_bavail * disk.f_frsize - FREE_BYTES)


def _size(connection: sqlite3.Connection) -> int:
    (pages,), (free,), (page,) = (
        connection.execute(f"pragma {name}").fetchone() for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page)
