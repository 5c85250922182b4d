"""The run folder: metrics of this run's workers; what killed runs left behind goes.

A folder of ours holds a lock that its main process keeps. Where nobody keeps the lock any more, and has not for a
while, the folder goes. A folder that the environment names belongs to somebody else: it is emptied, never removed by a
later run. Nothing else where temporary files lie is touched.
"""

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from pathlib import Path

from gateway.telemetry import MULTIPROC_ENV

PREFIX = "gateway-metrics-"
LOCK, WORKERS = "lock", "workers"
OLD_SECS = 120.0
"""Workers of a killed main process may still write while they stop."""


def prepare(environ: "os._Environ[str]") -> Path:
    """Empty, or make, the folder where the workers' metrics are merged, and name it in the environment."""
    named = environ.get(MULTIPROC_ENV)
    if named:
        folder = Path(named)
        folder.mkdir(parents=True, exist_ok=True)
    else:
        sweep(Path(tempfile.gettempdir()), now=time.time())
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        _keep_locked(folder)
    for stale in folder.glob("*.db"):
        stale.unlink()
    environ[MULTIPROC_ENV] = str(folder)
    return folder


def join(folder: Path) -> int:
    """Say that this process writes there as long as it lives; return the open file that `forget_if_last` wants back."""
    lock = os.open(folder / WORKERS, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def forget_if_last(folder: Path, joined: int) -> None:
    """Remove the folder as `forget` does, unless another process that joined still writes there."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(joined, fcntl.LOCK_EX | fcntl.LOCK_NB)
        forget(folder)


def forget(folder: Path) -> None:
    """Remove the metrics of processes that are gone, and the folder unless somebody else keeps things there."""
    for stale in (*folder.glob("*.db"), folder / LOCK, folder / WORKERS):
        stale.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def sweep(base: Path, *, now: float) -> None:
    """Remove what killed runs left in `base`; `now` is in seconds since 1970."""
    for folder in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # it is somebody else's, or another start sweeps it, too
            if _is_ours(folder) and now - folder.stat().st_mtime > OLD_SECS and _is_left(folder):
                forget(folder)


def _keep_locked(folder: Path) -> None:
    """Hold the folder's lock as long as this process lives: its number stays open on purpose."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_ours(folder: Path) -> bool:
    """Whether this is a folder that a run of ours made: anybody may put a link of this name among temporary files."""
    info = folder.lstat()
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & 0o022


def _is_left(folder: Path) -> bool:
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(lock)
    return True
