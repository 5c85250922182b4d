"""The trials by name, in the length that proves something; `tests/e2e` has a short version of each."""

from collections.abc import Callable, Mapping

from tests.chaos.campaign import Load
from tests.chaos.outage import outage
from tests.chaos.overload import overload
from tests.chaos.poison import poison
from tests.chaos.roll import roll
from tests.chaos.scene import Ground
from tests.chaos.storm import storm
from tests.chaos.trial import Trial

TRIALS: Mapping[str, Callable[[Ground], Trial]] = {
    "roll": lambda servers: roll(servers, rounds=5, load=Load()),
    "storm": lambda servers: storm(servers, clients=5_000, within=10.0),
    "poison": lambda servers: poison(servers, secs=10.0, rounds=5, strict=True),
    "overload": lambda servers: overload(servers, secs=300.0, capacity_secs=10.0, strict=True),
    "outage": lambda servers: outage(servers, rate=10_000, normal_secs=20.0, secs=300.0, strict=True),
}
