"""In: a base folder, an owner. Out: a scratch folder, gone after use, or at the next start after a SIGKILL."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.app.dev_servers.child_process import User

_PREFIX = "ground-"


@contextmanager
def scratch(base: Path, owner: User | None = None) -> Iterator[Path]:
    """A new folder below ``base`` that its owner may write and others may walk through."""
    sweep(base)
    path, lock = _locked_folder(base)
    path.chmod(0o711)
    if owner is not None:
        os.chown(path, *owner)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def sweep(base: Path) -> None:
    """Remove the folders that nobody holds any more."""
    for path in base.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # gone meanwhile, or another user's
            lock = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _locked_folder(base: Path) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        with suppress(FileNotFoundError):  # another run swept it away before it was locked: make another
            lock = os.open(path, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return path, lock
            os.close(lock)
