"""Many clients held connected: how many at a time, what is visited when, and how they come back."""

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from simulator.core.errors import Unreachable
from simulator.send.drivers.upkeep import Upkeep
from tests.fakes.waiting import until

_AT_ONCE = 64


class Site:
    """A broker's side of things: counts those who are connecting, connected, visited and gone."""

    def __init__(self, count: int, *, most: int = 1_000_000) -> None:
        self.most = most
        self.connecting = self.peak = self.standing = self.attempts = self.left = 0
        self.visits: Counter[int] = Counter()
        self.clients = [Client(self, number) for number in range(count)]


class Client:
    def __init__(self, site: Site, number: int) -> None:
        self.site = site
        self.number = number
        self.lose: Callable[[], None] | None = None

    async def connect(self, on_lost: Callable[[], None]) -> None:
        site = self.site
        site.attempts += 1
        site.connecting += 1
        site.peak = max(site.peak, site.connecting)
        await asyncio.sleep(0)
        site.connecting -= 1
        if site.standing >= site.most:
            raise Unreachable("The broker is full.")
        site.standing += 1

        def lose() -> None:
            site.standing -= 1
            on_lost()

        self.lose = lose

    def visit(self) -> None:
        self.site.visits[self.number] += 1

    async def leave(self) -> None:
        self.site.left += 1


def upkeep(site: Site, *, period: float = 60.0) -> Upkeep:
    clients: Any = site.clients
    return Upkeep(clients, period=period, random=Random(1))


async def test_all_are_connected_some_at_a_time_by_two_tasks() -> None:
    site, before = Site(500), len(asyncio.all_tasks())
    async with upkeep(site):
        assert (site.standing, site.attempts) == (500, 500)
        assert 1 < site.peak <= _AT_ONCE
        assert len(asyncio.all_tasks()) == before + 2
    assert site.left == 500
    assert len(asyncio.all_tasks()) == before


async def test_a_broker_that_takes_no_more_is_told_with_the_number_that_stood() -> None:
    site = Site(100, most=70)
    with pytest.raises(Unreachable, match=r"is full\. 70 of 100 connections were open"):
        await upkeep(site).__aenter__()
    assert site.standing == 70
    assert site.attempts <= 70 + 4 * 30


async def test_a_broker_that_is_not_there_is_asked_once() -> None:
    site = Site(100, most=0)
    with pytest.raises(Unreachable):
        await upkeep(site).__aenter__()
    assert site.attempts == 1


async def test_after_a_storm_all_come_back_some_at_a_time_and_later_if_they_must() -> None:
    site = Site(300)
    async with upkeep(site):
        site.most, site.peak = 200, 0
        for client in site.clients:
            assert client.lose is not None
            client.lose()
        assert site.standing == 0
        await until(lambda: site.standing == 200 and site.attempts > 650)
        site.most = 300
        await until(lambda: site.standing == 300)
        assert site.peak <= _AT_ONCE


async def test_each_is_visited_as_often_as_every_other() -> None:
    site = Site(40)
    async with upkeep(site, period=0.4):
        await until(lambda: sum(site.visits.values()) >= 120)
        counts = [site.visits[client.number] for client in site.clients]
        assert max(counts) - min(counts) <= 1
