"""In: a database server, a pool mode. Out: a running PgBouncer in front of it, and its URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGQUIT
from typing import Literal
from urllib.parse import unquote, urlsplit

from gateway.app.dev_servers.child_process import Child, Stop, User
from gateway.app.dev_servers.ports import free_port, listens
from gateway.app.dev_servers.server import ChildServer
from tests.servers.postgres import DatabaseServer
from tests.servers.trixie import Trixie, trixie

_STOP = (Stop(SIGQUIT, 5.0), Stop(SIGKILL, 5.0))  # by SIGTERM it waits for its clients to go
Mode = Literal["session", "transaction", "statement"]


@dataclass(slots=True)
class PgBouncer(ChildServer):
    """A pooler on 127.0.0.1 as our child, which lets everybody in."""

    root: Path
    folder: Path
    user: User
    port: int
    behind: DatabaseServer
    mode: Mode
    pool_size: int
    in_turn: bool = False
    """Hand out the connections to the server one after the other, not the one used last."""

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        config = self.folder / "pgbouncer.ini"
        config.write_text(self._config())
        config.chmod(0o644)
        argv: list[str | Path] = ["/usr/sbin/pgbouncer", Path("/") / config.relative_to(self.root)]
        log = self.folder / "pgbouncer.log"
        child = Child("PgBouncer", argv, log=log, user=self.user, root=self.root, env={"LANG": "C.UTF-8"}, stop=_STOP)
        child.start(lambda: listens(self.port))
        self._child = child

    def _config(self) -> str:
        server = urlsplit(self.behind.url())
        login = f"user={server.username} password={unquote(server.password or '')}"
        return f"""\
[databases]
* = host={server.hostname} port={server.port} {login}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = any
pool_mode = {self.mode}
default_pool_size = {self.pool_size}
server_round_robin = {int(self.in_turn)}
"""


@contextmanager
def pgbouncer(server: DatabaseServer, mode: Mode, *, pool_size: int = 20, in_turn: bool = False) -> Iterator[PgBouncer]:
    """A pooler in front of a server that listens on TCP. Raises NoGroundError where there is no root."""
    root: Trixie = trixie()
    user = root.user("postgres")
    with (
        root.folder(user) as folder,
        PgBouncer(root.root, folder, user, free_port(), server, mode, pool_size, in_turn) as pooler,
    ):
        yield pooler
