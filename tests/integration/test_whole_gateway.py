"""A whole gateway in this process leaves nothing behind, not even when the test that it serves fails."""

import asyncio
from pathlib import Path

import pytest

from gateway.core.settings import Settings
from tests.integration.whole_gateway import settings_of, whole
from tests.servers.databases import Database


async def fail_with(settings: Settings) -> None:
    async with whole(settings) as gateway:
        assert (await gateway.call("GET", "/livez")).status_code == 200
        raise ZeroDivisionError


async def test_a_block_that_fails_leaves_no_task(plain_db: Database, valkey: str, tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    with pytest.raises(ZeroDivisionError):
        await fail_with(settings_of(plain_db.url, valkey, tmp_path))
    assert {task.get_name() for task in asyncio.all_tasks() - before} == set()
