"""In: the machine's influxd, or Debian's package. Out: an empty InfluxDB 1.x on a port of 127.0.0.1, as our child."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from gateway.app.dev_servers.child_process import Child
from gateway.app.dev_servers.ports import free_port, listens
from tests.servers.debian_package import program
from tests.servers.folders import scratch


def influx() -> AbstractContextManager[str]:
    """Return a server, whose URL is entered; NoGroundError with the reason where there can be none."""
    return _running(program("influxdb", "influxd"))


@contextmanager
def _running(executable: Path) -> Iterator[str]:
    with scratch(Path("/tmp")) as folder:
        port = free_port()
        place = folder / "influxdb.conf"
        place.write_text(config(folder, port))
        child = Child("influxd", [executable, "-config", place], log=folder / "influxd.log")
        try:
            child.start(lambda: listens(port))
            yield f"http://127.0.0.1:{port}"
        finally:
            child.stop()


def config(folder: Path, port: int) -> str:
    """Return the configuration of a server on this port that keeps its data in this folder."""
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
[logging]
level = "error"
"""
