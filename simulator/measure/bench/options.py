"""The options of `simulator bench`, with their defaults: words and numbers in, checked values out."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from simulator.core.errors import UsageError
from simulator.measure.bench.workloads import ALL, Workload, pick
from simulator.plan.options import Access

_MAX_SECONDS, _MIN_SECONDS = 60.0, 0.2
_MAX_ROUNDS = 20

_WORK = Group("What to measure", sort_key=0)
_PARTS = Group("What is measured", sort_key=2)
_OUTPUT = Group("Output", sort_key=3)


@Parameter(name="*", group=_WORK)
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOptions:
    """What is measured, and for how long."""

    workloads: str = ALL
    """Names, with commas between them; or how the cost of a reading grows: devices, batches, rows (of the table)."""
    seconds: float = 8
    """Of each workload in each round; each setup of the yardstick takes a quarter of it."""
    rounds: int = 3
    """Times that everything is measured; the tables show medians."""

    def __post_init__(self) -> None:
        """Raise UsageError, in a sentence, for what makes no sense."""
        if not _MIN_SECONDS <= self.seconds <= _MAX_SECONDS:
            raise UsageError(f"--seconds must be from {_MIN_SECONDS:g} to {_MAX_SECONDS:g}.")
        if not 1 <= self.rounds <= _MAX_ROUNDS:
            raise UsageError(f"--rounds must be from 1 to {_MAX_ROUNDS}.")
        if self.rounds > 1 and any(workload.fill for workload in self.picked):
            raise UsageError("rows fills the table as it goes, so it can be measured once only: add --rounds 1.")

    @property
    def picked(self) -> tuple[Workload, ...]:
        """The workloads."""
        return pick(self.workloads)


@Parameter(name="*", group=_PARTS)
@dataclass(frozen=True, slots=True, kw_only=True)
class PartOptions:
    """Where the parts of the gateway are, to see what they cost."""

    database: Annotated[str | None, Parameter(env_var="SIMULATOR_DATABASE", show_env_var=True)] = None
    """The gateway's database, postgresql://…: needed, for the yardstick and to count what is stored."""
    redis: Annotated[str | None, Parameter(env_var="SIMULATOR_REDIS", show_env_var=True)] = None
    """The gateway's Redis, redis://…; without it its cost is not told."""
    gateway_pid: int | None = None
    """The gateway's topmost process [default: whoever listens on the port of --url]."""

    @property
    def database_url(self) -> str:
        """The database. Raises UsageError if none is given."""
        if self.database is None:
            raise UsageError("Give the gateway's database with --database: it holds the yardstick.")
        return self.database


@Parameter(name="*", group=_OUTPUT)
@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """Where the figures go beside the screen."""

    json: Path | None = None
    """Write every round there."""
    append: Path | None = None
    """Append the tables to this Markdown page."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """All that `simulator bench` takes."""

    work: WorkOptions = field(default_factory=WorkOptions)
    target: Access = field(default_factory=Access)
    parts: PartOptions = field(default_factory=PartOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
