"""Short versions of the trials of `make chaos`: what must hold is checked, what is measured is not judged."""

from collections.abc import Callable, Iterator

import pytest

from tests.chaos.campaign import Load
from tests.chaos.outage import outage
from tests.chaos.overload import overload
from tests.chaos.poison import poison
from tests.chaos.roll import roll
from tests.chaos.scene import Ground, ground
from tests.chaos.storm import storm
from tests.chaos.trial import Trial
from tests.conftest import have

SHORT: dict[str, Callable[[Ground], Trial]] = {
    "roll": lambda servers: roll(servers, rounds=1, load=Load(rate=2_000, devices=300)),
    "storm": lambda servers: storm(servers, clients=500, within=2.0),
    "poison": lambda servers: poison(servers, secs=3.0, rounds=1, strict=False),
    "overload": lambda servers: overload(servers, secs=5.0, capacity_secs=2.5, strict=False),
    "outage": lambda servers: outage(servers, rate=4_000, normal_secs=1.0, secs=5.0, strict=False),
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Servers of their own: one trial stops the database, another restarts the broker."""
    with have(lambda: ground(tmp_path_factory.mktemp("trials"))) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_what_must_hold_holds(servers: Ground, name: str) -> None:
    trial = SHORT[name](servers)
    assert trial.troubles == [], trial.figures
