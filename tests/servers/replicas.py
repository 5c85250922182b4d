"""In: a server of the trixie root. Out: copies of it that follow it, or begin where it was. Never starts a copy."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL

import asyncpg

from gateway.app.dev_servers import exec_as
from gateway.app.dev_servers.ports import free_port
from gateway.app.dev_servers.postgres import Loopback, PostgresServer
from tests.servers.errors import NoGroundError
from tests.servers.postgres import DatabaseServer

_COPY_SECS = 60
_SECS = 20.0


def ours(server: DatabaseServer) -> PostgresServer:
    """The server as one whose files can be reached; NoGroundError where it is none."""
    if not isinstance(server, PostgresServer) or not isinstance(server.listen, Loopback):
        raise NoGroundError("copies are made of a server in the trixie root")
    return server


def base_backup(server: PostgresServer, name: str, *, follows: bool) -> PostgresServer:
    """A copy of its files beside them, to be started: it follows the server, or begins with what it is now."""
    assert isinstance(server.listen, Loopback)
    assert server.installation.root is not None
    data = server.data.with_name(name)
    where = server.installation
    conninfo = f"host=127.0.0.1 port={server.listen.port} user=postgres password={server.listen.password}"
    inside = Path("/") / data.relative_to(server.installation.root)
    more = ["-R"] if follows else []
    argv = [where.programs / "pg_basebackup", "-D", inside, "-X", "stream", "-c", "fast", "-d", conninfo, *more]
    root = str(where.root)
    command = exec_as.command([str(part) for part in argv], user=where.user, root=root, on_orphan=SIGKILL)
    done = subprocess.run(command, cwd="/", capture_output=True, timeout=_COPY_SECS, check=False)
    assert done.returncode == 0, done.stderr.decode()
    log = server.log.with_name(f"{name}.log")
    return PostgresServer(
        server.installation, data=data, log=log, listen=replace(server.listen, port=free_port()), tuning=server.tuning
    )


def restore_at(copy: PostgresServer, of: PostgresServer, *, target: str) -> None:
    """Have a copy, once started, replay what the stopped server did up to this restore point, and be a primary then."""
    wal = copy.data.with_name(f"{copy.data.name}.wal")
    shutil.copytree(of.data / "pg_wal", wal)
    _give(wal, copy)
    assert copy.installation.root is not None
    inside = Path("/") / wal.relative_to(copy.installation.root)
    lines = (
        f"restore_command = 'cp {inside}/%f %p'",
        f"recovery_target_name = '{target}'",
        "recovery_target_action = 'promote'",
    )
    with (copy.data / "postgresql.auto.conf").open("a") as file:
        file.write("\n".join(("", *lines, "")))
    (copy.data / "recovery.signal").touch()
    _give(copy.data / "recovery.signal", copy)


@contextmanager
def put_back(server: PostgresServer) -> Iterator[None]:
    """The stopped server's files as they are now are its files again, whatever was done meanwhile; started after."""
    snapshot = server.data.with_name(f"{server.data.name}.snapshot")
    shutil.copytree(server.data, snapshot, symlinks=True)
    server.start()
    yield
    server.stop()
    shutil.rmtree(server.data)
    snapshot.rename(server.data)
    _give(server.data, server)
    server.data.chmod(0o700)
    server.start()


async def caught_up(primary: PostgresServer, standby: PostgresServer) -> None:
    """Wait until the standby shows all that the primary has."""
    end = await ask(primary, "select pg_current_wal_flush_lsn()::text")
    while not await ask(standby, f"select pg_last_wal_replay_lsn() >= '{end}'"):
        pass


async def cut_off(standby: PostgresServer) -> None:
    """Let the standby hear no more of its primary."""
    await ask(standby, "alter system set primary_conninfo = ''")
    await ask(standby, "select pg_reload_conf()")
    while await ask(standby, "select count(*) from pg_stat_wal_receiver"):
        pass


async def promote(standby: PostgresServer) -> None:
    """Make it a primary, on a timeline of its own."""
    assert await ask(standby, "select pg_promote(true, 60)")


async def ask(server: PostgresServer, statement: str) -> object:
    """The first value of this statement's answer."""
    connection = await asyncpg.connect(server.url(), timeout=_SECS, command_timeout=_SECS)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close(timeout=_SECS)


def urls(*servers: PostgresServer, database: str = "postgres") -> str:
    """One URL with these servers as its hosts, in this order."""
    listen = [server.listen for server in servers]
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in listen if isinstance(each, Loopback))
    (password,) = {each.password for each in listen if isinstance(each, Loopback)}
    return f"postgresql://postgres:{password}@{hosts}/{database}"


def _give(path: Path, server: PostgresServer) -> None:
    assert server.installation.user is not None
    for each in (path, *path.rglob("*")):
        os.chown(each, *server.installation.user, follow_symlinks=False)
