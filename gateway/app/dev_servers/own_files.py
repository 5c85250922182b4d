"""Own files: folders and files made so that no link of somebody else can stand in their place. Nothing else is written.

Root starts servers as another user, and the folders they run in may lie where others can write, or belong to that user.
So nothing is opened through a link, a file is made and never taken over, and owner and mode are set by its number,
which stays that file's whatever becomes of the name.
"""

import os
import stat
from pathlib import Path

from gateway.app.dev_servers.child_process import User
from gateway.core.errors import LocalStackError

MOST_READ = 64 * 1024
"""Bytes of a file of somebody else that are read at most."""


def own_folder(path: Path, *, mode: int = 0o700, owner: User | None = None) -> Path:
    """Return a folder of the owner (default: us), made if it is not there; one of root's is given to the owner.

    What others may not do with `mode` nobody else can: enter a private one, write into another. Whoever may rename its
    parents is trusted: the programs may lie there, too. Raises LocalStackError, OSError.
    """
    path.mkdir(mode=mode, exist_ok=True)
    try:
        number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except NotADirectoryError as error:  # what Linux says of a link, too
        raise LocalStackError(f"{path} must be a folder, and is a link: remove it") from error
    try:
        info = os.fstat(number)
        if owner is not None and info.st_uid == 0:
            os.fchown(number, *owner)
            info = os.fstat(number)
    finally:
        os.close(number)
    wanted = os.geteuid() if owner is None else owner.uid
    if info.st_uid != wanted or info.st_mode & _others(mode):
        raise LocalStackError(
            f"{path} must be a folder of user {wanted} with mode {mode:04o} (it belongs to {info.st_uid}, with mode "
            f"{stat.S_IMODE(info.st_mode):04o}): start as that user or as root, or remove it"
        )
    return path


def write_private(path: Path, text: str, *, owner: User | None = None) -> None:
    """Write a file with mode 0600 that belongs to the owner; what was there under this name goes. Raises OSError."""
    path.unlink(missing_ok=True)
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(number, "w") as file:
        os.fchmod(number, 0o600)
        if owner is not None:
            os.fchown(number, *owner)
        file.write(text)


def open_lock(path: Path) -> int:
    """Return the number of an open file, made if it is not there, which is no link. Raises OSError."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def read_foreign(path: Path) -> str:
    """Read a small file in a folder of somebody else, who may put anything there. Raises OSError."""
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(f"{path} is no ordinary file")
        return file.read(MOST_READ).decode(errors="replace")


def _others(mode: int) -> int:
    """Return what others must not be allowed: people have groups of their own, and umasks that let those write."""
    if not mode & 0o077:
        return 0o077
    return 0o002 if os.geteuid() else 0o022
