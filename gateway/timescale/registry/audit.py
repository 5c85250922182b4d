"""The audit. In: acts of admins. Out: one row each, in the transaction of the act; pages of them. Never a token."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from gateway.core.errors import BadRequest
from gateway.timescale.connections.pool import Connection, Pool
from gateway.timescale.queries import query

UNNAMED = "gateway"
"""The actor of what nobody asked for by name."""
ADMIN_KEY = "admin key"
"""The actor of what was asked for with the bootstrap key of the settings."""
MAX_PAGE = 1000
MAX_ID = 2**63 - 1
PURGED_AT_ONCE = 1000
"""Rows one statement removes, so that none holds its locks for long."""


class AuditEntry(msgspec.Struct, frozen=True):
    """One act."""

    id: int
    at: datetime
    actor: str
    """`key 12 "label"`, `admin key`, `cli NAME`."""
    action: str
    """Such as `device.create`."""
    target: str
    detail: dict[str, object]


class AuditLog:
    """Who did what. All methods raise SinkUnavailable and SinkFault."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, *, since: datetime | None = None, actor: str | None = None, before: int | None = None, limit: int = 100
    ) -> list[AuditEntry]:
        """Return acts, newest first; the next page lies before the last one's id. Raises BadRequest."""
        if not 1 <= limit <= MAX_PAGE + 1:
            raise BadRequest(f"limit is {limit}; it must lie between 1 and {MAX_PAGE}", parameter="limit")
        if actor is not None and not actor.isprintable():
            raise BadRequest("actor= holds characters that no name has", parameter="actor")
        async with self._pool.connection() as connection:
            rows = await connection.fetch(query("list_audit"), since, actor, before, limit)
        return [
            AuditEntry(
                row["id"], row["at"], row["actor"], row["action"], row["target"], msgspec.json.decode(row["detail"])
            )
            for row in rows
        ]

    async def actor(self, digest: bytes) -> str:
        """Return what the holder of the token with this SHA-256 is called here."""
        async with self._pool.connection() as connection:
            row = await connection.fetchrow(query("name_of_key"), digest)
        if row is None:
            return ADMIN_KEY
        return f'key {row["id"]} "{row["label"]}"'

    async def purge(self, age: timedelta) -> None:
        """Remove what is older, and credentials that have been dead for so long: no line names them any more."""
        async with self._pool.connection() as connection:
            while await connection.fetchval(query("purge_audit"), age, PURGED_AT_ONCE):
                pass
            while dead := await connection.fetch(query("dead_credentials"), age, PURGED_AT_ONCE):
                await connection.execute(query("purge_credentials"), [row["id"] for row in dead])


async def note(connection: Connection, actor: str, action: str, *, target: str, **detail: object) -> int:
    """Note an act in the transaction that is open on this connection; return the line's id."""
    line: int = await connection.fetchval(query("insert_audit"), actor, action, target, _encoded(detail))
    return line


class AuditedAct(NamedTuple):
    """An act of many transactions with one line of audit, which says in each of them how far it has come."""

    actor: str
    action: str
    target: str
    detail: Mapping[str, object]
    """What is known of it at first."""
    counts: Mapping[str, int]
    """How much of what was done, in the transactions until now."""
    line: int | None = None

    async def record(self, connection: Connection, **more: int) -> "AuditedAct":
        """Add to the counts in the transaction that is open on this connection; return the act as it is then."""
        counts = {name: count + more.get(name, 0) for name, count in self.counts.items()}
        detail = {**self.detail, **counts}
        if self.line is None:
            line = await note(connection, self.actor, self.action, target=self.target, **detail)
            return self._replace(counts=counts, line=line)
        await connection.execute(query("amend_audit"), self.line, _encoded(detail))
        return self._replace(counts=counts)


def replaying(actor: str, target: str = "") -> AuditedAct:
    """Return the act of replaying one dead letter, or many."""
    return AuditedAct(actor, "dead_letter.replay", target, {}, {"replayed": 0, "refused": 0})


def purging(actor: str, target: str = "", **filters: object) -> AuditedAct:
    """Return the act of removing dead letters."""
    return AuditedAct(actor, "dead_letter.purge", target, filters, {"removed": 0})


def _encoded(detail: Mapping[str, object]) -> str:
    return msgspec.json.encode(detail).decode()
