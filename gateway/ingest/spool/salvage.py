"""Salvage of a damaged spool file: a new one with every record that can be read. Never deletes the old one.

The old file is renamed to <file>.damaged-1 (or -2, …) only when the new one is complete on disk as <file>.new, so a
crash at any point is finished or undone by the next `finish`.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any

from gateway.ingest.spool.schema import connect, sync_folder
from gateway.telemetry import spool_events

_COLUMNS = "id, appended_us, messages, readings, content"
_INSERT = f"insert or ignore into records ({_COLUMNS}) values (?, ?, ?, ?, ?)"  # noqa: S608 - constants only
_SUFFIXES = ("", "-wal", "-shm")


def is_damage(exc: Exception) -> bool:
    """Whether this error says that the file itself is broken, rather than the disk or the call."""
    code = getattr(exc, "sqlite_errorcode", None) or 0
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def salvage(path: Path) -> None:
    """Replace the file by what can be read of it. Raises sqlite3.Error, OSError; all is as before then."""
    fresh = _beside(path, ".new")
    _unlink(fresh)
    with closing(connect(fresh)) as connection:
        connection.execute("begin immediate")
        connection.executemany(_INSERT, _readable(path))
        (saved,) = connection.execute("select records from totals").fetchone()
        connection.execute("commit")
    kept = next(name for n in count(1) if not (name := _beside(path, f".damaged-{n}")).exists())
    for suffix in _SUFFIXES:
        with suppress(FileNotFoundError):
            _beside(path, suffix).rename(_beside(kept, suffix))
    finish(path)
    sync_folder(path.parent)
    spool_events.file_damaged(path.name, kept=kept.name, saved=saved)


def finish(path: Path) -> None:
    """Finish, or undo, a salvage that a crash cut short. Raises OSError."""
    fresh = _beside(path, ".new")
    if path.exists():
        _unlink(fresh)
    elif fresh.exists():
        for suffix in _SUFFIXES[1:]:  # SQLite would take the old file's WAL for the new one's
            _beside(path, suffix).unlink(missing_ok=True)
        fresh.rename(path)


def _readable(path: Path) -> Iterator[tuple[Any, ...]]:
    """Yield the records before the first damaged page and, from the end, those behind the last."""
    for order in ("asc", "desc"):
        try:
            yield from _read(path, order)
        except sqlite3.DatabaseError as exc:
            if not is_damage(exc):  # the disk fails now: what lies beyond may be read later
                raise


def _read(path: Path, order: str) -> Iterator[tuple[Any, ...]]:
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as connection,
        closing(connection.execute(f"select {_COLUMNS} from records order by id {order}")) as rows,  # noqa: S608
    ):
        for row in rows:
            if isinstance(row[-1], bytes) and all(isinstance(number, int) for number in row[:-1]):
                yield row


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _unlink(path: Path) -> None:
    for suffix in _SUFFIXES:
        _beside(path, suffix).unlink(missing_ok=True)
