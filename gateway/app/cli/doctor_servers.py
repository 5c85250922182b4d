"""`gateway doctor` on the way to the database: each of several servers, and a pooler's room."""

from gateway.app.pools import named_pool
from gateway.app.storage import STATE_POOL
from gateway.core.settings import Settings
from gateway.timescale.connections.servers import count_connections, look

OTHERS = 5
"""Connections of a worker that no setting counts: registry changes, tokens, the state's rebuild, migrations, the
spool's."""
ROOM_SECS = 5.0
"""Longest wait for all connections that the gateway needs."""


async def servers(settings: Settings) -> list[tuple[bool, str]]:
    """Say of each of several servers whether it can be reached, and what it is. Raises SettingsError."""
    database = settings.database
    found = await look(database.url, timeout=database.connect_timeout_secs)
    primaries = [server for server in found if server.reachable and "primary" in server.sentence]
    said = [(server.reachable, f"{server.place}: {server.sentence}") for server in found]
    if len(primaries) > 1:
        names = " and ".join(str(server.place) for server in primaries)
        words = f"{names} are all primaries: if they are not the same server under two names, one must be shut off"
        said.append((False, words))
    return said


async def room(settings: Settings) -> list[tuple[bool, str]]:
    """Say whether a pooler has a connection for each that the gateway needs; nothing without a pooler."""
    wanted = connections_of(settings)
    async with named_pool(settings, "gateway doctor", size=wanted) as pool:
        given = await count_connections(pool, wanted, timeout=ROOM_SECS)
    if given is None:
        return []
    way = "through a connection pooler that keeps sessions apart"
    if given == wanted:
        return [(True, f"{way}, and has the {wanted} connections that this gateway needs")]
    words = f"which gave {given} of the {wanted} connections that this gateway needs: raise its default_pool_size"
    return [(False, f"{way}, {words} to {wanted} for each gateway")]


def connections_of(settings: Settings) -> int:
    """Return how many connections to the database all workers hold at most."""
    database, history = settings.database, settings.history
    worker = database.writer_slots + database.read_pool + history.pool + STATE_POOL + OTHERS
    return worker * settings.http.workers
