"""The database as a whole: what it is called, what kind it is, and whether it answers."""

from gateway.core.errors import SinkFault, SinkUnavailable
from gateway.timescale.connections.pool import Pool
from gateway.timescale.migrations import DatabaseKind, database_kind


async def site(pool: Pool) -> str:
    """Return the short name of this line of this database's history, which keeps derived data apart.

    Raises SinkUnavailable, also from a standby; SinkFault.
    """
    await pool.look()
    lineage = pool.lineage
    if lineage.server is None:
        raise SinkUnavailable("the database server is a standby: it follows a primary, and takes no readings")
    if not lineage.site:
        raise SinkFault("the table installation is empty; it holds one row")
    return lineage.site


async def probe(pool: Pool) -> DatabaseKind:
    """Say what the database is. Raises SinkUnavailable, SinkFault."""
    async with pool.connection() as connection:
        return await database_kind(connection)
