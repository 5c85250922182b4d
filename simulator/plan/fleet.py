"""The simulated devices: their names and what they say. Pure: the same seed and prefix give the same readings."""

from dataclasses import dataclass

from simulator.core.chance import Ints
from simulator.plan.devices.metrics import Metric


@dataclass(frozen=True, slots=True)
class Fleet:
    """Devices that all report the same metrics."""

    prefix: str
    seed: int
    metrics: tuple[Metric, ...]

    def name(self, device: int) -> str:
        """Return the device's name."""
        return f"{self.prefix}-{device:05d}"

    def codes(self, metric: int, device: Ints, n: Ints) -> Ints:
        """Return the codes of one metric in the n-th messages of the devices; the two arrays broadcast."""
        return self.metrics[metric].codes(device, n, seed=self.seed)
