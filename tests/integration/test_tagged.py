"""Which devices carry which tags, from a real database."""

import asyncpg

from gateway.domain.devices import Tag
from gateway.timescale.connections.pool import open_pool
from gateway.timescale.registry.tags import TagIndex
from tests.servers.databases import Database

CASES: list[tuple[list[Tag], list[str]]] = [
    ([], ["a", "b", "c"]),
    ([("site", "north")], ["a", "b"]),
    ([("site", None)], ["a", "b", "c"]),
    ([("site", "north"), ("floor", None)], ["b"]),
    ([("site", "north"), ("site", None)], ["a", "b"]),
    ([("site", "north"), ("site", "south")], []),
    ([("floor", "2"), ("site", "south")], []),
    ([("", None)], []),
    ([("site", "%")], []),
    ([('"', "\\")], ["c"]),
]


async def test_devices_by_tags(timescale_db: Database) -> None:
    connection = await asyncpg.connect(timescale_db.url)
    try:
        await connection.execute(
            """insert into devices (name, tags) values
               ('a', '{"site": "north"}'), ('b', '{"site": "north", "floor": "2"}'),
               ('c', '{"site": "south", "\\"": "\\\\"}')"""
        )
    finally:
        await connection.close()
    async with open_pool(timescale_db.url, name="test", size=1, connect_timeout=10, command_timeout=10) as pool:
        tagged = TagIndex(pool)
        for tags, names in CASES:
            assert await tagged.tagged(tags, limit=10) == names, tags
        assert await tagged.tagged([], limit=2) == ["a", "b"]
