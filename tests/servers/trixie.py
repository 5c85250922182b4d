"""In: apt's own configuration. Out: a Debian trixie root with real servers, made once. Never leaves a half-made one."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gateway.app.dev_servers.child_process import User
from tests.servers.errors import NoGroundError
from tests.servers.folders import scratch

SUITE = "trixie"
PACKAGES = (
    "postgresql-17",
    "postgresql-17-timescaledb",
    "mosquitto",
    "mosquitto-clients",
    "valkey-server",
    "pgbouncer",
    "prometheus",
)
_BUILD_SECS = 900
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Trixie:
    """A finished root; servers run chrooted in it as its own users."""

    root: Path

    def user(self, name: str) -> User:
        """The numbers of one of the root's own users."""
        for line in (self.root / "etc/passwd").read_text().splitlines():
            fields = line.split(":")
            if fields[0] == name:
                return User(int(fields[2]), int(fields[3]))
        raise NoGroundError(f"{self.root} has no user {name}")

    def folder(self, owner: User) -> AbstractContextManager[Path]:
        """A scratch folder inside the root for one server's data."""
        return scratch(self.root / "srv", owner)


def trixie() -> Trixie:
    """The root, made now if there is none (about a minute); NoGroundError with the reason where that cannot be done."""
    found = _attempt()
    if isinstance(found, NoGroundError):
        raise found
    return found


@cache
def _attempt() -> Trixie | NoGroundError:
    """One attempt a process: what failed once is not tried again for every test."""
    try:
        return Trixie(_cached_root())
    except NoGroundError as error:
        return error


def _cached_root() -> Path:
    if os.geteuid() != 0 or not Path("/etc/debian_version").exists():
        raise NoGroundError("a trixie root needs root on Debian")
    name = hashlib.sha256(" ".join((SUITE, *PACKAGES)).encode()).hexdigest()[:12]
    root = cache_folder() / f"{SUITE}-{name}"
    with locked(root):
        if not root.exists():
            build(root)
    return root


def cache_folder() -> Path:
    """Where what is made once is kept."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "device-gateway"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """One builder of this place at a time: a second one waits here and then finds it made."""
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(root: Path) -> None:
    """Make the root beside its place and rename it there when it is whole."""
    mirror, keyring = apt_source()
    draft = root.with_name(f"{root.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    say(f"making a {SUITE} root with {', '.join(PACKAGES)} in {root}: about a minute, once")
    need_debootstrap()
    include = f"--include={','.join(PACKAGES)}"
    run(["debootstrap", "--variant=minbase", f"--keyring={keyring}", include, SUITE, str(draft), mirror])
    (draft / "dev/shm").chmod(0o1777)  # PostgreSQL's shared memory; debootstrap leaves it to a mount
    shutil.rmtree(draft / "var/cache/apt", ignore_errors=True)
    shutil.rmtree(draft / "var/lib/postgresql/17/main", ignore_errors=True)  # Debian's own cluster, never used
    draft.rename(root)
    say(f"made {root}")


def need_debootstrap() -> None:
    """Install debootstrap if it is missing."""
    if shutil.which("debootstrap") is None:
        say("installing debootstrap")
        run(["apt-get", "update", "-q"])
        run(["apt-get", "install", "-y", "-q", "--no-install-recommends", "debootstrap"])


def apt_source() -> tuple[str, str]:
    """Mirror and keyring of this machine's own main Debian source, as apt reports them."""
    source = known_source()
    if source is None:
        run(["apt-get", "update", "-q"])  # a bare image has no index yet, and without one apt cannot tell the origin
        source = known_source()
    if source is None:
        raise NoGroundError("apt knows no Debian main source")
    return source


def known_source() -> tuple[str, str] | None:
    """What apt can tell without asking the network."""
    form = "$(ORIGIN)\t$(LABEL)\t$(COMPONENT)\t$(REPO_URI)\t$(SIGNED_BY)"
    argv = ["apt-get", "indextargets", "--format", form]
    listing = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    for line in listing.stdout.splitlines():
        origin, label, component, uri, signed_by = line.split("\t")
        if (origin, label, component) == ("Debian", "Debian", "main"):
            return uri, signed_by if Path(signed_by).is_file() else str(_KEYRING)
    return None


def run(argv: list[str], *, folder: Path | None = None) -> None:
    """Run to the end, in this folder, with the output on stderr; NoGroundError when it fails."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            env=env,
            cwd=folder,
            check=False,
            timeout=_BUILD_SECS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoGroundError(f"{argv[0]}: {error}") from error
    if done.returncode != 0:
        raise NoGroundError(f"{argv[0]} ended with {done.returncode}")


def say(text: str) -> None:
    """Progress, for people, on stderr."""
    sys.stderr.write(f"[ground] {text}\n")
    sys.stderr.flush()
