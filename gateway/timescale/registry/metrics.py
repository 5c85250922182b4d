"""The registry of metrics. In: units and kinds, and who sets them. Out: both after COMMIT. Never touches readings."""

from typing import Annotated

import asyncpg
import msgspec
from msgspec import Meta

from gateway.core.errors import BadRequest, NotFound
from gateway.domain.model import Kind
from gateway.domain.names import check_metric_name
from gateway.timescale.connections.pool import Connection, Pool
from gateway.timescale.queries import query
from gateway.timescale.registry.audit import UNNAMED, note
from gateway.timescale.registry.revisions import locked_registry

MAX_UNIT = 64
"""Characters."""
MAX_PAGE = 1000


class MetricFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A metric in one of its kinds."""

    metric: str
    kind: Kind
    unit: str | None
    declared_int: Annotated[bool, Meta(description="Whether JSON integers are stored exactly, up to 64 bits.")]


class MetricRegistry:
    """The registry of metrics. All methods raise SinkUnavailable and SinkFault."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, *, prefix: str = "", after: tuple[str, str] = ("", ""), limit: int = 100) -> list[MetricFacts]:
        """Return metrics by name and kind; the next page is after those of the last one. Raises BadRequest."""
        if not 1 <= limit <= MAX_PAGE + 1:
            raise BadRequest(f"limit is {limit}; it must lie between 1 and {MAX_PAGE}", parameter="limit")
        if prefix:
            check_metric_name(prefix)
        async with self._pool.connection() as connection:
            rows = await connection.fetch(query("list_metrics"), prefix, *after, limit)
        return [_to_registered(row) for row in rows]

    async def put(
        self,
        name: str,
        *,
        unit: str | None = None,
        clear_unit: bool = False,
        declared_int: bool | None = None,
        actor: str = UNNAMED,
    ) -> list[MetricFacts]:
        """Set the unit of a metric in all its kinds, and whether its integers are exact; None leaves each as it is.

        A metric that was never reported may be told of beforehand. Returns its kinds. Raises BadRequest.
        """
        check_metric_name(name)
        _check_unit(unit)
        async with locked_registry(self._pool) as connection:
            before = await _kinds(connection, name)
            if declared_int is not None:
                await connection.execute(query("declare_int") if declared_int else query("undeclare_int"), name)
            await connection.execute(query("put_metric"), name)
            if unit is not None or clear_unit:
                await connection.execute(query("set_unit"), name, unit)
            after = await _kinds(connection, name)
            if after != before:
                facts = {"unit": after[0].unit, "declared_int": after[0].declared_int}
                await note(connection, actor, "metric.update", target=name, **facts)
        return after


class DeclaredInts:
    """The metrics whose JSON integers are stored exactly, as int8. All methods raise SinkUnavailable and SinkFault."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def declare(self, name: str, *, actor: str = UNNAMED) -> bool:
        """Declare a name; return whether it is new. Raises BadRequest for a malformed one."""
        check_metric_name(name)
        async with self._pool.connection() as connection, connection.transaction():
            fresh = await connection.fetchval(query("declare_int"), name) is not None
            if fresh:
                await note(connection, actor, "metric.update", target=name, declared_int=True)
        return fresh

    async def undeclare(self, name: str, *, actor: str = UNNAMED) -> None:
        """Take a declaration back; what is stored stays as it is. Raises BadRequest and NotFound."""
        check_metric_name(name)
        async with self._pool.connection() as connection, connection.transaction():
            if await connection.fetchval(query("undeclare_int"), name) is None:
                raise NotFound(f"metric {name!r} is not declared as int")
            await note(connection, actor, "metric.update", target=name, declared_int=False)

    async def names(self) -> list[str]:
        """Return the declared names, by name."""
        async with self._pool.connection() as connection:
            return [row["name"] for row in await connection.fetch(query("declared_ints"))]


def _check_unit(unit: str | None) -> None:
    if unit is not None and not (unit.isprintable() and 0 < len(unit) <= MAX_UNIT):
        raise BadRequest(f"a unit is 1 to {MAX_UNIT} printable characters, or null for none", parameter="unit")


async def _kinds(connection: Connection, name: str) -> list[MetricFacts]:
    return [_to_registered(row) for row in await connection.fetch(query("metric"), name)]


def _to_registered(row: asyncpg.Record) -> MetricFacts:
    return MetricFacts(row["name"], Kind(row["kind"]), row["unit"], row["declared_int"])
