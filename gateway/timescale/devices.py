"""In: a registry operation. Out: devices and declared metrics as they are after COMMIT. Never caches."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from gateway.errors import BadRequest, NotFound
from gateway.grants import check_device_name, check_prefix
from gateway.layouts import METRIC_NAME
from gateway.model import MAX_NAME, Kind, Metric
from gateway.timescale.pool import Pool
from gateway.timescale.queries import query

MAX_PAGE = 1000
MAX_TAGS = 32
MAX_TAG_KEY = 64
MAX_TAG_VALUE = 256


class Device(msgspec.Struct, frozen=True):
    """A thing that reports."""

    name: str
    enabled: bool
    tags: dict[str, Any]
    created_at: datetime


class Devices:
    """The registry of devices. All methods raise SinkUnavailable and SinkFault."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, name: str, *, tags: Mapping[str, str] | None = None) -> Device:
        """Add a device. Raises BadRequest for a malformed name or tag, and if the device exists."""
        check_device_name(name)
        check_tags(tags or {})
        encoded = msgspec.json.encode(tags or {}).decode()
        async with self._pool.connection() as connection:
            row = await connection.fetchrow(query("insert_device"), name, encoded)
        if row is None:
            raise BadRequest(f"device {name!r} exists already")
        return _to_device(row)

    async def page(self, *, prefix: str = "", after: str | None = None, limit: int = 100) -> list[Device]:
        """Return the devices whose name starts with `prefix`, by name; the next page is after the last one's name.

        Raises BadRequest for a limit outside 1 … 1000 and for what cannot be a prefix or a name.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise BadRequest(f"limit is {limit}; it must lie between 1 and {MAX_PAGE}")
        check_prefix(prefix)
        if after is not None:
            check_device_name(after)
        async with self._pool.connection() as connection:
            rows = await connection.fetch(query("list_devices"), prefix, after, limit)
        return [_to_device(row) for row in rows]

    async def show(self, name: str) -> tuple[Device, list[Metric]]:
        """Return a device and every metric it has reported, by name. Raises BadRequest and NotFound."""
        check_device_name(name)
        async with self._pool.connection() as connection:
            row = await connection.fetchrow(query("device"), name)
            metrics = await connection.fetch(query("device_metrics"), name)
        return _to_device(_found(row, name)), [Metric(m["name"], Kind(m["kind"])) for m in metrics]

    async def enable(self, name: str) -> Device:
        """Let a device write and its tokens count again. Raises BadRequest and NotFound."""
        return await self._set_enabled(name, enabled=True)

    async def disable(self, name: str) -> Device:
        """Refuse a device's readings and tokens, in every worker within a second. Raises BadRequest and NotFound."""
        return await self._set_enabled(name, enabled=False)

    async def _set_enabled(self, name: str, *, enabled: bool) -> Device:
        check_device_name(name)
        async with self._pool.connection() as connection:
            row = await connection.fetchrow(query("set_device_enabled"), name, enabled)
        return _to_device(_found(row, name))


class DeclaredInts:
    """The metrics whose JSON integers are stored exactly, as int8. All methods raise SinkUnavailable and SinkFault."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def declare(self, name: str) -> bool:
        """Declare a name; return whether it is new. Raises BadRequest for a malformed one."""
        check_metric_name(name)
        async with self._pool.connection() as connection:
            return await connection.fetchval(query("declare_int"), name) is not None

    async def undeclare(self, name: str) -> None:
        """Take a declaration back; what is stored stays as it is. Raises BadRequest and NotFound."""
        check_metric_name(name)
        async with self._pool.connection() as connection:
            if await connection.fetchval(query("undeclare_int"), name) is None:
                raise NotFound(f"metric {name!r} is not declared as int")

    async def names(self) -> list[str]:
        """Return the declared names, by name."""
        async with self._pool.connection() as connection:
            return [row["name"] for row in await connection.fetch(query("declared_ints"))]


def check_metric_name(name: str) -> None:
    """Raise BadRequest unless it can name a metric."""
    if not METRIC_NAME.fullmatch(name):
        raise BadRequest(f"metric {name[:MAX_NAME]!r} must be 1 to {MAX_NAME} characters of A-Z a-z 0-9 . _ : / -")


def check_tags(tags: Mapping[str, str]) -> None:
    """Raise BadRequest for more than 32 tags, keys beyond 64 characters or values beyond 256, or unprintable ones."""
    if len(tags) > MAX_TAGS:
        raise BadRequest(f"{len(tags)} tags; a device may have {MAX_TAGS}")
    for key, value in tags.items():
        if not (METRIC_NAME.fullmatch(key) and len(key) <= MAX_TAG_KEY):
            raise BadRequest(
                f"tag {key[:MAX_TAG_KEY]!r} must be 1 to {MAX_TAG_KEY} characters of A-Z a-z 0-9 . _ : / -"
            )
        if not (value.isprintable() and len(value) <= MAX_TAG_VALUE):
            raise BadRequest(f"the value of tag {key!r} must be at most {MAX_TAG_VALUE} printable characters")


def _found(row: asyncpg.Record | None, name: str) -> asyncpg.Record:
    if row is None:
        raise NotFound(f"there is no device {name[:MAX_NAME]!r}")
    return row


def _to_device(row: asyncpg.Record) -> Device:
    return Device(row["name"], row["enabled"], msgspec.json.decode(row["tags"]), row["created_at"])
