"""The target that a plan names, and whether the plan can be run there. Raises UsageError; sends nothing."""

from pathlib import Path

from msgspec.structs import replace

from simulator.core.errors import UsageError
from simulator.plan.faults import CONTENT, ORDER
from simulator.plan.plan import Plan, TargetSpec
from simulator.send.encode import Encoder
from simulator.send.target import Target
from simulator.targets.custom import load
from simulator.targets.gateway import GatewayTarget
from simulator.targets.influx import InfluxTarget


def target_of(spec: TargetSpec) -> Target:
    """Return the target. Raises UsageError for an adapter that cannot be used."""
    match spec.kind:
        case "gateway":
            return GatewayTarget()
        case "influx":
            return InfluxTarget(db=spec.db, org=spec.org)
        case "custom":
            return load(Path(spec.adapter))


def fitted(target: Target, plan: Plan) -> Plan:
    """Return the plan as it can be run there: nobody watches the states of a target that shows none.

    Raises UsageError for transports and faults that are not for this target, and if a first post cannot be written.
    """
    parts = plan.parts()
    over = {part.lane.transport for part in parts} - target.transports
    if over:
        raise UsageError(f"The target {target.name} is not sent to over {over.pop()}: use --transport http.")
    asked = [fault for fault in (*ORDER, *CONTENT) if getattr(plan.scenario.faults, fault.value)]
    unknown = [fault.value for fault in asked if fault not in target.faults]
    if unknown:
        raise UsageError(
            f"Nobody has said what the target {target.name} must answer to {', '.join(unknown)}: "
            "take the faults out of the scenario, or have an adapter say it with `refusals`."
        )
    packed = {how for spec in plan.scenario.fleets for how in spec.compression} - target.compression
    if packed:
        raise UsageError(f"The target {target.name} does not read {packed.pop()}, which the scenario compresses with.")
    for part in parts:
        Encoder(part.fleet, part.lane, target.codec(part).write).altered(0)
    return plan if target.shows_states else replace(plan, scenario=replace(plan.scenario, watch=0))
