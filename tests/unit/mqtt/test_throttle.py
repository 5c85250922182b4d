"""The brake apart from any broker: who waits, for how long, and who is let go first."""

import asyncio

import pytest

from gateway.core import settings
from gateway.domain.rate_limit import to_meters
from gateway.mqtt import throttle
from gateway.mqtt.throttle import MessageCharge, Throttle

SOON = 5.0


class Scene:
    """A brake whose clock stands still unless it is moved, and a crowd that comes when told."""

    def __init__(self, **limits: float) -> None:
        meters = to_meters(settings.LimitSettings(**limits), "device")  # type: ignore[arg-type]
        assert meters is not None
        self.now = 1000.0
        self.crowded = False
        self.meters = meters
        self.throttle = Throttle(meters, crowded=lambda: self.crowded, monotonic=lambda: self.now)

    async def waiting(self, count: int) -> list["asyncio.Task[bool]"]:
        """Have this many messages wait; return them in order."""
        tasks = [asyncio.create_task(self.throttle.pace("d", size=1, readings=1)) for _ in range(count)]
        await asyncio.sleep(0)
        assert self.throttle.waiting == count
        return tasks


async def test_who_is_within_its_limits_does_not_wait() -> None:
    scene = Scene(device_requests_per_sec=1, burst_secs=2)
    assert [await scene.throttle.pace(name, size=9, readings=9) for name in "aabb"] == [False] * 4
    assert scene.throttle.waiting == 0


async def test_it_waits_until_there_is_room() -> None:
    scene = Scene(device_readings_per_sec=100, burst_secs=0.01)
    loop = asyncio.get_running_loop()
    assert not await scene.throttle.pace("d", size=1, readings=6)
    began = loop.time()
    assert not await asyncio.wait_for(scene.throttle.pace("d", size=1, readings=1), SOON)
    assert loop.time() - began >= 0.06 - 0.005


async def test_the_strictest_of_its_limits_counts() -> None:
    scene = Scene(device_requests_per_sec=1, device_readings_per_sec=1, device_bytes_per_sec=1, burst_secs=50)
    await scene.throttle.pace("d", size=70, readings=20)
    over = scene.throttle._count("d", size=10, readings=10)
    assert over is not None
    meter, wait = over
    assert meter is scene.meters.bytes
    assert wait == pytest.approx(30)


async def test_nobody_waits_longer_than_a_minute_and_no_debt_is_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(device_readings_per_sec=1, burst_secs=10)
    await scene.throttle.pace("d", size=1, readings=100_000)
    assert scene.meters.readings is not None
    assert scene.meters.readings.wait("d", 1, scene.now) <= throttle.MAX_HOLD_SECS + 1
    monkeypatch.setattr(throttle, "MAX_HOLD_SECS", 0.01)
    assert await asyncio.wait_for(scene.throttle.pace("d", size=1, readings=1), SOON)


async def test_a_crowd_lets_the_oldest_go_one_for_each_that_comes() -> None:
    scene = Scene(device_requests_per_sec=1e-3, burst_secs=1)
    await scene.throttle.pace("d", size=1, readings=1)
    first, second, third = await scene.waiting(3)
    scene.throttle.relieve()
    assert scene.throttle.waiting == 3, "no crowd, no relief"
    scene.crowded = True
    scene.throttle.relieve()
    assert await asyncio.wait_for(first, SOON)
    fourth = asyncio.create_task(scene.throttle.pace("d", size=1, readings=1))
    assert await asyncio.wait_for(second, SOON)
    assert scene.throttle.waiting == 2
    scene.throttle.release()
    assert all(await asyncio.wait_for(asyncio.gather(third, fourth), SOON))
    assert await asyncio.wait_for(scene.throttle.pace("d", size=1, readings=1), SOON), "nobody waits any more"
    assert scene.throttle.waiting == 0


async def test_a_message_that_is_given_up_leaves_nothing_behind() -> None:
    scene = Scene(device_requests_per_sec=1e-3, burst_secs=1)
    await scene.throttle.pace("d", size=1, readings=1)
    first, second = await scene.waiting(2)
    first.cancel()
    await asyncio.wait([first])
    assert scene.throttle.waiting == 1
    scene.crowded = True
    scene.throttle.relieve()
    assert await asyncio.wait_for(second, SOON)


async def test_a_toll_is_paid_once() -> None:
    scene = Scene(device_readings_per_sec=1, burst_secs=10)
    charge = MessageCharge(scene.throttle, "d", size=1)
    assert [await charge(4) for _ in range(5)] == [False] * 5
    assert scene.meters.readings is not None
    assert scene.meters.readings.left("d", scene.now).units == 6
