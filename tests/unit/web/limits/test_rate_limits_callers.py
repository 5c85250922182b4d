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


def ask(one: RateLimits, principal: Principal, header: str) -> None:
    visit = Visit()
    one.arrive(visit, "192.0.2.1", CIMultiDict[str]())
    one.identified(visit, principal, header)


@pytest.mark.parametrize("header", ["Bearer gwi_a", "bearer gwi_a", "BEARER gwi_a", "Bearer   gwi_a", "Bearer gwi_a  "])
def test_a_key_is_one_caller_however_its_header_is_spelt(header: str) -> None:
    one = limits()
    ask(one, Principal(Role.INGEST), "Bearer gwi_a")
    ask(one, Principal(Role.INGEST), "Bearer gwi_b")
    with pytest.raises(RateLimited):
        ask(one, Principal(Role.INGEST), header)


def test_a_device_is_one_caller_with_all_its_tokens() -> None:
    one = limits()
    ask(one, Principal(Role.DEVICE, device="d1"), "Bearer gwd_old")
    ask(one, Principal(Role.DEVICE, device="d2"), "Bearer gwd_other")
    with pytest.raises(RateLimited) as caught:
        ask(one, Principal(Role.DEVICE, device="d1"), "Bearer gwd_new")
    assert caught.value.details["limit"] == "limits.device_requests_per_sec"


def test_no_token_is_kept() -> None:
    one = limits()
    ask(one, Principal(Role.INGEST), "Bearer gwi_secret")
    assert one._of_key is not None
    assert one._of_key.requests is not None
    assert [type(caller) for caller in one._of_key.requests._full_at] == [int]
