"""The registry of devices. In: an operation and who asks. Out: devices after COMMIT, a line of audit. No cache."""

from collections.abc import Collection, Mapping, Sequence

import asyncpg
import msgspec

from gateway.core.errors import BadRequest, DeviceExists, DeviceHasReadings, UnknownDevice
from gateway.domain.devices import MAX_PAGE, Device, DeviceFilter, DevicePatch, check_match, check_tags
from gateway.domain.model import Kind
from gateway.domain.names import MAX_NAME, check_device_name, check_new_device_name
from gateway.timescale.connections.pool import Connection, Pool
from gateway.timescale.queries import query
from gateway.timescale.registry.audit import UNNAMED, note
from gateway.timescale.registry.device_removal import until_heard
from gateway.timescale.registry.revisions import locked_registry


class Reported(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A metric that a device has reported."""

    metric: str
    kind: Kind
    unit: str | None


class DeviceRegistry:
    """The registry of devices. All methods raise SinkUnavailable and SinkFault."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(
        self, name: str, *, tags: Mapping[str, str] | None = None, enabled: bool = True, actor: str = UNNAMED
    ) -> Device:
        """Add a device. Raises BadRequest for a malformed name or tag, DeviceExists."""
        check_new_device_name(name)
        check_tags(tags or {})
        await until_heard(self._pool, [name])
        async with locked_registry(self._pool) as connection:
            row = await connection.fetchrow(query("insert_device"), name, _encoded(tags or {}), enabled)
            if row is None:
                raise DeviceExists(f"device {name!r} exists already", device=name)
            await note(connection, actor, "device.create", target=name, tags=tags or {}, enabled=enabled)
        return _to_device(row)

    async def page(self, wanted: DeviceFilter | None = None, *, after: str = "", limit: int = 100) -> list[Device]:
        """Return devices by name; the next page is after the last one's name.

        Raises BadRequest for what cannot be a name, and for a limit outside 1 … 1001: one more than a page holds, which
        tells whether there is another one.
        """
        if not 1 <= limit <= MAX_PAGE + 1:
            raise BadRequest(f"limit is {limit}; it must lie between 1 and {MAX_PAGE}", parameter="limit")
        if after:
            check_device_name(after)
        asked = wanted or DeviceFilter()
        values: list[object] = [asked.prefix, asked.enabled, after, limit]
        async with self._pool.connection() as connection:
            if asked.tags or asked.keys:
                values += [_encoded(asked.tags), list(asked.keys)]
                rows = await connection.fetch(query("list_tagged_devices"), *values)
            else:
                rows = await connection.fetch(query("list_devices"), *values)
        return [_to_device(row) for row in rows]

    async def show(self, name: str) -> tuple[Device, list[Reported]]:
        """Return a device and every metric it has reported, by name. Raises BadRequest and UnknownDevice."""
        check_device_name(name)
        async with self._pool.connection() as connection:
            row = await connection.fetchrow(query("device"), name)
            metrics = await connection.fetch(query("device_metrics"), name)
        return _to_device(_found(row, name)), [Reported(m["name"], Kind(m["kind"]), m["unit"]) for m in metrics]

    async def change(
        self, name: str, change: DevicePatch, *, if_match: Collection[str] | None = None, actor: str = UNNAMED
    ) -> Device:
        """Change a device; what it is already is not written. `if_match` holds the ETags of which one must be its own.

        Raises BadRequest, UnknownDevice, PreconditionFailed.
        """
        check_device_name(name)
        check_tags(change.tags)
        async with locked_registry(self._pool) as connection:
            rows = await connection.fetch(query("lock_devices"), [name])
            device = _to_device(_found(rows[0] if rows else None, name))
            check_match(if_match, device)
            enabled, tags = change.applied(enabled=device.enabled, tags=device.tags)
            if (enabled, tags) == (device.enabled, device.tags):
                return device
            row = await connection.fetchrow(query("update_devices"), [name], [enabled], [_encoded(tags)])
            await note(connection, actor, "device.update", target=name, **_difference(device, enabled, tags))
        return _to_device(_found(row, name))

    async def enable(self, name: str, *, actor: str = UNNAMED) -> Device:
        """Let a device write and its tokens count again. Raises BadRequest and UnknownDevice."""
        return await self.change(name, DevicePatch(enabled=True), actor=actor)

    async def disable(self, name: str, *, actor: str = UNNAMED) -> Device:
        """Refuse a device's readings and tokens, in every worker within a second. Raises BadRequest, UnknownDevice."""
        return await self.change(name, DevicePatch(enabled=False), actor=actor)

    async def unregister(
        self, name: str, *, with_readings: bool, if_match: Collection[str] | None = None, actor: str = UNNAMED
    ) -> int:
        """Take a device and its credentials out of the registry, and return its id: its messages are left to `removal`.

        Raises BadRequest, UnknownDevice, PreconditionFailed, and DeviceHasReadings unless they may go too.
        """
        check_device_name(name)
        async with locked_registry(self._pool) as connection:
            await connection.fetch(query("lock_device_for_removal"), name)
            device = _to_device(_found(await connection.fetchrow(query("device"), name), name))
            check_match(if_match, device)
            if device.reported and not with_readings:
                raise DeviceHasReadings(
                    f"device {name!r} has reported readings; say that they go with it: readings=delete", device=name
                )
            await self._remove(connection, device.id)
            await note(connection, actor, "device.delete", target=name, readings=device.reported, tags=device.tags)
        return device.id

    async def _remove(self, connection: Connection, device_id: int) -> None:
        for statement in (query("remove_device_shapes"), query("remove_device_credentials"), query("remove_device")):
            await connection.execute(statement, device_id)


def to_devices(rows: Sequence[asyncpg.Record]) -> list[Device]:
    """Return what the queries of devices give."""
    return [_to_device(row) for row in rows]


def _difference(device: Device, enabled: bool, tags: Mapping[str, str]) -> dict[str, object]:  # noqa: FBT001
    """Return what changes, for the audit; a tag that goes is null."""
    changed: dict[str, object] = {key: value for key, value in tags.items() if device.tags.get(key) != value}
    changed |= dict.fromkeys(device.tags.keys() - tags.keys())
    result: dict[str, object] = {"tags": changed} if changed else {}
    return result if enabled == device.enabled else {**result, "enabled": enabled}


def _encoded(tags: Mapping[str, str]) -> str:
    return msgspec.json.encode(tags).decode()


def _found(row: asyncpg.Record | None, name: str) -> asyncpg.Record:
    if row is None:
        raise UnknownDevice(f"there is no device {name[:MAX_NAME]!r}", device=name)
    return row


def _to_device(row: asyncpg.Record) -> Device:
    return Device(
        row["id"],
        row["name"],
        row["enabled"],
        msgspec.json.decode(row["tags"]),
        row["created_at"],
        row["revision"],
        row["reported"],
    )
