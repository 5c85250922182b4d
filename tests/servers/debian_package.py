"""A program of a Debian package: the machine's own, or unpacked once into the cache folder. Nothing is installed."""

import hashlib
import os
import shutil
from pathlib import Path

from tests.servers.errors import NoGroundError
from tests.servers.trixie import cache_folder, locked, run, say


def program(package: str, name: str) -> Path:
    """Return the program; NoGroundError with the reason where it cannot be had."""
    installed = shutil.which(name)
    if installed:
        return Path(installed)
    if not Path("/etc/debian_version").exists() or shutil.which("dpkg") is None:
        raise NoGroundError(f"{name} is not installed, and this is no Debian to take its package from")
    release = hashlib.sha256(Path("/etc/debian_version").read_bytes()).hexdigest()[:12]
    place = cache_folder() / f"{package}-{release}"
    with locked(place):
        if not place.exists():
            _unpack(package, name, place)
    return place / "usr/bin" / name


def _unpack(package: str, name: str, place: Path) -> None:
    draft = place.with_name(f"{place.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    say(f"unpacking {package} into {place}, once")
    try:
        run(["apt-get", "download", "-q", package], folder=draft)
    except NoGroundError:  # a bare image has no index yet
        run(["apt-get", "update", "-q"])
        run(["apt-get", "download", "-q", package], folder=draft)
    (archive,) = draft.glob("*.deb")
    run(["dpkg", "-x", str(archive), str(draft)])
    archive.unlink()
    if not os.access(draft / "usr/bin" / name, os.X_OK):
        raise NoGroundError(f"Debian's package {package} holds no {name}")
    draft.rename(place)
