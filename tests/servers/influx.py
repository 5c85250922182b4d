"""In: the machine's influxd, or Debian's package. Out: an empty InfluxDB 1.x on a port of 127.0.0.1, as our child."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from gateway.app.dev_servers.child_process import Child
from gateway.app.dev_servers.ports import free_port, listens
from tests.servers.errors import NoGroundError
from tests.servers.folders import scratch
from tests.servers.trixie import cache_folder, locked, run, say

_PACKAGE = "influxdb"


def influx() -> AbstractContextManager[str]:
    """Return a server, whose URL is entered; NoGroundError with the reason where there can be none."""
    installed = shutil.which("influxd")
    return _running(Path(installed) if installed else _unpacked())


@contextmanager
def _running(program: Path) -> Iterator[str]:
    with scratch(Path("/tmp")) as folder:
        port = free_port()
        config = folder / "influxdb.conf"
        config.write_text(_config(folder, port))
        child = Child("influxd", [program, "-config", config], log=folder / "influxd.log")
        try:
            child.start(lambda: listens(port))
            yield f"http://127.0.0.1:{port}"
        finally:
            child.stop()


def _config(folder: Path, port: int) -> str:
    return f"""
reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
[monitor]
store-enabled = false
"""


def _unpacked() -> Path:
    """The program of Debian's package, unpacked once into the cache folder: nothing is installed, no service begins."""
    if not Path("/etc/debian_version").exists() or shutil.which("dpkg") is None:
        raise NoGroundError("no InfluxDB: influxd is not installed, and this is no Debian to take its package from")
    release = hashlib.sha256(Path("/etc/debian_version").read_bytes()).hexdigest()[:12]
    place = cache_folder() / f"{_PACKAGE}-{release}"
    with locked(place):
        if not place.exists():
            _unpack(place)
    return place / "usr/bin/influxd"


def _unpack(place: Path) -> None:
    draft = place.with_name(f"{place.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    say(f"unpacking {_PACKAGE} into {place}, once")
    try:
        run(["apt-get", "download", "-q", _PACKAGE], folder=draft)
    except NoGroundError:  # a bare image has no index yet
        run(["apt-get", "update", "-q"])
        run(["apt-get", "download", "-q", _PACKAGE], folder=draft)
    (archive,) = draft.glob("*.deb")
    run(["dpkg", "-x", str(archive), str(draft)])
    archive.unlink()
    if not os.access(draft / "usr/bin/influxd", os.X_OK):
        raise NoGroundError(f"Debian's package {_PACKAGE} holds no influxd")
    draft.rename(place)
