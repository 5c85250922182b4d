"""In: a migrated database. Out: the URL of a role that may only do what a gateway does. Dropped at the end."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg

GRANTS = """
create role {role} login password '{role}' nosuperuser;
grant usage on schema public to {role};
grant select, insert, update, delete on all tables in schema public to {role};
"""


def url_of(url: str, role: str) -> str:
    """The same database, as this role."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}:{role}@{parts.netloc.rpartition('@')[2]}").geturl()


@asynccontextmanager
async def plain_role(url: str) -> AsyncIterator[str]:
    """A role without any right beyond those of a gateway; give the URL of a superuser, get the role's name."""
    role = f"gateway_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(GRANTS.format(role=role))
        yield role
        await connection.execute(f"drop owned by {role}; drop role {role}")
    finally:
        await connection.close()
