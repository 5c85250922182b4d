"""The loads that are counted, by name. Pure data. The bodies are those of `simulator bench`, of fewer devices."""

from dataclasses import replace
from typing import Literal, NamedTuple

from simulator.measure.bench.workloads import WORKLOADS, Form


class Load(NamedTuple):
    """One workload."""

    name: str
    title: str
    at_once: int
    """Requests of a wave, which share a COMMIT (about as many as in the closed loop of the bench)."""
    waves: int
    """How many are counted."""
    devices: int
    form: str
    """The workload of the bench whose bodies these are."""
    kind: Literal["post", "vary", "mqtt", "state"] = "post"

    @property
    def requests(self) -> int:
        """How many are counted."""
        return self.at_once * self.waves


LOADS = {
    load.name: load
    for load in (
        Load("W1", "1 message of 5 readings", 24, 6, 24, "W1"),
        Load("W1v", "the same, each head another", 24, 3, 24, "W1", "vary"),
        Load("W2", "20 messages of 5", 24, 3, 24, "W2"),
        Load("W3", "100 devices, 10 readings each", 6, 3, 600, "W3"),
        Load("W4", "MQTT message of 5", 24, 6, 24, "W1", "mqtt"),
        Load("state", "GET of one device's state", 16, 10, 16, "W1", "state"),
    )
}


def form_of(load: Load) -> Form:
    """Return what its posts hold."""
    return replace(WORKLOADS[load.form].form, devices=load.devices)
