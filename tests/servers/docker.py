"""In: a Docker engine. Out: TimescaleDB in a container of our own. Never touches others; leaves nothing behind."""

import secrets
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT, SIGKILL

from gateway.app.dev_servers.child_process import Child, Stop
from gateway.app.dev_servers.ports import free_port

IMAGE = "timescale/timescaledb:latest-pg17"
_ENGINE_SECS = 3.0
_COMMAND_SECS = 60.0
_PULL_AND_START_SECS = 600.0
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # PostgreSQL's protocol: length 8, code 80877103


def engine_answers() -> bool:
    """Whether `docker info` succeeds within three seconds."""
    try:
        return _docker("info", timeout=_ENGINE_SECS).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@dataclass
class ContainerServer:
    """TimescaleDB in a container whose `docker run` is our child; its data is a volume, so it outlives `kill`."""

    tuning: Mapping[str, str]
    port: int
    log: Path
    name: str = field(default_factory=lambda: f"gateway-ground-{secrets.token_hex(4)}")
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    _child: Child | None = None

    def url(self, database: str = "postgres", /) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        settings = [part for name, value in self.tuning.items() for part in ("-c", f"{name}={value}")]
        argv = ["docker", "run", "--rm", "--name", self.name, "--shm-size", "256m"]
        argv += ["--publish", f"127.0.0.1:{self.port}:5432", "--volume", f"{self.name}:/var/lib/postgresql/data"]
        argv += ["--env", f"POSTGRES_PASSWORD={self.password}", "--env", "TIMESCALEDB_TELEMETRY=off"]
        stop = (Stop(SIGINT, 20.0), Stop(SIGKILL, 5.0))  # the client passes SIGINT on: a fast shutdown
        child = Child("TimescaleDB", [*argv, IMAGE, *settings], log=self.log, on_orphan=SIGINT, stop=stop)
        child.start(lambda: _speaks_postgres(self.port), timeout=_PULL_AND_START_SECS)
        self._child = child

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        _docker("kill", self.name, timeout=_COMMAND_SECS)
        self.stop()

    def remove(self) -> None:
        self.stop()
        _docker("volume", "rm", "--force", self.name, timeout=_COMMAND_SECS)


@contextmanager
def docker_timescale(tuning: Mapping[str, str], *, port: int | None = None) -> Iterator[ContainerServer]:
    """A TimescaleDB server (Community edition) with nothing in it; the first time its image is fetched."""
    with tempfile.TemporaryDirectory() as folder:
        server = ContainerServer(tuning, port or free_port(), Path(folder) / "docker.log")
        try:
            server.start()
            yield server
        finally:
            server.remove()


def _docker(*argv: str, timeout: float) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["docker", *argv], capture_output=True, timeout=timeout, check=False)


def _speaks_postgres(port: int) -> bool:
    """The port's forwarder takes connections long before the server does; only the server answers an SSLRequest."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
            client.sendall(_SSL_REQUEST)
            return client.recv(1) in {b"N", b"S"}
    except OSError:
        return False
