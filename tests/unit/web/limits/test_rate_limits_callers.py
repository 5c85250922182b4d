"""Whom the limits take for one caller, asked without a server."""

import pytest
from multidict import CIMultiDict

from gateway.core import settings
from gateway.core.errors import RateLimited
from gateway.domain.principal import Principal, Role
from gateway.web.limits.rate_limits import RateLimits, Visit

ONE = settings.LimitSettings(device_requests_per_sec=1e-3, key_requests_per_sec=1e-3, burst_secs=1)


def limits() -> RateLimits:
    return RateLimits(settings.Settings(limits=ONE), monotonic=lambda: 1000.0)


def ask(one: RateLimits, principal: Principal) -> None:
    visit = Visit()
    one.arrive(visit, "192.0.2.1", CIMultiDict[str]())
    one.identified(visit, principal)


def test_each_key_is_a_caller() -> None:
    one = limits()
    for key in (0, 1, 2):
        ask(one, Principal(Role.INGEST, key=key))
    with pytest.raises(RateLimited) as caught:
        ask(one, Principal(Role.INGEST, key=1))
    assert caught.value.details["limit"] == "limits.key_requests_per_sec"


def test_a_device_is_one_caller_with_all_its_tokens() -> None:
    one = limits()
    ask(one, Principal(Role.DEVICE, device="d1", key=1))
    ask(one, Principal(Role.DEVICE, device="d2", key=2))
    with pytest.raises(RateLimited) as caught:
        ask(one, Principal(Role.DEVICE, device="d1", key=3))
    assert caught.value.details["limit"] == "limits.device_requests_per_sec"
