"""Exec as somebody: this process becomes that program, and dies with its parent. Never returns.

Run by path as ``python -I -S enter.py PARENT SIGNAL ROOT UID:GID PROGRAM ARG…`` (``-``: no chroot, no other user), so
that nothing of ours runs between fork and exec in a process that may have threads, as a preexec_fn would. Only the
standard library is there. A program that cannot be run ends with 127, as in a shell.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

NOTHING = "-"
_PR_SET_PDEATHSIG = 1  # prctl(2)
_NOT_RUN = 127


def command(
    argv: Sequence[str], *, user: tuple[int, int] | None, root: str | None, on_orphan: signal.Signals
) -> list[str]:
    """Return the command line that runs ``argv`` as this user, inside this root, bound to the life of the caller."""
    whom = NOTHING if user is None else f"{user[0]}:{user[1]}"
    itself = [sys.executable, "-I", "-S", os.path.abspath(__file__)]  # noqa: PTH100 -- pathlib costs a start 10 ms
    return [*itself, str(os.getpid()), str(int(on_orphan)), root or NOTHING, whom, *argv]


def drop_to(uid: int, gid: int) -> None:
    """Become this user for good; only root may."""
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def die_with_parent(parent: int, on_orphan: int) -> None:
    """Ask the kernel for this signal when the parent ends; end at once when it already has (Linux only).

    The kernel forgets the wish when the user changes (prctl(2)): first ``drop_to``, then this.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, on_orphan, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def main(parent: str, on_orphan: str, root: str, whom: str, *argv: str) -> None:
    """Chroot, give root up, bind to the parent, exec."""
    if root != NOTHING:
        os.chroot(root)
        os.chdir("/")
    if whom != NOTHING:
        uid, gid = map(int, whom.split(":"))
        drop_to(uid, gid)
    die_with_parent(int(parent), int(on_orphan))
    try:
        os.execv(argv[0], argv)  # noqa: S606 -- no shell is what is wanted
    except OSError as error:
        sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
        sys.exit(_NOT_RUN)


if __name__ == "__main__":
    main(*sys.argv[1:])
