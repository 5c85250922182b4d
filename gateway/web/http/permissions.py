"""Who may do what: the rule of an operation, with the one sentence of each refusal. Knows no route and no request."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from gateway.core.errors import Forbidden
from gateway.domain.principal import Principal, Role


class Access(NamedTuple):
    """Who may call an operation; without roles everybody may, without a credential."""

    roles: tuple[Role, ...] = ()
    refusal: str = ""
    """What another role is told; `{role}` is its name."""
    may: Callable[[Principal, str], bool] = lambda _principal, _device: True
    """Whether a principal with one of the roles may do it to this device."""
    refusal_of_device: str = ""
    """`{device}` is its name, quoted."""

    def allows(self, principal: Principal, device: str | None = None) -> bool:
        """Whether the operation may be called: on this device, or on any at all if None."""
        return principal.role in self.roles and (device is None or self.may(principal, device))

    def check(self, principal: Principal, device: str | None = None) -> None:
        """Raise Forbidden unless `allows`."""
        if principal.role not in self.roles:
            raise Forbidden(self.refusal.format(role=principal.role))
        if device is not None and not self.may(principal, device):
            raise Forbidden(self.refusal_of_device.format(device=repr(device)), device=device)


ANYBODY = Access()
WRITERS = Access(
    (Role.INGEST, Role.ADMIN, Role.DEVICE),
    "a reader key may not write readings; use a device token or an ingest key",
    Principal.may_write,
    "this credential may not write device {device}; use that device's token or an ingest key",
)
READERS = Access(
    (Role.READER, Role.ADMIN, Role.DEVICE),
    "an ingest key may not read; use a reader key or the device's token",
    Principal.may_read,
    "this credential may not read device {device}; use a reader key or that device's token",
)
LISTERS = Access((Role.READER, Role.ADMIN), "this credential may not list devices; use a reader key")
OVERSEERS = Access(
    (Role.READER, Role.ADMIN), "a key with the role {role} may not see the fleet; use a reader or an admin key"
)
ADMINS = Access((Role.ADMIN,), "only an admin key may do this")


def readable(principal: Principal, devices: Collection[str], tags: Sequence[str]) -> frozenset[str] | None:
    """Return the devices of which a reader may see what it asks for, None for all. Raises Forbidden."""
    if principal.role is not Role.DEVICE or principal.device is None:
        return frozenset(devices) or None
    if tags:
        raise Forbidden("a device's token reads that device only; leave tag= out", parameter="tag")
    for name in devices:
        READERS.check(principal, name)
    return frozenset([principal.device])
