"""Devices and sets of metrics that nobody has heard of: so many in all, so many a second; known ones do not count."""

import pytest

from gateway.core import settings
from gateway.domain.model import Kind, Metric, Shape
from gateway.domain.principal import Principal, Role
from gateway.ingest.admission import newcomers
from gateway.ingest.admission.newcomers import BURST_SECS, Newcomers
from tests.fakes.directory import MemoryDirectory
from tests.unit.ingest.admission.door import NOW, Door

ONE, OTHER = Principal(Role.INGEST, prefix="a"), Principal(Role.INGEST, prefix="b")


class Scene:
    """A registry, a clock, and who is let in."""

    def __init__(self, **rules: int) -> None:
        self.now = 0.0
        self.directory = MemoryDirectory()
        rates = {"new_per_sec": 10**6, "all_new_per_sec": 10**6, "new_metrics_per_sec": 10**6}
        devices = settings.DeviceSettings(**{**rates, "all_new_metrics_per_sec": 10**6, **rules})  # type: ignore[arg-type]
        self.newcomers = Newcomers(self.directory, devices, monotonic=lambda: self.now)

    def devices(self, count: int, *, principal: Principal = ONE, start: int = 0) -> int:
        """How many of so many new devices are let in."""
        return sum([self.newcomers.device(principal, f"n{i}") is None for i in range(start, start + count)])

    def shapes(self, count: int, *, principal: Principal = ONE, start: int = 0) -> int:
        return sum([self.newcomers.shape(principal, shape(i), 1) is None for i in range(start, start + count)])


def shape(number: int) -> Shape:
    return Shape((Metric(f"m{number}", Kind.DOUBLE),), (), ())


def test_there_are_never_more_devices_than_may_be() -> None:
    scene = Scene(max_auto=30)
    scene.directory.add(*[f"d{i}" for i in range(10)])
    assert scene.devices(50) == 20
    scene.now += 1000
    assert scene.devices(50, start=50) == 0
    assert scene.devices(50) == 20  # those that were let in still are


def test_devices_of_one_credential_and_of_all_come_as_fast_as_may_be() -> None:
    burst = int(BURST_SECS)
    scene = Scene(new_per_sec=2, all_new_per_sec=3)
    assert scene.devices(100) == 2 * burst
    assert scene.devices(100, principal=OTHER, start=100) == burst
    scene.now += 5
    assert scene.devices(100, start=200) == 10
    assert "devices.new_per_sec" in str(scene.newcomers.device(ONE, "one-more"))
    scene.now += 1
    assert scene.devices(100, principal=OTHER, start=300) > 0


def test_a_set_of_metrics_is_new_once() -> None:
    scene = Scene(new_metrics_per_sec=1)
    assert scene.shapes(100) == BURST_SECS
    assert scene.shapes(int(BURST_SECS)) == BURST_SECS
    assert "devices.new_metrics_per_sec" in str(scene.newcomers.shape(ONE, shape(1000), 1))
    scene.now += 2
    assert scene.shapes(100, start=100) == 2


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    monkeypatch.setattr(newcomers, "MAX_SHAPES", 10)
    assert scene.shapes(95) == 95
    assert len(scene.newcomers._shapes) <= 10


async def test_what_a_device_has_reported_before_is_never_refused() -> None:
    door = Door(devices=settings.DeviceSettings(new_metrics_per_sec=1))
    door.directory.add("d1")
    for i in range(100):
        door.directory.report("d1", shape(i))
    answer = await door.post([{"device": "d1", "ts": NOW, "values": {f"m{i}": 1.5}} for i in range(120)])
    assert len(answer.messages) == 100 + BURST_SECS
    assert set(answer.codes) == {"new_metrics_limit"}
