"""The principal: who calls, and what they may do. No I/O."""

from enum import StrEnum

import msgspec


class Role(StrEnum):
    """What a credential may do."""

    DEVICE = "device"
    INGEST = "ingest"
    READER = "reader"
    ADMIN = "admin"


class Principal(msgspec.Struct, frozen=True):
    """Who is calling."""

    role: Role
    device: str | None = None
    """The one device of a device token."""
    prefix: str = ""
    """The device names an ingest key may write."""

    @property
    def writes_any(self) -> bool:
        """Whether every device may be written."""
        return self.role is Role.ADMIN or (self.role is Role.INGEST and not self.prefix)

    def may_write(self, device: str) -> bool:
        """Whether this device may be written."""
        if self.role is Role.DEVICE:
            return device == self.device
        return self.writes_any or (self.role is Role.INGEST and device.startswith(self.prefix))

    def may_read(self, device: str) -> bool:
        """Whether this device may be read."""
        return self.role in (Role.READER, Role.ADMIN) or (self.role is Role.DEVICE and device == self.device)
