"""The local stack in a folder: PostgreSQL, Valkey, an MQTT broker and URLs. Never two on one folder."""

import fcntl
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from gateway.app.dev_servers import postgres, valkey
from gateway.app.dev_servers.broker import BrokerServer
from gateway.app.dev_servers.child_process import wait_until
from gateway.app.dev_servers.data_folder import SYSTEM_BASE, Home, settle
from gateway.app.dev_servers.own_files import open_lock, own_folder, write_private
from gateway.app.dev_servers.ports import free_port, need_port
from gateway.core.errors import LocalStackError

_LEFTOVER_SECS = 60.0  # a killed gateway's PostgreSQL may still be writing its last checkpoint
_LOG_BYTES = 5_000_000
_TRAVERSABLE = 0o711  # others may walk through, to what is theirs below; they cannot list it


class LocalStack:
    """The stack of one folder, usually ``.local``: enter from the main thread, once.

    Data is kept in the folder, or, where the servers' user cannot walk to it, below ``base`` with a link; ``notes``
    says so in words for people. ``mqtt_port``: where devices connect, 0 = any. Entering raises LocalStackError.
    """

    def __init__(self, directory: Path, *, mqtt_port: int = 1883, base: Path = SYSTEM_BASE) -> None:
        self.directory = directory.absolute()
        self.notes: tuple[str, ...] = ()
        self.database_url = ""
        self.redis_url = ""
        self.mqtt_url = ""
        """The gateway's own way in, MQTT 5; devices use ``device_mqtt_url``, MQTT 3.1.1."""
        self.device_mqtt_url = ""
        self._mqtt_port = mqtt_port
        self._base = base
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:  # what was started is stopped again when the rest cannot be
            self._start(starting)
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        self._make_directory()
        self._lock_directory(stack)
        device_port = self._mqtt_port or free_port()
        need_port(device_port, setting="GATEWAY_MQTT__PORT")
        family = self._wait_for_leftovers(stack)
        home = settle(self.directory, base=self._base)
        self._start_servers(stack, home, device_port=device_port, family=family)
        if home.folder != self.directory:
            self.notes = (f"The servers' data is in {home.folder}: their user cannot walk to {self.directory}.",)
        self._tell(stack)

    def _start_servers(self, stack: ExitStack, home: Home, *, device_port: int, family: int) -> None:
        database = postgres.PostgresServer(
            postgres.Installation(home.program(postgres.bundled()).parent, user=home.user),
            data=home.data("postgres") / "data",
            log=self._log("postgres"),
            listen=postgres.Socket(home.sockets()),
            keep_fds=(family,),
        )
        stack.enter_context(database)
        cache = valkey.ValkeyServer(
            home.program(valkey.bundled()),
            data=home.data("valkey"),
            log=self._log("valkey"),
            listen=home.sockets() / "valkey.sock",
            user=home.user,
            keep_fds=(family,),
        )
        stack.enter_context(cache)
        broker = BrokerServer(
            self.directory / "broker.toml",
            log=self._log("broker"),
            device_port=device_port,
            gateway_port=free_port(),
            user=home.user,
            keep_fds=(family,),
        )
        stack.enter_context(broker)
        self.database_url, self.redis_url = database.url(), cache.url()
        self.mqtt_url, self.device_mqtt_url = broker.url(), broker.device_url()

    def _make_directory(self) -> None:
        try:
            own_folder(self.directory, mode=_TRAVERSABLE)
            own_folder(self.directory / "log")
        except OSError as error:
            raise LocalStackError(f"{error.filename} cannot be made: {error.strerror}") from error

    def _lock_directory(self, stack: ExitStack) -> None:
        """One stack a folder: the lock is ours alone and goes with us, however we end."""
        path = self.directory / "stack.lock"
        lock = self._open_lock(path, stack)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = path.read_text().strip() or "unknown"
            raise LocalStackError(
                f"a local stack already runs on {self.directory} (pid {owner}); stop it first"
            ) from error
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())

    def _wait_for_leftovers(self, stack: ExitStack) -> int:
        """Take a lock that our servers inherit: it is free only when the last server of a killed gateway is gone."""
        lock = self._open_lock(self.directory / "servers.lock", stack)

        def free() -> bool:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        wait_until(free, timeout=_LEFTOVER_SECS, what=f"the servers of a killed gateway on {self.directory} to end")
        return lock

    @staticmethod
    def _open_lock(path: Path, stack: ExitStack) -> int:
        try:
            lock = open_lock(path)
        except OSError as error:
            raise LocalStackError(f"{path} cannot be opened: {error.strerror}") from error
        stack.callback(os.close, lock)
        return lock

    def _log(self, name: str) -> Path:
        """Return the server's log file; one older file is kept."""
        path = self.directory / "log" / f"{name}.log"
        if path.exists() and path.stat().st_size > _LOG_BYTES:
            path.rename(path.with_suffix(".log.1"))
        return path

    def _tell(self, stack: ExitStack) -> None:
        """Leave the addresses in ``stack.env`` for other commands, as long as the stack runs."""
        path = self.directory / "stack.env"
        write_private(
            path,
            f"GATEWAY_DATABASE__URL={self.database_url}\n"
            f"GATEWAY_REDIS__URL={self.redis_url}\n"
            f"GATEWAY_MQTT__URL={self.mqtt_url}\n"
            f"GATEWAY_SPOOL__DIR={self.directory / 'spool'}\n",
        )
        stack.callback(path.unlink, missing_ok=True)
