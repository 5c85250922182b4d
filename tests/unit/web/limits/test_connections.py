"""Seats: a newcomer gets a stranger's when there is none, and nobody gets that of who is known or is being served."""

import pytest

from gateway.core.errors import TooManyConnections, TooManyFromAddress
from gateway.core.settings import HttpSettings
from gateway.telemetry import prometheus
from gateway.web.limits.connections import (
    ASKED,
    KEPT_BY_A_DEVICE,
    MAX_CONNECTIONS,
    MAX_PER_ADDRESS,
    STANDING,
    ConnectionLimit,
    Seat,
)


class Visitor:
    """A connection that yields, or is being served and does not."""

    def __init__(self, limit: ConnectionLimit, peer: str = "10.0.0.1") -> None:
        self.limit = limit
        self.is_served = False
        self.ended = ""
        self.seat: Seat | None = limit.enter(self, peer)

    def refuse(self) -> None:
        self.ended = "refused"

    def yield_seat(self, limit: str) -> bool:
        if self.is_served:
            return False
        self.ended = limit
        self.leave()
        return True

    def leave(self) -> None:
        if self.seat is not None:
            self.limit.leave(self, self.seat)
            self.seat = None

    def know(self, device: str | None = None) -> None:
        assert self.seat is not None
        self.seat = self.limit.know(self, self.seat, device)


def limit_of(seats: int = 3, each: int = 0, proxies: str = "") -> ConnectionLimit:
    return ConnectionLimit(HttpSettings(max_connections=seats, max_connections_per_address=each, proxies=proxies))


def cut_off(limit: str) -> float:
    return float(prometheus.http_cut_off[(limit,)]._value.get())


def test_the_stranger_who_is_one_for_longest_yields() -> None:
    limit, before = limit_of(), cut_off(MAX_CONNECTIONS)
    known, *strangers = [Visitor(limit) for _ in range(3)]
    known.know()
    newcomer = Visitor(limit)
    assert newcomer.seat == Seat("10.0.0.1")
    assert [one.ended for one in (known, *strangers)] == ["", MAX_CONNECTIONS, ""]
    assert limit.taken == 3
    assert cut_off(MAX_CONNECTIONS) == before + 1


def test_who_is_known_or_being_served_keeps_its_seat() -> None:
    limit = limit_of()
    seated = [Visitor(limit) for _ in range(3)]
    seated[0].know()
    seated[1].is_served = True
    seated[2].know()
    standing = Visitor(limit)
    assert standing.seat == Seat(limit=MAX_CONNECTIONS)
    assert isinstance(limit.refusal(MAX_CONNECTIONS), TooManyConnections)
    seated[1].is_served = False
    assert Visitor(limit).seat == Seat("10.0.0.1")
    assert [one.ended for one in seated] == ["", MAX_CONNECTIONS, ""]


def test_only_some_are_asked_and_those_who_are_served_are_asked_last() -> None:
    limit = limit_of(ASKED + 1)
    seated = [Visitor(limit) for _ in range(ASKED + 1)]
    for one in seated[:ASKED]:
        one.is_served = True
    assert Visitor(limit).seat == Seat(limit=MAX_CONNECTIONS)
    assert Visitor(limit).seat == Seat("10.0.0.1")
    assert seated[-1].ended == MAX_CONNECTIONS


def test_one_address_has_a_share() -> None:
    limit = limit_of(100, each=2)
    first, second = [Visitor(limit, "10.0.0.7") for _ in range(2)]
    elsewhere = Visitor(limit, "10.0.0.8")
    assert Visitor(limit, "10.0.0.7").seat == Seat("10.0.0.7")
    assert (first.ended, second.ended, elsewhere.ended) == (MAX_PER_ADDRESS, "", "")
    second.know()
    third = Visitor(limit, "10.0.0.7")
    third.know()
    assert Visitor(limit, "10.0.0.7").seat == Seat(limit=MAX_PER_ADDRESS)
    assert isinstance(limit.refusal(MAX_PER_ADDRESS), TooManyFromAddress)
    third.leave()
    assert Visitor(limit, "10.0.0.7").seat == Seat("10.0.0.7")


def test_an_ipv6_address_is_a_64() -> None:
    limit = limit_of(100, each=1)
    Visitor(limit, "2001:db8::1").know()
    assert Visitor(limit, "2001:db8::2").seat == Seat(limit=MAX_PER_ADDRESS)
    assert Visitor(limit, "2001:db8:0:1::1").seat == Seat("2001:db8:0:1::/64")


def test_proxies_speak_for_many() -> None:
    limit = limit_of(100, each=1, proxies="10.0.0.0/8")
    for _ in range(5):
        Visitor(limit, "10.0.0.1").know()
    assert limit.taken == 5
    Visitor(limit, "192.0.2.1").know()
    assert Visitor(limit, "192.0.2.1").seat == Seat(limit=MAX_PER_ADDRESS)


def test_when_too_many_stand_who_stood_longest_goes() -> None:
    limit = limit_of(1)
    Visitor(limit).know()
    standing = [Visitor(limit) for _ in range(STANDING + 1)]
    assert [one.ended for one in standing] == ["refused"] + [""] * STANDING


def test_a_device_keeps_some_and_yields_the_others() -> None:
    limit = limit_of(KEPT_BY_A_DEVICE + 3)
    greedy = [Visitor(limit) for _ in range(KEPT_BY_A_DEVICE + 3)]
    for one in greedy:
        one.know("greedy")
    others = [Visitor(limit) for _ in range(3)]
    for other in others:
        assert other.seat == Seat("10.0.0.1")
        other.know("modest")
    assert [one.ended for one in greedy] == [""] * KEPT_BY_A_DEVICE + [MAX_CONNECTIONS] * 3
    assert Visitor(limit).seat == Seat(limit=MAX_CONNECTIONS)
    greedy[0].leave()
    again = Visitor(limit)
    again.know("greedy")
    assert again.seat == Seat("10.0.0.1", device="greedy")


@pytest.mark.parametrize("known", [False, True])
def test_nothing_is_kept_of_who_has_left(*, known: bool) -> None:
    limit = limit_of(2, each=2)
    for number in range(50):
        one = Visitor(limit, f"10.0.1.{number}")
        if known:
            one.know("d1" if number % 2 else None)
        one.leave()
    assert limit._kept == {}
    assert (limit.taken, len(limit._places), len(limit._strangers), len(limit._standing)) == (0, 0, 0, 0)
