"""Following the registry: every change is told once, through outages, and a revoked token is refused by all."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from datetime import timedelta

import asyncpg
import pytest

from gateway.core.errors import GatewayError, SinkUnavailable, Unauthorized
from gateway.domain.credentials import digest_of
from gateway.domain.principal import Grant, Principal, Role
from gateway.ingest.admission.auth import TokenAuthenticator
from gateway.timescale.connections.pool import Pool, open_pool
from gateway.timescale.registry import revisions
from gateway.timescale.registry.credentials import StoredCredentials
from gateway.timescale.registry.devices import DeviceRegistry
from gateway.timescale.registry.metrics import DeclaredInts
from gateway.timescale.registry.revisions import follow
from tests.fakes.clock import ManualClock
from tests.servers.databases import Database
from tests.servers.postgres import DatabaseServer

EVERY_MS = 20
PATIENCE_SECS = 15


class Worker:
    """A follower and everything it was told."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.credentials: list[Collection[bytes] | None] = []
        self.grants: dict[bytes, Grant | None] = {}
        """What each digest was last said to stand for."""
        self.devices: list[Collection[str] | None] = []
        self.ints: list[list[str]] = []
        self.troubles: list[GatewayError | None] = []

    def _told(self, changes: Mapping[bytes, Grant | None] | None, authenticator: TokenAuthenticator | None) -> None:
        self.credentials.append(None if changes is None else list(changes))
        self.grants |= changes or {}
        if authenticator is not None and changes is None:
            authenticator.forget()
        elif authenticator is not None and changes is not None:
            authenticator.tell(changes)

    @contextlib.asynccontextmanager
    async def following(self, authenticator: TokenAuthenticator | None = None) -> AsyncIterator["Worker"]:
        async with opened(self._url, size=1) as pool:
            task = asyncio.create_task(
                follow(
                    pool,
                    every_ms=EVERY_MS,
                    on_credentials=lambda changes: self._told(changes, authenticator),
                    on_devices=self.devices.append,
                    on_declared_ints=lambda names: self.ints.append(list(names)),
                    on_trouble=self.troubles.append,
                ),
                name="follow",
            )
            try:
                await until(lambda: bool(self.devices), task)
                yield self
                assert not task.done(), task.exception()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


def opened(url: str, *, size: int = 2) -> contextlib.AbstractAsyncContextManager[Pool]:
    return open_pool(url, name="test", size=size, connect_timeout=20, command_timeout=20)


async def until(condition: Callable[[], bool], task: "asyncio.Task[object] | None" = None) -> None:
    deadline = time.monotonic() + PATIENCE_SECS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        assert task is None or not task.done(), task.exception()
        await asyncio.sleep(0.005)


async def test_the_first_poll_tells_everything(timescale_db: Database) -> None:
    async with opened(timescale_db.url) as pool:
        await DeclaredInts(pool).declare("n")
    async with Worker(timescale_db.url).following() as worker:
        assert (worker.credentials, worker.devices, worker.ints) == ([None], [None], [["n"]])


async def test_nothing_is_told_while_nothing_changes(timescale_db: Database) -> None:
    async with Worker(timescale_db.url).following() as worker, opened(timescale_db.url) as pool:
        await DeviceRegistry(pool).add("d1")  # a new device is in no cache: no revision
        before = await _polls(timescale_db.url)
        async with asyncio.timeout(PATIENCE_SECS):
            while await _polls(timescale_db.url) < before + 3:  # noqa: ASYNC110 -- the server counts
                await asyncio.sleep(EVERY_MS / 1000)
        assert len(worker.devices) == 1


async def _polls(url: str) -> int:
    """Scans of the counter's table, which the server counts (about half a second late)."""
    connection = await asyncpg.connect(url)
    try:
        value = await connection.fetchval(
            "select seq_scan from pg_stat_user_tables where relname = 'registry_revision'"
        )
        return int(value)
    finally:
        await connection.close()


async def test_each_change_is_told(timescale_db: Database) -> None:
    async with Worker(timescale_db.url).following() as worker, opened(timescale_db.url) as pool:
        devices, credentials = DeviceRegistry(pool), StoredCredentials(pool, clock=ManualClock())
        await devices.add("d1")
        token = await credentials.issue(Role.DEVICE, device="d1")
        await until(lambda: [digest_of(token.token)] in worker.credentials)
        await devices.disable("d1")
        await until(lambda: ["d1"] in worker.devices)
        assert worker.credentials[-1] == [digest_of(token.token)], "the tokens of a changed device are told too"
        assert worker.grants[digest_of(token.token)] is None, "and with it that nobody holds them any more"
        await devices.enable("d1")
        principal = Principal(Role.DEVICE, "d1", key=token.id)
        await until(lambda: worker.grants[digest_of(token.token)] == Grant(principal))
        told = len(worker.credentials)
        await credentials.revoke(token.id)
        await until(lambda: len(worker.credentials) > told)
        assert worker.credentials[-1] == [digest_of(token.token)]
        assert worker.grants[digest_of(token.token)] is None
        await DeclaredInts(pool).declare("n")
        await until(lambda: worker.ints[-1] == ["n"])
        await DeclaredInts(pool).undeclare("n")
        await until(lambda: worker.ints[-1] == [])


