"""The simulator's --database with several servers: it reads from the one that can be written to, past all others."""

import asyncio
from collections.abc import Iterator

import pytest

from gateway.app.dev_servers.postgres import PostgresServer, Socket
from gateway.timescale.migrations import migrate
from simulator.core.errors import Unreachable, UsageError
from simulator.verify.database import connect
from simulator.verify.stored import StoredReadings
from tests.servers.freezing import frozen, main_process
from tests.servers.pairs import black_hole, resetting
from tests.servers.postgres import PLAIN_TUNING, plain

TIGHT = 4.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with plain(PLAIN_TUNING) as one:
        asyncio.run(migrate(one.url(), chunk_hours=24))
        yield one


def behind(server: PostgresServer, *ports: int) -> str:
    assert isinstance(server.listen, Socket)
    hosts = ",".join([*("127.0.0.1" for _ in ports), str(server.listen.folder)])
    return f"postgresql://postgres@/postgres?host={hosts}&port={','.join(map(str, (*ports, 5432)))}"


async def test_no_server_hides_the_next(server: PostgresServer) -> None:
    with black_hole() as silent, resetting() as rude:
        stored = await StoredReadings.open(behind(server, silent, rude))
        assert await stored.count(["d1"], since_ms=0) == 0
        await stored.close()


async def test_what_became_of_each_is_said(server: PostgresServer) -> None:
    with black_hole() as silent, frozen(main_process(server)), pytest.raises(Unreachable) as caught:
        await connect(behind(server, silent), timeout=1, command_timeout=TIGHT)
    assert f"127.0.0.1:{silent}: no answer; /" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["x", "postgresql://a,b:c/d", "postgresql://a,,b/d", "postgresql:///d?host=a,b&port=1,2,3"]
)
async def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="special characters percent-encoded"):
        await connect(url, timeout=1, command_timeout=1)
