"""A door for tests: JSON items in, what `wire` and the gate make of them out, as `intake` joins the two. No sink."""

import json
from typing import Any, NamedTuple

from gateway.core import settings
from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch, Refusal
from gateway.domain.principal import Principal, Role
from gateway.ingest import wire
from gateway.ingest.admission.admission import Admission
from tests.fakes.directory import MemoryDirectory
from tests.unit.ingest.wire.decoded import RECEIVED_US, Message, to_messages

NOW = RECEIVED_US
SEC = 1_000_000
DAY = 86_400 * SEC
ADMIN = Principal(Role.ADMIN)


class Answer(NamedTuple):
    """What became of a posted body."""

    batch: Batch
    messages: list[Message]
    refusals: list[Refusal]
    admitted: bool

    @property
    def codes(self) -> list[str]:
        """The code of each refusal."""
        return [refusal.code for refusal in self.refusals]

    @property
    def received(self) -> int:
        """Readings kept and refused."""
        return self.batch.readings + sum(refusal.readings for refusal in self.refusals)


class Door:
    """The registry, the gate and the layouts of one gateway."""

    def __init__(
        self,
        *,
        devices: settings.DeviceSettings | None = None,
        clock: settings.ClockSettings | None = None,
        retention: settings.RetentionSettings | None = None,
        directory: MemoryDirectory | None = None,
    ) -> None:
        self.layouts = Layouts()
        self.directory = directory or MemoryDirectory()
        self.admission = Admission(
            self.directory,
            self.layouts,
            devices=devices or settings.DeviceSettings(),
            clock=clock or settings.ClockSettings(),
            retention=retention or settings.RetentionSettings(),
        )

    async def post(
        self, posted: Any, *, principal: Principal = ADMIN, device: str | None = None, now_us: int = NOW
    ) -> Answer:
        """Post this JSON value."""
        body = json.dumps(posted).encode()
        decoded = wire.decode(body, None, self.layouts, device=device, received_us=now_us, max_readings=100_000)
        passed = self.admission.passes(principal, decoded.batch, now_us)
        if not passed:
            decoded = await self.admission.admit(principal, decoded, now_us)
        return Answer(decoded.batch, to_messages(decoded.batch, self.layouts), decoded.refusals, not passed)


def said(device: str = "d1", *, ts: int = NOW, **values: Any) -> dict[str, Any]:
    """One message as an item."""
    return {"device": device, "ts": ts, "values": values}