async def test_changes_of_many_writers_at_once_are_all_told(timescale_db: Database) -> None:
    async with Worker(timescale_db.url).following() as worker, opened(timescale_db.url, size=8) as pool:
        credentials = StoredCredentials(pool, clock=ManualClock())
        issued = await asyncio.gather(*(credentials.issue(Role.READER) for _ in range(200)))
        wanted = {digest_of(one.token) for one in issued}
        await until(lambda: wanted <= {digest for told in worker.credentials[1:] for digest in told or ()})
        assert None not in worker.credentials[1:]


async def test_a_change_that_commits_late_is_not_missed(timescale_db: Database) -> None:
    async with Worker(timescale_db.url).following() as worker, opened(timescale_db.url) as pool:
        devices = DeviceRegistry(pool)
        await devices.add("slow")
        await devices.add("quick")
        async with pool.connection() as connection, connection.transaction():
            await connection.execute("update devices set enabled = false where name = 'slow'")
            quick = asyncio.create_task(devices.disable("quick"), name="quick")
            await until_waiting(timescale_db.url)
        await quick
        await until(lambda: {"slow", "quick"} <= {name for told in worker.devices[1:] for name in told or ()})


async def until_waiting(url: str) -> None:
    """Until a transaction waits for a lock: the counter keeps revisions in the order of their COMMITs."""
    connection = await asyncpg.connect(url)
    statement = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    async with asyncio.timeout(PATIENCE_SECS):
        while not await connection.fetchval(statement):  # noqa: ASYNC110 -- it is the server's lock
            await asyncio.sleep(0.01)
    await connection.close()


async def test_too_many_changes_are_told_as_everything(timescale_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revisions, "MAX_CHANGES", 3)
    async with Worker(timescale_db.url).following() as worker, opened(timescale_db.url) as pool:
        async with pool.connection() as connection:
            await connection.execute("insert into devices (name) select 'd' || n from generate_series(1, 9) n")
            await connection.execute("update devices set enabled = false")
        await until(lambda: len(worker.devices) > 1)
        assert worker.devices[1:] == [None]
        assert worker.credentials[1:] == [[]]


async def test_a_restored_database_is_told_as_everything(timescale_db: Database) -> None:
    async with Worker(timescale_db.url).following() as worker, opened(timescale_db.url) as pool:
        async with pool.connection() as connection:
            await connection.execute("update registry_revision set n = 50")
            await until(lambda: len(worker.devices) == 2)
            await connection.execute("update registry_revision set n = 7")
            await until(lambda: len(worker.devices) == 3)
            await connection.execute("update installation set id = gen_random_uuid()")
            await until(lambda: len(worker.devices) == 4)
        assert worker.devices == [None, [], None, None]
        assert worker.credentials == [None, [], None, None]


async def test_an_outage_is_told_once_and_what_it_hid_afterwards(
    own_timescale_db: Database, own_timescale: DatabaseServer
) -> None:
    async with opened(own_timescale_db.url) as pool, Worker(own_timescale_db.url).following() as worker:
        devices = DeviceRegistry(pool)
        await devices.add("d1")
        own_timescale.kill()
        await until(lambda: len(worker.troubles) == 1)
        assert isinstance(worker.troubles[0], SinkUnavailable)
        own_timescale.start()
        await devices.disable("d1")
        await until(lambda: ["d1"] in worker.devices)
        assert len(worker.troubles) == 2
        assert worker.troubles[1] is None


async def test_a_revoked_token_is_refused_everywhere(plain_db: Database) -> None:
    """Two workers that know the token, a third process that revokes it."""
    async with opened(plain_db.url, size=4) as pool, contextlib.AsyncExitStack() as stack:
        clock = ManualClock()
        credentials = StoredCredentials(pool, clock=clock)
        issued = await credentials.issue(Role.READER, lifetime=timedelta(days=1))
        header = f"Bearer {issued.token}"
        workers = [TokenAuthenticator(credentials, admin_key="", clock=clock) for _ in range(2)]
        for worker in workers:
            await stack.enter_async_context(Worker(plain_db.url).following(worker))
            await worker.authenticate(header)
        await credentials.revoke(issued.id)
        await until(lambda: all(worker.principal(header) is None for worker in workers))
        for worker in workers:
            with pytest.raises(Unauthorized):
                await worker.authenticate(header)


async def test_no_answer_survives_a_revocation_under_load(plain_db: Database) -> None:
    """Callers present the tokens without pause while they are revoked: afterwards none is believed."""
    async with opened(plain_db.url, size=4) as pool:
        clock = ManualClock()
        credentials = StoredCredentials(pool, clock=clock)
        issued = [await credentials.issue(Role.READER) for _ in range(20)]
        worker = TokenAuthenticator(
            credentials, admin_key="", clock=clock, cache_size=10
        )  # small: look-ups all the time
        async with Worker(plain_db.url).following(worker):
            callers = [asyncio.create_task(_present(worker, one.token), name="caller") for one in issued]
            for one in issued:
                await credentials.revoke(one.id)
            async with asyncio.timeout(PATIENCE_SECS):
                await asyncio.gather(*callers)
            assert [worker.principal(f"Bearer {one.token}") for one in issued] == [None] * 20


async def _present(worker: TokenAuthenticator, token: str) -> None:
    header = f"Bearer {token}"
    with contextlib.suppress(Unauthorized):
        while True:
            if worker.principal(header) is None:
                await worker.authenticate(header)
            await asyncio.sleep(0)
