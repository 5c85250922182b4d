"""The options of `simulator capacity`, with their defaults: words and numbers in, checked values out."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter
from msgspec.structs import replace as changed

from simulator.core.errors import UsageError
from simulator.plan.load import LOAD, LoadOptions
from simulator.plan.options import RunOptions, VerdictOptions, Verify, WhereTo
from simulator.plan.plan import Plan

_SEARCH = Group("Search", sort_key=-1)
_GIVE_UP_S = 10.0
_MOST = 4_000_000.0
_OWN = ("rate", "seconds", "run", "start_ms", "watch")
_HIDDEN = Parameter(show=False)


@Parameter(name="*", group=_SEARCH)
@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """Which rates are tried, and what they must keep."""

    hold: float = 30
    """Seconds that each rate is offered."""
    first: float = 1_000
    """Readings a second to begin with."""
    most: float | None = None
    """Readings a second to end with [as much as the devices can say, at most 4,000,000]."""
    precision: float = 5
    """Per cent that the highest rate held and the lowest that broke may be apart in the end."""
    p99: float = 200
    """Milliseconds that the p99 of the latency may reach, over each transport."""
    errors: float = 0.1
    """Per cent of the attempts that may fail."""
    rest: float = 2
    """Seconds between two rates, for the gateway to catch up."""
    json: Path | None = None
    """Write all trials there, too."""

    def check(self) -> None:
        """Raise UsageError, in a sentence, for what makes no sense."""
        for name in ("hold", "first", "most", "precision", "p99"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"--{name} must be more than 0.")
        for name in ("errors", "rest"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"--{name} must not be negative.")


@Parameter(name="*", group=LOAD)
@dataclass(frozen=True, slots=True, kw_only=True)
class SteadyLoad(LoadOptions):
    """What is sent at each rate. What capacity chooses itself is not shown, and is refused in a sentence if given."""

    rate: Annotated[float | None, _HIDDEN] = None
    seconds: Annotated[float | None, _HIDDEN] = None
    run: Annotated[str | None, _HIDDEN] = None
    start_ms: Annotated[int | None, _HIDDEN] = None
    watch: Annotated[int | None, _HIDDEN] = None
    give_up: float | None = None
    """Seconds after which a post is neither started nor sent again [10, or less if the scenario says so]."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityOptions(WhereTo):
    """All that `simulator capacity` takes."""

    search: SearchOptions = field(default_factory=SearchOptions)
    load: SteadyLoad = field(default_factory=SteadyLoad)
    database: Annotated[str | None, Parameter(group=_SEARCH, env_var="SIMULATOR_DATABASE", show_env_var=True)] = None
    """The gateway's database, to verify there after each rate that all is stored [a gateway's is not verified]."""
    settle: Annotated[float, Parameter(group=_SEARCH)] = 30
    """Seconds that what was acknowledged may take to be stored, if it is verified."""
    no_verify: Annotated[bool, Parameter(group=_SEARCH, negative="")] = False
    """Do not look after each rate for what was acknowledged."""

    def check(self) -> None:
        """Raise UsageError, in a sentence, for what makes no sense."""
        self.search.check()
        given = [name.replace("_", "-") for name in _OWN if getattr(self.load, name) is not None]
        if given:
            raise UsageError(
                f"--{given[0]} is not for capacity, which chooses it itself: see --first, --most and --hold."
            )

    def run_options(self) -> RunOptions:
        """Return the options of one trial."""
        # Reading a gateway back through its API would take longer than the load; another target has nothing else.
        is_read = not self.no_verify and (self.database is not None or self.aim.spec().kind != "gateway")
        verify: Verify | None = None if is_read else "none"
        verdict = VerdictOptions(verify=verify, database=self.database, settle=self.settle)
        return RunOptions(load=self.load, target=self.target, aim=self.aim, verdict=verdict)

    def plan(self, name: str | None, rate: float, *, now_ms: int) -> Plan:
        """Return the run at one rate: as the scenario, but steady, impatient, and always with devices of its own.

        Raises UsageError.
        """
        plan = self.aim.aimed(replace(self.load, rate=rate).plan(name, now_ms=now_ms))
        patience = plan.scenario.give_up if self.load.give_up is not None else min(plan.scenario.give_up, _GIVE_UP_S)
        scenario = changed(plan.scenario, phases=(), seconds=self.search.hold, give_up=patience, watch=0, register=True)
        made = changed(plan, scenario=scenario)
        made.parts()
        return made

    def most(self, name: str | None, *, now_ms: int) -> float:
        """Return the highest rate to try. Raises UsageError if the devices cannot say that much, or nothing."""
        if self.search.most is not None:
            self.plan(name, self.search.most, now_ms=now_ms)
            return self.search.most
        most = _MOST
        while True:
            try:
                self.plan(name, most, now_ms=now_ms)
            except UsageError:
                if most <= self.search.first:
                    raise
                most = max(most / 2, self.search.first)
            else:
                return most
