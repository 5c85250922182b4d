"""Which target, as the command line takes it: words in, a checked `TargetSpec` out. Opens nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter
from msgspec.structs import replace

from simulator.core.errors import UsageError
from simulator.plan.plan import Plan
from simulator.plan.target_spec import Kind, TargetSpec

WHERE_TO = Group("Where to", sort_key=1)


@Parameter(name="*", group=WHERE_TO)
@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What is sent to."""

    kind: Annotated[Kind | None, Parameter(name="--target")] = None
    """What is at --url: a gateway, InfluxDB, or what an --adapter knows [gateway; to verify, what it was sent to]."""
    adapter: Path | None = None
    """Python file that knows the target of --target custom; see the documentation."""
    influx_db: str | None = None
    """InfluxDB's database, made if it is not there; of 2.x the bucket [simulator]."""
    influx_org: str | None = None
    """The organisation of InfluxDB 2.x; without it 1.x is spoken to."""

    def spec(self) -> TargetSpec:
        """Return the target that is asked for. Raises UsageError, in a sentence, for what makes no sense."""
        kind = self.kind or "gateway"
        influx = self.influx_db is not None or self.influx_org is not None
        if influx and kind != "influx":
            raise UsageError("--influx-db and --influx-org need --target influx.")
        if (self.adapter is not None) != (kind == "custom"):
            raise UsageError("--target custom and --adapter FILE belong together.")
        db = "simulator" if self.influx_db is None else self.influx_db
        if not db or any(not letter.isprintable() or letter in '"\\' for letter in db):
            raise UsageError("--influx-db must be a name without quotes and backslashes.")
        if kind != "influx":
            return TargetSpec(kind=kind, adapter=str(self.adapter.absolute()) if self.adapter else "")
        return TargetSpec(kind=kind, db=db, org=self.influx_org or "")

    def aimed(self, plan: Plan) -> Plan:
        """Return the plan with the target that is asked for, its own if none is. Raises UsageError."""
        spec = self.spec()
        if self.kind is None or spec == plan.target:
            return plan
        return replace(plan, target=spec)
