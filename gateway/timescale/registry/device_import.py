"""The import of devices. In: its rows. Out: each created, updated, unchanged or refused, after one COMMIT."""

from collections.abc import Mapping, Sequence

import msgspec

from gateway.core.errors import BadRequest, ClientError
from gateway.domain.device_import import ImportResult, ImportRow, Status, tally
from gateway.domain.names import check_new_device_name
from gateway.timescale.connections.pool import Connection, Pool
from gateway.timescale.queries import query
from gateway.timescale.registry.audit import UNNAMED, note
from gateway.timescale.registry.device_removal import until_heard
from gateway.timescale.registry.devices import to_devices
from gateway.timescale.registry.revisions import locked_registry

NOTED = 100
"""Names that the line of audit holds."""

State = tuple[bool, Mapping[str, str]]
"""Whether a device is enabled, and its tags."""


class Imports:
    """Creates and updates many devices at once. Raises SinkUnavailable and SinkFault: then nothing has changed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def apply(self, rows: Sequence[ImportRow], *, actor: str = UNNAMED) -> list[ImportResult]:
        """Take all rows that can be taken, in their order; a device may stand in several."""
        names = sorted({row.device for row in rows if row.device is not None and row.problem is None})
        await until_heard(self._pool, names)
        async with locked_registry(self._pool) as connection:
            found = to_devices(await connection.fetch(query("lock_devices"), names))
            before: dict[str, State] = {device.name: (device.enabled, device.tags) for device in found}
            now = dict(before)
            results = [_take(row, now) for row in rows]
            changed = {name: state for name, state in now.items() if before.get(name) != state}
            await _write(connection, {name: state for name, state in changed.items() if name in before}, known=True)
            await _write(
                connection, {name: state for name, state in changed.items() if name not in before}, known=False
            )
            if changed:
                counts = tally(results)
                await note(connection, actor, "device.import", target="", **counts, devices=sorted(changed)[:NOTED])
        return results


def _take(row: ImportRow, now: dict[str, State]) -> ImportResult:
    """Bring one row into `now`, and say what became of it."""
    if row.problem is not None or row.device is None:
        return _refused(row, row.problem or BadRequest("the row names no device"))
    known = now.get(row.device)
    enabled, tags = known or (True, {})
    try:
        if known is None:
            check_new_device_name(row.device)
        state = row.change.applied(enabled=enabled, tags=tags)
    except BadRequest as exc:
        return _refused(row, exc)
    now[row.device] = state
    status: Status = "created" if known is None else "unchanged" if known == state else "updated"
    return ImportResult(row.line, row.device, status)


def _refused(row: ImportRow, problem: ClientError) -> ImportResult:
    return ImportResult(row.line, row.device, "refused", problem.code, problem.message)


async def _write(connection: Connection, states: Mapping[str, State], *, known: bool) -> None:
    if not states:
        return
    names = sorted(states)
    enabled = [states[name][0] for name in names]
    tags = [msgspec.json.encode(states[name][1]).decode() for name in names]
    await connection.execute(query("update_devices") if known else query("put_devices"), names, enabled, tags)
