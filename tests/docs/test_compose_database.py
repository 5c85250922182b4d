"""The database's options of docker-compose.yml, given to a real TimescaleDB."""

import re

import asyncpg
import pytest
import yaml

from tests.docs.pages import text_of
from tests.servers import choose
from tests.servers.errors import NoGroundError

PROMISE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


def tuning() -> dict[str, str]:
    """Every -c option of the service, with the defaults of its variables."""
    command = yaml.safe_load(text_of("docker-compose.yml"))["services"]["database"]["command"]
    assert command[0] == "postgres"
    filled = [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", option) for option in command[1:]]
    assert all(option.startswith("-c") for option in filled)
    return dict(option.removeprefix("-c").split("=", 1) for option in filled)


def test_the_promise_is_kept() -> None:
    assert PROMISE.items() <= tuning().items()


async def test_a_server_starts_with_these_options_and_has_them_in_force() -> None:
    own = {"shared_preload_libraries": "timescaledb", "timescaledb.telemetry_level": "off"}
    wanted = {**tuning(), "shared_buffers": "128MB"}
    try:
        with choose.own_timescale({**own, **wanted}) as server:
            connection = await asyncpg.connect(server.url())
            found = {name: await connection.fetchval("select current_setting($1)", name) for name in wanted}
            await connection.close()
    except NoGroundError as error:
        pytest.skip(str(error))
    assert found == wanted
