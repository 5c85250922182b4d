"""What this database is called, and whether it answers."""

from gateway.errors import SinkFault
from gateway.timescale.migrations import Ground, ground
from gateway.timescale.pool import Pool
from gateway.timescale.queries import query

SITE_LENGTH = 8


async def site(pool: Pool) -> str:
    """Return the short name of this database, which keeps derived data apart. Raises SinkUnavailable, SinkFault."""
    async with pool.connection() as connection:
        name = await connection.fetchval(query("installation"))
    if name is None:
        raise SinkFault("the table installation is empty; it holds one row")
    return str(name)[:SITE_LENGTH]


async def probe(pool: Pool) -> Ground:
    """Say what the database is. Raises SinkUnavailable, SinkFault."""
    async with pool.connection() as connection:
        return await ground(connection)
