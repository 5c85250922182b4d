"""The workloads of a bench, by name, and the setups of the yardstick beside them. Pure data.

All but W1h and the dashboards of W6 are closed loops: each connection sends its next request when the last one is
answered. That measures capacity; latency is what a load that does not wait sees, below capacity.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from simulator.core.errors import UsageError

Api = Literal["http", "mqtt", "state", "states"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a post holds: `messages` of each of `per_post` devices out of `devices`, with `metrics` numbers each.

    Flat posts spell each reading out as an item of its own, and each is stored as a row of its own.
    """

    devices: int
    per_post: int
    messages: int
    metrics: int
    flat: bool = False

    @property
    def readings(self) -> int:
        """Readings in a post."""
        return self.per_post * self.messages * self.metrics

    @property
    def width(self) -> int:
        """Values in a row of the database."""
        return 1 if self.flat else self.metrics

    @property
    def series(self) -> int:
        """Different (device, shape) among the rows."""
        return self.devices * self.metrics // self.width

    @property
    def templates(self) -> int:
        """Posts until every device has spoken."""
        return self.devices // self.per_post


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One way to use a gateway. `repeats`: only what is stored already; `dashboards`: state reads/s beside it."""

    name: str
    title: str
    form: Form
    api: Api = "http"
    connections: int
    repeats: bool = False
    dashboards: int = 0
    half_of: str = ""
    """The workload at half of whose rate, measured just before, it sends: an open loop."""
    family: str = ""
    """Which growth it is a step of, if it is one; the first of a family is what the others are compared with."""
    fill: int = 0
    """Rows that the gateway's table must hold before it is measured."""

    @property
    def ingests(self) -> bool:
        """Whether it sends readings."""
        return self.api in {"http", "mqtt"}

    @property
    def stores(self) -> bool:
        """Whether it sends readings that are not stored already."""
        return self.ingests and not self.repeats

    @property
    def items(self) -> int:
        """What an answer counts for: readings of a post, devices of a question for states."""
        return self.form.readings if self.ingests else self.form.devices if self.api == "states" else 1


def _short(number: int) -> str:
    """`100_000` → `100k`."""
    for unit, size in (("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number // size}{unit}"
    return str(number)


_ONE = Form(devices=1_000, per_post=1, messages=1, metrics=5)
_RUN = Form(devices=1_000, per_post=1, messages=20, metrics=5)
_BULK = Form(devices=1_000, per_post=100, messages=1, metrics=10)
_FLAT = Form(devices=1_000, per_post=100, messages=1, metrics=10, flat=True)
_FLEETS = (100, 1_000, 10_000, 100_000)
"""Devices; ten times as many series."""
_BATCHES = ((1, 64), (10, 64), (100, 16), (1_000, 8), (10_000, 2))
"""Messages of a post, and connections."""
_FILLS = (0, 5_000_000, 50_000_000)
"""Rows."""

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(name="W1", title="1 message × 5, 64 conn", form=_ONE, connections=64),
        Workload(name="W1h", title="W1 at half its rate", form=_ONE, connections=64, half_of="W1"),
        Workload(name="W2", title="20 messages × 5, 64 c", form=_RUN, connections=64),
        Workload(name="W3", title="100 dev × 10, 16 conn", form=_BULK, connections=16),
        Workload(name="W3f", title="1,000 flat, 16 conn", form=_FLAT, connections=16),
        Workload(name="W4", title="MQTT 1 × 5, 50 clients", form=_ONE, connections=50, api="mqtt"),
        Workload(name="W4b", title="MQTT 20 × 5, 50 clients", form=_RUN, connections=50, api="mqtt"),
        Workload(name="W5", title="1 state, 16 conn", form=_BULK, connections=16, api="state"),
        Workload(name="W5k", title="1,000 states, 2 conn", form=_BULK, connections=2, api="states"),
        Workload(name="W6", title="W3 + 2,000 states/s", form=_BULK, connections=16, dashboards=2_000),
        Workload(name="W7", title="W3, all duplicates", form=_BULK, connections=16, repeats=True),
        *(
            Workload(
                name=f"D{_short(devices)}",
                title=f"{devices:,} devices",
                form=Form(devices=devices, per_post=100, messages=1, metrics=10),
                connections=16,
                family="devices",
            )
            for devices in _FLEETS
        ),
        *(
            Workload(
                name=f"B{_short(messages)}",
                title=f"{messages:,} × 10, {connections} conn",
                form=Form(devices=10_000, per_post=messages, messages=1, metrics=10),
                connections=connections,
                family="batches",
            )
            for messages, connections in _BATCHES
        ),
        *(
            Workload(
                name=f"R{_short(rows)}",
                title=f"on {rows:,} rows",
                form=_BULK,
                connections=16,
                family="rows",
                fill=rows,
            )
            for rows in _FILLS
        ),
    )
}
ALL = ",".join(name for name, workload in WORKLOADS.items() if not workload.family)
FAMILIES = tuple(dict.fromkeys(workload.family for workload in WORKLOADS.values() if workload.family))


def pick(names: str) -> tuple[Workload, ...]:
    """Return the workloads named, by name or family, with commas between them, in their usual order; W1h brings W1.

    Raises UsageError.
    """
    wanted = {name.strip() for name in names.split(",")} - {""}
    unknown = sorted(wanted - WORKLOADS.keys() - set(FAMILIES))
    if unknown or not wanted:
        known = f"{ALL}, {', '.join(FAMILIES)}"
        raise UsageError(
            f"--workloads takes names out of {known}; {', '.join(unknown) or 'nothing'} is not among them."
        )
    wanted |= {WORKLOADS[name].half_of for name in wanted & WORKLOADS.keys()}
    return tuple(workload for name, workload in WORKLOADS.items() if wanted & {name, workload.family} - {""})


ROWS = (1_000, 5_000, 20_000)
CONNECTIONS = (1, 2)
"""Of the setups of the yardstick."""


@dataclass(frozen=True, slots=True)
class Setup:
    """One way to COPY: `width` values a row, of so many devices with so many shapes each; `rows` a COMMIT."""

    width: int
    devices: int
    shapes: int
    rows: int
    connections: int


def setups(workloads: Sequence[Workload]) -> list[Setup]:
    """Return what to measure beside these workloads: rows as wide, of as many devices."""
    forms = {workload.form.width: workload.form for workload in reversed(workloads) if workload.ingests}
    return [
        Setup(width, form.devices, form.series // form.devices, rows, connections)
        for width, form in sorted(forms.items())
        for rows in ROWS
        for connections in CONNECTIONS
    ]
