"""The principal: who calls, and what they may do. No I/O."""

from enum import StrEnum
from typing import NamedTuple

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
    key: int = 0
    """The id of the credential; 0 of the key in the settings, which has none."""

    @property
    def caller(self) -> str:
        """The name under which its share of things is counted: all tokens of a device are one caller."""
        return f"key {self.key}" if self.device is None else f"device {self.device}"

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


class Grant(NamedTuple):
    """What a token that is valid stands for."""

    principal: Principal
    expires_us: int | None = None
    """When it expires (µs since 1970 UTC); None: never."""
