"""Newcomers: devices and sets of metrics that nobody has heard of, and how many of them are let in. Never waits.

What is known already is not counted, also after a restart: the cards of devices say what they have reported. A fleet
that reports the same metrics is new once, and one device that makes names up stays within what one may.
"""

import time
from collections.abc import Callable

from gateway.core import settings
from gateway.domain.contracts.ingest import Directory
from gateway.domain.model import Shape
from gateway.domain.principal import Principal
from gateway.domain.rate_limit import Meter, Rate

BURST_SECS = 10.0
"""What may come at once after a quiet time, in seconds of each rate."""
MAX_CALLERS = 100_000
MAX_SHAPES = 100_000
"""Shapes remembered as let in; beyond it they are counted anew."""
EVERYBODY = "everybody"


class Newcomers:
    """What was let in lately. One per worker; workers share each rate evenly."""

    def __init__(
        self,
        directory: Directory,
        devices: settings.DeviceSettings,
        *,
        share: int = 1,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._max_auto = devices.max_auto
        self._monotonic = monotonic
        self._devices = _meters(devices, "new_per_sec", share)
        self._metrics = _meters(devices, "new_metrics_per_sec", share)
        self._shapes: set[Shape] = set()

    def device(self, principal: Principal, name: str) -> str | None:
        """Let in a device that is not registered; or return what it is beyond, with the setting's name."""
        directory = self._directory
        if directory.is_expected(name):
            return None
        if directory.registered >= self._max_auto:
            return f"there are {self._max_auto} devices (devices.max_auto)"
        over = self._over(self._devices, principal, 1)
        if over is None:
            directory.expect(name)
        return over

    def shape(self, principal: Principal, shape: Shape, width: int) -> str | None:
        """Let in a set of metrics that its device has not reported; or return what it is beyond, as `device` does."""
        if shape in self._shapes:
            return None
        over = self._over(self._metrics, principal, width)
        if over is None:
            if len(self._shapes) >= MAX_SHAPES:
                self._shapes.clear()
            self._shapes.add(shape)
        return over

    def _over(self, meters: tuple[Meter, Meter], principal: Principal, units: int) -> str | None:
        now = self._monotonic()
        callers = (principal, EVERYBODY)
        for meter, caller in zip(meters, callers, strict=True):
            if meter.wait(caller, units, now):
                return f"{meter.rate.value:g} a second ({meter.rate.name})"
        for meter, caller in zip(meters, callers, strict=True):
            meter.charge(caller, units, now)
        return None


def _meters(devices: settings.DeviceSettings, leaf: str, share: int) -> tuple[Meter, Meter]:
    """Return the meters of one credential, and of all."""
    own, all_ = (_meter(getattr(devices, name), f"devices.{name}", share) for name in (leaf, f"all_{leaf}"))
    return own, all_


def _meter(value: float, name: str, share: int) -> Meter:
    per_sec = value / share
    return Meter(Rate(name, value, "names", per_sec, max(1.0, per_sec * BURST_SECS)), max_callers=MAX_CALLERS)
