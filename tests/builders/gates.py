"""In: devices and layouts. Out: the gate that lets them in, with the settings that a new gateway has."""

from gateway.core import settings
from gateway.domain.layouts import Layouts
from gateway.ingest.admission.admission import Admission
from tests.fakes import MemoryDirectory


def usual_gate(directory: MemoryDirectory, layouts: Layouts) -> Admission:
    """Return a gate with the settings of a new gateway."""
    return Admission(
        directory,
        layouts,
        devices=settings.DeviceSettings(),
        clock=settings.ClockSettings(),
        retention=settings.RetentionSettings(),
    )
