"""Registrar: everything that an admin may do with the registry, as one object. Adds no rule."""

from typing import NamedTuple

from gateway.core.clock import Clock
from gateway.domain.contracts.newest import RemovableState
from gateway.services.device_removal import DeviceRemoval
from gateway.timescale.connections.pool import Pool
from gateway.timescale.registry.audit import AuditLog
from gateway.timescale.registry.credentials import StoredCredentials
from gateway.timescale.registry.device_import import Imports
from gateway.timescale.registry.device_removal import RemovedDevices
from gateway.timescale.registry.devices import DeviceRegistry
from gateway.timescale.registry.metrics import DeclaredInts, MetricRegistry


class Registrar(NamedTuple):
    """The registry, to be changed: each act is a transaction with its line of audit."""

    devices: DeviceRegistry
    imports: Imports
    removal: DeviceRemoval
    credentials: StoredCredentials
    metrics: MetricRegistry
    declared_ints: DeclaredInts
    audit: AuditLog


def build_registrar(pool: Pool, states: RemovableState, *, clock: Clock) -> Registrar:
    """Return what works on this database; nothing is asked of it yet."""
    devices = DeviceRegistry(pool)
    return Registrar(
        devices,
        Imports(pool),
        DeviceRemoval(devices, RemovedDevices(pool), states),
        StoredCredentials(pool, clock=clock),
        MetricRegistry(pool),
        DeclaredInts(pool),
        AuditLog(pool),
    )
