"""A rate is held only if what was acknowledged is there: it is looked for where it can be, and said where not."""

from simulator.measure.capacity.options import CapacityOptions
from simulator.plan.options import TargetOptions


def test_where_it_is_looked_for() -> None:
    influx = TargetOptions(kind="influx")
    assert CapacityOptions(aim=influx).run_options().verdict.source == "api"
    assert CapacityOptions(aim=influx, no_verify=True).run_options().verdict.source == "none"
    assert CapacityOptions().run_options().verdict.source == "none"
    assert CapacityOptions(database="postgresql://x").run_options().verdict.source == "database"
    assert CapacityOptions(database="postgresql://x", no_verify=True).run_options().verdict.source == "none"
