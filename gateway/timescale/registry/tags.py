"""Devices by tag, from the database. Nothing is kept here: the live stream asks again when devices change."""

from collections.abc import Collection

import msgspec

from gateway.domain.devices import Tag
from gateway.timescale.connections.pool import Pool
from gateway.timescale.queries import query


class TagIndex:
    """Which devices there are, by tags."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def tagged(self, tags: Collection[Tag], *, limit: int) -> list[str]:
        """Return the first devices by name that carry all of these tags. Raises SinkUnavailable, SinkFault."""
        values = {key: value for key, value in tags if value is not None}
        if any(value not in (None, values.get(key)) for key, value in tags):
            return []  # a tag has one value
        keys = [key for key, value in tags if value is None]
        encoded = msgspec.json.encode(values).decode()
        async with self._pool.connection() as connection:
            rows = await connection.fetch(query("tagged_device_names"), encoded, keys, limit)
        return [row["name"] for row in rows]
