"""Claims on spool files: which of a folder this process owns, by a lock that dies with it. Never opens a spool file.

A worker's file is <name>.db, its lock <name>.lock. Names are wishes: where a living process has the file already, the
next free one of <name>-1, <name>-2, … is taken; whoever starts later finds what a dead worker left, whatever its name.
"""

import fcntl
import os
from itertools import count
from pathlib import Path

from gateway.core.errors import StartError


class SpoolClaim:
    """The right to a spool file, until it is released or the process ends."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        """The spool file, which need not exist."""
        self._lock = lock

    def release(self, *, deleted: bool = False) -> None:
        """Give up the right. The file, unless it was deleted, can be adopted from now on."""
        if deleted:
            _lock_path(self.path).unlink(missing_ok=True)
        os.close(self._lock)


def claim_own(folder: Path, worker: str) -> SpoolClaim:
    """Claim the file of a worker, making the folder if need be. Raises StartError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = (f"{worker}-{n}.db" if n else f"{worker}.db" for n in count())
        return next(claim for name in names if (claim := _claim(folder / name)))
    except OSError as exc:
        raise StartError(
            f"cannot use the spool folder {str(folder)!r}: {exc}; set spool.dir to a folder this user may write"
        ) from exc


def claim_left(folder: Path) -> list[SpoolClaim]:
    """Claim the files whose owners are gone. Raises StartError."""
    try:
        left = {path.name.removesuffix(".new") for path in folder.iterdir() if path.name.endswith((".db", ".db.new"))}
        claims = [_claim(folder / name) for name in sorted(left)]
    except OSError as exc:
        raise StartError(f"cannot look into the spool folder {str(folder)!r}: {exc}") from exc
    return [claim for claim in claims if claim]


def _claim(path: Path) -> SpoolClaim | None:
    while True:
        lock = os.open(_lock_path(path), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        if _is_current(path, lock):
            return SpoolClaim(path, lock)
        os.close(lock)  # its owner deleted it between our open and our lock: nobody else sees this one


def _is_current(path: Path, lock: int) -> bool:
    try:
        return os.fstat(lock).st_ino == _lock_path(path).stat().st_ino
    except FileNotFoundError:
        return False


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")
