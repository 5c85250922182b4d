"""Schema of a spool file: a path → a connection to it, made if it is not there. Never reads a record.

The counts are kept by triggers, in the transaction that changes them: opening a file of any size takes no time.
"""

import os
import sqlite3
from pathlib import Path

FORMAT = 1
"""`user_version` of the files this gateway reads and writes."""
PAGE_BYTES = 8192
CHECKPOINT_PAGES = 1000
"""Pages in the WAL at which it is moved into the file."""
WAL_BYTES = 2 * CHECKPOINT_PAGES * PAGE_BYTES
"""Size the WAL is cut to after a larger transaction."""
BUSY_SECS = 1.0
"""Longest wait for a person's sqlite3 that looks into the file."""

_PRAGMAS = f"""
pragma page_size = {PAGE_BYTES};
pragma journal_mode = wal;
pragma synchronous = full;
pragma wal_autocheckpoint = {CHECKPOINT_PAGES};
pragma journal_size_limit = {WAL_BYTES};
pragma secure_delete = off;
pragma temp_store = memory;
"""

_SCHEMA = """
begin immediate;
create table records (
    id integer primary key autoincrement,
    appended_us integer not null,
    messages integer not null,
    readings integer not null,
    content blob not null
);
create table damaged (
    id integer primary key, appended_us integer, messages integer, readings integer, content blob, why text not null
);
create table totals (records integer, messages integer, readings integer, damaged integer);
insert into totals values (0, 0, 0, 0);
create trigger counted after insert on records begin
    update totals set records = records + 1, messages = messages + new.messages, readings = readings + new.readings;
end;
create trigger uncounted after delete on records begin
    update totals set records = records - 1, messages = messages - old.messages, readings = readings - old.readings;
end;
create trigger noticed after insert on damaged begin
    update totals set damaged = damaged + 1;
end;
"""
_LATER = """
create trigger if not exists forgotten after delete on damaged begin
    update totals set damaged = damaged - 1;
end;
"""
"""What files of earlier gateways have not; those who read them need not know it."""


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection in autocommit mode, for this thread only. Raises sqlite3.Error, OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, timeout=BUSY_SECS, isolation_level=None)
    try:
        connection.executescript(_PRAGMAS)
        (found,) = connection.execute("pragma user_version").fetchone()
        if not found:
            connection.executescript(f"{_SCHEMA} pragma user_version = {FORMAT}; commit;")
            sync_folder(path.parent)
        elif found != FORMAT:
            raise OSError(f"its format is {found}, this gateway knows {FORMAT}")
        connection.executescript(_LATER)
    except BaseException:
        connection.close()
        raise
    return connection


def sync_folder(folder: Path) -> None:
    """Make the names in a folder, and its own, survive a power cut. Raises OSError."""
    for each in (folder, folder.absolute().parent):
        number = os.open(each, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
